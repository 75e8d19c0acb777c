package cli

import (
	"fmt"

	"lep/vocab/build"
	"lep/vocab/stats"
)

// cutPage shows what a cut took as tables.
func cutPage(d *build.CutDetails) *stats.Page {
	table := func(what string, list []build.CutCount) *stats.Table {
		t := &stats.Table{Head: []string{what, "kept", "cut"}}
		for _, c := range list {
			t.Rows = append(t.Rows, []string{c.Name, thousands(int64(c.Kept)), thousands(int64(c.Cut))})
		}
		return t
	}
	p := &stats.Page{Sections: []stats.Section{{Title: "Cut by script", Table: table("script", d.Scripts)}}}
	if d.Frequencies != nil {
		p.Sections = append(p.Sections, stats.Section{Title: "Cut by frequency in the corpus", Table: table("uses", d.Frequencies)})
	}
	if len(d.MostUsed) > 0 {
		t := &stats.Table{Head: []string{"id", "uses", "token"}}
		for i, m := range d.MostUsed {
			t.Rows = append(t.Rows, []string{fmt.Sprint(m.ID), thousands(d.Uses[i]), m.Text})
		}
		p.Sections = append(p.Sections, stats.Section{Title: "Most used among the cut", Note: "they did not fit --keep-items", Table: t})
	}
	return p
}
