package tokenizer_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lep/internal/golden"
	"lep/tokenizer"
)

// reference opens models/NAME of the reference data as users have it.
func reference(t testing.TB, name string) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.Open(golden.Unpack(t, golden.Shared(t, "reference", "tokenizers", "models", name)))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// goldenNames returns NAME of every NAME.hf.KIND.jsonl.gz.
func goldenNames(t *testing.T, kind string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(golden.Shared(t, "reference", "tokenizers", kind), "*.hf."+kind+".jsonl.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens of %s: %v", kind, err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".hf."+kind+".jsonl.gz")
	}
	return files
}

// TestHFEncodings holds every encoding of every tokenizer.json against what HF
// tokenizers 0.23.3 gives. No row is left out, those of young Unicode characters
// included.
func TestHFEncodings(t *testing.T) {
	for _, name := range goldenNames(t, "encodings") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tok := reference(t, name)
			rows := 0
			golden.Lines(t, golden.Shared(t, "reference", "tokenizers", "encodings", name+".hf.encodings.jsonl.gz"), func(line []byte) {
				var row struct {
					ID, Kind, Text, Unicode string
					IDs                     []int32  `json:"ids"`
					Tokens                  []string `json:"tokens"`
					Offsets                 [][2]int `json:"offsets"`
					IDsSpecial              []int32  `json:"ids_special"`
					IDsPlain                []int32  `json:"ids_plain"`
					Decoded                 *string  `json:"decoded"`
					DecodedSkip             *string  `json:"decoded_skip"`
				}
				if err := json.Unmarshal(line, &row); err != nil {
					t.Fatal(err)
				}
				rows++
				where := row.ID + " " + row.Kind + " unicode " + row.Unicode
				if got := tok.Encode(row.Text); !slices.Equal(got, row.IDs) {
					t.Errorf("%s: Encode(%.80q)\n got %v\nwant %v", where, row.Text, got, row.IDs)
					return
				}
				e := tok.EncodeOptions(row.Text, tokenizer.EncodeOptions{Offsets: true})
				if !slices.Equal(e.IDs, row.IDs) {
					t.Errorf("%s: with offsets %.80q: got %v, want %v", where, row.Text, e.IDs, row.IDs)
				}
				if row.Offsets != nil {
					if diff := cmp.Diff(row.Offsets, e.Offsets); diff != "" && len(row.Offsets)+len(e.Offsets) > 0 {
						t.Errorf("%s: offsets of %.80q %q (-want +got):\n%s", where, row.Text, row.Tokens, diff)
					}
				}
				if row.Tokens != nil && !slices.Equal(e.Tokens, row.Tokens) {
					t.Errorf("%s: tokens of %.80q:\n got %q\nwant %q", where, row.Text, e.Tokens, row.Tokens)
				}
				if row.IDsSpecial != nil {
					if got := tok.EncodeSpecial(row.Text); !slices.Equal(got, row.IDsSpecial) {
						t.Errorf("%s: EncodeSpecial(%.80q) = %v, want %v", where, row.Text, got, row.IDsSpecial)
					}
				}
				if row.IDsPlain != nil {
					if got := tok.EncodeOptions(row.Text, tokenizer.EncodeOptions{PlainSpecial: true}); !slices.Equal(got.IDs, row.IDsPlain) {
						t.Errorf("%s: plain %.80q: got %v, want %v", where, row.Text, got.IDs, row.IDsPlain)
					}
				}
				decoded := row.Text
				if row.Decoded != nil {
					decoded = *row.Decoded
				}
				if got := tok.Decode(row.IDs); got != decoded {
					t.Errorf("%s: Decode = %.80q, want %.80q", where, got, decoded)
				}
				if row.DecodedSkip != nil {
					decoded = *row.DecodedSkip
				}
				if got := tok.DecodeSkip(row.IDs); got != decoded {
					t.Errorf("%s: DecodeSkip = %.80q, want %.80q", where, got, decoded)
				}
			})
			if rows < 1000 {
				t.Errorf("%d rows, want the 1,002 test strings", rows)
			}
		})
	}
}

