package tokenizer

import (
	"cmp"
	"slices"
	"unicode/utf8"

	"lep/tokenizer/charsmap"
)

// spBPE is SentencePiece's BPE: two neighbouring symbols merge if what they spell
// together is a piece, the piece with the highest score first, the leftmost of
// equal ones. User-defined symbols are cut out first and never merge.
//
// Symbols are piece ids; from extra on come the characters that are no piece by
// themselves but stand in one, and from frozen on the user-defined symbols that were cut out.
type spBPE struct {
	merger        bpe // only its pairs are used
	low           []int32
	high          map[rune]int32
	extra, frozen int32
	defined       charsmap.Trie
	unused        map[int32][]token // unused pieces: the pieces that stand for them
}

// unknownSymbol is what a character is that no piece contains.
const unknownSymbol = 1 << 30

func newSPBPE(m *Model, defined charsmap.Trie) (*spBPE, error) {
	b := &spBPE{defined: defined, extra: int32(len(m.Pieces)), high: map[rune]int32{}, unused: map[int32][]token{}}
	symbols := make(map[string]int32, len(m.Pieces))
	var pieces []Piece
	for _, p := range m.Pieces {
		if p.Kind == Text || p.Kind == UserDefined || p.Kind == Unused {
			symbols[p.Text] = p.ID
			pieces = append(pieces, p)
		}
	}
	b.frozen = b.extra
	for _, p := range pieces {
		for _, r := range p.Text {
			if _, ok := symbols[string(r)]; !ok {
				symbols[string(r)] = b.frozen
				b.frozen++
			}
		}
	}
	b.low = make([]int32, lowRunes)
	for r := range b.low {
		b.low[r] = unknownSymbol
	}
	for s, id := range symbols {
		if r, size := utf8.DecodeRuneInString(s); size == len(s) {
			if r < lowRunes {
				b.low[r] = id
			} else {
				b.high[r] = id
			}
		}
	}
	slices.SortStableFunc(pieces, func(x, y Piece) int { return cmp.Compare(y.Score, x.Score) })
	var merges []Merge
	var ranks []int32 // merges of equal scores share a rank, so that the leftmost goes first
	rank := int32(-1)
	for i, p := range pieces {
		if i == 0 || p.Score != pieces[i-1].Score {
			rank++
		}
		for at := range p.Text {
			left, ok := symbols[p.Text[:at]]
			if !ok {
				continue
			}
			if right, ok := symbols[p.Text[at:]]; ok {
				merges = append(merges, Merge{left, right, p.ID})
				ranks = append(ranks, rank)
			}
		}
	}
	var err error
	if b.merger.pairs, err = newPairTable(merges, ranks); err != nil {
		return nil, err
	}
	for _, p := range pieces {
		if p.Kind == Unused {
			b.unused[p.ID] = nil
		}
	}
	for id := range b.unused {
		b.unused[id] = b.split(m.Pieces[id].Text, id)
	}
	return b, nil
}

// split merges the characters of an unused piece without making the piece itself.
func (b *spBPE) split(text string, without int32) []token {
	var parts []token
	for i, r := range text {
		parts = append(parts, token{b.symbol(r), int32(i), int32(i + utf8.RuneLen(r))})
	}
	for {
		best, at, product := int32(noRank), -1, int32(0)
		for i := range len(parts) - 1 {
			rank, merge := b.merger.pairs.find(parts[i].id, parts[i+1].id)
			if rank < best && b.merger.pairs.products[merge] != without {
				best, at, product = rank, i, b.merger.pairs.products[merge]
			}
		}
		if at < 0 {
			return parts
		}
		parts[at] = token{product, parts[at].start, parts[at+1].end}
		parts = slices.Delete(parts, at+1, at+2)
	}
}

func (b *spBPE) symbol(r rune) int32 {
	if r < lowRunes {
		return b.low[r]
	}
	if id, ok := b.high[r]; ok {
		return id
	}
	return unknownSymbol
}

// tokens implements spModel.
func (b *spBPE) tokens(w *spWorker, text string) {
	s := &w.merge
	s.out = s.out[:0]
	for i := 0; i < len(text); {
		if b.defined != nil {
			if id, size := b.defined.Longest(text[i:]); size > 0 {
				s.out = append(s.out, token{b.frozen + int32(id), int32(i), int32(i + size)})
				i += size
				continue
			}
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		s.out = append(s.out, token{b.symbol(r), int32(i), int32(i + size)})
		i += size
	}
	b.merger.merge(s)
	w.tokens = w.tokens[:0]
	for _, k := range s.out {
		b.emit(w, k)
	}
}

// emit appends a symbol that is left at the end. An unused piece gives way to its
// parts, unless it is a single character.
func (b *spBPE) emit(w *spWorker, k token) {
	switch {
	case k.id == unknownSymbol || k.id >= b.extra && k.id < b.frozen:
		k.id = -1
	case k.id >= b.frozen:
		k.id -= b.frozen
	case len(b.unused[k.id]) > 1:
		for _, part := range b.unused[k.id] {
			b.emit(w, token{part.id, k.start + part.start, k.start + part.end})
		}
		return
	}
	w.tokens = append(w.tokens, k)
}
