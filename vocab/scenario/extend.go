package scenario

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"lep/tokenizer"
)

// ExtendOptions says which tokens of the other vocabulary enter and how.
type ExtendOptions struct {
	// Reference follows the authors' code (reference/lep 1.2): every piece of the
	// other vocabulary by its string, its merges before the base's, ignore_merges on. Old text is cut
	// anew and pieces that no text can produce get an id.
	Reference bool `yaml:"reference"`

	Words WordOptions `yaml:"words"`
	// Size limits the whole vocabulary, added tokens included; 0 is no limit. The
	// most frequent words that fit are taken.
	Size int `yaml:"size"`
	// KeepDead also adds tokens that the base's pre-tokenizer can never produce.
	KeepDead bool      `yaml:"keep_dead"`
	Merges   MergeRule `yaml:"merges"`
}

// MergeRule says which merges make a new token.
type MergeRule string

const (
	// LearnedMerges writes the learned merge alone.
	LearnedMerges MergeRule = "learned"
	// AllSplits writes every split of a new token into two tokens, in order of the tokens: what
	// SentencePiece and tiktoken do without a list of merges.
	AllSplits MergeRule = "all"
	// AutoMerges is AllSplits where the base is made so, else LearnedMerges: the result then
	// stays expressible in the base's own format. Ranks join tokens in whatever way they were
	// cut, so that a base in tiktoken's form may build one of its own tokens out of a new one:
	// [Prove] counts such texts.
	AutoMerges MergeRule = "auto"
)

// DefaultExtendOptions takes every word of the other vocabulary.
func DefaultExtendOptions() ExtendOptions { return ExtendOptions{Merges: AutoMerges} }

// Extend adds the tokens of another vocabulary to a base. The base's pieces keep
// their ids; its added tokens move behind the new pieces. Both definitions are left as
// they are.
func Extend(base, add *tokenizer.Definition, opts ExtendOptions) (*Result, error) {
	if err := needBPE("base", base); err != nil {
		return nil, err
	}
	if opts.Reference {
		return extendReference(base, add)
	}
	words, err := WordList(add, opts.Words)
	if err != nil {
		return nil, err
	}
	return ExtendWords(base, words, opts)
}

// alphabets rewrites pieces of one definition into the alphabet of another.
type alphabets struct {
	from, to *tokenizer.Tokenizer
}

func newAlphabets(from, to *tokenizer.Definition) (*alphabets, error) {
	f, err := compile(from)
	if err != nil {
		return nil, err
	}
	t, err := compile(to)
	if err != nil {
		return nil, err
	}
	return &alphabets{f, t}, nil
}

// raw spells a piece's string in the other alphabet as the reference does: "▁" is a
// space, everything else is text, byte pieces and specials too.
func (a *alphabets) raw(piece string) string {
	if a.from.ByteLevel() == a.to.ByteLevel() {
		return piece
	}
	text := make([]byte, 0, len(piece))
	for _, r := range piece {
		if r == '▁' {
			r = ' '
		}
		text = utf8.AppendRune(text, r)
	}
	s, _ := a.to.FromBytes(text)
	return s
}

func extendReference(base, add *tokenizer.Definition) (*Result, error) {
	if err := needBPE("added vocabulary", add); err != nil {
		return nil, err
	}
	ab, err := newAlphabets(add, base)
	if err != nil {
		return nil, err
	}
	if ab.from.ByteLevel() && !ab.to.ByteLevel() {
		return nil, fmt.Errorf("added vocabulary: is byte-level and the base is not: the reference has no rule for that")
	}
	d := base.Clone()
	t := newTable(d)
	addText := make(map[int32]string, len(add.Model.Pieces))
	for _, p := range add.Model.Pieces {
		s := ab.raw(p.Text)
		addText[p.ID] = s
		t.add(s, 0)
	}
	merges := make([]tokenizer.Merge, 0, len(add.Model.Merges)+len(d.Model.Merges))
	seen := make(map[pair]bool, len(add.Model.Merges))
	for _, m := range add.Model.Merges {
		left, right := t.ids[addText[m.Left]], t.ids[addText[m.Right]]
		seen[pair{left, right}] = true
		merges = append(merges, tokenizer.Merge{Left: left, Right: right, Product: t.ids[addText[m.Product]]})
	}
	for _, m := range base.Model.Merges {
		if !seen[pair{m.Left, m.Right}] {
			merges = append(merges, m)
		}
	}
	d.Model.Merges = merges
	d.Model.IgnoreMerges = true
	return finish(Extension, base, d)
}

// finish seats the added tokens and fills in the result.
func finish(name Name, base, d *tokenizer.Definition) (*Result, error) {
	if _, err := seatAddedTokens(d); err != nil {
		return nil, err
	}
	r := &Result{Scenario: name, Definition: d, OldIDs: oldIDs(base, d)}
	for _, p := range d.Model.Pieces {
		if r.OldIDs[p.ID] >= 0 {
			r.Kept++
		} else {
			r.New++
		}
	}
	r.Cut = len(base.Model.Pieces) - r.Kept
	return r, nil
}

