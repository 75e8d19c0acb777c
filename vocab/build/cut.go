package build

import (
	"cmp"
	"slices"

	"lep/tokenizer"
	"lep/vocab/scenario"
	"lep/vocab/stats"
)

// CutDetails says what a cut took, by script and by frequency in the corpus.
type CutDetails struct {
	*scenario.CutReport
	Scripts     []CutCount    `json:"by_script"`
	Frequencies []CutCount    `json:"by_frequency"`
	MostUsed    []stats.Token `json:"most_used_cut"` // used, but cut for the limit; most frequent first
	Uses        []int64       `json:"-"`             // of MostUsed
}

// CutCount counts the pieces of a class.
type CutCount struct {
	Name string `json:"name"`
	Kept int    `json:"kept"`
	Cut  int    `json:"cut"`
}

// frequencies are the classes of uses, each up to the next.
var frequencies = []struct {
	name string
	from int64
}{{"never used", 0}, {"once", 1}, {"2 to 9", 2}, {"10 to 99", 10}, {"100 to 999", 100}, {"1,000 and more", 1000}}

// detailCut breaks a cut down. base is the vocabulary before it.
func detailCut(base *tokenizer.Tokenizer, report *scenario.CutReport) *CutDetails {
	d := &CutDetails{CutReport: report}
	kept := make(map[int32]bool, len(report.KeptIDs))
	for _, id := range report.KeptIDs {
		kept[id] = true
	}
	for _, f := range frequencies {
		d.Frequencies = append(d.Frequencies, CutCount{Name: f.name})
	}
	scripts := map[string]*CutCount{}
	names := stats.ScriptsOf(base)
	for _, p := range base.Definition().Model.Pieces {
		s := scripts[names[p.ID]]
		if s == nil {
			s = &CutCount{Name: names[p.ID]}
			scripts[names[p.ID]] = s
		}
		lists := []*CutCount{s}
		uses := int64(0)
		if report.Counts != nil { // a cut by rank counts nothing
			uses = report.Counts[p.ID]
			i := len(frequencies) - 1
			for frequencies[i].from > uses {
				i--
			}
			lists = append(lists, &d.Frequencies[i])
		}
		for _, c := range lists {
			if kept[p.ID] {
				c.Kept++
			} else {
				c.Cut++
			}
		}
		if !kept[p.ID] && uses > 0 {
			b, _ := base.Bytes(p.ID)
			d.MostUsed = append(d.MostUsed, stats.Token{ID: p.ID, Text: stats.Visible(string(b)), Characters: len([]rune(string(b)))})
		}
	}
	if report.Counts == nil {
		d.Frequencies = nil
	}
	for _, s := range scripts {
		d.Scripts = append(d.Scripts, *s)
	}
	slices.SortFunc(d.Scripts, func(a, b CutCount) int { return cmp.Or(cmp.Compare(b.Cut, a.Cut), cmp.Compare(a.Name, b.Name)) })
	slices.SortFunc(d.MostUsed, func(a, b stats.Token) int {
		return cmp.Or(cmp.Compare(report.Counts[b.ID], report.Counts[a.ID]), cmp.Compare(a.ID, b.ID))
	})
	d.MostUsed = notNil(d.MostUsed[:min(len(d.MostUsed), 20)])
	for _, t := range d.MostUsed {
		d.Uses = append(d.Uses, report.Counts[t.ID])
	}
	return d
}
