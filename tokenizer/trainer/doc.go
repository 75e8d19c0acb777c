// Package trainer makes tokenizers from texts: byte-level BPE as Hugging Face's
// BpeTrainer makes it, and SentencePiece models of the types BPE and Unigram.
// Texts stream through it: memory grows with the distinct words only. A result
// depends on the texts and the options, not on the order of the texts or on the
// number of threads.
//
//	r, err := corpus.Open([]string{"ru.jsonl.zst"}, corpus.DefaultOptions())
//	if err != nil { … }
//	opts := trainer.DefaultBPEOptions()
//	opts.Size = 32000
//	result, err := trainer.TrainBPE(ctx, r.Texts(ctx), opts)
//	if err != nil { … }
//	data, err := result.Definition.JSON()
package trainer
