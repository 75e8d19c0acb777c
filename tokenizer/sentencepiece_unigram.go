package tokenizer

import (
	"math"
	"slices"
	"unicode/utf8"

	"lep/tokenizer/charsmap"
)

// spUnigram is SentencePiece's Unigram (EncodeOptimized): the path with the highest
// sum of scores, summed in float32 from left to right over the whole text; of
// equal paths the one that was found first. When a sum falls below resetScore, it
// becomes 0 and those ahead of it move along (so SentencePiece 0.2.3; found by
// comparison on megabytes of text, where no other threshold gives its pieces).
type spUnigram struct {
	trie    charsmap.Trie // values are ids
	scores  []float32     // by id
	unknown float32       // score of a character that is no piece
	longest int           // bytes in a piece
}

const resetScore = -100000

// spNode is the best path to a byte of the text.
type spNode struct {
	score float32
	start int32 // of the last piece; -1: no path ends here
	id    int32 // of the last piece; -1: an unknown character
	// second is the score of the best other path, -Inf if there is none.
	second float32
}

func newSPUnigram(m *Model) (*spUnigram, error) {
	u := &spUnigram{scores: make([]float32, len(m.Pieces)), longest: utf8.UTFMax}
	// SentencePiece begins its search for the highest score with FLT_MIN.
	low, high := float32(math.MaxFloat32), float32(0x1p-126)
	for _, p := range m.Pieces {
		if p.Kind == Text {
			low, high = min(low, float32(p.Score)), max(high, float32(p.Score))
		}
	}
	u.unknown = low - unknownPenalty
	var entries []charsmap.Entry
	for _, p := range m.Pieces {
		switch p.Kind {
		case Text:
			u.scores[p.ID] = float32(p.Score)
		case UserDefined: // always wins
			u.scores[p.ID] = float32(float64(float32(len(p.Text))*high) - 0.1)
		default:
			continue
		}
		entries = append(entries, charsmap.Entry{Key: p.Text, Value: uint32(p.ID)})
		u.longest = max(u.longest, len(p.Text))
	}
	var err error
	u.trie, err = charsmap.BuildTrie(entries, false)
	return u, err
}

// tokens implements spModel; it takes the text to stand behind a text of w.score.
func (u *spUnigram) tokens(w *spWorker, text string) {
	w.tokens = w.tokens[:0]
	w.before = w.score
	if text == "" {
		return
	}
	w.best = grow(w.best, len(text)+1)
	u.search(w.best, text, w.score)
	w.score = w.best[len(text)].score
	for end := int32(len(text)); end > 0; {
		b := &w.best[end]
		w.tokens = append(w.tokens, token{b.id, b.start, end})
		end = b.start
	}
	slices.Reverse(w.tokens)
}

// search fills best, of len(text)+1, from a path of the given score on.
func (u *spUnigram) search(best []spNode, text string, score float32) {
	for i := range best {
		best[i].start = -1
	}
	best[0].score = score
	root := u.trie.Root()
	for at := 0; at < len(text); {
		_, size := utf8.DecodeRuneInString(text[at:])
		if best[at].score < resetScore {
			reset(best[at:min(len(best), at+u.longest+1)], at == 0)
		}
		till := best[at].score
		single := false
		base := root
		for i := at; i < len(text); i++ {
			next, unit, ok := u.trie.Step(base, text[i])
			if !ok {
				break
			}
			base = next
			if !charsmap.Leaf(unit) {
				continue
			}
			single = single || i+1-at == size
			id := int32(u.trie.Value(base))
			best[i+1].offer(till+u.scores[id], at, id)
		}
		if !single {
			best[at+size].offer(till+u.unknown, at, -1)
		}
		at += size
	}
}

// reset moves the first score to 0 and the others along.
func reset(ahead []spNode, start bool) {
	by := ahead[0].score
	for i := range ahead {
		if ahead[i].start >= 0 || start && i == 0 {
			ahead[i].score -= by
		}
	}
}

func (n *spNode) offer(score float32, at int, id int32) {
	switch {
	case n.start < 0:
		n.score, n.start, n.id, n.second = score, int32(at), id, float32(math.Inf(-1))
	case score > n.score:
		n.second = n.score
		n.score, n.start, n.id = score, int32(at), id
	case score > n.second:
		n.second = score
	}
}

// margin is by how much the closest of the choices on the last path was won.
func (u *spUnigram) margin(w *spWorker) float32 {
	margin := float32(math.MaxFloat32)
	for _, k := range w.tokens {
		b := &w.best[k.end]
		margin = min(margin, b.score-b.second)
	}
	return margin
}

// rounding bounds how far two sums over the same word of size bytes can move against each
// other by rounding, where sums run from one score to another: half a unit in the
// last place an addition on either side, and some for paths that score lower.
func (u *spUnigram) rounding(from, to float32, size int) float32 {
	return float32(size+4) * max(from, -from, to, -to, 64) * 0x1.1p-23
}

// nearReset reports whether some path over a word of size bytes could fall below
// resetScore.
func (u *spUnigram) nearReset(from float32, size int) bool {
	return from+float32(size+4)*(u.unknown-1) < resetScore
}
