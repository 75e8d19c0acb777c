// Package corpus reads texts from files of every usual kind as one stream with
// bounded memory: .txt, .jsonl, .json, .csv, .tsv, .parquet, .arrow, each also inside
// gzip or zstd, named by files, folders, globs and weights ("ru/*.jsonl.zst=0.9").
//
// Bad rows (broken JSON, bytes that are no UTF-8, a damaged zstd frame) are
// never swallowed: each is counted, the first ten are kept with file and line,
// and MaxBadRows decides when to stop.
//
//	r, err := corpus.Open([]string{"ru/*.jsonl.zst=0.9", "en.txt=0.1"}, corpus.DefaultOptions())
//	if err != nil { … }
//	for doc, err := range r.Documents(ctx) {
//		if err != nil { … }
//		use(doc.Text)
//	}
package corpus
