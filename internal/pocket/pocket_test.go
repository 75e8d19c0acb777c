package pocket

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lep/checkpoint"
	"lep/infer"
)

func TestUnpack(t *testing.T) {
	f, err := Unpack(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	base, err := checkpoint.Open(f.Base)
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	for _, name := range Vocabularies {
		donor, err := checkpoint.Open(f.Donors[name])
		if err != nil {
			t.Fatal(err)
		}
		defer donor.Close()
		dims, err := checkpoint.ReadDimensions(donor.Config())
		if err != nil {
			t.Fatal(err)
		}
		rows, err := donor.EmbedTokens()
		if err != nil {
			t.Fatal(err)
		}
		if rows.Rows() != dims.VocabSize {
			t.Errorf("%s: %d rows, config says %d", name, rows.Rows(), dims.VocabSize)
		}
		layer := "model.layers.3.mlp.down_proj.weight"
		a, _ := base.Tensor(layer)
		b, _ := donor.Tensor(layer)
		if len(a.Data) == 0 || !bytes.Equal(a.Data, b.Data) {
			t.Errorf("%s: %s is not the base's", name, layer)
		}
	}
}

// TestFamilyCan holds the models to what their cards say, on a few of the texts and questions: the base foretells
// prose, the instruct model copies and ends its answer.
func TestFamilyCan(t *testing.T) {
	f, err := Unpack(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	base := engine(t, f.Base)
	for lang, limit := range map[string]float64{"ru": 1.6, "en": 2.3} { // the cards: 1.48 and 2.13 over all texts
		texts, err := Heldout(lang)
		if err != nil {
			t.Fatal(err)
		}
		var list []infer.Sequence
		for _, s := range texts[:12] {
			list = append(list, infer.Sequence{Text: s})
		}
		scores, err := base.Score(t.Context(), list)
		if err != nil {
			t.Fatal(err)
		}
		nll, size := 0.0, 0
		for _, s := range scores {
			nll, size = nll+s.NLL, size+s.Bytes
		}
		if got := infer.BitsPerByte(nll, size); got > limit {
			t.Errorf("%s: %.3f bits per byte, want at most %v", lang, got, limit)
		}
	}
	questions, err := Questions("copy", "en")
	if err != nil {
		t.Fatal(err)
	}
	instruct, right := engine(t, f.Instruct), 0
	var requests []infer.Request
	for _, q := range questions[:10] { // the card: 91 of 100
		prompt := "<|begin_of_text|><|im_start|>user\n" + q.Prompt + "<|im_end|>\n<|im_start|>assistant\n"
		requests = append(requests, infer.Request{Text: prompt, MaxNewTokens: longestAnswer})
	}
	answers, err := instruct.Generate(t.Context(), requests)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range answers {
		if strings.TrimSpace(a.Text) == questions[i].Answer {
			right++
		}
	}
	if right < 6 {
		t.Errorf("%d of 10 texts copied, want at least 6", right)
	}
}

func engine(t *testing.T, dir string) *infer.Engine {
	t.Helper()
	e, err := infer.Open(dir, infer.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func TestTexts(t *testing.T) {
	for lang, bytes := range map[string]int{"ru": 161462, "en": 109339} {
		texts, err := Heldout(lang)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, s := range texts {
			n += len(s)
		}
		if n != bytes {
			t.Errorf("%s: %d bytes, want %d (the figure of the reference run)", lang, n, bytes)
		}
	}
	q, err := Questions("first", "ru")
	if err != nil || len(q) != 100 || q[0].Prompt == "" || q[0].Answer == "" {
		t.Errorf("%d questions, %v", len(q), err)
	}
	if _, err := Questions("none", "ru"); err == nil {
		t.Error("an unknown task gave no error")
	}
}

func TestMaterialize(t *testing.T) {
	dir := t.TempDir()
	if _, err := Materialize(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]int{"texts/ru.heldout.jsonl": 196, "practice/prompts.jsonl": promptsAsked, "practice/samples.jsonl": samplesGiven,
		"practice/copying.jsonl": copyingTexts, "practice/passages.jsonl": passagesTold, "tasks/first-ru.jsonl": 100, "tasks/shown.jsonl": 10} {
		raw, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(raw, []byte("\n")); n != want {
			t.Errorf("%s: %d lines, want %d", file, n, want)
		}
	}
	held, err := os.ReadFile(filepath.Join(dir, "tasks", "copy-ru.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var question struct{ Answer string }
	if err := json.Unmarshal(held[:bytes.IndexByte(held, '\n')], &question); err != nil {
		t.Fatal(err)
	}
	prompts, err := os.ReadFile(filepath.Join(dir, "practice", "prompts.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if question.Answer == "" || bytes.Contains(prompts, []byte(question.Answer)) {
		t.Errorf("%q is held out, but among the prompts for training", question.Answer)
	}
}
