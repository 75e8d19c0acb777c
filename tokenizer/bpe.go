package tokenizer

import (
	"fmt"
	"sync"
	"unicode/utf8"
)

// token is a piece found in a string: its id and its bytes [start, end) there.
type token struct{ id, start, end int32 }

// bpe is a byte-pair encoder with the rules of HF's BPE model: the characters of
// a word become pieces (or bytes, or the unknown token), and then the pair
// with the lowest merge rank, the leftmost of several, is merged until none is left.
// It is safe for concurrent use.
type bpe struct {
	pieces       map[string]int32
	letters      [256]int32 // piece of each byte's letter in the byte alphabet, or -1
	low          []int32    // piece of each code point below lowRunes, or -1
	fallback     [256]int32 // "<0xNN>" pieces, or -1
	pairs        pairTable
	bytePairs    []uint32 // 1 + the merge of the letters of two bytes; nil unless all letters are pieces
	wholes       wholeTable
	byteFallback bool
	fuseUnk      bool
	ignoreMerges bool
	unk          int32
	longest      int // bytes in the longest piece
	prefix       string
	suffix       string
	pool         sync.Pool // of *mergeState
}

const lowRunes = 0x3000

// newBPE compiles a BPE model.
func newBPE(m *Model) (*bpe, error) {
	ids, err := pieceIDs(m)
	if err != nil {
		return nil, err
	}
	return newBPEOf(m, ids)
}

// newBPEOf is newBPE with the ids of the pieces by their spelling, which it keeps.
func newBPEOf(m *Model, ids map[string]int32) (*bpe, error) {
	b := &bpe{pieces: ids, byteFallback: m.ByteFallback, fuseUnk: m.FuseUnk, ignoreMerges: m.IgnoreMerges, unk: m.UnkID}
	b.pool.New = func() any { return new(mergeState) }
	if m.ContinuingSubwordPrefix != nil {
		b.prefix = *m.ContinuingSubwordPrefix
	}
	if m.EndOfWordSuffix != nil {
		b.suffix = *m.EndOfWordSuffix
	}
	find := func(s string) int32 {
		if id, ok := ids[s]; ok {
			return id
		}
		return -1
	}
	for i := range 256 {
		b.letters[i] = find(string(byteLetter(byte(i))))
		b.fallback[i] = find(fmt.Sprintf("<0x%02X>", i))
	}
	b.low = make([]int32, lowRunes)
	for r := range b.low {
		b.low[r] = -1
	}
	for _, p := range m.Pieces {
		b.longest = max(b.longest, len(p.Text))
		if r, size := utf8.DecodeRuneInString(p.Text); size == len(p.Text) && r < lowRunes && (r != utf8.RuneError || size > 1) {
			b.low[r] = p.ID
		}
	}
	var err error
	if b.pairs, err = newPairTable(m.Merges, nil); err != nil {
		return nil, err
	}
	b.prepareBytes(m)
	return b, nil
}

// prepareBytes makes the tables for words that come as bytes.
func (b *bpe) prepareBytes(m *Model) {
	for _, id := range b.letters {
		if id < 0 {
			return
		}
	}
	b.bytePairs = make([]uint32, 1<<16)
	for i := range b.bytePairs {
		if _, merge := b.pairs.find(b.letters[i>>8], b.letters[i&255]); merge >= 0 {
			b.bytePairs[i] = uint32(merge) + 1
		}
	}
	if b.ignoreMerges {
		b.wholes = newWholeTable(m.Pieces)
	}
}

// append encodes a word in the model's own alphabet and appends the ids.
func (b *bpe) append(dst []int32, word string) []int32 {
	w := b.pool.Get().(*mergeState)
	b.encode(w, word, false)
	for i := range w.out {
		dst = append(dst, w.out[i].id)
	}
	b.pool.Put(w)
	return dst
}

// tokenize implements model.
func (b *bpe) tokenize(dst []token, word string, raw bool) []token {
	w := b.pool.Get().(*mergeState)
	b.encode(w, word, raw)
	dst = append(dst, w.out...)
	b.pool.Put(w)
	return dst
}

// takesBytes reports whether encode may be given bytes for letters of the byte
// alphabet: not where a letter alone is spelled with a prefix or falls back to bytes.
func (b *bpe) takesBytes() bool {
	if b.prefix != "" || b.suffix != "" {
		return false
	}
	for _, id := range b.letters {
		if id < 0 && b.byteFallback {
			return false
		}
	}
	return true
}

