package model

import (
	"fmt"

	"lep/internal/hint"
)

// IgnoreLabel marks a token without loss.
const IgnoreLabel = -100

// Batch is B rows of T tokens, row-major.
type Batch struct {
	B, T     int
	InputIDs []int32 // (B, T)
	// Labels are not shifted: the loss at token t is that of Labels[t+1]. IgnoreLabel means
	// no loss. nil means InputIDs, without the first token of each document and without pads.
	Labels []int32
	// DocIDs numbers the document of each token; nil is one document a row. A token sees its
	// own document only, and positions start at 0 in each. Negative is padding: it sees nothing,
	// and nothing is scored on it. (HF scores the first token behind left padding on the garbage
	// that a wholly masked row gives.)
	DocIDs []int32
}

// sequences is a checked batch as the layers see it.
type sequences struct {
	n, t    int
	first   []int32 // (N) first token of the token's document, counted in its row
	pos     []int32 // (N) position in the document
	table   *ropeTable
	targets []int32 // (N) the id that token n is scored on, or IgnoreLabel
}

// prepare checks a batch and fills m.work.seqs. It returns how many tokens are scored.
func (m *Model) prepare(b *Batch) (scored int, err error) {
	n := b.B * b.T
	if b.B < 1 || b.T < 1 || len(b.InputIDs) != n || b.Labels != nil && len(b.Labels) != n || b.DocIDs != nil && len(b.DocIDs) != n {
		return 0, fmt.Errorf("batch of %d x %d tokens: %d input_ids, %d labels, %d doc_ids, want %d each (or no labels, no doc_ids)",
			b.B, b.T, len(b.InputIDs), len(b.Labels), len(b.DocIDs), n)
	}
	s := &m.work.seqs
	s.n, s.t = n, b.T
	s.first, s.pos, s.targets = grow(s.first, n), grow(s.pos, n), grow(s.targets, n)
	longest := int32(0)
	for i, id := range b.InputIDs {
		if id < 0 || int(id) >= m.Config.VocabSize {
			return 0, m.badID("input_ids", i/b.T, i%b.T, id)
		}
		t := int32(i % b.T)
		doc := b.doc(i)
		s.first[i] = t
		if t > 0 && doc >= 0 && doc == b.doc(i-1) {
			s.first[i] = s.first[i-1]
		}
		s.pos[i] = t - s.first[i]
		longest = max(longest, s.pos[i])
		if b.Labels != nil {
			if l := b.Labels[i]; l != IgnoreLabel && (l < 0 || int(l) >= m.Config.VocabSize) {
				return 0, m.badID("labels", i/b.T, i%b.T, l)
			}
		}
	}
	if err := m.checkLength(int(longest) + 1); err != nil {
		return 0, err
	}
	for i := range n {
		s.targets[i] = b.target(i)
		if s.targets[i] != IgnoreLabel {
			scored++
		}
	}
	m.setPositions(s, int(longest)+1)
	return scored, nil
}

// target returns the label that token i is scored on, that of the next token in its row.
func (b *Batch) target(i int) int32 {
	switch {
	case i%b.T == b.T-1 || b.doc(i) < 0:
		return IgnoreLabel
	case b.Labels != nil:
		return b.Labels[i+1]
	case b.doc(i) != b.doc(i+1):
		return IgnoreLabel
	}
	return b.InputIDs[i+1]
}

// Scored counts the labels of a batch that have a loss.
func (b *Batch) Scored() int {
	scored := 0
	for i := range b.InputIDs {
		if b.target(i) != IgnoreLabel {
			scored++
		}
	}
	return scored
}

func (b *Batch) doc(i int) int32 {
	if b.DocIDs == nil {
		return 0
	}
	return b.DocIDs[i]
}

func (m *Model) badID(what string, row, at int, id int32) error {
	return hint.Errorf("the data was made with another tokenizer than the model's",
		"%s: row %d, token %d: id is %d, want 0 to %d (vocab_size %d)", what, row, at, id, m.Config.VocabSize-1, m.Config.VocabSize)
}

func (m *Model) checkLength(n int) error {
	if n > m.Config.MaxPositionEmbeddings && m.Config.RopeScaling.Kind() != "dynamic" {
		return hint.Errorf("cut the text, or choose a shorter block",
			"sequence of %d tokens is longer than the model's context of %d (config.json max_position_embeddings)", n, m.Config.MaxPositionEmbeddings)
	}
	return nil
}

// grow returns a slice of n elements, the old memory if it is large enough.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
