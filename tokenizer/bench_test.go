package tokenizer_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"lep/internal/golden"
	"lep/tokenizer"
)

// prose returns documents of the corpus of about size bytes in all.
func prose(b *testing.B, lang string, size int) (texts []string, total int) {
	b.Helper()
	golden.Lines(b, golden.Shared(b, "corpus", lang+".train.jsonl.zst"), func(line []byte) {
		if total >= size {
			return
		}
		var row struct{ Text string }
		if err := json.Unmarshal(line, &row); err != nil {
			b.Fatal(err)
		}
		texts = append(texts, row.Text)
		total += len(row.Text)
	})
	return texts, total
}

// BenchmarkEncode encodes 8 MB of prose, document by document, on one thread. The
// peers on the same texts: bench/peers.py encode beside the reference data.
func BenchmarkEncode(b *testing.B) {
	for _, lang := range []string{"ru", "en"} {
		texts, total := prose(b, lang, 8<<20)
		for _, name := range []string{"llama3", "qwen2-style", "mistral-v0.1", "darulm-32000-bpe", "darulm-32000-unigram", "tiny-sp-unigram"} {
			b.Run(lang+"/"+name, func(b *testing.B) {
				tok := reference(b, name)
				var ids []int32
				b.SetBytes(int64(total))
				b.ReportAllocs()
				tokens := 0
				for b.Loop() {
					tokens = 0
					for _, text := range texts {
						ids = tok.AppendEncode(ids[:0], text)
						tokens += len(ids)
					}
				}
				b.ReportMetric(float64(tokens), "tokens")
			})
		}
	}
}

// BenchmarkSentencePiece is BenchmarkEncode with SentencePiece's own encoders.
func BenchmarkSentencePiece(b *testing.B) {
	for _, lang := range []string{"ru", "en"} {
		texts, total := prose(b, lang, 8<<20)
		for _, name := range []string{"mistral-v0.1", "darulm-32000-bpe", "darulm-32000-unigram"} {
			b.Run(lang+"/"+name, func(b *testing.B) {
				tok, err := tokenizer.Open(filepath.Join(golden.Unpack(b, golden.Shared(b, "reference", "tokenizers", "models", name)), "tokenizer.model"))
				if err != nil {
					b.Fatal(err)
				}
				var ids []int32
				b.SetBytes(int64(total))
				b.ReportAllocs()
				for b.Loop() {
					for _, text := range texts {
						ids = tok.AppendEncode(ids[:0], text)
					}
				}
			})
		}
	}
}

// BenchmarkWorst is the inputs that a quadratic tokenizer never ends with, at two
// lengths: time must grow no faster than n·log n.
func BenchmarkWorst(b *testing.B) {
	inputs := map[string]func(n int) string{
		"letter": func(n int) string { return strings.Repeat("a", n) },
		"spaces": func(n int) string { return strings.Repeat(" ", n) },
		"word":   func(n int) string { return strings.Repeat("абвгдежзий", n/20+1)[:n] },
	}
	for _, name := range []string{"llama3", "mistral-v0.1", "darulm-32000-unigram"} {
		tok := reference(b, name)
		for input, text := range inputs {
			for _, n := range []int{1 << 16, 1 << 20} {
				s := text(n)
				b.Run(name+"/"+input+"/"+map[int]string{1 << 16: "64KB", 1 << 20: "1MB"}[n], func(b *testing.B) {
					b.SetBytes(int64(n))
					for b.Loop() {
						tok.Encode(s)
					}
				})
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"llama3", "mistral-v0.1"} {
		b.Run(name, func(b *testing.B) {
			tok := reference(b, name)
			texts, _ := prose(b, "ru", 1<<20)
			ids := tok.EncodeAll(b.Context(), texts, 1)
			total := 0
			for _, t := range texts {
				total += len(t)
			}
			b.SetBytes(int64(total))
			b.ReportAllocs()
			for b.Loop() {
				for _, d := range ids {
					tok.Decode(d)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := golden.Unpack(b, golden.Shared(b, "reference", "tokenizers", "models", "llama3"))
	path := filepath.Join(dir, "tokenizer.json")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tokenizer.Open(path); err != nil {
			b.Fatal(err)
		}
	}
}
