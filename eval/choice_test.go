package eval

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"lep/internal/golden"
	"lep/tokenizer"
)

// TestChoiceTokens compares the tokens that choices are scored by with the reference's, for
// seven tokenizers.
func TestChoiceTokens(t *testing.T) {
	toks := map[string]*tokenizer.Tokenizer{}
	n := 0
	golden.Lines(t, golden.Shared(t, "reference", "darumeru", "choice_tokens.jsonl"), func(line []byte) {
		var c struct {
			Tokenizer, Prompt string
			Choices           []string
			PromptIDs         []int32 `json:"prompt_ids"`
			Shared            []int32
			ScoreIDs          [][]int32 `json:"score_ids"`
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		tok, ok := toks[c.Tokenizer]
		if !ok {
			tok = openReference(t, c.Tokenizer)
			toks[c.Tokenizer] = tok
		}
		n++
		shared, score := choiceTokens(tok, c.Prompt, c.Choices)
		if want := slices.Concat(c.PromptIDs, c.Shared); !slices.Equal(shared, want) {
			t.Errorf("%s %q: prompt %v, want %v", c.Tokenizer, c.Prompt, shared, want)
		}
		if !reflect.DeepEqual(score, c.ScoreIDs) {
			t.Errorf("%s %q %q: tokens %v, want %v", c.Tokenizer, c.Prompt, c.Choices, score, c.ScoreIDs)
		}
	})
	if n == 0 {
		t.Error("no cases")
	}
}

func openReference(t *testing.T, name string) *tokenizer.Tokenizer {
	t.Helper()
	dir := golden.Shared(t, "reference", "tokenizers", "models", name)
	tok, err := tokenizer.Open(golden.Unpack(t, filepath.Clean(dir)))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}
