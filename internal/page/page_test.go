package page

import (
	"bytes"
	"html/template"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestTemplate(t *testing.T) {
	p, err := Template(`<h1>{{.Title}}</h1>`, `"use strict";`, template.FuncMap{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Write(&b, p, struct{ Title string }{"<b>\u202e\x1b"}); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"<h1>&lt;b&gt;‹U+202E›␛</h1>", "default-src 'none'; style-src 'sha256-", "script-src 'sha256-", `<script>"use strict";</script>`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func TestReveal(t *testing.T) {
	for _, tt := range []struct{ in, keep, want, why string }{
		{"мир 1", "", "мир 1", "letters and spaces stay"},
		{"a\nb\tc", "\n", "a\nb␉c", "what is to be kept stays"},
		{"\xd0x", "", "‹d0›x", "a byte that is no text by its number"},
		{"a\u200db\u00a0", "", "a‹U+200D›b‹U+00A0›", "what has no shape by its number"},
		{"\x00\x7f", "", "␀␡", "controls by their pictures"},
	} {
		if got := Reveal(tt.in, tt.keep); got != tt.want {
			t.Errorf("Reveal(%q, %q) = %q, want %q: %s", tt.in, tt.keep, got, tt.want, tt.why)
		}
	}
}

func FuzzReveal(f *testing.F) {
	f.Add("\u202eкод\x00\xff ")
	f.Fuzz(func(t *testing.T, s string) {
		got := Reveal(s, "")
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
			t.Errorf("Reveal(%q) = %q", s, got)
		}
	})
}

func TestLineChart(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, tt := range []struct {
		name  string
		axes  Axes
		lines []Line
		want  int // lines drawn
	}{
		{"two", Axes{X: "tokens", Y: "loss"}, []Line{{"a", []float64{1, 2}, []float64{3, 2}}, {"b", []float64{1, 2}, []float64{4, 4}}}, 2},
		{"nothing", Axes{}, nil, 0},
		{"no numbers", Axes{}, []Line{{"a", []float64{1, 2}, []float64{nan, inf}}}, 0},
		{"one point", Axes{}, []Line{{"a", []float64{1}, []float64{2}}}, 1},
		{"of unequal length", Axes{}, []Line{{"a", []float64{1, 2, 3}, []float64{2}}}, 1},
		{"no logarithm", Axes{LogX: true, LogY: true}, []Line{{"a", []float64{0, 10, 1000}, []float64{-1, 0.1, 10}}}, 1},
		{"huge", Axes{}, []Line{{"a", []float64{-math.MaxFloat64, math.MaxFloat64}, []float64{1, 2}}}, 0},
		{"tiny", Axes{}, []Line{{"a", []float64{1, 1 + 1e-16}, []float64{1e-300, 2e-300}}}, 1},
		{"level", Axes{}, []Line{{"a", []float64{1, 2}, []float64{5, 5}}}, 1},
	} {
		chart := string(LineChart(tt.axes, tt.lines))
		if got := strings.Count(chart, "<polyline"); got != tt.want {
			t.Errorf("%s: %d lines, want %d", tt.name, got, tt.want)
		}
		if strings.Contains(chart, "NaN") || strings.Contains(chart, "Inf") || strings.Contains(chart, `viewBox="0 0 600 0"`) {
			t.Errorf("%s: %s", tt.name, chart)
		}
	}
	chart := string(LineChart(Axes{X: "tokens", Y: "loss"}, []Line{{"<b>", []float64{1, 2}, []float64{3, 2}}, {"c", []float64{1, 2}, []float64{3, 2}}}))
	if !strings.Contains(chart, `aria-label="loss by tokens; &lt;b&gt; from 3 to 2; c from 3 to 2"`) {
		t.Errorf("the chart is not told in words: %.300s", chart)
	}
}

func TestEstimateChart(t *testing.T) {
	nan := math.NaN()
	if chart := EstimateChart("bits", []Estimate{{Label: "a", Value: nan, Low: nan, High: nan}}, nan); chart != "" {
		t.Errorf("no figures make no chart, got %s", chart)
	}
	chart := string(EstimateChart("bits", []Estimate{{"a", 1, 0.9, 1.1, true}, {"b", nan, nan, nan, false}, {"a very long name of a model that has no room", 2, 1.9, 2.2, false}}, 1.5))
	for _, want := range []string{"★ a", "no number", "<title>a very long name of a model that has no room</title>", `class="mark"`, "2.000"} {
		if !strings.Contains(chart, want) {
			t.Errorf("the chart lacks %q", want)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, tt := range []struct {
		low, high float64
		want      []float64
	}{
		{0, 10, []float64{0, 2, 4, 6, 8, 10}},
		{-0.1, 0.9, []float64{0, 0.2, 0.4, 0.6, 0.8}},
		{1.53, 1.69, []float64{1.55, 1.6, 1.65}},
	} {
		got := ticks(tt.low, tt.high, 6)
		if !slices.EqualFunc(got, tt.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
			t.Errorf("ticks(%g, %g) = %v, want %v", tt.low, tt.high, got, tt.want)
		}
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 812: "812", 4096: "4.1k", 128_000: "128k", 1_000_000: "1M", 3.25e9: "3.2G"} {
		if got := short(v); got != want {
			t.Errorf("short(%g) = %q, want %q", v, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := Thousands(n); got != want {
			t.Errorf("Thousands(%d) = %q, want %q", n, got, want)
		}
	}
}
