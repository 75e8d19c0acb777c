package trainer

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"lep/internal/golden"
	"lep/tokenizer"
)

// russian returns the texts of the shared corpus.
func russian(b *testing.B) []string {
	var texts []string
	golden.Lines(b, golden.Shared(b, "corpus", "ru.train.jsonl.zst"), func(line []byte) {
		_, text, ok := strings.Cut(string(line), `"text": `)
		if !ok {
			b.Fatal("a line without text")
		}
		texts = append(texts, text)
	})
	return texts
}

// peak is the largest resident set of this process so far, in MB; 0 where the
// system does not tell.
func peak() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	var kB float64
	if _, hwm, ok := strings.Cut(string(status), "VmHWM:"); ok {
		fmt.Sscan(hwm, &kB)
	}
	return kB / 1e3
}

func bench(b *testing.B, train func(times int) (*Result, error)) {
	for _, times := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("repeated=%d", times), func(b *testing.B) {
			for b.Loop() {
				r, err := train(times)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(r.Bytes)
			}
			b.ReportMetric(peak(), "peak-MB")
		})
	}
}

func repeat(texts []string, times int) func(yield func(string, error) bool) {
	return func(yield func(string, error) bool) {
		for range times {
			for _, t := range texts {
				if !yield(t, nil) {
					return
				}
			}
		}
	}
}

func BenchmarkTrainBPE(b *testing.B) {
	texts := russian(b)
	bench(b, func(times int) (*Result, error) {
		return TrainBPE(b.Context(), repeat(texts, times), DefaultBPEOptions())
	})
}

func benchmarkSentencePiece(b *testing.B, model tokenizer.ModelType) {
	texts := russian(b)
	opts := DefaultSentencePieceOptions(model)
	opts.CharacterCoverage, opts.ByteFallback, opts.MaxSentenceLength = 0.9999, true, 100000
	bench(b, func(times int) (*Result, error) {
		return TrainSentencePiece(b.Context(), repeat(texts, times), opts)
	})
}

func BenchmarkTrainSentencePieceBPE(b *testing.B) { benchmarkSentencePiece(b, tokenizer.BPE) }
func BenchmarkTrainUnigram(b *testing.B)          { benchmarkSentencePiece(b, tokenizer.Unigram) }
