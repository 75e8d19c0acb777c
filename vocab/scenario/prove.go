package scenario

import (
	"iter"
	"slices"
	"strings"

	"lep/tokenizer"
)

// Proof is what encoding a sample of texts with the old and the new vocabulary shows.
type Proof struct {
	Lines     int `json:"lines"`
	OldTokens int `json:"old_tokens"`
	NewTokens int `json:"new_tokens"`

	// WithNew counts lines that hold a new token. Recut counts lines without one that are
	// cut otherwise than before: 0 for a default extension.
	WithNew int       `json:"lines_with_new_tokens"`
	Recut   int       `json:"lines_recut"`
	Recuts  []Example `json:"recut_examples,omitempty"`

	// Broken counts lines that decode to another text than with the old vocabulary.
	Broken   int       `json:"lines_broken"`
	Breakage []Example `json:"broken_examples,omitempty"`
}

// Example is a text with what the old and the new vocabulary make of it.
type Example struct {
	Text string `json:"text"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

const (
	maxExamples = 5
	maxSample   = 20000 // lines
)

// Prove encodes the lines of a sample with both vocabularies: which lines that hold no
// new token are cut otherwise, and whether all decode as before. It reads at most 20,000 lines.
func Prove(base *tokenizer.Definition, r *Result, sample iter.Seq2[string, error]) (*Proof, error) {
	old, err := compile(base)
	if err != nil {
		return nil, err
	}
	next, err := compile(r.Definition)
	if err != nil {
		return nil, err
	}
	p := &Proof{}
	var a, b, back []int32
	for text, err := range sample {
		if err != nil {
			return nil, err
		}
		for line := range strings.SplitSeq(text, "\n") {
			if line == "" {
				continue
			}
			if p.Lines == maxSample {
				return p, nil
			}
			a, b = old.AppendEncode(a[:0], line), next.AppendEncode(b[:0], line)
			back = p.compare(r, a, b, back[:0])
			if back != nil && !slices.Equal(a, back) {
				p.Recut++
				p.Recuts = example(p.Recuts, line, pieces(old, a), pieces(next, b))
			}
			if was, is := old.Decode(a), next.Decode(b); was != is {
				p.Broken++
				p.Breakage = example(p.Breakage, line, was, is)
			}
		}
	}
	return p, nil
}

// compare counts a line and returns its new ids as old ones, nil if one is new.
func (p *Proof) compare(r *Result, a, b, back []int32) []int32 {
	p.Lines++
	p.OldTokens += len(a)
	p.NewTokens += len(b)
	for _, id := range b {
		if r.OldIDs[id] < 0 {
			p.WithNew++
			return nil
		}
		back = append(back, r.OldIDs[id])
	}
	return back
}

func example(list []Example, text, was, is string) []Example {
	if len(list) < maxExamples {
		list = append(list, Example{text, was, is})
	}
	return list
}

// pieces shows ids as the pieces' own text, cut marks between them.
func pieces(t *tokenizer.Tokenizer, ids []int32) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte('|')
		}
		raw, _ := t.Bytes(id)
		b.Write(raw)
	}
	return strings.ToValidUTF8(b.String(), "�")
}
