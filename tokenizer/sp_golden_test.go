package tokenizer

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
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

// Whole books in one string, where the rounding of a Unigram's sums decides: the number of
// ids and the CRC-32 of them as little-endian int32, from sentencepiece 0.2.3.
func TestSentencePieceOnBooks(t *testing.T) {
	for _, tt := range []struct {
		model, lang string
		n           int
		sum         uint32
	}{
		{"darulm-32000-bpe", "ru", 45401, 0x37804f6e},
		{"darulm-32000-bpe", "en", 86596, 0x4a794f96},
		{"darulm-32000-unigram", "ru", 46376, 0x03fe6e6b},
		{"darulm-32000-unigram", "en", 88027, 0x0ac9fc80},
		{"mistral-v0.1", "ru", 72160, 0x1098133c},
		{"mistral-v0.1", "en", 79426, 0xcd95053c},
		{"tiny-sp-bpe", "ru", 68166, 0x2c5a6209},
		{"tiny-sp-bpe", "en", 113963, 0x2402835f},
		{"tiny-sp-unigram", "ru", 73306, 0xca741fb8},
		{"tiny-sp-unigram", "en", 120762, 0x085fabed},
		{"tiny-sp-unigram-bf", "ru", 72259, 0xafaf0f4e},
		{"tiny-sp-unigram-bf", "en", 118399, 0x57313f21},
		{"tiny-sp-unigram-suffix", "ru", 78461, 0xf839ca2c},
		{"tiny-sp-unigram-suffix", "en", 130633, 0x8fc398e8},
	} {
		t.Run(tt.model+"/"+tt.lang, func(t *testing.T) {
			text := string(golden.Read(t, golden.Shared(t, "reference", "tokenizers", "train", tt.lang+"_heldout.txt.gz")))
			ids := openSPModel(t, tt.model).appendIDs(nil, text)
			var raw []byte
			for _, id := range ids {
				raw = binary.LittleEndian.AppendUint32(raw, uint32(id))
			}
			if sum := crc32.ChecksumIEEE(raw); len(ids) != tt.n || sum != tt.sum {
				t.Errorf("%d ids with CRC %08x, want %d with %08x", len(ids), sum, tt.n, tt.sum)
			}
		})
	}
}
