package corpus

import (
	"testing"

	"lep/internal/golden"
)

// BenchmarkRead reads the shared Russian corpus: zstd, JSON, UTF-8 checks.
func BenchmarkRead(b *testing.B) {
	path := golden.Shared(b, "corpus", "ru.train.jsonl.zst")
	b.ReportAllocs()
	for b.Loop() {
		r, err := Open([]string{path}, DefaultOptions())
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range r.Documents(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(r.Progress().TextBytes)
	}
}
