package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"lep/internal/golden"
)

func TestSentencePieceWritesBackWhatItRead(t *testing.T) {
	for _, name := range spModels {
		t.Run(name, func(t *testing.T) {
			data := golden.Read(t, modelPath(t, name, "tokenizer.model"))
			d, err := ReadSentencePiece(data)
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.SentencePieceModel()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, data) {
				t.Errorf("%d bytes of %d differ in length or content", len(got), len(data))
			}
		})
	}
}

// A published tokenizer.json and tokenizer.model of one BPE must give each other.
func TestSentencePieceAndLegacyJSON(t *testing.T) {
	for _, name := range []string{"mistral-v0.1", "darulm-32000-bpe", "darulm-32000-unigram", "tok512", "tiny-sp-bpe-identity"} {
		t.Run(name, func(t *testing.T) {
			fromJSON, err := ReadJSON(golden.Read(t, modelPath(t, name, "tokenizer.json")))
			if err != nil {
				t.Fatal(err)
			}
			fromModel := readSPModel(t, name)
			if !slices.Equal(fromJSON.Model.Merges, fromModel.Model.Merges) {
				t.Errorf("%d merges in the json, %d from the model, or in another order", len(fromJSON.Model.Merges), len(fromModel.Model.Merges))
			}
			if fmt.Sprint(fromJSON.AddedTokens) != fmt.Sprint(fromModel.AddedTokens) {
				t.Errorf("added tokens %v, from the model %v", fromJSON.AddedTokens, fromModel.AddedTokens)
			}
			for _, c := range []struct {
				name      string
				got, want []byte
			}{
				{"normalizer", fromModel.Normalizer, fromJSON.Normalizer},
				{"decoder", fromModel.Decoder, fromJSON.Decoder},
				{"post_processor", fromModel.PostProcessor, fromJSON.PostProcessor},
			} {
				if got, want := compactJSON(t, c.got), compactJSON(t, c.want); got != want {
					t.Errorf("%s:\n got %s\nwant %s", c.name, got, want)
				}
			}
			data, err := fromJSON.SentencePieceModel()
			if err != nil {
				t.Fatal(err)
			}
			back, err := ReadSentencePiece(data)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(back.Model.Merges, fromModel.Model.Merges) {
				t.Error("merges changed on the way through the json")
			}
			for i, p := range back.Model.Pieces {
				if want := fromModel.Model.Pieces[i]; p.Text != want.Text || p.Kind != want.Kind || back.Model.Type == Unigram && p.Kind == Text && p.Score != want.Score {
					t.Fatalf("piece %d: %+v, want %+v", i, p, want)
				}
			}
		})
	}
}

func compactJSON(t testing.TB, raw []byte) string {
	t.Helper()
	if isNull(raw) {
		return "null"
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(v)
}

// protoModel builds small models by hand.
type protoModel struct{ data []byte }

func (p *protoModel) field(num protowire.Number, msg []byte) *protoModel {
	p.data = protowire.AppendBytes(protowire.AppendTag(p.data, num, protowire.BytesType), msg)
	return p
}

func (p *protoModel) piece(text string, score float32, typ uint64) *protoModel {
	var m []byte
	m = protowire.AppendString(protowire.AppendTag(m, pieceText, protowire.BytesType), text)
	m = protowire.AppendFixed32(protowire.AppendTag(m, pieceScore, protowire.Fixed32Type), math.Float32bits(score))
	m = protowire.AppendVarint(protowire.AppendTag(m, pieceType, protowire.VarintType), typ)
	return p.field(modelPieces, m)
}

func (p *protoModel) trainer(nums ...uint64) *protoModel {
	var m []byte
	for i := 0; i < len(nums); i += 2 {
		m = protowire.AppendVarint(protowire.AppendTag(m, protowire.Number(nums[i]), protowire.VarintType), nums[i+1])
	}
	return p.field(modelTrainerSpec, m)
}

func (p *protoModel) charsmap(blob []byte) *protoModel {
	return p.field(modelNormalizerSpec, protowire.AppendBytes(protowire.AppendTag(nil, normalizerCharsmap, protowire.BytesType), blob))
}

func TestReadSentencePieceRefuses(t *testing.T) {
	unk := func() *protoModel { return new(protoModel).piece("<unk>", 0, 2) }
	big := strings.Repeat("a", maxPieceBytes+1)
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "no pieces"},
		{"no message", []byte("not a model"), "offset 0"},
		{"a length beyond the end", []byte{0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F}, "offset 0"},
		{"an endless varint", bytes.Repeat([]byte{0xFF}, 20), "offset 0"},
		{"NaN", unk().piece("a", float32(math.NaN()), 1).data, `piece 1: "a": score NaN is not finite`},
		{"infinity", unk().piece("a", float32(math.Inf(-1)), 1).data, "is not finite"},
		{"twice", unk().piece("a", 0, 1).piece("a", 0, 1).data, `pieces 1 and 2 are both "a"`},
		{"empty piece", unk().piece("", 0, 1).data, "piece 1: empty"},
		{"NUL", unk().piece("a\x00b", 0, 1).data, `piece 1: "a\x00b" has a NUL`},
		{"long piece", unk().piece(big, 0, 1).data, "1025 bytes, at most 1024"},
		{"no UTF-8", unk().piece("\xff", 0, 1).data, "is not UTF-8"},
		{"type", unk().piece("a", 0, 7).data, "type 7, want 1 to 6"},
		{"no unknown", new(protoModel).piece("a", 0, 1).data, "no piece of type UNKNOWN"},
		{"two unknowns", unk().piece("x", 0, 2).data, "both of type UNKNOWN"},
		{"WORD", unk().trainer(trainerModelType, 3).data, "model_type WORD is not supported"},
		{"model type", unk().trainer(trainerModelType, 9).data, "model_type 9 is unknown"},
		{"bytes missing", unk().trainer(trainerByteFallback, 1).data, `byte_fallback is set, but piece "<0x00>" is missing`},
		{"byte piece", unk().piece("<0xZZ>", 0, 6).data, "is of type BYTE"},
		{"trainer twice", unk().trainer(trainerModelType, 1).trainer(trainerModelType, 2).data, "trainer_spec stands twice"},
		{"charsmap size", unk().charsmap([]byte{0xFF, 0xFF, 0xFF, 0x7F, 0}).data, "trie of 2147483647 bytes"},
		{"charsmap target", unk().charsmap(append([]byte{4, 0, 0, 0}, 0, 0xFC, 0xFF, 0x7F, 0)).data, "leads to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadSentencePiece(tt.data)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzReadSentencePiece(f *testing.F) {
	f.Add(new(protoModel).piece("<unk>", 0, 2).piece("▁", -1, 1).piece("a", -2, 1).piece("▁a", 0, 1).piece("<x>", 0, 4).trainer(trainerModelType, 2).data)
	f.Add(new(protoModel).piece("<unk>", 0, 2).piece("▁", -1, 1).piece("a", -2, 1).piece("u", -2, 5).trainer(trainerModelType, 1).data)
	f.Add([]byte{0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F})
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ReadSentencePiece(data)
		if err != nil {
			return
		}
		out, err := d.SentencePieceModel()
		if err != nil {
			t.Fatalf("writing what was read: %v", err)
		}
		again, err := ReadSentencePiece(out)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(again.Model.Pieces, d.Model.Pieces) {
			t.Fatal("pieces change on the way")
		}
		e, err := newSPEncoder(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"a a  u\xffu <x>a", string(data[:min(len(data), 100)])} {
			ids := e.appendIDs(nil, s)
			tokens, _ := e.appendTokens(nil, nil, s)
			if len(tokens) != len(ids) {
				t.Fatalf("%d ids, %d with offsets", len(ids), len(tokens))
			}
			e.decode(ids, false)
		}
	})
}

