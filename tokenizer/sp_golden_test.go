package tokenizer

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"lep/internal/golden"
)

// spModels are the reference models in SentencePiece's own format.
var spModels = []string{"darulm-32000-bpe", "darulm-32000-unigram", "mistral-v0.1", "tiny-sp-bpe", "tiny-sp-bpe-cf", "tiny-sp-bpe-identity",
	"tiny-sp-unigram", "tiny-sp-unigram-bf", "tiny-sp-unigram-nodummy", "tiny-sp-unigram-suffix", "tok512"}

func readSPModel(t testing.TB, name string) *Definition {
	t.Helper()
	d, err := ReadSentencePiece(golden.Read(t, modelPath(t, name, "tokenizer.model")))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func openSPModel(t testing.TB, name string) *spEncoder {
	t.Helper()
	e, err := newSPEncoder(readSPModel(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSentencePieceEncodings(t *testing.T) {
	for _, name := range spModels {
		t.Run(name, func(t *testing.T) {
			d := readSPModel(t, name)
			e, err := newSPEncoder(d)
			if err != nil {
				t.Fatal(err)
			}
			rows := 0
			golden.Lines(t, golden.Shared(t, "reference", "tokenizers", "encodings", name+".sp.encodings.jsonl.gz"), func(line []byte) {
				var row struct {
					ID, Text   string
					IDs        []int32
					IDsSpecial []int32 `json:"ids_special"`
					Tokens     []string
					Offsets    [][2]int
					Decoded    *string
					Normalized *string
					Score      *float64
				}
				if err := json.Unmarshal(line, &row); err != nil {
					t.Fatal(err)
				}
				rows++
				if got := e.appendIDs(nil, row.Text); !slices.Equal(got, row.IDs) {
					t.Errorf("%s: ids of %+q\n got %d\nwant %d", row.ID, short(row.Text), few(got), few(row.IDs))
					return
				}
				tokens, pieces := e.appendTokens(nil, nil, row.Text)
				var ids []int32
				var spans []span
				for _, k := range tokens {
					ids = append(ids, k.id)
					spans = append(spans, span{k.start, k.end})
				}
				if !slices.Equal(ids, row.IDs) {
					t.Errorf("%s: with offsets, ids of %+q\n got %d\nwant %d", row.ID, short(row.Text), few(ids), few(row.IDs))
				}
				if row.Offsets != nil && !slices.Equal(codePoints(row.Text, spans), row.Offsets) {
					t.Errorf("%s: offsets of %+q\n got %d\nwant %d", row.ID, row.Text, codePoints(row.Text, spans), row.Offsets)
				}
				if row.Tokens != nil && !slices.Equal(pieces, row.Tokens) {
					t.Errorf("%s: pieces of %+q\n got %q\nwant %q", row.ID, row.Text, pieces, row.Tokens)
				}
				if row.IDsSpecial != nil {
					want := row.IDs
					if bos := d.SentencePiece.bosID(&d.Model); bos >= 0 {
						want = append([]int32{bos}, row.IDs...)
					}
					if !slices.Equal(want, row.IDsSpecial) {
						t.Errorf("%s: with bos %d, want %d", row.ID, want, row.IDsSpecial)
					}
				}
				if row.Decoded != nil {
					if got := e.decode(row.IDs, false); got != *row.Decoded {
						t.Errorf("%s: decode(%d)\n got %+q\nwant %+q", row.ID, row.IDs, got, *row.Decoded)
					}
				}
				if row.Normalized != nil {
					if got := string(e.norm.append(nil, row.Text, nil)); got != *row.Normalized {
						t.Errorf("%s: normalize(%+q)\n got %+q\nwant %+q", row.ID, row.Text, got, *row.Normalized)
					}
				}
				if u, ok := e.segment.(*spUnigram); ok && row.Score != nil {
					w := new(spWorker)
					n := string(e.norm.append(nil, row.Text, nil))
					if n == "" {
						return
					}
					u.tokens(w, n)
					if got := float64(w.best[len(n)].score); math.Abs(got-*row.Score) > 1e-3+2e-4*math.Abs(*row.Score) {
						t.Errorf("%s: score %g, want %g", row.ID, got, *row.Score)
					}
				}
			})
			if rows != 1002 {
				t.Errorf("%d rows, want 1002", rows)
			}
		})
	}
}

func TestSentencePieceDecodings(t *testing.T) {
	for _, name := range spModels {
		t.Run(name, func(t *testing.T) {
			e := openSPModel(t, name)
			rows := 0
			golden.Lines(t, golden.Shared(t, "reference", "tokenizers", "decodings", name+".sp.decodings.jsonl.gz"), func(line []byte) {
				var row struct {
					Kind, Text string
					IDs        []int32
				}
				if err := json.Unmarshal(line, &row); err != nil {
					t.Fatal(err)
				}
				rows++
				if got := e.decode(row.IDs, false); got != row.Text {
					t.Errorf("%s: decode(%d)\n got %+q\nwant %+q", row.Kind, row.IDs, got, row.Text)
				}
			})
			if rows < 200 {
				t.Errorf("%d rows, want at least 200", rows)
			}
		})
	}
}

// short cuts what an error message shows.
func short(s string) string   { return s[:min(len(s), 60)] }
func few(ids []int32) []int32 { return ids[:min(len(ids), 60)] }