// encode leaves the pieces of a word in w.out. With raw, the word's bytes stand
// for letters of the byte alphabet; else the word is text in the model's alphabet.
func (b *bpe) encode(w *mergeState, word string, raw bool) {
	w.out = w.out[:0]
	if word == "" {
		return
	}
	if b.ignoreMerges {
		if id, ok := b.whole(w, word, raw); ok {
			w.out = append(w.out, token{id, 0, int32(len(word))})
			return
		}
	}
	if raw && b.bytePairs != nil {
		b.beginLetters(w, word)
		b.mergeRanked(w)
		return
	}
	if raw {
		b.beginBytes(w, word)
	} else {
		b.begin(w, word)
	}
	b.merge(w)
}

// whole looks a word up as a piece.
func (b *bpe) whole(w *mergeState, word string, raw bool) (int32, bool) {
	if len(word) > b.longest {
		return 0, false
	}
	if !raw {
		id, ok := b.pieces[word]
		return id, ok
	}
	if b.wholes.slots != nil {
		return b.wholes.find(word)
	}
	w.spelled = appendLetters(w.spelled[:0], word)
	id, ok := b.pieces[string(w.spelled)]
	return id, ok
}

// beginLetters makes a piece of every byte and ranks the pairs; all letters are
// pieces, as they are in real byte-level files.
func (b *bpe) beginLetters(w *mergeState, word string) {
	w.merges = grow(w.merges, len(word))
	w.out = grow(w.out, len(word))
	for i := range len(word) {
		w.out[i] = token{b.letters[word[i]], int32(i), int32(i + 1)}
	}
	for i := range len(word) - 1 {
		merge := int32(b.bytePairs[int(word[i])<<8|int(word[i+1])]) - 1
		w.merges[i] = pairMerge{b.pairs.rank(merge), merge}
	}
	w.merges[len(word)-1].rank = noRank
}

// beginBytes is beginLetters where letters are missing: they become the unknown token.
func (b *bpe) beginBytes(w *mergeState, word string) {
	unk := -1 // where in out the pending unknown token stands
	for i := range len(word) {
		at := token{b.letters[word[i]], int32(i), int32(i + 1)}
		if at.id >= 0 {
			unk = -1
			w.out = append(w.out, at)
			continue
		}
		unk = b.unknown(w, at, unk)
	}
}

// unknown appends the unknown token for a character, or widens the one before.
// Without an unknown token the character is left out, as HF does.
func (b *bpe) unknown(w *mergeState, at token, last int) int {
	if b.unk < 0 {
		return last
	}
	if last >= 0 && b.fuseUnk {
		w.out[last].end = at.end
		return last
	}
	at.id = b.unk
	w.out = append(w.out, at)
	return len(w.out) - 1
}

// begin makes pieces of the characters of a word.
func (b *bpe) begin(w *mergeState, word string) {
	pending := token{id: -1} // an unknown token that is not yet in out
	for i := 0; i < len(word); {
		r, size := utf8.DecodeRuneInString(word[i:])
		var id int32
		switch {
		case r == utf8.RuneError && size == 1:
			id = -1 // a byte that is no UTF-8 is no piece
		case b.prefix != "" || b.suffix != "":
			id = b.affixed(word[i:i+size], i == 0, i+size == len(word))
		case r < lowRunes:
			id = b.low[r]
		default:
			id = b.lookup(word[i : i+size])
		}
		at := token{id, int32(i), int32(i + size)}
		i += size
		if id >= 0 {
			if pending.id >= 0 {
				w.out = append(w.out, pending)
				pending.id = -1
			}
			w.out = append(w.out, at)
			continue
		}
		// HF leaves a pending unknown token behind the bytes of the next character.
		if b.byteFallback && b.appendFallback(w, word, at) || b.unk < 0 {
			continue
		}
		if pending.id >= 0 && b.fuseUnk {
			pending.end = at.end
			continue
		}
		if pending.id >= 0 {
			w.out = append(w.out, pending)
		}
		pending = token{b.unk, at.start, at.end}
	}
	if pending.id >= 0 {
		w.out = append(w.out, pending)
	}
}

func (b *bpe) lookup(s string) int32 {
	if id, ok := b.pieces[s]; ok {
		return id
	}
	return -1
}

// affixed looks up a character with the prefix of inner and the suffix of last ones.
func (b *bpe) affixed(char string, first, last bool) int32 {
	if !first {
		char = b.prefix + char
	}
	if last {
		char += b.suffix
	}
	return b.lookup(char)
}

// appendFallback appends a character as byte pieces, if all of them exist.
func (b *bpe) appendFallback(w *mergeState, word string, at token) bool {
	for i := at.start; i < at.end; i++ {
		if b.fallback[word[i]] < 0 {
			return false
		}
	}
	for i := at.start; i < at.end; i++ {
		w.out = append(w.out, token{b.fallback[word[i]], i, i + 1})
	}
	return true
}
