package stats

import (
	"context"
	"fmt"
	"iter"

	"lep/internal/page"
	"lep/tokenizer"
	"lep/vocab"
)

// Diff compares vocabulary B with vocabulary A.
type Diff struct {
	SizeA   int          `json:"size_a"`
	SizeB   int          `json:"size_b"`
	Shared  int          `json:"shared"` // tokens of the same bytes and kind
	OnlyA   int          `json:"only_a"`
	OnlyB   int          `json:"only_b"`
	Classes []SplitCount `json:"classes"`
	Scripts []SplitCount `json:"scripts"`

	Languages []LanguageDiff `json:"languages"`
	Corpus    *FertilityDiff `json:"corpus"` // nil without a corpus
	// Scripts of the corpus, or of the samples without one.
	ScriptFertility []ScriptDiff `json:"script_fertility"`
	Cuts            []CutPair    `json:"cuts"`
}

// SplitCount counts tokens by some name: those of both vocabularies, sorted as A does, and
// those of one.
type SplitCount struct {
	Name   string `json:"name"`
	Shared int    `json:"shared"`
	OnlyA  int    `json:"only_a"`
	OnlyB  int    `json:"only_b"`
}

// FertilityDiff is the fertility of the same texts with A and B.
type FertilityDiff struct {
	Texts int64     `json:"texts"`
	A     Fertility `json:"a"`
	B     Fertility `json:"b"`
	// SpeedUp is characters per token of B over those of A: how much faster text comes if
	// a token costs the same time. It is an estimate: the head grows with the vocabulary, and a model
	// may write other texts.
	SpeedUp float64 `json:"estimated_speed_up"`
}

// LanguageDiff is that of a language's sample texts.
type LanguageDiff struct {
	Code string `json:"code"`
	Name string `json:"name"`
	FertilityDiff
}

// ScriptDiff is that of a script's letters.
type ScriptDiff struct {
	Script string `json:"script"`
	FertilityDiff
}

// CutPair is a sample text cut by both.
type CutPair struct {
	Code string `json:"code"`
	Name string `json:"name"`
	Text string `json:"text"`
	A    []Span `json:"a"`
	B    []Span `json:"b"`
}

// Compare holds vocabulary b against a, on the built-in samples and, if corpus is not nil, on
// its texts. Tokens are matched by bytes, whatever alphabet files spell them in.
func Compare(ctx context.Context, a, b *tokenizer.Tokenizer, corpus iter.Seq2[string, error], opts Options) (*Diff, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	d := overlap(a, b)
	sumA, sumB := newCounter(a), newCounter(b)
	for _, lang := range Samples() {
		ca, cb := newCounter(a), newCounter(b)
		for i, text := range lang.Texts {
			ca.count(text, int64(i))
			cb.count(text, int64(i))
		}
		d.Languages = append(d.Languages, LanguageDiff{lang.Code, lang.Name, newFertilityDiff(ca.texts, ca.total, cb.total)})
		text := lang.Texts[0]
		d.Cuts = append(d.Cuts, CutPair{lang.Code, lang.Name, text, Spans(a, text), Spans(b, text)})
		sumA.merge(ca)
		sumB.merge(cb)
	}
	if corpus != nil {
		counters, err := countTexts(ctx, []*tokenizer.Tokenizer{a, b}, corpus, opts.Threads)
		if err != nil {
			return nil, err
		}
		sumA, sumB = counters[0], counters[1]
		f := newFertilityDiff(sumA.texts, sumA.total, sumB.total)
		d.Corpus = &f
	}
	for _, s := range sumA.byScript() {
		for i := range sumB.scripts {
			if scriptName(i-1) == s.Script && s.Script != noScript {
				d.ScriptFertility = append(d.ScriptFertility, ScriptDiff{s.Script, newFertilityDiff(sumA.texts, s.Fertility, sumB.scripts[i])})
			}
		}
	}
	return d, nil
}

func newFertilityDiff(texts int64, a, b Fertility) FertilityDiff {
	return FertilityDiff{texts, a, b, ratio(a.Tokens, b.Tokens)}
}

// overlap counts shared tokens by class and script.
func overlap(a, b *tokenizer.Tokenizer) *Diff {
	d := &Diff{SizeA: a.Size(), SizeB: b.Size()}
	inA, inB := map[int32]bool{}, map[int32]bool{}
	for _, p := range vocab.Shared(a, b) {
		inA[p.Old], inB[p.New] = true, true
	}
	classes, scripts := map[string]*SplitCount{}, map[string]*SplitCount{}
	visit := func(t *tokenizer.Tokenizer, shared map[int32]bool, isA bool) {
		classOf := vocab.ClassesOf(t)
		for id := range int32(t.Size()) {
			raw, kind := t.Bytes(id)
			if kind == tokenizer.Missing || shared[id] && !isA {
				continue
			}
			for _, c := range []*SplitCount{split(classes, classOf[id].String()), split(scripts, scriptOf(raw, kind))} {
				switch {
				case shared[id]:
					c.Shared++
				case isA:
					c.OnlyA++
				default:
					c.OnlyB++
				}
			}
		}
	}
	visit(a, inA, true)
	visit(b, inB, false)
	d.Classes, d.Scripts = splits(classes), splits(scripts)
	for _, c := range d.Classes {
		d.Shared += c.Shared
		d.OnlyA += c.OnlyA
		d.OnlyB += c.OnlyB
	}
	return d
}

