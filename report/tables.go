package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"lep/internal/page"
)

// table is a table of figures: a row for each model.
type table struct {
	Caption string
	Columns []head
	Rows    []row
	Note    string
}

type head struct{ Name, Of, Note string }

type row struct {
	Name, Sub string
	Reference bool
	Cells     []cell
}

// cell is a figure as text. Class is best, tie or a shade; Sign says in a word what Class
// shows in colour.
type cell struct{ Text, Sub, Class, Sign string }

// figures makes a table of columns with the best of each marked.
func (v *view) figures(caption string, columns []column) *table {
	if len(columns) == 0 || len(v.rows) == 0 {
		return nil
	}
	t := &table{Caption: caption}
	best := make([]float64, len(columns))
	for i, c := range columns {
		arrow := "↑"
		if c.lower {
			arrow = "↓"
		}
		t.Columns = append(t.Columns, head{arrow + " " + c.Name, c.Of, c.Note})
		if c.contested(v.rows) {
			best[i] = c.best(v.rows)
		} else {
			best[i] = math.NaN()
		}
	}
	for k := range v.rows {
		m := &v.rows[k]
		line := row{Name: m.Name, Sub: v.describe(m), Reference: m.Name == v.reference}
		filled := false
		for i, c := range columns {
			f := c.of(m)
			filled = filled || f != nil
			line.Cells = append(line.Cells, c.cell(f, best[i]))
		}
		if filled {
			t.Rows = append(t.Rows, line)
		}
	}
	return t
}

// cell writes a figure with its interval, marked if it is the best or level with it; best is NaN
// where there is nothing to mark.
func (c column) cell(f *Figure, best float64) cell {
	if f == nil {
		return cell{Text: "–"}
	}
	if !finite(f.Value) {
		return cell{Text: "no number"}
	}
	out := cell{Text: fmt.Sprintf(c.format, f.Value)}
	if f.Spread != nil && finite(f.Low) && finite(f.High) {
		out.Sub = strings.ReplaceAll(fmt.Sprintf(c.format+"–"+c.format, f.Low, f.High), "-", "−")
	}
	switch away := math.Abs(float64(f.Value) - best); {
	case away == 0:
		out.Class, out.Sign = "best", "best"
	case away < c.tie:
		out.Class, out.Sign = "tie", "level with the best"
	}
	return out
}

// describe says in a line what a model is, without what its name says already.
func (v *view) describe(m *Model) string {
	var parts []string
	if m.Name == v.reference {
		parts = append(parts, "reference")
	}
	for _, p := range []string{m.Role, m.Vocabulary, m.Method, m.Step} {
		if p != "" && !strings.Contains(strings.ToLower(m.Name), strings.ToLower(p)) {
			parts = append(parts, p)
		}
	}
	if m.VocabSize > 0 {
		parts = append(parts, page.Thousands(m.VocabSize)+" tokens")
	}
	return strings.Join(parts, " · ")
}

// heat is the table of differences from the reference, shaded.
func (v *view) heat(columns []column) *table {
	at := slices.IndexFunc(v.rows, func(m Model) bool { return m.Name == v.reference })
	if at < 0 || len(v.rows) < 2 || len(columns) == 0 {
		return nil
	}
	t := &table{Caption: "Score minus that of " + v.reference, Note: "An asterisk: 95 % of the paired draws lie on one side of zero. " +
		"Shades: from 0.02, 0.05, 0.1 and 0.2 on, green for more, orange for less."}
	for _, c := range columns {
		t.Columns = append(t.Columns, head{c.Name, "", c.Of})
	}
	ref := &v.rows[at]
	for k := range v.rows {
		m := &v.rows[k]
		if k == at {
			continue
		}
		line := row{Name: m.Name, Sub: v.describe(m)}
		filled := false
		for _, c := range columns {
			x, y := c.of(m), c.of(ref)
			if x == nil || y == nil || !finite(x.Value) || !finite(y.Value) {
				line.Cells = append(line.Cells, cell{Text: "–"})
				continue
			}
			filled = true
			line.Cells = append(line.Cells, shaded(float64(x.Value-y.Value), v.certain(m.Name, c.Name)))
		}
		if filled {
			t.Rows = append(t.Rows, line)
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

func shaded(d float64, certain bool) cell {
	c := cell{Text: signed(d, 2)}
	shade := 0
	for _, from := range []float64{0.02, 0.05, 0.1, 0.2} {
		if math.Abs(d) >= from {
			shade++
		}
	}
	switch {
	case shade == 0:
	case d > 0:
		c.Class = fmt.Sprintf("u%d", shade)
	default:
		c.Class = fmt.Sprintf("d%d", shade)
	}
	if certain {
		c.Text += " *"
		c.Sign = "certain"
	}
	return c
}

// signed writes a difference with a real minus, and 0 without a sign.
func signed(d float64, digits int) string {
	text := fmt.Sprintf("%+.*f", digits, d)
	if strings.Trim(text, "+-0.") == "" {
		return text[1:]
	}
	return strings.Replace(text, "-", "−", 1)
}

// certain reports that a paired comparison with the reference has its interval on one side of zero.
func (v *view) certain(model, task string) bool {
	for _, p := range v.run.Comparisons {
		if p.A != v.reference || p.B != model {
			continue
		}
		for _, c := range p.Tasks {
			if c.Task == task {
				return c.Low > 0 || c.High < 0
			}
		}
	}
	return false
}

// estimates draws a column's figures with their intervals; nothing without an interval.
func (v *view) estimates(c column) template.HTML {
	best := c.best(v.rows)
	reference := math.NaN()
	var list []page.Estimate
	spread := false
	for i := range v.rows {
		m := &v.rows[i]
		f := c.of(m)
		if f == nil {
			continue
		}
		e := page.Estimate{Label: m.Name, Value: float64(f.Value), Low: math.NaN(), High: math.NaN(), Best: float64(f.Value) == best}
		if f.Spread != nil {
			e.Low, e.High, spread = float64(f.Low), float64(f.High), true
		}
		if m.Name == v.reference {
			reference = e.Value
		}
		list = append(list, e)
	}
	if !spread || len(list) < 2 {
		return ""
	}
	unit := c.Name
	if c.Of != "" {
		unit += ", " + c.Of
	}
	return page.EstimateChart(unit, list, reference)
}
