package stats

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"lep/tokenizer"
	"lep/vocab"
)

// Options say how to measure.
type Options struct {
	Threads int `yaml:"threads"` // goroutines that encode the corpus; the result does not depend on it
	List    int `yaml:"list"`    // most tokens in each list
}

// DefaultOptions lists 20 tokens of each sort.
func DefaultOptions() Options { return Options{Threads: 1, List: 20} }

// Validate checks ranges.
func (o Options) Validate() error {
	if o.Threads < 1 || o.Threads > 1024 {
		return fmt.Errorf("threads is %d, want 1 to 1024", o.Threads)
	}
	if o.List < 0 {
		return fmt.Errorf("list is %d, want 0 or more", o.List)
	}
	return nil
}

// Stats is what Measure finds.
type Stats struct {
	Size    int                 `json:"size"`   // 1 + the highest id
	Pieces  int                 `json:"pieces"` // of the model's own table
	Merges  int                 `json:"merges"`
	Added   int                 `json:"added_tokens"`
	Type    tokenizer.ModelType `json:"type"`
	Bytes   bool                `json:"byte_level"`
	Classes []Count             `json:"classes"`
	Scripts []Count             `json:"scripts"`
	Lengths []int               `json:"lengths"` // text pieces of i+1 characters; the last counts all longer ones

	Longest []Token `json:"longest"`
	// Unreachable are the pieces that no text of their own is encoded to; Reasons counts them.
	Unreachable      []Unreachable `json:"unreachable"`
	UnreachableCount int           `json:"unreachable_count"`
	Reasons          []Count       `json:"unreachable_reasons"`

	Languages      []LanguageFertility `json:"languages"`
	SampleScripts  []ScriptFertility   `json:"sample_scripts"`
	SamplesBroken  int64               `json:"samples_broken"` // sample texts that decode to another text
	SamplesBreak   []Broken            `json:"samples_broken_examples"`
	Cuts           []Cut               `json:"cuts"`
	Corpus         *CorpusStats        `json:"corpus"` // nil without a corpus
	classOf        []vocab.Class
	scriptOf       []string
	unreachableIDs map[int32]bool
}

// Count is a number of tokens by some name.
type Count struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// Token is a token in a list.
type Token struct {
	ID         int32  `json:"id"`
	Text       string `json:"text"` // with blanks and controls made visible
	Characters int    `json:"characters"`
}

// Unreachable is a token that encoding does not produce, and why.
type Unreachable struct {
	ID     int32  `json:"id"`
	Text   string `json:"text"`
	Reason string `json:"reason"`
}

// Broken is a text that decodes to another one.
type Broken struct {
	Text    string `json:"text"`
	Decoded string `json:"decoded"`
	number  int64
}

// ScriptFertility and LanguageFertility break fertility down.
type ScriptFertility struct {
	Script    string    `json:"script"`
	Fertility Fertility `json:"fertility"`
}

// LanguageFertility is that of the sample texts of a language.
type LanguageFertility struct {
	Code      string    `json:"code"`
	Name      string    `json:"name"`
	Fertility Fertility `json:"fertility"`
}

// CorpusStats is what a corpus shows.
type CorpusStats struct {
	Texts     int64             `json:"texts"`
	Fertility Fertility         `json:"fertility"`
	Scripts   []ScriptFertility `json:"scripts"`
	Broken    int64             `json:"broken"` // texts that decode to another text
	Examples  []Broken          `json:"broken_examples"`
	// Unused are text pieces that the corpus never needs, the longest first in the list.
	UnusedCount   int     `json:"unused_count"`
	Unused        []Token `json:"unused"`
	UnusedScripts []Count `json:"unused_scripts"`
	UnusedClasses []Count `json:"unused_classes"`
}

const (
	maxLength = 16 // of Stats.Lengths
	maxBroken = 5
)

// Measure looks at every token of a vocabulary, encodes the built-in samples and, if corpus
// is not nil, all its texts. It fails with the corpus or with ctx.
func Measure(ctx context.Context, tok *tokenizer.Tokenizer, corpus iter.Seq2[string, error], opts Options) (*Stats, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	s := describe(tok, opts)
	s.sample(tok)
	if corpus != nil {
		counters, err := countTexts(ctx, []*tokenizer.Tokenizer{tok}, corpus, opts.Threads)
		if err != nil {
			return nil, err
		}
		s.Corpus = s.corpusStats(tok, counters[0], opts)
	}
	return s, nil
}

// describe counts the tokens of a vocabulary and tries each.
func describe(tok *tokenizer.Tokenizer, opts Options) *Stats {
	d := tok.Definition()
	s := &Stats{
		Size: tok.Size(), Pieces: len(d.Model.Pieces), Merges: len(d.Model.Merges), Added: len(d.AddedTokens), Type: d.Model.Type,
		Bytes: tok.ByteLevel(), Lengths: make([]int, maxLength), classOf: vocab.ClassesOf(tok), scriptOf: make([]string, tok.Size()),
		unreachableIDs: map[int32]bool{},
	}
	classes, scripts, reasons := map[string]int{}, map[string]int{}, map[string]int{}
	for id := range int32(s.Size) {
		b, kind := tok.Bytes(id)
		if kind == tokenizer.Missing {
			continue
		}
		s.scriptOf[id] = scriptOf(b, kind)
		classes[s.classOf[id].String()]++
		scripts[s.scriptOf[id]]++
		if kind != tokenizer.Text {
			continue
		}
		if utf8.Valid(b) {
			n := utf8.RuneCount(b)
			s.Lengths[min(max(n, 1), maxLength)-1]++
			s.Longest = append(s.Longest, Token{id, string(b), n})
		}
		if ok, reason := vocab.Reach(tok, id); !ok {
			s.UnreachableCount++
			s.unreachableIDs[id] = true
			s.Unreachable = append(s.Unreachable, Unreachable{id, Visible(string(b)), reason})
			short, _, _ := strings.Cut(reason, " [")
			reasons[short]++
		}
	}
	s.Classes, s.Scripts, s.Reasons = counts(classes), counts(scripts), counts(reasons)
	s.Longest = longest(s.Longest, opts.List)
	s.Unreachable = s.Unreachable[:min(len(s.Unreachable), opts.List)]
	return s
}