// ExtendWords adds a list of words and the merges that build them, learned behind the
// base's own merges (reference/lep 1.6): text in which no new token occurs is cut as before.
func ExtendWords(base *tokenizer.Definition, words []Word, opts ExtendOptions) (*Result, error) {
	if err := needBPE("base", base); err != nil {
		return nil, err
	}
	tok, err := compile(base)
	if err != nil {
		return nil, err
	}
	rule := opts.Merges
	switch rule {
	case AutoMerges:
		rule = LearnedMerges
		if base.SentencePiece != nil || hasAllSplits(base) {
			rule = AllSplits
		}
	case LearnedMerges, AllSplits:
	default:
		return nil, fmt.Errorf("merges %q: want %s, %s or %s", rule, AutoMerges, LearnedMerges, AllSplits)
	}
	d := base.Clone()
	room := math.MaxInt
	if opts.Size > 0 {
		if room = opts.Size - int(size(base)); room <= 0 {
			return nil, fmt.Errorf("size %d: the base has %d tokens already", opts.Size, size(base))
		}
	}
	if !tok.ByteLevel() {
		room -= addCharacters(d, words, room)
		if tok, err = compile(d); err != nil {
			return nil, err
		}
	}
	entries, leftOut := admit(tok, words, opts.KeepDead)
	if opts.Size > 0 {
		table := newTable(d)
		entries = entries[:fitting(entries, room, func(raw string) bool {
			s, _ := tok.FromBytes([]byte(raw))
			_, ok := table.ids[s]
			return ok
		})]
	}
	appendLearned(d, spell(tok, learn(entries)), rule == AllSplits)
	if opts.Merges == AutoMerges && IsRanked(base) {
		mergeByRank(d)
	}
	r, err := finish(Extension, base, d)
	if err != nil {
		return nil, err
	}
	r.LeftOut = leftOut
	r.Unreachable, err = unreachable(d, r.OldIDs)
	return r, err
}

// addCharacters gives the characters of the words that the base only knows as bytes a piece
// each, at most room of them, and returns how many. Their scores come last, as SentencePiece's do.
func addCharacters(d *tokenizer.Definition, words []Word, room int) int {
	t := newTable(d)
	lowest := lowestScore(d)
	n := 0
	for _, w := range words {
		for _, c := range strings.ReplaceAll(w.Text, " ", "▁") {
			if n == room {
				return n
			}
			if _, ok := t.ids[string(c)]; !ok {
				n++
				t.add(string(c), lowest-float64(n))
			}
		}
	}
	return n
}

// lowestScore is that of the last ordinary piece; Mistral's runs of blanks have -1e9.
func lowestScore(d *tokenizer.Definition) float64 {
	lowest := 0.0
	for _, p := range d.Model.Pieces {
		if p.Score > -1e8 {
			lowest = min(lowest, p.Score)
		}
	}
	return lowest
}

// compile builds the tokenizer that tokenizer.json describes, whatever native file the
// definition came from.
func compile(d *tokenizer.Definition) (*tokenizer.Tokenizer, error) {
	if d.SentencePiece != nil {
		d = d.Clone()
		d.SentencePiece = nil
	}
	return tokenizer.New(d)
}

// hasAllSplits reports whether every split of every piece into two pieces is a merge.
func hasAllSplits(d *tokenizer.Definition) bool {
	t := newTable(d)
	have := make(map[pair]bool, len(d.Model.Merges))
	for _, m := range d.Model.Merges {
		have[pair{m.Left, m.Right}] = true
	}
	for _, p := range d.Model.Pieces {
		if p.Kind != tokenizer.Text {
			continue
		}
		for _, s := range t.splits(p.Text) {
			if !have[s] {
				return false
			}
		}
	}
	return true
}

type pair struct{ left, right int32 }

func comparePairs(a, b pair) int {
	return cmp.Or(cmp.Compare(a.left, b.left), cmp.Compare(a.right, b.right))
}

// splits lists the ways to cut a text into two pieces, by the length of the left one.
func (t *table) splits(text string) []pair {
	var out []pair
	for i := range text {
		left, ok1 := t.ids[text[:i]]
		right, ok2 := t.ids[text[i:]]
		if i > 0 && ok1 && ok2 {
			out = append(out, pair{left, right})
		}
	}
	return out
}

// spell puts merges of raw bytes into the base's alphabet.
func spell(tok *tokenizer.Tokenizer, merges []learnedMerge) []learnedMerge {
	out := make([]learnedMerge, len(merges))
	for i, m := range merges {
		out[i].left, _ = tok.FromBytes([]byte(m.left))
		out[i].right, _ = tok.FromBytes([]byte(m.right))
	}
	return out
}

// appendLearned adds the products in their order, with scores below the base's, and their
// merges behind the base's. A merge that the base has is not repeated.
func appendLearned(d *tokenizer.Definition, learned []learnedMerge, allSplits bool) {
	t := newTable(d)
	lowest, first := lowestScore(d), t.end
	for _, m := range learned {
		t.add(m.left+m.right, lowest-1-float64(t.end-first))
	}
	if d.SentencePiece != nil { // its merges are what its scores say
		d.MergesFromScores()
		return
	}
	have := make(map[pair]bool, len(d.Model.Merges))
	for _, m := range d.Model.Merges {
		have[pair{m.Left, m.Right}] = true
	}
	push := func(s pair, product int32) {
		if !have[s] {
			have[s] = true
			d.Model.Merges = append(d.Model.Merges, tokenizer.Merge{Left: s.left, Right: s.right, Product: product})
		}
	}
	if !allSplits {
		for _, m := range learned {
			push(pair{t.ids[m.left], t.ids[m.right]}, t.ids[m.left+m.right])
		}
		return
	}
	for _, p := range d.Model.Pieces {
		if p.ID < first {
			continue
		}
		splits := t.splits(p.Text)
		slices.SortFunc(splits, comparePairs)
		for _, s := range splits {
			push(s, p.ID)
		}
	}
}
