package tokenizer

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"lep/internal/golden"
)

// testWords holds encoding by words against encoding as a whole.
func testWords(t *testing.T, name string, e *spEncoder, text string) {
	t.Helper()
	whole := e.appendWhole(nil, new(spWorker), text)
	for range 2 { // the second time words come out of the cache
		if got := e.appendIDs(nil, text); !slices.Equal(got, whole) {
			i := 0
			for i < min(len(got), len(whole)) && got[i] == whole[i] {
				i++
			}
			t.Fatalf("%s: %d ids by words, %d as a whole; the first other one is %d", name, len(got), len(whole), i)
		}
	}
}

func TestWordsEqualWhole(t *testing.T) {
	for _, name := range spModels {
		t.Run(name, func(t *testing.T) {
			e := openSPModel(t, name)
			// One has white space as suffix, the other a user-defined symbol of spaces.
			if e.words == (name == "tiny-sp-unigram-suffix" || name == "tiny-sp-unigram-nodummy") {
				t.Errorf("cuts words: %v", e.words)
			}
			var all strings.Builder
			golden.Lines(t, golden.Shared(t, "reference", "tokenizers", "strings", "strings.jsonl.gz"), func(line []byte) {
				var row struct{ ID, Text string }
				if err := json.Unmarshal(line, &row); err != nil {
					t.Fatal(err)
				}
				testWords(t, row.ID, e, row.Text)
				all.WriteString(row.Text)
			})
			testWords(t, "all strings in one", e, all.String())
			// Long enough for sums that round to hundredths, and for several resets.
			for _, lang := range []string{"ru", "en"} {
				text := string(golden.Read(t, golden.Shared(t, "reference", "tokenizers", "train", lang+"_heldout.txt.gz")))
				testWords(t, lang, e, text)
				testWords(t, lang+" in one line", e, strings.ReplaceAll(text, "\n", "  "))
			}
		})
	}
}

func FuzzWordsEqualWhole(f *testing.F) {
	for _, s := range []string{"", " ", "  a  b ", "a\u00a0 b", "\u00a0a", "a\n\nb \t c", "▁a ▁", "\xff a\xc3 ", "!!!! ____      x"} {
		f.Add(s)
	}
	var encoders []*spEncoder
	for _, name := range []string{"tiny-sp-bpe", "tiny-sp-bpe-cf", "tiny-sp-bpe-identity", "tiny-sp-unigram", "tiny-sp-unigram-bf", "tiny-sp-unigram-nodummy"} {
		encoders = append(encoders, openSPModel(f, name))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for i, e := range encoders {
			testWords(t, string(rune('0'+i)), e, text)
		}
	})
}
