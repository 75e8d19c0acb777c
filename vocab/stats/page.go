package stats

import (
	"fmt"
	"html/template"
	"strconv"

	"lep/internal/page"
)

// Page is a report that can be shown as text or as HTML.
type Page struct {
	Title    string
	Lead     string
	Facts    []Fact
	Sections []Section
}

// Fact is a line of a report's head.
type Fact struct{ Name, Value string }

// Section is a part of a report: any of a chart, a table and cut texts.
type Section struct {
	Title, Note string
	Chart       template.HTML // SVG made by internal/page
	Table       *Table
	Cuts        []CutText
	PageOnly    bool // too long for a terminal
}

// Table has one cell for every column in each row.
type Table struct {
	Head []string
	Rows [][]string
}

// CutText is a text cut by one vocabulary.
type CutText struct {
	Title string
	Lang  string
	Spans []Span
}

// Page presents the statistics of a vocabulary of a name.
func (s *Stats) Page(name string) *Page {
	p := &Page{Title: "Vocabulary of " + name, Facts: s.facts()}
	p.Lead = "Characters per token are what a step of generation yields; more is faster and leaves more room in the context."
	p.add(Section{
		Title: "Languages", Note: "on the built-in sample texts; words kept whole only where spaces part them",
		Chart: page.BarChart("characters per token", []string{name}, languageBars(s.Languages)),
		Table: languageTable(s.Languages),
	})
	if c := s.Corpus; c != nil {
		p.add(Section{Title: "Scripts in the corpus", Note: scriptNote, Table: scriptTable(c.Scripts)})
	} else {
		p.add(Section{Title: "Scripts", Note: scriptNote + ", on the built-in sample texts", Table: scriptTable(s.SampleScripts)})
	}
	p.add(Section{Title: "Tokens by class", Table: countTable("class", s.Classes)})
	p.add(Section{Title: "Tokens by script", Note: "of the first letter", Table: countTable("script", s.Scripts)})
	p.add(Section{Title: "Length of tokens", Note: "text tokens by characters", PageOnly: true, Chart: page.ColumnChart("characters", s.Lengths)})
	p.add(Section{Title: "Longest tokens", Table: tokenTable(s.Longest)})
	if c := s.Corpus; c != nil && c.UnusedCount > 0 {
		p.add(Section{Title: "Tokens that the corpus never uses, by script", Note: percent(c.UnusedCount, s.Pieces) + " of the table", Table: countTable("script", c.UnusedScripts)})
		p.add(Section{Title: "Longest unused tokens", Table: tokenTable(c.Unused)})
	}
	if s.UnreachableCount > 0 {
		rows := make([][]string, 0, len(s.Unreachable))
		for _, u := range s.Unreachable {
			rows = append(rows, []string{strconv.Itoa(int(u.ID)), u.Text, u.Reason})
		}
		p.add(Section{Title: "Unreachable tokens", Note: fmt.Sprintf("%s in all; no text of their own is encoded to them", page.Thousands(s.UnreachableCount)),
			Table: &Table{[]string{"id", "token", "reason"}, rows}})
	}
	cuts := Section{Title: "Sample texts as tokens"}
	for _, c := range s.Cuts {
		cuts.Cuts = append(cuts.Cuts, CutText{c.Name, c.Code, c.Spans})
	}
	p.add(cuts)
	return p
}

const scriptNote = "letters of a script, and the tokens that begin with one"

func (p *Page) add(s Section) { p.Sections = append(p.Sections, s) }

func (p *Page) fact(name, format string, args ...any) {
	p.Facts = append(p.Facts, Fact{name, fmt.Sprintf(format, args...)})
}

func (s *Stats) facts() []Fact {
	kind := string(s.Type)
	if s.Bytes {
		kind = "byte-level " + kind
	}
	p := &Page{}
	p.fact("kind", "%s", kind)
	p.fact("tokens", "%s (%s pieces, %s added)", page.Thousands(s.Size), page.Thousands(s.Pieces), page.Thousands(s.Added))
	p.fact("unreachable", "%s", page.Thousands(s.UnreachableCount))
	p.fact("sample texts that decode otherwise", "%d", s.SamplesBroken)
	if c := s.Corpus; c != nil {
		f := c.Fertility
		p.fact("corpus", "%s texts, %s characters, %s tokens", page.Thousands(c.Texts), page.Thousands(f.Characters), page.Thousands(f.Tokens))
		p.fact("characters per token", "%.3f", f.CharactersPerToken())
		p.fact("bytes per token", "%.3f", f.BytesPerToken())
		p.fact("words kept whole", "%.1f %%", 100*f.WholeShare())
		p.fact("pieces never used", "%s", page.Thousands(c.UnusedCount))
		p.fact("texts that decode otherwise", "%s", page.Thousands(c.Broken))
	}
	return p.Facts
}

func fertilityCells(f Fertility) []string {
	whole := "–"
	if f.Words > 0 {
		whole = fmt.Sprintf("%.0f %%", 100*f.WholeShare())
	}
	return []string{page.Thousands(f.Tokens), fmt.Sprintf("%.2f", f.CharactersPerToken()), fmt.Sprintf("%.2f", f.BytesPerToken()), whole}
}

func languageTable(list []LanguageFertility) *Table {
	t := &Table{Head: []string{"language", "tokens", "chars/token", "bytes/token", "words whole"}}
	for _, l := range list {
		t.Rows = append(t.Rows, append([]string{l.Name}, fertilityCells(l.Fertility)...))
	}
	return t
}

func languageBars(list []LanguageFertility) []page.Bar {
	var bars []page.Bar
	for _, l := range list {
		bars = append(bars, page.Bar{Label: l.Name, Values: []float64{l.Fertility.CharactersPerToken()}})
	}
	return bars
}

func scriptTable(list []ScriptFertility) *Table {
	t := &Table{Head: []string{"script", "tokens", "chars/token", "bytes/token", "words whole"}}
	for _, s := range list {
		if s.Script != noScript {
			t.Rows = append(t.Rows, append([]string{s.Script}, fertilityCells(s.Fertility)...))
		}
	}
	return t
}

func countTable(what string, list []Count) *Table {
	total := 0
	for _, c := range list {
		total += c.Count
	}
	t := &Table{Head: []string{what, "tokens", "share"}}
	for _, c := range list {
		t.Rows = append(t.Rows, []string{c.Name, page.Thousands(c.Count), percent(c.Count, total)})
	}
	return t
}

func tokenTable(list []Token) *Table {
	t := &Table{Head: []string{"id", "characters", "token"}}
	for _, k := range list {
		t.Rows = append(t.Rows, []string{strconv.Itoa(int(k.ID)), strconv.Itoa(k.Characters), k.Text})
	}
	return t
}

func percent(n, of int) string {
	if of == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
}
