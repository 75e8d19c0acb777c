package modelcard

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"lep/internal/strictyaml"
)

// full is a card with something in every field.
func full() *Card {
	return &Card{
		Language: []string{"ru", "no"}, License: "other", LicenseName: "llama3: community", LicenseLink: "LICENSE",
		BaseModel: []string{"org/instruct", "org/donor"}, BaseModelRelation: "merge", Datasets: []string{"org/texts"},
		LibraryName: "transformers", PipelineTag: "text-generation", Tags: []string{"lep", "1.5"},
		Evaluations: []Evaluation{{Task: Task{Type: "text-generation", Name: "MultiQ"}, Dataset: Dataset{Type: "org/bench", Name: "Bench: MultiQ", Split: "test"},
			Metrics: []Metric{{Type: "f1", Value: 0.25}, {Type: "em", Name: "exact", Value: 1, Verified: true}}, Source: Source{Name: "lep", URL: "https://example.org/a?b=c#d"}}},
		Title: "result", Intro: "Made by `lep`.\n\n- with a list",
		Sections: []Section{{"How to use", "```sh\n## no heading\nlep chat\n```"}, {"Notes", "One.\n\n### Below\n\nTwo."}},
	}
}

func TestCardSurvivesReading(t *testing.T) {
	want := full()
	text := want.Bytes()
	got, err := Parse("README.md", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("read back (-want +got):\n%s\n%s", diff, text)
	}
	if again := got.Bytes(); string(again) != string(text) {
		t.Errorf("written again:\n%s\nwant\n%s", again, text)
	}
}

func TestForeignCards(t *testing.T) {
	for _, tt := range []struct{ name, text, license, language, fail string }{
		{"plain", "---\nlicense: apache-2.0\nlanguage: en\n---\n# A\n", "apache-2.0", "en", ""},
		{"lists and comments", "---\n# a comment\nlicense:\n- mit\nlanguage: [en, \"ru\"]\nextra_gated_prompt: |\n  Agree: yes\n---\n", "mit", "en ru", ""},
		{"Norwegian", "---\nlanguage: no\n---\n", "", "no", ""},
		{"CRLF and BOM", "\ufeff---\r\nlicense: mit\r\n---\r\nText\r\n", "mit", "", ""},
		{"no head", "# Only text\n\nhere", "", "", ""},
		{"empty head", "---\n---\ntext", "", "", ""},
		{"no end of head", "---\nlicense: mit\n", "", "", ""},
		{"rule in the text", "text\n\n---\n\nmore", "", "", ""},
		{"a list of licenses", "---\nlicense: [a, b]\n---\n", "", "", "README.md:2:10: license: want one value"},
		{"broken", "---\nlicense: \"mit\n---\n", "", "", "README.md"},
		{"a list as head", "---\n- a\n---\n", "", "", "keys and values"},
		{"not UTF-8", "---\nlicense: \xff\n---\n", "", "", "not UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse("README.md", []byte(tt.text))
			if tt.fail != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fail) {
					t.Fatalf("error %v, want %q", err, tt.fail)
				}
				return
			}
			if err != nil || c.License != tt.license || strings.Join(c.Language, " ") != tt.language {
				t.Errorf("%+v, %v, want license %q, languages %q", c, err, tt.license, tt.language)
			}
		})
	}
}

func TestUnknownKeysAreKept(t *testing.T) {
	const text = "---\nlicense: mit\nwidget:\n- text: \"no\"\n  scores: [1, 2.50]\nmodel-index:\n- name: a\n  results: []\n- name: b\n  results: []\nco2: 1e3\nempty: {}\nnothing:\n---\n\n# A\n"
	c, err := Parse("README.md", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	root, err := strictyaml.Parse("again", []byte(strings.Split(string(c.Bytes()), "---\n")[1]))
	if err != nil {
		t.Fatalf("%v\n%s", err, c.Bytes())
	}
	want, err := strictyaml.Parse("before", []byte(strings.Split(text, "---\n")[1]))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Value(), root.Value()); diff != "" {
		t.Errorf("head (-want +got):\n%s", diff)
	}
	if err := c.AddEvaluations(full().Evaluations...); err == nil || !strings.Contains(err.Error(), "model-index holds more") {
		t.Errorf("results into a model-index of two models: %v", err)
	}
}

func TestAddEvaluationsReplacesItsOwn(t *testing.T) {
	c := full()
	e := c.Evaluations[0]
	e.Metrics = []Metric{{Type: "f1", Value: 0.5}}
	other := e
	other.Task.Name = "other"
	if err := c.AddEvaluations(e, other); err != nil || len(c.Evaluations) != 2 || c.Evaluations[0].Metrics[0].Value != 0.5 {
		t.Errorf("%+v, %v", c.Evaluations, err)
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"apache-2.0": "apache-2.0", "org/name": "org/name", "no": `"no"`, "Yes": `"Yes"`, "null": `"null"`, "1.5": `"1.5"`, "": `""`, "a: b": `"a: b"`,
		"# a": `"# a"`, "a\nb": `"a\nb"`, "привет": `"привет"`, "-": `"-"`, "a\u0085": `"a\u0085"`,
	} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestInherit(t *testing.T) {
	folder := func(card string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, File), []byte(card), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	c := &Card{}
	notes := c.Inherit(t.TempDir(), folder("---\nlanguage: en\nlicense: [x, y]\n---\n"), folder("---\nlicense: other\nlicense_name: llama3\nlicense_link: LICENSE\nlanguage: [en]\n---\n"),
		folder("---\nlicense: mit\nlanguage: [ru, en]\n---\n"))
	if c.License != "other" || c.LicenseName != "llama3" || c.LicenseLink != "LICENSE" || strings.Join(c.Language, " ") != "en ru" || len(notes) != 1 {
		t.Errorf("%+v, notes %q", c, notes)
	}
	c = &Card{License: "apache-2.0", Language: []string{"kk"}}
	if c.Inherit(folder("---\nlicense: mit\nlanguage: ru\n---\n")); c.License != "apache-2.0" || strings.Join(c.Language, " ") != "kk" {
		t.Errorf("what was given is lost: %+v", c)
	}
	outside := folder("---\nlicense: secret\n---\n")
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(outside, File), filepath.Join(dir, File)); err != nil {
		t.Fatal(err)
	}
	c = &Card{}
	if c.Inherit(dir); c.License != "" {
		t.Error("a link out of the folder was read")
	}
}

func TestCardOfTheHubsCache(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "models--org--name")
	snapshot := filepath.Join(cache, "snapshots", "abc")
	for _, d := range []string{snapshot, filepath.Join(cache, "blobs")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(cache, "blobs", "1"), []byte("---\nlicense: mit\n---\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../blobs/1", filepath.Join(snapshot, File)); err != nil {
		t.Fatal(err)
	}
	if c, err := Read(snapshot); err != nil || c == nil || c.License != "mit" {
		t.Errorf("%+v, %v, want the card that the link leads to", c, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(string(full().Bytes()))
	f.Add("---\nlicense: mit\nx:\n- - a\n  - {b: c}\n---\n# T\ntext")
	f.Add("---\n---\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("README.md", []byte(text))
		if err != nil {
			return
		}
		once := c.Bytes()
		again, err := Parse("README.md", once)
		if err != nil {
			t.Fatalf("%q became %q: %v", text, once, err)
		}
		if twice := again.Bytes(); string(twice) != string(once) {
			t.Errorf("%q: written %q, then %q", text, once, twice)
		}
	})
}
