package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strings"

	"lep/internal/page"
	"lep/propagate"
)

//go:embed page.html
var pageHTML string

//go:embed browser.js
var browserJS string

// view is a run made ready for the page: what is decided and computed stands here, the template only places it.
type view struct {
	run       *Run
	rows      []Model // seeds pooled
	pools     bool
	reference string

	Title, Lead string
	Facts       []fact
	Contents    []section
	Story       []string
	Warnings    []string

	Main, Tasks, Heat *table
	Estimates         []template.HTML
	Comparisons       []comparison
	Curves            []curveChart
	Projections       []projection
	Answers           []Answered
	Cuts              []CutText
	Samples           []Samples
	Steps             []step
	Time              string // of all steps
	Reproduce, Notes  []string
	Files             []Model
}

type (
	fact    struct{ Name, Value string }
	section struct{ ID, Name string }
	// comparison holds a model against the reference.
	comparison struct {
		A, B string
		Rows []comparisonRow
	}
	comparisonRow struct {
		Task             string
		N                int
		A, B, Difference string
		Interval, Ahead  string
		P                string // of McNemar's test
		Verdict          string
	}
	curveChart struct {
		Title, Note string
		Chart       template.HTML
	}
	// projection is one matrix with the charts of its diagnosis.
	projection struct {
		Projection
		Spectrum template.HTML
	}
	step struct {
		Step
		Time, CPU, Memory string
	}
)

// Write writes the page of a run: one HTML file that loads nothing.
func Write(w io.Writer, r *Run) error {
	t, err := page.Template(pageHTML, browserJS, template.FuncMap{
		"spaces":    func(text string) string { return strings.ReplaceAll(text, "␣", " ") },
		"hidden":    func(text string) bool { return strings.HasPrefix(text, "‹") },
		"stripe":    func(i int) int { return i % 6 },
		"direction": page.Direction,
		"thousands": func(n int) string { return page.Thousands(n) },
		"figure":    figureText,
		"differs":   func(a Answered) bool { return a.differs() },
		"wrong":     func(a Answered) bool { return a.wrong() },
		"first":     firstLine,
		"grade":     grade,
	})
	if err != nil {
		return err
	}
	return page.Write(w, t, newView(r))
}

func newView(r *Run) *view {
	v := &view{run: r, Title: r.Title, Lead: r.Lead, reference: r.reference(), Answers: r.Answers, Cuts: r.Cuts, Samples: r.Samples, Reproduce: r.Reproduce, Notes: r.Notes}
	if v.Title == "" {
		v.Title = "Results"
	}
	v.rows, v.pools = pooled(r.Models)
	columns := r.mainColumns()
	v.Main = v.figures("Models and their figures", columns)
	var tasks []column
	for _, t := range r.tasks() {
		tasks = append(tasks, taskColumn(t))
	}
	if len(tasks) > 8 && len(r.groups()) > 0 {
		v.Tasks = v.figures("Scores by task", tasks)
	}
	v.Heat = v.heat(tasks)
	for _, c := range columns {
		if c.Name == "bits per byte" || c.Name == "total" {
			if chart := v.estimates(c); chart != "" {
				v.Estimates = append(v.Estimates, chart)
			}
		}
	}
	v.comparisons()
	v.curves()
	v.projections()
	v.steps()
	v.files()
	v.tell(columns)
	v.facts()
	v.contents()
	return v
}

func (v *view) facts() {
	add := func(name, value string) {
		if value != "" && value != "0" {
			v.Facts = append(v.Facts, fact{name, value})
		}
	}
	add("models", fmt.Sprint(len(v.run.Models)))
	add("tasks", fmt.Sprint(len(v.run.tasks())))
	var langs []string
	for _, l := range v.run.languages() {
		langs = append(langs, languageName(l))
	}
	add("languages measured", strings.Join(langs, ", "))
	add("time of all steps", v.Time)
	add("machine", v.run.Machine)
	add("lep", v.run.Lep)
}

func (v *view) contents() {
	add := func(there bool, id, name string) {
		if there {
			v.Contents = append(v.Contents, section{id, name})
		}
	}
	add(len(v.Steps) > 0, "steps", "What was done")
	add(v.Main != nil, "results", "Results")
	add(v.Tasks != nil || v.Heat != nil, "tasks", "Tasks")
	add(len(v.Comparisons) > 0, "compared", "Compared")
	add(len(v.Curves) > 0, "training", "Training")
	add(len(v.Projections) > 0, "projection", "Projection")
	add(len(v.Answers) > 0, "answers", "Answers")
	add(len(v.Cuts) > 0, "tokens", "Texts as tokens")
	add(len(v.Samples) > 0, "samples", "Samples")
	add(len(v.Reproduce) > 0 || len(v.Files) > 0, "reproduce", "Reproduce")
}

const verdictBetter, verdictWorse = "better", "worse"

func (v *view) comparisons() {
	for _, p := range v.run.Comparisons {
		c := comparison{A: p.A, B: p.B}
		for _, t := range p.Tasks {
			row := comparisonRow{Task: t.Task, N: t.Samples, A: fmt.Sprintf("%.3f", t.A), B: fmt.Sprintf("%.3f", t.B), Difference: signed(t.Difference, 3),
				Interval: signed(t.Low, 3) + " … " + signed(t.High, 3), Ahead: fmt.Sprintf("%.0f %%", 100*t.Ahead), Verdict: "no difference shown"}
			switch {
			case t.Low > 0:
				row.Verdict = verdictBetter
			case t.High < 0:
				row.Verdict = verdictWorse
			}
			if t.McNemar != nil {
				row.P = fmt.Sprintf("%.3f", *t.McNemar)
			}
			c.Rows = append(c.Rows, row)
		}
		v.Comparisons = append(v.Comparisons, c)
	}
}

