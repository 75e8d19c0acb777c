package tokenizer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"lep/internal/golden"
)

// normalizeString runs a normalizer on s with and without alignment; both must agree.
func normalizeString(t testing.TB, nz normalizer, s string) string {
	t.Helper()
	plain := newNormalized(s, 0, false)
	nz.normalize(plain)
	aligned := newNormalized(s, 0, true)
	nz.normalize(aligned)
	if plain.text != aligned.text {
		t.Errorf("normalize(%q) = %q, with alignment %q", s, plain.text, aligned.text)
	}
	if len(aligned.align) != len(aligned.text) {
		t.Errorf("normalize(%q): %d sources for %d bytes", s, len(aligned.align), len(aligned.text))
	}
	return plain.text
}

func compileTestNormalizer(t testing.TB, raw string) normalizer {
	t.Helper()
	n, err := compileNormalizer(json.RawMessage(raw))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// precompiledJSON is the Precompiled normalizer with the nmt_nfkc charsmap of tiny-sp-bpe.
func precompiledJSON(t testing.TB) string {
	t.Helper()
	var f struct {
		Normalizer struct {
			Normalizers []struct {
				Type string `json:"type"`
				Map  []byte `json:"precompiled_charsmap"`
			} `json:"normalizers"`
		} `json:"normalizer"`
	}
	if err := json.Unmarshal(golden.Read(t, modelPath(t, "tiny-sp-bpe", "tokenizer.json")), &f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"type":"Precompiled","precompiled_charsmap":%q}`, base64.StdEncoding.EncodeToString(f.Normalizer.Normalizers[0].Map))
}

func TestNormalizersGolden(t *testing.T) {
	path := golden.Shared(t, "reference", "tokenizers", "components", "normalizers.jsonl.gz")
	kinds := map[string]string{
		"hf.nfc": `{"type":"NFC"}`, "hf.nfd": `{"type":"NFD"}`, "hf.nfkc": `{"type":"NFKC"}`, "hf.nfkd": `{"type":"NFKD"}`,
		"hf.lowercase":            `{"type":"Lowercase"}`,
		"hf.nfd_stripaccents":     `{"type":"Sequence","normalizers":[{"type":"NFD"},{"type":"StripAccents"}]}`,
		"hf.nmt":                  `{"type":"Nmt"}`,
		"hf.strip":                `{"type":"Strip","strip_left":true,"strip_right":true}`,
		"hf.bert":                 `{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}`,
		"hf.precompiled_nmt_nfkc": precompiledJSON(t),
	}
	for field, raw := range kinds {
		t.Run(strings.TrimPrefix(field, "hf."), func(t *testing.T) {
			nz := compileTestNormalizer(t, raw)
			rows := 0
			golden.Lines(t, path, func(line []byte) {
				var row map[string]any
				if err := json.Unmarshal(line, &row); err != nil {
					t.Fatal(err)
				}
				text := row["text"].(string)
				want, ok := row[field].(string)
				if !ok {
					want = text
				}
				rows++
				if got := normalizeString(t, nz, text); got != want {
					t.Errorf("%s (unicode %s): %+q\n got %+q\nwant %+q", row["id"], row["unicode"], text, got, want)
				}
			})
			if rows != 1002 {
				t.Errorf("%d rows, want 1002", rows)
			}
		})
	}
}

func modelPath(t testing.TB, name, file string) string {
	t.Helper()
	dir := golden.Shared(t, "reference", "tokenizers", "models", name)
	path := filepath.Join(dir, file)
	if _, err := os.Stat(path); err != nil {
		path += ".gz"
	}
	return path
}

// The numbers of code points that a normalizer leaves out were counted with tokenizers 0.23.3, one
// character at a time.
func TestNormalizersCountAsTheReferences(t *testing.T) {
	for _, tt := range []struct {
		name string
		to   func(rune) (rune, bool)
		want int
	}{
		{"StripAccents", dropAccent, 2097},
		{"BertNormalizer's accents", dropNonspacing, 1567},
		{"BertNormalizer's controls", bertClean, 137681},
		{"Nmt", nmtRune, 30},
	} {
		got := 0
		for r := range rune(utf8.MaxRune + 1) {
			if _, keep := tt.to(r); utf8.ValidRune(r) && !keep {
				got++
			}
		}
		if got != tt.want {
			t.Errorf("%s: %d code points, want %d", tt.name, got, tt.want)
		}
	}
}
