package vocab

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"lep/internal/golden"
	"lep/tokenizer"
)

// openCase unpacks a case of the reference data and opens two of its tokenizers.
func openCase(t *testing.T, kind, name, oldDir, newDir string) (dir string, old, next *tokenizer.Tokenizer) {
	t.Helper()
	dir = filepath.Join(golden.Untar(t, golden.Shared(t, "reference", "lep", kind, name+".tar.gz")), name)
	open := func(sub string) *tokenizer.Tokenizer {
		tok, err := tokenizer.Open(filepath.Join(dir, sub))
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	return dir, open(oldDir), open(newDir)
}

// special are the values of a tokenizer folder's special_tokens_map.json.
func special(t *testing.T, dir string) []string {
	t.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(golden.Read(t, filepath.Join(dir, "special_tokens_map.json")), &raw); err != nil {
		t.Fatal(err)
	}
	var out []string
	one := func(r json.RawMessage) {
		var s string
		var o struct{ Content string }
		switch {
		case json.Unmarshal(r, &s) == nil:
			out = append(out, s)
		case json.Unmarshal(r, &o) == nil:
			out = append(out, o.Content)
		default:
			t.Fatalf("special_tokens_map.json: %s", r)
		}
	}
	for _, r := range raw {
		var list []json.RawMessage
		if json.Unmarshal(r, &list) == nil {
			for _, x := range list {
				one(x)
			}
			continue
		}
		one(r)
	}
	return out
}

// TestConversionGoldens holds both conversions against the lists of the reference
// data: the sound ones of its independent program, and the authors' own.
func TestConversionGoldens(t *testing.T) {
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "j"} {
		t.Run(name, func(t *testing.T) {
			dir, old, next := openCase(t, "lep", name, "target", "donor")
			var want []struct {
				ID               int
				Piece            string
				Reference, Sound []int32
			}
			if err := json.Unmarshal(golden.Read(t, filepath.Join(dir, "expected", "conversion.json.gz")), &want); err != nil {
				t.Fatal(err)
			}
			sound := Convert(old, next)
			if sound.Len() != len(want) {
				t.Fatalf("%d tokens, want %d", sound.Len(), len(want))
			}
			var empty []int
			for _, w := range want {
				if got := sound.IDs(w.ID); !slices.Equal(got, w.Sound) {
					t.Errorf("sound: token %d %q: %v, want %v", w.ID, w.Piece, got, w.Sound)
				}
				if w.Reference != nil && len(w.Reference) == 0 {
					empty = append(empty, w.ID)
				}
			}
			ref, err := ConvertReference(old, next, ReferenceOptions{Special: special(t, filepath.Join(dir, "donor"))})
			if len(empty) > 0 {
				if err == nil {
					t.Errorf("reference: no error, but the anchor swallows tokens %v", empty)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range want {
				if got := ref.IDs(w.ID); !slices.Equal(got, w.Reference) {
					t.Errorf("reference: token %d %q: %v, want %v", w.ID, w.Piece, got, w.Reference)
				}
			}
		})
	}
}

// TestSharedGoldens compares the pairs of the independent program, and the number of
// strings that the authors' code finds.
func TestSharedGoldens(t *testing.T) {
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "j"} {
		t.Run(name, func(t *testing.T) {
			dir, old, next := openCase(t, "lep", name, "target", "donor")
			var sound struct {
				SharedByteExact int `json:"shared_byte_exact"`
			}
			var modes map[string]struct{ Shared int }
			for file, into := range map[string]any{"sound.json": &sound, "modes.json": &modes} {
				if err := json.Unmarshal(golden.Read(t, filepath.Join(dir, "expected", file)), into); err != nil {
					t.Fatal(err)
				}
			}
			if got := len(Shared(old, next)); got != sound.SharedByteExact {
				t.Errorf("sound: %d shared tokens, want %d", got, sound.SharedByteExact)
			}
			if got, want := len(SharedReference(old, next)), modes["union"].Shared; want != 0 && got != want {
				t.Errorf("reference: %d shared tokens, want %d", got, want)
			}
		})
	}
}

// TestInitialGoldens compares the lists that first rows are made of.
func TestInitialGoldens(t *testing.T) {
	for _, name := range []string{"I1", "I2", "I3", "I4"} {
		t.Run(name, func(t *testing.T) {
			dir, old, next := openCase(t, "init", name, "source", "new_tokenizer")
			next, specials := withOld(t, dir, old, next)
			var log []struct {
				ID     int     `json:"token_id"`
				Piece  string  `json:"token_repr"`
				Tokens []int32 `json:"tokens_src"`
			}
			if err := json.Unmarshal(golden.Read(t, filepath.Join(dir, "expected", "log.json.gz")), &log); err != nil {
				t.Fatal(err)
			}
			ref := InitialReference(old, next, specials)
			for _, w := range log {
				if got := ref.IDs(w.ID); !slices.Equal(got, w.Tokens) {
					t.Errorf("reference: token %d %q: %v, want %v", w.ID, w.Piece, got, w.Tokens)
				}
			}
			var sound []struct {
				ID    int
				Piece string
				IDs   []int32
				How   string
			}
			if err := json.Unmarshal(golden.Read(t, filepath.Join(dir, "expected", "sound_log.json.gz")), &sound); err != nil {
				t.Fatal(err)
			}
			got := Convert(old, next)
			how := map[How]string{LeftOut: "mean", Copied: "copy", Composed: "average", ByName: "special"}
			for _, w := range sound {
				if ids := got.IDs(w.ID); !slices.Equal(ids, w.IDs) || how[got.How(w.ID)] != w.How {
					t.Errorf("sound: token %d %q: %v %s, want %v %s", w.ID, w.Piece, ids, how[got.How(w.ID)], w.IDs, w.How)
				}
			}
		})
	}
}

// withOld appends the old tokenizer's added tokens and returns the special map that
// the reference's run had (facts.json).
func withOld(t *testing.T, dir string, old, next *tokenizer.Tokenizer) (*tokenizer.Tokenizer, []string) {
	t.Helper()
	d := next.Definition().Clone()
	id := int32(next.Size())
	for _, a := range old.Definition().AddedTokens {
		if _, ok := next.ID(a.Content); !ok {
			a.ID = id
			id++
			d.AddedTokens = append(d.AddedTokens, a)
		}
	}
	tok, err := tokenizer.New(d)
	if err != nil {
		t.Fatal(err)
	}
	var facts map[string]struct {
		Special map[string]json.RawMessage `json:"special_tokens_map"`
	}
	if err := json.Unmarshal(golden.Read(t, filepath.Join(dir, "expected", "facts.json")), &facts); err != nil {
		t.Fatal(err)
	}
	var specials []string
	for _, raw := range facts["mean_hm"].Special {
		var one string
		var list []string
		if json.Unmarshal(raw, &one) == nil {
			specials = append(specials, one)
		} else if err := json.Unmarshal(raw, &list); err == nil {
			specials = append(specials, list...)
		} else {
			t.Fatal(err)
		}
	}
	return tok, specials
}