// measures names the measures of curves.
var measures = map[string]struct{ title, unit, note string }{
	"loss":          {"Loss", "nats a token", "of different vocabularies, losses a token cannot be compared: bits per byte can"},
	"bits_per_byte": {"Bits per byte of held-out text", "bits per byte", "the same texts for all, so these curves can be compared"},
}

func (v *view) curves() {
	var names []string
	lines := map[string][]page.Line{}
	for _, c := range v.run.Curves {
		if !slices.Contains(names, c.Measure) {
			names = append(names, c.Measure)
		}
		lines[c.Measure] = append(lines[c.Measure], page.Line{Name: c.Name, X: floats(c.X), Y: floats(c.Y)})
	}
	for _, name := range names {
		m, known := measures[name]
		if !known {
			m.title, m.unit = name, name
		}
		// A chart tells no more than page.Series lines apart: further ones get charts of their own.
		for part := range slices.Chunk(lines[name], page.Series) {
			if chart := page.LineChart(page.Axes{X: "tokens seen", Y: m.unit}, part); chart != "" {
				v.Curves = append(v.Curves, curveChart{m.title, m.note, chart})
			}
		}
	}
}

func floats(list []Number) []float64 {
	out := make([]float64, len(list))
	for i, n := range list {
		out[i] = float64(n)
	}
	return out
}

func (v *view) projections() {
	for _, p := range v.run.Projections {
		out := projection{Projection: p}
		if d := p.Diagnosis; d != nil {
			out.Spectrum = spectrum(d)
		}
		v.Projections = append(v.Projections, out)
	}
}

// spectrum draws the singular values before and after over their rank.
func spectrum(d *propagate.Diagnosis) template.HTML {
	var lines []page.Line
	for _, s := range []struct {
		name string
		list []propagate.Number
	}{{"before (donor)", d.Before}, {"after (result)", d.After}} {
		l := page.Line{Name: s.name, Y: floats(s.list)}
		for _, rank := range d.Ranks {
			l.X = append(l.X, float64(rank))
		}
		lines = append(lines, l)
	}
	return page.LineChart(page.Axes{X: "rank", Y: "singular value of the rows", LogY: true}, lines)
}

func (v *view) steps() {
	total := 0.0
	for _, s := range v.run.Steps {
		if finite(s.Seconds) {
			total += float64(s.Seconds)
		}
	}
	if total > 0 {
		v.Time = duration(total)
	}
	for _, s := range v.run.Steps {
		out := step{Step: s}
		out.Settings = slices.Clone(s.Settings)
		for i, x := range out.Settings { // JSON on several lines reads better on one
			out.Settings[i].Value = strings.Join(strings.Fields(x.Value), " ")
		}
		if finite(s.Seconds) && s.Seconds > 0 {
			out.Time = duration(float64(s.Seconds))
		}
		if finite(s.CPUSeconds) && s.CPUSeconds > 0 {
			out.CPU = duration(float64(s.CPUSeconds))
		}
		if s.Memory > 0 {
			out.Memory = fmt.Sprintf("%.2f GB", float64(s.Memory)/1e9)
		}
		v.Steps = append(v.Steps, out)
	}
}

func (v *view) files() {
	for _, m := range v.run.Models {
		if m.Folder != "" || m.Digest != "" {
			v.Files = append(v.Files, m)
		}
	}
}

// duration writes seconds as people say them.
func duration(s float64) string {
	switch {
	case s < 1:
		return fmt.Sprintf("%.2f s", s)
	case s < 100:
		return fmt.Sprintf("%.1f s", s)
	case s < 6000:
		return fmt.Sprintf("%.0f min", s/60)
	}
	return fmt.Sprintf("%.1f h", s/3600)
}

func figureText(n Number, digits int) string {
	if !finite(n) {
		return "–"
	}
	return fmt.Sprintf("%.*f", digits, n)
}

// grade is right or wrong in a word, "" for what is neither.
func grade(right *bool) string {
	switch {
	case right == nil:
		return ""
	case *right:
		return "right"
	}
	return "wrong"
}

// marks are what chat templates put around messages.
var marks = regexp.MustCompile(`<\|[^|]{1,40}\|>(user|system)?|\[/?INST\]|</?s>|<(start|end)_of_turn>(user)?|<bos>`)

// firstLine is the beginning of a prompt without the marks of its template, for a line that is
// opened to see it all.
func firstLine(a Answered) string {
	text := a.Prompt
	if text == "" {
		text = "right: " + a.Want
	}
	// Cut before and after: a prompt may be long, and marks go from its beginning.
	text = strings.Join(strings.Fields(marks.ReplaceAllString(clip(text, 1000), " ")), " ")
	if runes := []rune(text); len(runes) > 110 {
		text = string(runes[:110]) + "…"
	}
	return text
}

// Pooled reports that rows are means over seeds.
func (v *view) Pooled() bool { return v.pools }

// Summary counts the tasks with a difference that is more than chance.
func (c comparison) Summary() string {
	better, worse := 0, 0
	for _, r := range c.Rows {
		switch r.Verdict {
		case verdictBetter:
			better++
		case verdictWorse:
			worse++
		}
	}
	return fmt.Sprintf("%d better, %d worse, %d without a difference shown", better, worse, len(c.Rows)-better-worse)
}

// Diagnosed counts the matrices with a diagnosis.
func (v *view) Diagnosed() (n int) {
	for _, p := range v.Projections {
		if p.Diagnosis != nil {
			n++
		}
	}
	return n
}

// MethodName is the method as a text.
func (p projection) MethodName() string { return string(p.Method) }
