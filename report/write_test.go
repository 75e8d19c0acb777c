package report

import (
	"bytes"
	"encoding/json"
	"html"
	"math"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"lep/eval"
	"lep/propagate"
)

func render(t testing.TB, r *Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// text is what a reader sees: without tags, spaces as one.
func text(page string) string {
	page = regexp.MustCompile(`(?s)<(style|script)>.*?</(style|script)>|<[^>]*>`).ReplaceAllString(page, " ")
	return strings.Join(strings.Fields(html.UnescapeString(page)), " ")
}

func TestPageSays(t *testing.T) {
	page := render(t, fullRun())
	seen := text(page)
	for _, want := range []string{
		"Pocket, Russian",
		// The mean of three seeds with their range, level with the best.
		"extension, ridge, tuned, 3 seeds", "≈ no",
		"bpe, conversion: 1.590 bits per byte of Russian against 1.692, better than instruct.",
		"extension, ridge, tuned, 3 seeds: 2.210 bits per byte of English against 2.245",
		"1.598 1.594–1.602",
		"2 of 400 are shown", "1 worse", "−0.410", "lep run recipes/pocket.yaml", "unigram lost copying",
		"0.9310", "192 of 192", "the same texts for all",
	} {
		if want == "≈ no" {
			if !strings.Contains(page, `class="n tie" title="level with the best">1.598`) {
				t.Error("1.598 is less than 0.01 from 1.590 but is not marked as level")
			}
			continue
		}
		if !strings.Contains(seen, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, id := range []string{"short", "results", "tasks", "compared", "training", "projection", "answers", "tokens", "samples", "steps", "reproduce", "notes"} {
		if strings.Count(page, `id="`+id+`"`) != 1 {
			t.Errorf("section %s: want it once, got %d", id, strings.Count(page, `id="`+id+`"`))
		}
	}
}

// TestEveryPartMayBeMissing takes each part away in turn; what is left is shown.
func TestEveryPartMayBeMissing(t *testing.T) {
	full := reflect.ValueOf(*fullRun())
	for i := range full.NumField() {
		r := fullRun()
		reflect.ValueOf(r).Elem().Field(i).SetZero()
		if page := render(t, r); strings.Contains(page, "ZgotmplZ") || !strings.Contains(page, "</html>") {
			t.Errorf("without %s the page is broken", full.Type().Field(i).Name)
		}
	}
	if page := text(render(t, &Run{})); !strings.Contains(page, "Results") {
		t.Errorf("an empty run: %s", page)
	}
}

func TestNumbersThatAreNone(t *testing.T) {
	r := fullRun()
	nan := Number(math.NaN())
	ru := r.Models[2].Languages["ru"]
	ru.BitsPerByte = &Figure{Value: nan, Spread: &Spread{nan, nan, nan}}
	r.Models[2].Languages["ru"] = ru
	r.Curves[0].Y[3] = Number(math.Inf(1))
	r.Projections[0].HeldOut = nil
	r.Projections[1].RelativeResidual = nan
	seen := text(render(t, r))
	if strings.Contains(seen, "NaN") || strings.Contains(seen, "Inf") || !strings.Contains(seen, "no number") {
		t.Error("a figure that is no number must be said to be none")
	}
	if !strings.Contains(seen, "extension, ridge, tuned, 3 seeds: 1.598 bits per byte of Russian against 1.692") {
		t.Error("the best is chosen among numbers")
	}
}

// TestHostileTexts puts markup, controls and direction marks into every text of a run.
func TestHostileTexts(t *testing.T) {
	r := fullRun()
	r.Reference = ""
	poison(reflect.ValueOf(r).Elem())
	page := render(t, r)
	for _, bad := range []string{"<img", "onerror=alert(1)>", "\u202e", "\x00", "\x1b", "\u2028", "ZgotmplZ", "https://", "http://", "url("} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if n := strings.Count(page, "<script"); n != 1 {
		t.Errorf("%d scripts, want ours alone", n)
	}
}

// poison replaces all strings, keys of maps included.
func poison(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile)
	case reflect.Pointer:
		if !v.IsNil() {
			poison(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				poison(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i))
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(k))
			poison(value)
			v.SetMapIndex(k, reflect.Value{})
			v.SetMapIndex(reflect.ValueOf(hostile), value)
		}
	}
}

