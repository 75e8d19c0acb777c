package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"lep/eval"
	"lep/vocab/stats"
)

// tie is the difference in bits per byte below which models count as equal.
const tie = 0.01

// column is a figure of every model.
type column struct {
	Name   string // "bits per byte"
	Of     string // "Russian", a task's group, ""
	Note   string // what the figure is
	lower  bool   // less is better
	tie    float64
	format string
	of     func(*Model) *Figure
}

// languages lists the languages of the columns: those named first, others by name.
func (r *Run) languages() []string {
	found := map[string]bool{}
	for _, m := range r.Models {
		for name := range m.Languages {
			found[name] = true
		}
	}
	return ordered(r.Languages, found)
}

// tasks lists the columns of tasks in their order.
func (r *Run) tasks() []Task {
	found, known := map[string]bool{}, map[string]Task{}
	for _, m := range r.Models {
		for name := range m.Tasks {
			found[name] = true
		}
	}
	var first []string
	for _, t := range r.Tasks {
		first = append(first, t.Name)
		known[t.Name] = t
	}
	var out []Task
	for _, name := range ordered(first, found) {
		t := known[name]
		t.Name = name
		out = append(out, t)
	}
	return out
}

// groups lists the groups in the order of their tasks.
func (r *Run) groups() []string {
	found := map[string]bool{}
	for _, m := range r.Models {
		for name := range m.Groups {
			found[name] = true
		}
	}
	var first []string
	for _, t := range r.Tasks {
		first = append(first, t.Group)
	}
	return ordered(first, found)
}

