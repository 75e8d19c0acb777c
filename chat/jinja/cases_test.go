package jinja

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf8"
)

// outcome is what Jinja2 made of a template (testdata/make_cases.py).
type outcome struct {
	Template, Style, Talk string
	Text                  string
	Raised                *string
	Error                 string
	Opaque                bool     // the text holds an address of Python's memory
	Spans                 [][2]int // of generation blocks, in characters
}

type caseFile struct {
	Vars   map[string]json.RawMessage
	Cases  []outcome
	Styles []outcome
}

func readCases(t testing.TB) caseFile {
	t.Helper()
	var f caseFile
	readFile(t, "cases.json", &f)
	if len(f.Cases) < 500 {
		t.Fatalf("cases.json has %d cases, want at least 500", len(f.Cases))
	}
	return f
}

func readFile(t testing.TB, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// testClock is the time that make_cases.py gives to strftime_now.
func testClock() time.Time { return time.Date(2024, 7, 6, 15, 4, 9, 0, time.UTC) }

func render(source string, vars map[string]json.RawMessage, limits Limits) (Output, error) {
	t, err := Parse(source)
	if err != nil {
		return Output{}, err
	}
	given := map[string]any{}
	for k, v := range vars {
		given[k] = v
	}
	return t.Render(given, testClock, limits)
}

func TestCases(t *testing.T) {
	f := readCases(t)
	for _, c := range f.Cases {
		if !c.Opaque {
			checkOutcome(t, c.Template, c, f.Vars)
		}
	}
}

func checkOutcome(t *testing.T, source string, want outcome, vars map[string]json.RawMessage) {
	t.Helper()
	got, err := render(source, vars, Limits{})
	source = want.Template // a style has only its name
	var e *Error
	switch {
	case err != nil && !errors.As(err, &e):
		t.Errorf("%s\nerror %v is no *Error", source, err)
	case want.Raised != nil:
		if err == nil || !e.Raised || e.Message != *want.Raised {
			t.Errorf("%s\ngot %q, %v; want it to raise %q", source, got.Text, err, *want.Raised)
		}
	case want.Error != "":
		if err == nil || e.Raised {
			t.Errorf("%s\ngot %q, %v; want an error, Jinja2 says %s", source, got.Text, err, want.Error)
		}
	case err != nil:
		t.Errorf("%s\ngot error %v; want %q", source, err, want.Text)
	case got.Text != want.Text:
		t.Errorf("%s\ngot  %q\nwant %q", source, got.Text, want.Text)
	default:
		checkSpans(t, source, got, want.Spans)
	}
}

// checkSpans compares generation blocks, but for empty ones, which are left out here.
func checkSpans(t *testing.T, source string, got Output, want [][2]int) {
	t.Helper()
	n := 0
	for _, w := range want {
		if w[0] == w[1] {
			continue
		}
		if n >= len(got.Generated) {
			t.Errorf("%s\nspan %v is missing", source, w)
			return
		}
		g := got.Generated[n]
		n++
		if s, e := utf8.RuneCountInString(got.Text[:g.Start]), utf8.RuneCountInString(got.Text[:g.End]); s != w[0] || e != w[1] {
			t.Errorf("%s\nspan [%d %d], want %v", source, s, e, w)
		}
	}
	if n != len(got.Generated) {
		t.Errorf("%s\n%d spans, want %d", source, len(got.Generated), n)
	}
}

// TestStyles renders conversations by templates in the style of published ones.
func TestStyles(t *testing.T) {
	f := readCases(t)
	var talks []struct {
		Name string
		Vars map[string]json.RawMessage
	}
	readFile(t, "talks.json", &talks)
	vars := map[string]map[string]json.RawMessage{}
	for _, talk := range talks {
		vars[talk.Name] = talk.Vars
	}
	files, err := filepath.Glob(filepath.Join("testdata", "styles", "*.jinja"))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Styles) != len(talks)*len(files) {
		t.Fatalf("cases.json has %d renderings for %d styles and %d talks: run make_cases.py", len(f.Styles), len(files), len(talks))
	}
	for _, c := range f.Styles {
		t.Run(c.Style+"/"+c.Talk, func(t *testing.T) {
			source, err := os.ReadFile(filepath.Join("testdata", "styles", c.Style))
			if err != nil {
				t.Fatal(err)
			}
			c.Template = c.Style
			checkOutcome(t, string(source), c, vars[c.Talk])
		})
	}
}