// longest shortens a list to the tokens with the most characters, those without a letter
// (rules of dashes, blanks) left out.
func longest(list []Token, n int) []Token {
	list = slices.DeleteFunc(list, func(t Token) bool {
		return !strings.ContainsFunc(t.Text, func(r rune) bool { return scriptCode(r) >= 0 })
	})
	slices.SortFunc(list, func(a, b Token) int { return cmp.Or(cmp.Compare(b.Characters, a.Characters), cmp.Compare(a.ID, b.ID)) })
	list = slices.Clone(list[:min(len(list), n)])
	for i := range list {
		list[i].Text = Visible(list[i].Text)
	}
	return list
}

// sample encodes the built-in texts.
func (s *Stats) sample(tok *tokenizer.Tokenizer) {
	all := newCounter(tok)
	for _, lang := range Samples() {
		c := newCounter(tok)
		for i, text := range lang.Texts {
			c.count(text, int64(i))
		}
		s.Languages = append(s.Languages, LanguageFertility{lang.Code, lang.Name, c.total})
		s.Cuts = append(s.Cuts, Cut{lang.Code, lang.Name, lang.Texts[0], Spans(tok, lang.Texts[0])})
		all.merge(c)
	}
	s.SampleScripts, s.SamplesBroken, s.SamplesBreak = all.byScript(), all.broken, all.broke
}

func (s *Stats) corpusStats(tok *tokenizer.Tokenizer, c *counter, opts Options) *CorpusStats {
	out := &CorpusStats{Texts: c.texts, Fertility: c.total, Scripts: c.byScript(), Broken: c.broken, Examples: c.broke}
	classes, scripts := map[string]int{}, map[string]int{}
	for id := range int32(tok.Size()) {
		b, kind := tok.Bytes(id)
		if kind != tokenizer.Text || c.uses[id] > 0 || len(b) == 1 {
			continue
		}
		out.UnusedCount++
		classes[s.classOf[id].String()]++
		scripts[s.scriptOf[id]]++
		if utf8.Valid(b) {
			out.Unused = append(out.Unused, Token{id, string(b), utf8.RuneCount(b)})
		}
	}
	out.Unused = longest(out.Unused, opts.List)
	out.UnusedClasses, out.UnusedScripts = counts(classes), counts(scripts)
	return out
}

// countTexts measures a stream of texts with several tokenizers on several goroutines. The
// counts are sums: neither the threads nor their order change them.
func countTexts(ctx context.Context, toks []*tokenizer.Tokenizer, texts iter.Seq2[string, error], threads int) ([]*counter, error) {
	type batch struct {
		texts []string
		first int64
	}
	work := make(chan batch, threads)
	results := make([][]*counter, threads)
	var wg sync.WaitGroup
	for i := range threads {
		for _, t := range toks {
			results[i] = append(results[i], newCounter(t))
		}
		wg.Go(func() {
			for b := range work {
				for k, text := range b.texts {
					for _, c := range results[i] {
						c.count(text, b.first+int64(k))
					}
				}
			}
		})
	}
	var err error
	next, size := batch{}, 0
	for text, e := range texts {
		if err = cmp.Or(e, ctx.Err()); err != nil {
			break
		}
		next.texts = append(next.texts, text)
		if size += len(text); size > 1<<16 {
			work <- next
			next, size = batch{first: next.first + int64(len(next.texts))}, 0
		}
	}
	work <- next
	close(work)
	wg.Wait()
	if err != nil {
		return nil, err
	}
	for _, more := range results[1:] {
		for i, c := range results[0] {
			c.merge(more[i])
		}
	}
	if results[0][0].texts == 0 {
		return nil, fmt.Errorf("the corpus holds no text")
	}
	return results[0], nil
}

// firstBroken keeps the first few examples of a stream.
func firstBroken(list []Broken) []Broken {
	slices.SortFunc(list, func(a, b Broken) int { return cmp.Compare(a.number, b.number) })
	return list[:min(len(list), maxBroken)]
}

// counts lists a map, the largest numbers first.
func counts(m map[string]int) []Count {
	list := make([]Count, 0, len(m))
	for name, n := range m {
		list = append(list, Count{name, n})
	}
	sortBy(list, func(c Count) (int64, string) { return int64(c.Count), c.Name })
	return list
}

// sortBy sorts by falling number, then by name.
func sortBy[T any](list []T, key func(T) (int64, string)) {
	slices.SortFunc(list, func(a, b T) int {
		n, s := key(a)
		m, t := key(b)
		return cmp.Or(cmp.Compare(m, n), cmp.Compare(s, t))
	})
}
