package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"unicode/utf8"
)

// unknownPenalty is how much an unknown character costs below the worst piece.
const unknownPenalty = 10

// unigram finds the segmentation with the highest sum of scores (Kudo 2018). Sums
// are taken from left to right and a later path must be better to win: with float64 that is what
// HF's tokenizers does, with float32 what SentencePiece does, and ties differ.
type unigram struct {
	trie         pieceTrie
	scores64     []float64 // by piece in the order of the trie's values
	scores32     []float32
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
	best64 []pathEnd[float64]
	best32 []pathEnd[float32]
	path   []token
}

type pathEnd[F float32 | float64] struct {
	score F
	start int32 // where the last piece begins, or -1 if no path ends here
	piece int32 // index of the last piece, or -1 for an unknown character
}

// newUnigram compiles a Unigram model; pieces that must not be found in text
// (control, unused) are to be left out by the caller, as HF finds them all.
func newUnigram(m *Model, float32Scores bool) (*unigram, error) {
	ids, err := pieceIDs(m)
	if err != nil {
		return nil, err
	}
	return newUnigramOf(m, ids, float32Scores)
}

// newUnigramOf is newUnigram with the ids of the pieces by their spelling, which it
// keeps.
func newUnigramOf(m *Model, ids map[string]int32, float32Scores bool) (*unigram, error) {
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
		if float32Scores {
			u.scores32 = append(u.scores32, float32(p.Score))
		} else {
			u.scores64 = append(u.scores64, p.Score)
		}
	}
	u.unkScore = lowest - unknownPenalty
	if float32Scores {
		u.unkScore = float64(float32(lowest) - unknownPenalty)
	}
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
	l.path = l.path[:0]
	if u.scores32 != nil {
		l.best32 = grow(l.best32, len(word)+1)
		search(u, l.best32, u.scores32, word)
		l.path = backtrack(u, l.path, l.best32, len(word))
	} else {
		l.best64 = grow(l.best64, len(word)+1)
		search(u, l.best64, u.scores64, word)
		l.path = backtrack(u, l.path, l.best64, len(word))
	}
	return l.path
}

// search fills best, of len(word)+1. Each position tries no more pieces than the
// longest has bytes, so time is linear in the word.
func search[F float32 | float64](u *unigram, best []pathEnd[F], scores []F, word string) {
	for i := range best {
		best[i] = pathEnd[F]{start: -1}
	}
	units := u.trie.units
	unk := F(u.unkScore)
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
				*end = pathEnd[F]{score, int32(at), v}
			}
		}
		if !single {
			end := &best[at+size]
			if score := unk + till; end.start < 0 || score > end.score {
				*end = pathEnd[F]{score, int32(at), -1}
			}
		}
		at += size
	}
}

func backtrack[F float32 | float64](u *unigram, path []token, best []pathEnd[F], end int) []token {
	for end > 0 {
		b := best[end]
		id := int32(-1)
		if b.piece >= 0 {
			id = u.ids[b.piece]
		}
		path = append(path, token{id, b.start, int32(end)})
		end = int(b.start)
	}
	for i, j := 0, len(path)-1; i < j; i, j = i+1, j-1 {
		path[i], path[j] = path[j], path[i]
	}
	return path
}