// The modern layout is that of the reference's tokenizer.json for the tiny models.
func TestModernLayout(t *testing.T) {
	for _, name := range []string{"tiny-sp-bpe", "tiny-sp-unigram"} {
		t.Run(name, func(t *testing.T) {
			want, err := ReadJSON(golden.Read(t, modelPath(t, name, "tokenizer.json")))
			if err != nil {
				t.Fatal(err)
			}
			got, err := readSPModel(t, name).HF(ModernLayout)
			if err != nil {
				t.Fatal(err)
			}
			if got.SentencePiece != nil {
				t.Error("the native part is still there")
			}
			for _, c := range []struct {
				name      string
				got, want []byte
			}{
				{"normalizer", got.Normalizer, want.Normalizer},
				{"pre_tokenizer", got.PreTokenizer, want.PreTokenizer},
				{"decoder", got.Decoder, want.Decoder},
				{"post_processor", got.PostProcessor, want.PostProcessor},
			} {
				if got, want := compactJSON(t, c.got), compactJSON(t, c.want); got != want {
					t.Errorf("%s:\n got %.300s\nwant %.300s", c.name, got, want)
				}
			}
			if !slices.Equal(got.Model.Merges, want.Model.Merges) {
				t.Error("other merges")
			}
		})
	}
}

// What SentencePiece cannot say is refused by name.
func TestSentencePieceModelRefuses(t *testing.T) {
	model := func(edit func(*Definition)) *Definition {
		d, err := ReadSentencePiece(new(protoModel).piece("<unk>", 0, 2).piece("ab", -1, 1).piece("abc", -2, 1).piece("a", -3, 1).
			piece("b", -4, 1).piece("c", -5, 1).trainer(trainerModelType, 2).data)
		if err != nil {
			t.Fatal(err)
		}
		if d, err = d.HF(LegacyLayout); err != nil {
			t.Fatal(err)
		}
		edit(d)
		return d
	}
	for _, tt := range []struct {
		name string
		edit func(*Definition)
		want string
	}{
		{"nothing", func(*Definition) {}, ""},
		{"pre-tokenizer", func(d *Definition) { d.PreTokenizer = []byte(`{"type":"Whitespace"}`) }, "there is a pre-tokenizer"},
		{"normalizer", func(d *Definition) { d.Normalizer = []byte(`{"type":"NFC"}`) }, "not that of the Llama layout"},
		{"gap", func(d *Definition) { d.Model.Pieces = slices.Delete(d.Model.Pieces, 2, 3) }, "gap"},
		{"no unknown", func(d *Definition) { d.Model.UnkID = -1 }, "no unknown token"},
		{"merges lost", func(d *Definition) { d.Model.Merges = d.Model.Merges[:1] }, "1 merges, but the pieces make 2"},
		{"unreachable", func(d *Definition) {
			d.Model.IgnoreMerges = true
			d.Model.Pieces = append(d.Model.Pieces, Piece{ID: 6, Text: "xyz"})
		}, `merges do not reach "xyz"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := model(tt.edit).SentencePieceModel()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