// ordered returns the names found: first those of a list in its order, then the others sorted.
func ordered(first []string, found map[string]bool) []string {
	var out []string
	for _, name := range first {
		if found[name] && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// languageName is the English name of an ISO 639-1 code, or the name itself.
func languageName(code string) string {
	for _, s := range stats.Samples() {
		if s.Code == code {
			return s.Name
		}
	}
	return code
}

// mainColumns are those of the first table: languages, speed, then tasks if they are few, else
// groups, and the total.
func (r *Run) mainColumns() []column {
	var out []column
	for _, lang := range r.languages() {
		out = append(out, languageColumns(lang)...)
	}
	out = append(out, column{Name: "characters a second", Note: "of generation, over tasks", format: "%.0f", of: func(m *Model) *Figure { return m.CharactersPerSecond }})
	if tasks := r.tasks(); len(tasks) <= 8 || len(r.groups()) == 0 {
		for _, t := range tasks {
			out = append(out, taskColumn(t))
		}
	}
	for _, g := range r.groups() {
		out = append(out, column{Name: g, Note: "mean of the group", format: "%.3f", of: func(m *Model) *Figure { return inMap(m.Groups, g) }})
	}
	total := column{Name: "total", Note: "mean of all tasks", format: "%.3f", of: func(m *Model) *Figure { return m.Total }}
	if tasks := r.tasks(); !total.filled(r.Models) && len(tasks) > 1 {
		total.Note = "mean of these tasks"
		total.of = func(m *Model) *Figure { return taskMean(m, tasks) }
	}
	out = append(out, total)
	return slices.DeleteFunc(out, func(c column) bool { return !c.filled(r.Models) })
}

func languageColumns(lang string) []column {
	name := languageName(lang)
	of := func(pick func(Language) *Figure) func(*Model) *Figure {
		return func(m *Model) *Figure { return pick(m.Languages[lang]) }
	}
	return []column{
		{Name: "bits per byte", Of: name, lower: true, tie: tie, format: "%.3f", of: of(func(l Language) *Figure { return l.BitsPerByte })},
		{Name: "characters a token", Of: name, format: "%.2f", of: of(func(l Language) *Figure { return l.CharactersPerToken })},
		{Name: "characters a second", Of: name, format: "%.0f", of: of(func(l Language) *Figure { return l.CharactersPerSecond })},
	}
}

func taskColumn(t Task) column {
	note := t.Score
	if t.Chance > 0 {
		note = strings.TrimPrefix(fmt.Sprintf("%s, by chance %.2f", note, t.Chance), ", ")
	}
	group := t.Group
	if group == eval.Extra {
		group = "" // a task of the user's own, or one beside a benchmark
	}
	return column{Name: t.Name, Of: group, Note: note, format: "%.3f", of: func(m *Model) *Figure { return inMap(m.Tasks, t.Name) }}
}

// taskMean is the mean of the tasks where there is no total of a benchmark; nil if one is missing. Its
// standard error takes the tasks as independent.
func taskMean(m *Model, tasks []Task) *Figure {
	sum, square, n := 0.0, 0.0, float64(len(tasks))
	for _, t := range tasks {
		f, ok := m.Tasks[t.Name]
		if !ok || !finite(f.Value) {
			return nil
		}
		sum += float64(f.Value)
		if f.Spread == nil {
			square = math.NaN()
		} else {
			square += float64(f.Stderr * f.Stderr)
		}
	}
	if math.IsNaN(square) {
		return Plain(sum / n)
	}
	return normal(sum/n, math.Sqrt(square)/n)
}

func inMap(m map[string]Figure, name string) *Figure {
	if f, ok := m[name]; ok {
		return &f
	}
	return nil
}

// filled reports that a model has the figure.
func (c column) filled(models []Model) bool {
	return slices.ContainsFunc(models, func(m Model) bool { return c.of(&m) != nil })
}

// best returns the best figure of a column, NaN without any.
func (c column) best(models []Model) float64 {
	best := math.NaN()
	for i := range models {
		f := c.of(&models[i])
		if f == nil || !finite(f.Value) {
			continue
		}
		if v := float64(f.Value); math.IsNaN(best) || c.lower && v < best || !c.lower && v > best {
			best = v
		}
	}
	return best
}

// contested reports that two models have figures that differ.
func (c column) contested(models []Model) bool {
	best := c.best(models)
	return slices.ContainsFunc(models, func(m Model) bool {
		f := c.of(&m)
		return f != nil && finite(f.Value) && float64(f.Value) != best
	})
}

func finite(n Number) bool { return !math.IsNaN(float64(n)) && !math.IsInf(float64(n), 0) }

// reference is the name of the model that others are held against: the one named, else the first
// target, else the first of those with tasks.
func (r *Run) reference() string {
	for _, is := range []func(Model) bool{
		func(m Model) bool { return r.Reference != "" && m.Name == r.Reference },
		func(m Model) bool { return m.Role == "target" },
		func(m Model) bool { return m.Role == "" && len(m.Tasks) > 0 },
		func(m Model) bool { return len(m.Tasks) > 0 },
	} {
		if i := slices.IndexFunc(r.Models, is); i >= 0 {
			return r.Models[i].Name
		}
	}
	return ""
}

// pooled returns the models with those that differ in nothing but the seed as one: the mean
// of each figure, with the range over the seeds in place of the interval.
func pooled(models []Model) (rows []Model, pools bool) {
	key := func(m Model) string { return strings.Join([]string{m.Role, m.Vocabulary, m.Method, m.Step}, "\x00") }
	groups := map[string][]Model{}
	for _, m := range models {
		if m.Seed != nil {
			groups[key(m)] = append(groups[key(m)], m)
		}
	}
	done := map[string]bool{}
	for _, m := range models {
		g := groups[key(m)]
		if m.Seed == nil || len(g) < 2 {
			rows = append(rows, m)
			continue
		}
		if !done[key(m)] {
			done[key(m)] = true
			rows = append(rows, pool(g))
			pools = true
		}
	}
	return rows, pools
}

func pool(g []Model) Model {
	out := g[0]
	parts := slices.DeleteFunc([]string{out.Vocabulary, out.Method, out.Step}, func(s string) bool { return s == "" })
	if len(parts) == 0 {
		parts = []string{out.Role}
	}
	out.Name = fmt.Sprintf("%s, %d seeds", strings.Join(parts, ", "), len(g))
	out.Seed, out.Digest, out.Folder = nil, "", ""
	mean := func(of func(*Model) *Figure) *Figure { return meanOf(g, of) }
	out.Languages = map[string]Language{}
	out.Tasks, out.Groups = map[string]Figure{}, map[string]Figure{}
	for _, m := range g {
		for name := range m.Languages {
			out.Languages[name] = Language{
				BitsPerByte:         mean(func(m *Model) *Figure { return m.Languages[name].BitsPerByte }),
				CharactersPerToken:  mean(func(m *Model) *Figure { return m.Languages[name].CharactersPerToken }),
				CharactersPerSecond: mean(func(m *Model) *Figure { return m.Languages[name].CharactersPerSecond }),
			}
		}
		for name := range m.Tasks {
			out.Tasks[name] = *mean(func(m *Model) *Figure { return inMap(m.Tasks, name) })
		}
		for name := range m.Groups {
			out.Groups[name] = *mean(func(m *Model) *Figure { return inMap(m.Groups, name) })
		}
	}
	out.Total = mean(func(m *Model) *Figure { return m.Total })
	out.CharactersPerSecond = mean(func(m *Model) *Figure { return m.CharactersPerSecond })
	return out
}

// meanOf is the mean over models with the range as its interval; nil if none has the figure.
func meanOf(models []Model, of func(*Model) *Figure) *Figure {
	var f Figure
	var values []float64
	sum := 0.0
	for i := range models {
		if x := of(&models[i]); x != nil {
			values = append(values, float64(x.Value))
			sum += float64(x.Value)
		}
	}
	if len(values) == 0 {
		return nil
	}
	n := float64(len(values))
	f.N, f.Value = len(values), Number(sum/n)
	if len(values) > 1 {
		square := 0.0
		for _, v := range values {
			square += (v - sum/n) * (v - sum/n)
		}
		f.Spread = &Spread{Stderr: Number(math.Sqrt(square / (n - 1) / n)), Low: Number(slices.Min(values)), High: Number(slices.Max(values))}
	}
	return &f
}
