package train

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"lep/checkpoint"
	"lep/internal/pocket"
	"lep/model"
	"lep/tokenizer"
)

// TestStop tunes a base model, whose settings know the end of a text alone, on a conversation: answers end at the end of a turn
// too. A model that knows that keeps its settings.
func TestStop(t *testing.T) {
	family, err := pocket.Unpack(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "chats.jsonl")
	if err := os.WriteFile(data, []byte(`{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const endOfText, endOfTurn = 3073, 3075
	for _, tt := range []struct {
		dir  string
		want []int32
	}{{family.Base, []int32{endOfTurn, endOfText}}, {family.Instruct, []int32{endOfTurn, endOfText}}} {
		o := DefaultOptions()
		o.Model, o.Data, o.Out, o.Task, o.MaxSteps, o.SequenceLen, o.PerDeviceBatchSize = tt.dir, []string{data}, filepath.Join(t.TempDir(), "out"), SFT, 1, 32, 1
		mustRun(t, o)
		m, err := checkpoint.Open(o.Out)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		var got model.TokenIDs
		if _, err := m.GenerationConfig().Decode("eos_token_id", &got); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: eos_token_id %v (%v), want %v", filepath.Base(tt.dir), got, err, tt.want)
		}
		tok, err := tokenizer.Open(o.Out)
		if err != nil {
			t.Fatal(err)
		}
		if got := tok.Config().EOS; got != "<|im_end|>" {
			t.Errorf("%s: eos_token %q, want <|im_end|>", filepath.Base(tt.dir), got)
		}
	}
}
