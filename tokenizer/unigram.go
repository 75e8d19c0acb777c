package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"unicode/utf8"
)

// unknownPenalty is how much an unknown character costs below the worst piece.
const unknownPenalty = 10

// unigram finds the segmentation with the highest sum of scores (Kudo 2018). Sums
// are taken in float64 from left to right and a later path must be better to win, as HF's
// tokenizers does; SentencePiece sums in float32 and breaks ties in other ways ([spUnigram]).
type unigram struct {
	trie         pieceTrie
	scores       []float64 // by piece in the order of the trie's values
	ids          []int32
	unk          int32
	unkScore     float64
	byteFallback bool
	fuseUnk      bool
	fallback     [256]int32
	pieces       map[string]int32
	pool         sync.Pool // of *lattice
}

// lattice is the working memory of one word: the best path to each byte.
type lattice struct {
	best []pathEnd
	path []token
}

type pathEnd struct {
	score float64
	start int32 // where the last piece begins, or -1 if no path ends here
	piece int32 // index of the last piece, or -1 for an unknown character
}

// newUnigram compiles a Unigram model. ids are those of the pieces by their spelling, and are
// kept. Pieces that must not be found in text (control, unused) are to be left out by the
// caller, as HF finds them all.
func newUnigram(m *Model, ids map[string]int32) (*unigram, error) {
	u := &unigram{unk: m.UnkID, byteFallback: m.ByteFallback, fuseUnk: m.FuseUnk, pieces: ids}
	u.pool.New = func() any { return new(lattice) }
	if len(m.Pieces) == 0 {
		return nil, errors.New("model: no pieces")
	}
	lowest := math.Inf(1)
	var keys []string
	var values []int32
	for _, p := range m.Pieces {
		if math.IsNaN(p.Score) || math.IsInf(p.Score, 0) {
			return nil, fmt.Errorf("model: piece %q: score %g is not finite", p.Text, p.Score)
		}
		lowest = min(lowest, p.Score)
		if p.Text == "" {
			continue
		}
		keys = append(keys, p.Text)
		values = append(values, int32(len(u.ids)))
		u.ids = append(u.ids, p.ID)
		u.scores = append(u.scores, p.Score)
	}
	u.unkScore = lowest - unknownPenalty
	u.trie = newPieceTrie(keys, values)
	for i := range 256 {
		u.fallback[i] = -1
		if id, ok := ids[fmt.Sprintf("<0x%02X>", i)]; ok {
			u.fallback[i] = id
		}
	}
	return u, nil
}

// tokenize implements model with HF's rules: a run of unknown characters is one
// token, or bytes, each of which stands for the whole run. Text is never given as raw bytes.
func (u *unigram) tokenize(dst []token, word string, _ bool) []token {
	l := u.pool.Get().(*lattice)
	path := u.viterbi(l, word)
	for i := 0; i < len(path); i++ {
		k := path[i]
		if k.id >= 0 && (k.id != u.unk || !u.fuseUnk) {
			dst = append(dst, k)
			continue
		}
		for u.fuseUnk && i+1 < len(path) && (path[i+1].id < 0 || path[i+1].id == u.unk) {
			i++
			k.end = path[i].end
		}
		dst = u.appendUnknown(dst, word, k)
	}
	u.pool.Put(l)
	return dst
}

func (u *unigram) appendUnknown(dst []token, word string, k token) []token {
	run := word[k.start:k.end]
	if id, ok := u.pieces[run]; ok {
		return append(dst, token{id, k.start, k.end})
	}
	bytes := u.byteFallback
	for i := 0; i < len(run) && bytes; i++ {
		bytes = u.fallback[run[i]] >= 0
	}
	if bytes {
		for i := range len(run) {
			dst = append(dst, token{u.fallback[run[i]], k.start, k.end})
		}
		return dst
	}
	if u.unk < 0 {
		return dst // HF stops with an error here; the characters are left out
	}
	return append(dst, token{u.unk, k.start, k.end})
}

// viterbi returns the best path through word: tokens in order, an unknown character
// as one with id -1. The result is valid until l is used again.
func (u *unigram) viterbi(l *lattice, word string) []token {
	l.best = grow(l.best, len(word)+1)
	u.search(l.best, word)
	l.path = u.backtrack(l.path[:0], l.best, len(word))
	return l.path
}

// search fills best, of len(word)+1. Each position tries no more pieces than the
// longest has bytes, so time is linear in the word.
func (u *unigram) search(best []pathEnd, word string) {
	for i := range best {
		best[i] = pathEnd{start: -1}
	}
	units, scores := u.trie.units, u.scores
	for at := 0; at < len(word); {
		_, size := utf8.DecodeRuneInString(word[at:])
		till := best[at].score
		single := false
		node := int32(0)
		for i := at; i < len(word); i++ {
			next := units[node].base + int32(word[i])
			if next == 0 || units[next].parent != node {
				break
			}
			node = next
			v := units[node].value
			if v < 0 {
				continue
			}
			if i+1-at == size {
				single = true
			}
			end := &best[i+1]
			if score := scores[v] + till; end.start < 0 || score > end.score {
				*end = pathEnd{score, int32(at), v}
			}
		}
		if !single {
			end := &best[at+size]
			if score := u.unkScore + till; end.start < 0 || score > end.score {
				*end = pathEnd{score, int32(at), -1}
			}
		}
		at += size
	}
}

// backtrack appends the best path to the end of a word, first token first, to an empty path.
func (u *unigram) backtrack(path []token, best []pathEnd, end int) []token {
	for end > 0 {
		b := best[end]
		id := int32(-1)
		if b.piece >= 0 {
			id = u.ids[b.piece]
		}
		path = append(path, token{id, b.start, int32(end)})
		end = int(b.start)
	}
	slices.Reverse(path)
	return path
}
