package trainer

import (
	"context"
	"slices"
	"strings"
)

// trainPieceBPE learns the merges of a SentencePiece BPE model. The next merge is
// the pair with the highest count, among equals that with fewer characters, then
// the first in the order of texts. A pair whose text is a piece already is passed
// over for good, not merged; so each text has one way to be built. It returns the
// merged pieces with scores 0, -1, -2, … and then the characters by falling count.
func trainPieceBPE(ctx context.Context, c *sentences, opts SentencePieceOptions, room int) ([]piece, error) {
	t := &pieceBPE{valid: validator{opts: opts, script: map[rune]int16{}}}
	for _, r := range c.chars {
		t.texts = append(t.texts, string(r))
		t.sizes = append(t.sizes, 1)
	}
	t.texts = append(t.texts, string(reserved)) // c.unkSymbol
	t.sizes = append(t.sizes, 1)
	t.unk = c.unkSymbol
	t.m.allow = t.allow
	for i := 0; i < len(c.units); {
		word, count := c.word(i), int64(0)
		for ; i < len(c.units) && slices.Equal(c.word(i), word); i++ {
			count += c.units[i].count // the same word before another character
		}
		if err := t.m.addWord(word, count); err != nil {
			return nil, err
		}
	}
	t.m.begin(t.key, t.less)

	var learned []piece
	wanted := room - len(c.required)
	taken := map[string]bool{}
	for len(learned) < wanted {
		next, ok := t.m.next()
		if !ok {
			break
		}
		left, right := next.pair.split()
		text := t.texts[left] + t.texts[right]
		if taken[text] {
			continue
		}
		taken[text] = true
		learned = append(learned, piece{text, -float32(len(learned))})
		id := int32(len(t.texts))
		t.texts = append(t.texts, text)
		t.sizes = append(t.sizes, t.sizes[left]+t.sizes[right])
		t.m.merge(next, id)
		if len(learned)%256 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			report(opts.Progress, Progress{"merge", int64(len(learned)), int64(wanted)})
		}
	}
	for _, r := range c.required {
		learned = append(learned, piece{string(r.char), -float32(len(learned))})
	}
	return learned, nil
}

// pieceBPE holds one training.
type pieceBPE struct {
	valid   validator
	texts   []string // by symbol
	sizes   []int32  // characters
	unk     int32
	m       merger
	scratch []rune
}

func (t *pieceBPE) allow(p pair) bool {
	left, right := p.split()
	if left == t.unk || right == t.unk || int(t.sizes[left]+t.sizes[right]) > t.valid.opts.MaxPieceLength {
		return false
	}
	t.scratch = t.scratch[:0]
	for _, s := range [2]int32{left, right} {
		for _, r := range t.texts[s] {
			t.scratch = append(t.scratch, r)
		}
	}
	return t.valid.valid(t.scratch)
}

// key orders pairs by the number of characters and their first six bytes.
func (t *pieceBPE) key(p pair) uint64 {
	left, right := p.split()
	key := uint64(t.sizes[left] + t.sizes[right])
	n := 0
	for _, s := range [2]int32{left, right} {
		text := t.texts[s]
		for i := 0; i < len(text) && n < 6; i++ {
			key = key<<8 | uint64(text[i])
			n++
		}
	}
	return key << (8 * (6 - n))
}

// less orders pairs of equal key by their whole text.
func (t *pieceBPE) less(a, b pair) bool {
	aLeft, aRight := a.split()
	bLeft, bRight := b.split()
	x, y := t.texts[aLeft], t.texts[bLeft]
	n := min(len(x), len(y))
	if c := strings.Compare(x[:n], y[:n]); c != 0 {
		return c < 0
	}
	if len(x) > n {
		return compareJoined(x[n:], t.texts[aRight], t.texts[bRight]) < 0
	}
	return compareJoined(y[n:], t.texts[bRight], t.texts[aRight]) > 0
}

// compareJoined compares x+y with z.
func compareJoined(x, y, z string) int {
	n := min(len(x), len(z))
	if c := strings.Compare(x[:n], z[:n]); c != 0 {
		return c
	}
	if len(x) > n {
		return 1
	}
	return strings.Compare(y, z[n:])
}
