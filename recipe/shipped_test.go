package recipe

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lep/internal/hint"
)

// TestBundledRecipesLoad lays out every recipe that comes with lep.
func TestBundledRecipesLoad(t *testing.T) {
	names := Bundled()
	models := family(t)
	for _, name := range []string{"llama3-8b-ru", "mistral-7b-ru", "qwen2.5-7b", "qwen2.5-0.5b-kk", "qwen2.5-0.5b-kk-direct"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not bundled", name)
		}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			r, err := Load(name, LoadOptions{RunDir: t.TempDir(), Getenv: func(string) (string, bool) { return models, true }})
			if err != nil {
				t.Fatalf("%v (%s)", err, hint.Of(err))
			}
			text, err := Explain(r)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), "kind: report") {
				t.Errorf("explained without a report:\n%.300s", text)
			}
			shown, err := Show(name)
			if err != nil || !strings.HasPrefix(string(shown), "# lep run "+name) {
				t.Errorf("the recipe begins with %.60q, want the command that runs it (%v)", shown, err)
			}
		})
	}
}

// TestShippedRecipesRun runs the recipes for real models at small scale.
func TestShippedRecipesRun(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the recipes")
	}
	models := family(t)
	training := func(section string) []string {
		var out []string
		for _, s := range []string{"backend=native", "max_steps=1", "sequence_len=32", "per_device_batch_size=1", "gradient_accumulation_steps=1",
			"shuffle_tokens=4096", "eval_data=[]", "warmup_steps=0"} {
			out = append(out, section+"."+s)
		}
		return out
	}
	sizes := []string{"tokenizer.grid.bpe.train_size=300", "tokenizer.grid.unigram.train_size=300", "tokenizer.grid.extension.train_size=300",
		"tokenizer.grid.optimization.train_size=300", "calibrate.max_new_tokens=3",
		"calibrate.filters={keep_cut_off: true, near_duplicates: 0, max_repetition: 1, same_language: false}", "eval.tasks=[]", "eval.data=[]", "eval.models=[target]"}
	one := "model.target=" + models + "/instruct"
	for _, tt := range []struct {
		name   string
		set    []string
		stages int
	}{
		// 4 vocabularies, first rows, donors; 12 propagations; answers; 4 tunings; evaluation, report.
		{"llama3-8b-ru", slices.Concat(sizes, training("tune"), []string{one}), 31},
		{"mistral-7b-ru", slices.Concat(sizes, training("tune"), []string{one, "propagate.method=swap", "calibrate=null", "tune=null"}), 18},
		{"qwen2.5-7b", []string{"tokenizer.train_size=300", "eval.tasks=[]", "eval.data=[]", "eval.models=[result]",
			"model.target=[" + models + "/instruct, " + models + "/base]", "export.type=f32"}, 10},
		{"qwen2.5-0.5b-kk", []string{"tokenizer.train_size=300", one}, 9},
		// Vocabulary, first rows; two phases, instructing; five models measured; report.
		{"qwen2.5-0.5b-kk-direct", slices.Concat([]string{"tokenizer.train_size=300", one, "train.phases.layers.max_steps=1"}, training("instruct")), 11},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(shippedTexts(t))
			set := slices.Concat(tt.set, training("train"), []string{"model.source=" + models + "/base"})
			r, err := Load(tt.name, LoadOptions{Set: set})
			if err != nil {
				t.Fatalf("%v (%s)", err, hint.Of(err))
			}
			opts := DefaultOptions()
			opts.Threads, opts.BLAS, opts.Jobs = 2, "builtin", 2
			run, err := Open(r, opts)
			if err != nil {
				t.Fatalf("%v (%s)", err, hint.Of(err))
			}
			defer run.Close()
			res, err := run.Run(t.Context())
			must(t, res, err, tt.stages, 0)
		})
	}
}

// shippedTexts makes the folders that the recipes read.
func shippedTexts(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	line := "мама мыла раму, а папа читал газету и пил чай с вареньем\nкот сидел у окна и смотрел на птиц за окном\n"
	for name, text := range map[string]string{
		"data/ru/a.txt": strings.Repeat(line, 20), "data/kk/a.txt": strings.Repeat("қазақ тілі өте бай және әдемі тіл\n"+line, 20), "data/en/a.txt": strings.Repeat("the cat sat on the mat\n", 40),
		"data/held-out/ru.jsonl": `{"text": "кот и папа"}` + "\n", "data/held-out/kk.jsonl": `{"text": "қазақ тілі"}` + "\n", "data/held-out/en.jsonl": `{"text": "the cat"}` + "\n",
		"data/chats.jsonl":   `{"messages": [{"role": "user", "content": "Repeat: one"}, {"role": "assistant", "content": "one"}]}` + "\n",
		"data/prompts.jsonl": `{"prompt": "Repeat: one"}` + "\n" + `{"prompt": "Copy this: two"}` + "\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