func TestSaveAndOpen(t *testing.T) {
	want := fullRun()
	want.Models[0].Total = &Figure{Value: Number(math.NaN())}
	dir := t.TempDir()
	if err := Save(filepath.Join(dir, eval.ResultsName), want); err != nil {
		t.Fatal(err)
	}
	got, err := Open(t.Context(), []string{dir}, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(want)
	b, _ := json.Marshal(got)
	if !bytes.Equal(a, b) {
		t.Errorf("a run read back differs:\n%.2000s\n%.2000s", a, b)
	}
}

func TestPooledSeeds(t *testing.T) {
	rows, pools := pooled(fullRun().Models)
	if !pools || len(rows) != 5 {
		t.Fatalf("%d rows, pooled %t; want 5, true", len(rows), pools)
	}
	f := rows[4].Languages["ru"].BitsPerByte
	if f.N != 3 || math.Abs(float64(f.Value)-1.598) > 1e-9 || math.Abs(float64(f.Low)-1.594) > 1e-9 || math.Abs(float64(f.High)-1.602) > 1e-9 {
		t.Errorf("mean of the seeds: got %+v %+v, want 1.598 from 1.594 to 1.602", f, f.Spread)
	}
}

func TestStory(t *testing.T) {
	model := func(name, role string, bits *Figure) Model {
		return Model{Name: name, Role: role, Languages: map[string]Language{"ru": {BitsPerByte: bits}}}
	}
	for _, tt := range []struct {
		name      string
		ref, made *Figure
		want      string
	}{
		{"better", Plain(1.7), Plain(1.6), "better than a"},
		{"worse", Plain(1.6), Plain(1.7), "worse than a"},
		{"tie", Plain(1.6), Plain(1.6099), "a tie with a"},
		{"not a tie", Plain(1.6), Plain(1.611), "worse than a"},
		{"wide intervals of the same texts", estimated(1.7, 0.2, 9), estimated(1.6, 0.2, 9), "better than a"},
	} {
		v := newView(&Run{Models: []Model{model("a", "target", tt.ref), model("b", "result", tt.made)}})
		if len(v.Story) != 1 || !strings.Contains(v.Story[0], tt.want) {
			t.Errorf("%s: %q does not say %q", tt.name, v.Story, tt.want)
		}
	}
}

func TestChanceIsSaid(t *testing.T) {
	for made, want := range map[float64]string{0.55: "may be chance", 0.9: "better than"} {
		v := newView(&Run{Models: []Model{{Name: "a", Role: "target", Total: estimated(0.5, 0.1, 0)}, {Name: "b", Role: "result", Total: estimated(made, 0.1, 0)}}})
		if len(v.Story) != 1 || !strings.Contains(v.Story[0], want) {
			t.Errorf("0.5 and %.2f, both ± 0.1: %q does not say %q", made, v.Story, want)
		}
	}
}

func TestMeanOfTasks(t *testing.T) {
	m := func(name, role string, a, b float64) Model {
		return Model{Name: name, Role: role, Tasks: map[string]Figure{"x": *estimated(a, 0.02, 50), "y": *estimated(b, 0.02, 50)}}
	}
	v := newView(&Run{Models: []Model{m("a", "target", 0.2, 0.4), m("b", "result", 0.6, 0.8)}})
	if len(v.Story) != 1 || !strings.Contains(v.Story[0], "0.700 over the tasks against 0.300, better than a") {
		t.Errorf("tasks without a total have a mean: %q", v.Story)
	}
}

func TestSpectrumIsDrawn(t *testing.T) {
	d := &propagate.Diagnosis{Ranks: []int{1, 2, 3, 4}, Before: []Number{3, 2, 1, 0}, After: []Number{2, 1, Number(math.NaN())}}
	if chart := string(spectrum(d)); strings.Count(chart, "<polyline") != 2 || strings.Contains(chart, "NaN") {
		t.Errorf("two lines without what has no logarithm, got %s", chart)
	}
	if chart := spectrum(&propagate.Diagnosis{}); chart != "" {
		t.Errorf("no values make no chart, got %s", chart)
	}
}
