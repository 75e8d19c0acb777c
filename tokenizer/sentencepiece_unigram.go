package tokenizer

import (
	"math"
	"slices"
	"unicode/utf8"
)

// spUnigram is SentencePiece's Unigram (EncodeOptimized): the path with the highest
// sum of scores, summed in float32 from left to right over the whole text; of
// equal paths the one that was found first.
type spUnigram struct {
	trie    dartsTrie // values are ids
	scores  []float32 // by id
	unknown float32   // score of a character that is no piece
}

// spNode is the best path to a byte of the text.
type spNode struct {
	score float32
	start int32 // of the last piece; -1: no path ends here
	id    int32 // of the last piece; -1: an unknown character
}

func newSPUnigram(m *Model) (*spUnigram, error) {
	u := &spUnigram{scores: make([]float32, len(m.Pieces))}
	// SentencePiece begins its search for the highest score with FLT_MIN.
	low, high := float32(math.MaxFloat32), float32(0x1p-126)
	for _, p := range m.Pieces {
		if p.Kind == Text {
			low, high = min(low, float32(p.Score)), max(high, float32(p.Score))
		}
	}
	u.unknown = low - unknownPenalty
	var entries []trieEntry
	for _, p := range m.Pieces {
		switch p.Kind {
		case Text:
			u.scores[p.ID] = float32(p.Score)
		case UserDefined: // always wins
			u.scores[p.ID] = float32(float64(float32(len(p.Text))*high) - 0.1)
		default:
			continue
		}
		entries = append(entries, trieEntry{p.Text, uint32(p.ID)})
	}
	var err error
	u.trie, err = buildDartsTrie(entries, false)
	return u, err
}

// tokens implements spModel.
func (u *spUnigram) tokens(w *spWorker, text string) {
	w.best = grow(w.best, len(text)+1)
	u.search(w.best, text, 0)
	w.tokens = w.tokens[:0]
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
	root := u.trie.root()
	for at := 0; at < len(text); {
		_, size := utf8.DecodeRuneInString(text[at:])
		till := best[at].score
		single := false
		base := root
		for i := at; i < len(text); i++ {
			next, unit, ok := u.trie.step(base, text[i])
			if !ok {
				break
			}
			base = next
			if !unitLeaf(unit) {
				continue
			}
			single = single || i+1-at == size
			id := int32(u.trie.value(base))
			best[i+1].offer(till+u.scores[id], at, id)
		}
		if !single {
			best[at+size].offer(till+u.unknown, at, -1)
		}
		at += size
	}
}

func (n *spNode) offer(score float32, at int, id int32) {
	if n.start < 0 || score > n.score {
		n.score, n.start, n.id = score, int32(at), id
	}
}
