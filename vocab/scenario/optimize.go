package scenario

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"lep/internal/hint"
	"lep/tokenizer"
)

// CutRule says which pieces of the base Cut keeps.
type CutRule string

const (
	ByUsage CutRule = "usage" // what a corpus uses, most frequent first (reference/lep 1.3)
	ByRank  CutRule = "rank"  // the first pieces of the table, as the authors do
)

// CutOptions limits a cut.
type CutOptions struct {
	Rule CutRule `yaml:"cut"`
	// Keep is the number of pieces to keep, protected ones included; 0 keeps all that the
	// corpus uses. ByRank needs it.
	Keep int `yaml:"keep_items"`
	// KeepTokens are kept whatever the corpus says; KeepMarks protects single digits and punctuation.
	KeepTokens []string `yaml:"keep"`
	KeepMarks  bool     `yaml:"keep_marks"`
}

// DefaultCutOptions cuts by usage and keeps all that is used.
func DefaultCutOptions() CutOptions { return CutOptions{Rule: ByUsage, KeepMarks: true} }

// CutReport says what a cut did.
type CutReport struct {
	CorpusTokens int64   `json:"corpus_tokens"`
	UsedDistinct int     `json:"used_distinct"` // different pieces that the corpus uses
	Protected    int     `json:"protected"`     // kept whatever the corpus says
	Kept         int     `json:"kept"`
	KeptUnused   int     `json:"kept_but_unused"`   // protected, or parts of used pieces
	Skipped      int     `json:"skipped_for_limit"` // used, but their parts would have passed the limit
	KeptIDs      []int32 `json:"-"`                 // old ids, ascending
	Counts       []int64 `json:"-"`                 // uses of every old id
}

// Cut returns a base with only the pieces that matter, renumbered in their old order,
// added tokens behind. The corpus (texts; only used by ByUsage) is split at line ends. With
// Keep 0 the cut tokenizer cuts that corpus exactly as before.
func Cut(base *tokenizer.Definition, corpus iter.Seq2[string, error], opts CutOptions) (*Result, *CutReport, error) {
	var kept map[int32]bool
	report := &CutReport{}
	var err error
	switch opts.Rule {
	case ByRank:
		kept, err = cutByRank(base, opts.Keep)
	case ByUsage:
		if err := needBPE("base", base); err != nil {
			return nil, nil, hint.Wrap(err, "cut a Unigram vocabulary by rank")
		}
		kept, err = cutByUsage(base, corpus, opts, report)
	default:
		err = fmt.Errorf("cut %q: want %s or %s", opts.Rule, ByUsage, ByRank)
	}
	if err != nil {
		return nil, nil, err
	}
	d, err := keepPieces(base, kept)
	if err != nil {
		return nil, nil, err
	}
	r, err := finish(Optimization, base, d)
	if err != nil {
		return nil, nil, err
	}
	r.OldIDs = oldIDs(base, d)
	for _, p := range base.Model.Pieces {
		if kept[p.ID] {
			report.KeptIDs = append(report.KeptIDs, p.ID)
		}
	}
	report.Kept = len(report.KeptIDs)
	return r, report, nil
}

// keepPieces renumbers the kept pieces densely in their old order.
func keepPieces(base *tokenizer.Definition, kept map[int32]bool) (*tokenizer.Definition, error) {
	d := base.Clone()
	to := map[int32]int32{}
	next := int32(0)
	for _, p := range base.Model.Pieces {
		if kept[p.ID] {
			to[p.ID] = next
			next++
		}
	}
	for _, a := range base.AddedTokens {
		if _, ok := to[a.ID]; !ok {
			to[a.ID] = next
			next++
		}
	}
	err := d.Renumber(func(old int32) (int32, bool) { id, ok := to[old]; return id, ok })
	return d, err
}

// cutByRank keeps ids below n, and what is special whatever its id.
func cutByRank(base *tokenizer.Definition, n int) (map[int32]bool, error) {
	if bytes := len(protectedIDs(base, false)); base.Model.Type == tokenizer.BPE && n < bytes {
		return nil, hint.Errorf("pass --keep-items: the authors kept half of Llama-3's 128,000",
			"keep_items %d: below the %d byte and special pieces", n, bytes)
	}
	kept := map[int32]bool{}
	for _, p := range base.Model.Pieces {
		if int(p.ID) < n || p.Kind != tokenizer.Text && p.Kind != tokenizer.Unused {
			kept[p.ID] = true
		}
	}
	return kept, nil
}

