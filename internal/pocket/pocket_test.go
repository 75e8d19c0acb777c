package pocket

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"lep/checkpoint"
	"lep/internal/golden"
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

// TestFamilyIsTheReference compares the bundle with the folder it was packed from.
func TestFamilyIsTheReference(t *testing.T) {
	want := golden.Shared(t, "reference", "pocket")
	f, err := Unpack(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for got, ref := range map[string]string{f.Base: "pocket-base", f.Instruct: "pocket-instruct", f.Donors["bpe"]: "donors/bpe"} {
		for _, file := range []string{"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"} {
			a, err := os.ReadFile(filepath.Join(got, file))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a, golden.Read(t, filepath.Join(want, ref, file))) {
				t.Errorf("%s/%s differs", ref, file)
			}
		}
		a, b := open(t, got), open(t, filepath.Join(want, ref))
		for _, name := range b.Names() {
			x, err := a.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			y, _ := b.Tensor(name)
			if !bytes.Equal(x.Data, y.Data) {
				t.Errorf("%s: tensor %s differs", ref, name)
			}
		}
	}
}

func open(t *testing.T, dir string) *checkpoint.Model {
	t.Helper()
	m, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
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
