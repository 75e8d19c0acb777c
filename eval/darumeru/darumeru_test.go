package darumeru

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lep/chat"
	"lep/eval"
	"lep/internal/hint"
)

// onlyCSV makes a data folder whose rucola has nothing but CSV files.
func onlyCSV(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "rucola", "csv"), os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// hubCache makes a cache of the hub that holds a data set.
func hubCache(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "datasets--RefalMachine--darumeru", "snapshots", "abc"), os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTable(t *testing.T) {
	weights := map[string]int{}
	for _, task := range Tasks() {
		weights[task.Group]++
	}
	for group, want := range map[string]int{DaruMMLU: 3, DaruMERA: 8, DaruSum: 2, DaruCopyEN: 2, DaruCopyRU: 2} {
		if weights[group] != want {
			t.Errorf("%s has %d tasks, want %d: groups weigh by their number of tasks", group, weights[group], want)
		}
	}
	if len(Tasks()) != 17 {
		t.Errorf("%d tasks, want 17: RuCoLA is in, ruTiE is out", len(Tasks()))
	}
	if len(subjects) != 57 {
		t.Errorf("%d subjects, want 57", len(subjects))
	}
	_, err := Select([]string{"multq"})
	if err == nil || !strings.Contains(hint.Of(err), "did you mean multiq?") {
		t.Errorf("a typo gives %v, hint %q", err, hint.Of(err))
	}
	both, err := Select([]string{"darumeru", "rutie", "multiq"})
	if err != nil || len(both) != 18 {
		t.Errorf("darumeru,rutie,multiq gives %d tasks and %v, want 18 without repetition", len(both), err)
	}
}

func TestFormat(t *testing.T) {
	inputs := map[string]any{"a": "{b}", "n": 3.0}
	for _, tt := range []struct{ in, want, fault string }{
		{"x {a} y {n}", "x {b} y 3", ""},
		{"{{a}} {{", "{a} {", ""},
		{"{c}", "", "the template wants {c}, which inputs lack"},
		{"{a", "", "a single '{' in the template"},
		{"a}", "", "a single '}' in the template"},
	} {
		got, err := format(tt.in, inputs)
		if tt.fault == "" && (err != nil || got != tt.want) || tt.fault != "" && (err == nil || err.Error() != tt.fault) {
			t.Errorf("format(%q) = %q, %v; want %q, %s", tt.in, got, err, tt.want, tt.fault)
		}
	}
}

// TestBadData checks that errors name file, line and field.
func TestBadData(t *testing.T) {
	good := `{"messages":[{"role":"user","content":"{question}"},{"role":"bot","content":"Ответ:"}],"inputs":{"question":"?"},"outputs":"A","meta":{"id":0}}`
	for _, tt := range []struct{ task, file, line, want string }{
		{"rummlu", "darumeru/data/rummlu/test.jsonl", strings.Replace(good, "outputs", "output", 1), `:2: no field "outputs"`},
		{"rummlu", "darumeru/data/rummlu/test.jsonl", strings.Replace(good, `"A"`, `"E"`, 1), `:2: outputs: "E" is none of A, B, C, D`},
		{"rummlu", "darumeru/data/rummlu/test.jsonl", strings.Replace(good, "bot", "robot", 1), `:2: messages: unknown role "robot"`},
		{"rummlu", "darumeru/data/rummlu/test.jsonl", strings.Replace(good, "{question}", "{q}", 1), `:2: messages: the template wants {q}, which inputs lack`},
		{"rummlu", "darumeru/data/rummlu/test.jsonl", `{"messages"`, `:2: unexpected end of JSON input`},
		{"rucola", "rucola/validation.jsonl", `{"sentence":"x","label":2}`, `:2: label: 2, want 0 or 1`},
		{"multiq", "darumeru/data/multiq/test.jsonl", good, `:2: outputs: json: cannot unmarshal string`},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, filepath.FromSlash(tt.file))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("\n"+tt.line+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		tasks, err := Select([]string{tt.task})
		if err != nil {
			t.Fatal(err)
		}
		_, err = tasks[0].Requests(t.Context(), eval.Plan{Data: eval.Data{Dirs: []string{dir}}, Wording: DefaultWording(),
			Fits: func([]chat.Message) (bool, error) { return true, nil }})
		if err == nil || !strings.Contains(err.Error(), path+tt.want) {
			t.Errorf("%s: %v, want %s%s", tt.task, err, path, tt.want)
		}
	}
	tasks, _ := Select([]string{"rwsd"})
	_, err := tasks[0].Requests(t.Context(), eval.Plan{Data: eval.Data{Dirs: []string{t.TempDir()}}})
	if !errors.Is(err, eval.ErrNoData) {
		t.Errorf("an absent data set gives %v, want ErrNoData", err)
	}
}

// TestFewerExamples warns where the data has fewer examples than asked for.
func TestFewerExamples(t *testing.T) {
	var warned []string
	p := eval.Plan{NumFewshot: 3, Warn: func(format string, args ...any) { warned = append(warned, format) }}
	if got := few(p, "x", []int{1, 2}); len(got) != 2 || len(warned) != 1 {
		t.Errorf("few gives %v and %d warnings, want both examples and one warning", got, len(warned))
	}
}

func FuzzFormat(f *testing.F) {
	f.Add("{a} {{x}} }")
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = format(s, map[string]any{"a": "1", "": "empty"})
	})
}