// protectedIDs lists the pieces without which text can't be spelled: the 256 letters of a
// byte-level table, byte-fallback pieces, special and control pieces; with marks also single
// digits and punctuation.
func protectedIDs(base *tokenizer.Definition, marks bool) []int32 {
	added := map[int32]bool{}
	for _, a := range base.AddedTokens {
		added[a.ID] = true
	}
	fallback := base.Model.ByteFallback
	var out []int32
	for _, p := range base.Model.Pieces {
		r, n := utf8.DecodeRuneInString(p.Text)
		single := n == len(p.Text) && n > 0
		switch {
		case p.Kind != tokenizer.Text && p.Kind != tokenizer.Unused, added[p.ID],
			single && !fallback, // the byte letters
			single && marks && (unicode.IsDigit(r) || unicode.IsPunct(r) || unicode.IsSymbol(r) || r == '▁'):
			out = append(out, p.ID)
		}
	}
	return out
}

func cutByUsage(base *tokenizer.Definition, corpus iter.Seq2[string, error], opts CutOptions, report *CutReport) (map[int32]bool, error) {
	tok, err := compile(base)
	if err != nil {
		return nil, err
	}
	counts, err := countUses(tok, corpus)
	if err != nil {
		return nil, err
	}
	report.Counts = counts
	kept := map[int32]bool{}
	for _, id := range protectedIDs(base, opts.KeepMarks) {
		kept[id] = true
	}
	for _, name := range opts.KeepTokens {
		spelled, ok := tok.FromBytes([]byte(name))
		id, found := tok.ID(spelled)
		if !ok || !found {
			return nil, fmt.Errorf("keep %q: is no token of the base", name)
		}
		kept[id] = true
	}
	report.Protected = len(kept)
	var used []int32
	for _, p := range base.Model.Pieces {
		report.CorpusTokens += counts[p.ID]
		if counts[p.ID] > 0 {
			used = append(used, p.ID)
		}
	}
	report.UsedDistinct = len(used)
	if len(used) == 0 {
		return nil, fmt.Errorf("the corpus holds no text")
	}
	slices.SortFunc(used, func(a, b int32) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	closures := newCloser(base)
	for _, id := range used {
		need := closures.missing(id, kept)
		if opts.Keep > 0 && len(kept)+len(need) > opts.Keep {
			report.Skipped++
			continue
		}
		for _, n := range need {
			kept[n] = true
		}
	}
	for id := range kept {
		if counts[id] == 0 {
			report.KeptUnused++
		}
	}
	return kept, nil
}

// countUses encodes every line that is not empty and counts ids.
func countUses(tok *tokenizer.Tokenizer, corpus iter.Seq2[string, error]) ([]int64, error) {
	counts := make([]int64, tok.Size())
	if corpus == nil {
		return nil, fmt.Errorf("cut by usage needs a corpus")
	}
	var ids []int32
	for text, err := range corpus {
		if err != nil {
			return nil, err
		}
		for line := range strings.SplitSeq(text, "\n") {
			if line == "" {
				continue
			}
			ids = tok.AppendEncode(ids[:0], line)
			for _, id := range ids {
				counts[id]++
			}
		}
	}
	return counts, nil
}

// closer finds the pieces that a piece is built from.
type closer struct {
	ids  map[string]int32
	text map[int32]string
	memo map[int32][]int32
}

func newCloser(d *tokenizer.Definition) *closer {
	c := &closer{ids: map[string]int32{}, text: map[int32]string{}, memo: map[int32][]int32{}}
	for _, p := range d.Model.Pieces {
		c.ids[p.Text] = p.ID
		c.text[p.ID] = p.Text
	}
	return c
}

// missing lists the piece and all it is built from, recursively, as far as it is not kept.
func (c *closer) missing(id int32, kept map[int32]bool) []int32 {
	var out []int32
	seen := map[int32]bool{}
	var walk func(int32)
	walk = func(id int32) {
		if seen[id] || kept[id] && len(c.parts(id)) == 0 {
			return
		}
		seen[id] = true
		if !kept[id] {
			out = append(out, id)
		}
		for _, p := range c.parts(id) {
			walk(p)
		}
	}
	walk(id)
	return out
}

// parts is what BPE makes of a piece's characters with only the products of smaller id,
// always joining the pair with the smallest product: two parts in a sane table.
func (c *closer) parts(id int32) []int32 {
	if p, ok := c.memo[id]; ok {
		return p
	}
	var parts []string
	for _, r := range c.text[id] {
		parts = append(parts, string(r))
	}
	if len(parts) < 2 {
		c.memo[id] = nil
		return nil
	}
	for {
		best, at := id, -1
		for k := 1; k < len(parts); k++ {
			if p, ok := c.ids[parts[k-1]+parts[k]]; ok && p < best {
				best, at = p, k
			}
		}
		if at < 0 {
			break
		}
		parts[at-1] += parts[at]
		parts = slices.Delete(parts, at, at+1)
	}
	out := make([]int32, 0, len(parts))
	for _, p := range parts {
		if i, ok := c.ids[p]; ok {
			out = append(out, i)
		}
	}
	c.memo[id] = out
	return out
}