// TestHFDecodings decodes ids that no encoder gives, whole and as a stream.
func TestHFDecodings(t *testing.T) {
	for _, name := range goldenNames(t, "decodings") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tok := reference(t, name)
			golden.Lines(t, golden.Shared(t, "reference", "tokenizers", "decodings", name+".hf.decodings.jsonl.gz"), func(line []byte) {
				var row struct {
					Kind, Text string
					IDs        []int32
					TextSkip   *string `json:"text_skip"`
				}
				if err := json.Unmarshal(line, &row); err != nil {
					t.Fatal(err)
				}
				if got := tok.Decode(row.IDs); got != row.Text {
					t.Errorf("%s: Decode(%v) = %q, want %q", row.Kind, row.IDs, got, row.Text)
				}
				skip := row.Text
				if row.TextSkip != nil {
					skip = *row.TextSkip
				}
				if got := tok.DecodeSkip(row.IDs); got != skip {
					t.Errorf("%s: DecodeSkip(%v) = %q, want %q", row.Kind, row.IDs, got, skip)
				}
				stream, got := tok.NewDecoder(), ""
				for _, id := range row.IDs {
					got += stream.Next(id)
				}
				if got += stream.Flush(); got != row.Text && !strings.Contains(row.Text, "\uFFFD") {
					t.Errorf("%s: stream of %v = %q, want %q", row.Kind, row.IDs, got, row.Text)
				}
			})
		})
	}
}

// TestPreTokenizers holds every pre-tokenizer alone against HF's.
func TestPreTokenizers(t *testing.T) {
	split := func(pattern string) string {
		b, err := json.Marshal(pattern)
		if err != nil {
			t.Fatal(err)
		}
		return `{"type":"Split","pattern":{"Regex":` + string(b) + `},"behavior":"Isolated","invert":false}`
	}
	const (
		gpt2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
		llama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
		qwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	)
	configs := map[string]string{
		"gpt2": split(gpt2), "llama3": split(llama3), "qwen2": split(qwen2),
		// The same through the general engine: a group around changes nothing else.
		"gpt2 by regex": split("(?:" + gpt2 + ")"), "llama3 by regex": split("(?:" + llama3 + ")"), "qwen2 by regex": split("(?:" + qwen2 + ")"),
		"bytelevel_gpt2":   `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`,
		"bytelevel_prefix": `{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}`,
		"metaspace_always": `{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}`,
		"metaspace_first":  `{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true}`,
		"metaspace_never":  `{"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":true}`,
		"digits":           `{"type":"Digits","individual_digits":true}`,
		"whitespace":       `{"type":"Whitespace"}`,
	}
	letters, err := os.ReadFile(golden.Shared(t, "reference", "tokenizers", "models", "tiny-gpt2", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	for key, config := range configs {
		t.Run(key, func(t *testing.T) {
			d, err := tokenizer.ReadJSON(letters)
			if err != nil {
				t.Fatal(err)
			}
			d.Normalizer, d.PostProcessor = nil, nil
			d.PreTokenizer = json.RawMessage(config)
			tok, err := tokenizer.New(d)
			if err != nil {
				t.Fatal(err)
			}
			field, _, _ := strings.Cut(key, " ")
			rows := 0
			golden.Lines(t, golden.Shared(t, "reference", "tokenizers", "components", "pretokenizers.jsonl.gz"), func(line []byte) {
				var row map[string]json.RawMessage
				if err := json.Unmarshal(line, &row); err != nil {
					t.Fatal(err)
				}
				raw, ok := row[field]
				if !ok {
					return
				}
				var text string
				var want []string
				if err := json.Unmarshal(row["text"], &text); err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal(raw, &want); err != nil {
					t.Fatal(err)
				}
				rows++
				if got := tok.PreTokenize(text); !slices.Equal(got, want) {
					t.Errorf("%s: %.80q\n got %.200q\nwant %.200q", row["id"], text, got, want)
				}
			})
			if rows < 990 {
				t.Errorf("%d rows, want about 1,000", rows)
			}
		})
	}
}
