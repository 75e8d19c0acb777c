package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// tell says in sentences what the first table shows, and warns of what is missing in it.
func (v *view) tell(columns []column) {
	for _, c := range columns {
		var s string
		switch {
		case c.Name == "bits per byte":
			s = v.gain(c, func(best, ref float64) string {
				return fmt.Sprintf("%.3f bits per byte of %s against %.3f", best, c.Of, ref)
			})
		case c.Name == "characters a token":
			s = v.gain(c, func(best, ref float64) string {
				return fmt.Sprintf("%.2f characters a token of %s against %.2f (%+.0f %%)", best, c.Of, ref, 100*(best/ref-1))
			})
		case c.Name == "total":
			s = v.gain(c, func(best, ref float64) string {
				return fmt.Sprintf("a total of %.3f over the tasks against %.3f", best, ref)
			})
		}
		if s != "" {
			v.Story = append(v.Story, s)
		}
	}
	for _, m := range v.run.Models {
		if len(m.Failed) > 0 {
			var parts []string
			for name, why := range m.Failed {
				parts = append(parts, name+" ("+why+")")
			}
			slices.Sort(parts)
			v.Warnings = append(v.Warnings, fmt.Sprintf("%s: tasks that could not be run: %s.", m.Name, strings.Join(parts, "; ")))
		}
		if len(m.Missing) > 0 && m.Total != nil {
			v.Warnings = append(v.Warnings, fmt.Sprintf("%s: its total is not that of all tasks; without %s.", m.Name, strings.Join(m.Missing, ", ")))
		}
	}
	for _, s := range v.run.Steps {
		if s.State == "failed" {
			v.Warnings = append(v.Warnings, fmt.Sprintf("Step %s failed.", s.Name))
		}
	}
}

// gain compares the best result in a column with the reference: better, worse or a tie. Where the
// column has a tie it decides and the intervals do not: they are those of other texts, while all
// models have the same.
func (v *view) gain(c column, say func(best, ref float64) string) string {
	at := slices.IndexFunc(v.rows, func(m Model) bool { return m.Name == v.reference })
	results := v.results()
	if at < 0 || len(results) == 0 {
		return ""
	}
	ref := c.of(&v.rows[at])
	best := c.best(results)
	if ref == nil || !finite(ref.Value) || math.IsNaN(best) {
		return ""
	}
	i := slices.IndexFunc(results, func(m Model) bool { f := c.of(&m); return f != nil && float64(f.Value) == best })
	verdict := "better than"
	switch away := best - float64(ref.Value); {
	case away == 0 || math.Abs(away) < c.tie:
		verdict = "a tie with"
	case c.tie == 0 && !apart(ref, c.of(&results[i])):
		verdict = "a difference that may be chance from"
	case away > 0 == c.lower:
		verdict = "worse than"
	}
	return fmt.Sprintf("%s: %s, %s %s.", results[i].Name, say(best, float64(ref.Value)), verdict, v.reference)
}

// apart reports that two figures differ by more than chance explains (95 %, taken as independent), as
// far as that is known.
func apart(a, b *Figure) bool {
	if a.Spread == nil || b.Spread == nil || !finite(a.Stderr) || !finite(b.Stderr) {
		return true
	}
	return math.Abs(float64(a.Value-b.Value)) > z95*math.Hypot(float64(a.Stderr), float64(b.Stderr))
}

// results are the rows that were made: those of role result, or where no row has a role all but
// the reference.
func (v *view) results() []Model {
	var out, others []Model
	for _, m := range v.rows {
		switch {
		case m.Role == "result":
			out = append(out, m)
		case m.Role == "" && m.Name != v.reference:
			others = append(others, m)
		}
	}
	if len(out) > 0 {
		return out
	}
	return others
}