func split(m map[string]*SplitCount, name string) *SplitCount {
	if m[name] == nil {
		m[name] = &SplitCount{Name: name}
	}
	return m[name]
}

func splits(m map[string]*SplitCount) []SplitCount {
	list := make([]SplitCount, 0, len(m))
	for _, c := range m {
		list = append(list, *c)
	}
	sortBy(list, func(c SplitCount) (int64, string) { return int64(c.Shared + c.OnlyA + c.OnlyB), c.Name })
	return list
}

// Page presents the comparison of vocabularies of two names.
func (d *Diff) Page(a, b string) *Page {
	p := &Page{Title: a + " and " + b, Lead: "A is " + a + ", B is " + b + ". Tokens are compared by their bytes. " +
		"The speed-up is an estimate: characters per token of B over those of A, a token taken to cost the same time."}
	p.fact("tokens of A", "%s", page.Thousands(d.SizeA))
	p.fact("tokens of B", "%s", page.Thousands(d.SizeB))
	p.fact("in both", "%s (%s of B)", page.Thousands(d.Shared), percent(d.Shared, d.SizeB))
	p.fact("only in A", "%s", page.Thousands(d.OnlyA))
	p.fact("only in B", "%s", page.Thousands(d.OnlyB))
	if c := d.Corpus; c != nil {
		p.fact("corpus", "%s texts, %s characters", page.Thousands(c.Texts), page.Thousands(c.A.Characters))
		p.fact("tokens of the corpus", "A %s, B %s", page.Thousands(c.A.Tokens), page.Thousands(c.B.Tokens))
		p.fact("characters per token", "A %.3f, B %.3f", c.A.CharactersPerToken(), c.B.CharactersPerToken())
		p.fact("words kept whole", "A %.1f %%, B %.1f %%", 100*c.A.WholeShare(), 100*c.B.WholeShare())
		p.fact("estimated speed-up", "%.2f times", c.SpeedUp)
	}
	langs := &Table{Head: diffHead("language")}
	var bars []page.Bar
	for _, l := range d.Languages {
		langs.Rows = append(langs.Rows, append([]string{l.Name}, l.cells()...))
		bars = append(bars, page.Bar{Label: l.Name, Values: []float64{l.A.CharactersPerToken(), l.B.CharactersPerToken()}})
	}
	p.add(Section{Title: "Languages", Note: "on the built-in sample texts", Table: langs, Chart: page.BarChart("characters per token", []string{"A", "B"}, bars)})
	scripts := &Table{Head: diffHead("script")}
	for _, s := range d.ScriptFertility {
		scripts.Rows = append(scripts.Rows, append([]string{s.Script}, s.cells()...))
	}
	where := "built-in sample texts"
	if d.Corpus != nil {
		where = "corpus"
	}
	p.add(Section{Title: "Scripts of the " + where, Note: scriptNote, Table: scripts})
	p.add(Section{Title: "Tokens by class", Table: splitTable("class", d.Classes)})
	p.add(Section{Title: "Tokens by script", Note: "of the first letter", Table: splitTable("script", d.Scripts)})
	cuts := Section{Title: "Sample texts as tokens"}
	for _, c := range d.Cuts {
		cuts.Cuts = append(cuts.Cuts, CutText{c.Name + " A", c.Code, c.A}, CutText{c.Name + " B", c.Code, c.B})
	}
	p.add(cuts)
	return p
}

func diffHead(what string) []string {
	return []string{what, "chars/token A", "B", "bytes/token A", "B", "words whole A", "B", "speed-up (estimate)"}
}

func (f FertilityDiff) cells() []string {
	a, b := fertilityCells(f.A), fertilityCells(f.B)
	return []string{a[1], b[1], a[2], b[2], a[3], b[3], fmt.Sprintf("%.2f", f.SpeedUp)}
}

func splitTable(what string, list []SplitCount) *Table {
	t := &Table{Head: []string{what, "in both", "only in A", "only in B"}}
	for _, c := range list {
		t.Rows = append(t.Rows, []string{c.Name, page.Thousands(c.Shared), page.Thousands(c.OnlyA), page.Thousands(c.OnlyB)})
	}
	return t
}
