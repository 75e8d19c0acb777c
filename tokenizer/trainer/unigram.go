package trainer

import (
	"context"
	"math"
	"slices"
)

// trainUnigram learns the pieces of a Unigram model (Kudo 2018, §3.2): from a
// large set of seeds, expectation and maximization in turn with the removal of the
// pieces whose loss costs the corpus the least likelihood, until few enough are
// left. It returns at most room pieces by falling score.
func trainUnigram(ctx context.Context, c *sentences, opts SentencePieceOptions, room int) ([]piece, error) {
	u := newUnigram(c, opts)
	wanted := int(float64(opts.VocabSize) * 1.1)
	for {
		for range opts.NumSubIterations {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			u.maximize(u.expect())
			report(opts.Progress, Progress{"em", int64(len(u.pieces)), int64(wanted)})
		}
		before := len(u.pieces)
		u.prune(max(wanted, int(opts.ShrinkingFactor*float64(before))))
		if len(u.pieces) <= wanted || len(u.pieces) == before {
			return u.finish(room), nil
		}
	}
}

// unigram is the state of a training: the pieces and where in the corpus each of
// them matches.
type unigram struct {
	c      *sentences
	opts   SentencePieceOptions
	pieces []unigramPiece
	unk    float64 // score of a character without a piece
	// charPiece is the piece of each symbol, -1 if it has none.
	charPiece []int32
	// chunks are the corpus cut into parts, each with the matches of the pieces of
	// two characters and more.
	chunks []chunk
}

// unigramPiece is a piece while its score is learned.
type unigramPiece struct {
	prob  float64 // e^score
	score float32 // natural logarithm of the probability
	chars int32
	at    int32 // a place in the text where it stands
}

// newUnigram finds the seeds and their matches. The first pieces are all single
// characters by falling count, then come the seeds by falling score; the score
// becomes the first probability.
func newUnigram(c *sentences, opts SentencePieceOptions) *unigram {
	u := &unigram{c: c, opts: opts}
	report(opts.Progress, Progress{"seed", 0, int64(opts.SeedSize)})
	seeds, sa := findSeeds(c, opts)

	count := make([]int64, c.unkSymbol+1)
	place := make([]int32, c.unkSymbol+1)
	for _, w := range c.units {
		for i := w.start; i < w.start+w.len; i++ {
			count[c.text[i]] += w.count
			place[c.text[i]] = i
		}
	}
	symbols := make([]int32, 0, len(c.chars))
	for k := range c.chars[1:] {
		if count[k+1] > 0 { // a required character may not occur
			symbols = append(symbols, int32(k+1))
		}
	}
	slices.SortStableFunc(symbols, func(a, b int32) int {
		switch {
		case count[a] > count[b]:
			return -1
		case count[a] < count[b]:
			return 1
		}
		return int(a - b)
	})
	u.charPiece = make([]int32, c.unkSymbol+1)
	for k := range u.charPiece {
		u.charPiece[k] = -1
	}
	u.pieces = make([]unigramPiece, 0, len(symbols)+len(seeds))
	sum := 0.0
	for _, k := range symbols {
		u.charPiece[k] = int32(len(u.pieces))
		u.pieces = append(u.pieces, unigramPiece{prob: float64(count[k]), chars: 1, at: place[k]})
		sum += float64(count[k])
	}
	for _, s := range seeds {
		u.pieces = append(u.pieces, unigramPiece{prob: float64(s.score), chars: s.chars, at: sa[s.first]})
		sum += float64(s.score)
	}
	u.match(seeds, sa, int32(len(symbols)))
	logSum := math.Log(sum)
	for i := range u.pieces {
		u.pieces[i].score = float32(math.Log(u.pieces[i].prob) - logSum)
	}
	u.rescore()
	return u
}

// rescore brings probabilities and the unknown score in line with the scores.
func (u *unigram) rescore() {
	lowest := float32(math.MaxFloat32)
	for i := range u.pieces {
		p := &u.pieces[i]
		p.prob = math.Exp(float64(p.score))
		lowest = min(lowest, p.score)
	}
	u.unk = float64(lowest) - 10
}

// maximize sets the scores from the expected counts: the Bayesian form of the
// maximization step with a sparse prior (Liang & Klein 2007), and without the
// pieces that are expected less than half a time.
func (u *unigram) maximize(expected []float64) {
	const least = 0.5
	sum := 0.0
	for _, n := range expected {
		if n >= least {
			sum += n
		}
	}
	logSum := digamma(sum)
	for i, n := range expected {
		if n >= least {
			u.pieces[i].score = float32(digamma(n) - logSum)
		}
	}
	u.keep(func(i int) bool { return expected[i] >= least })
}

// digamma is the logarithmic derivative of the gamma function: the recurrence up
// to 7 and then the asymptotic series around x - 1/2.
func digamma(x float64) float64 {
	result := 0.0
	for ; x < 7; x++ {
		result -= 1 / x
	}
	x -= 0.5
	xx := 1 / (x * x)
	return result + math.Log(x) + xx*(1.0/24-xx*(7.0/960-xx*(31.0/8064-xx*(127.0/30720))))
}

// keep removes the pieces that want refuses, and renumbers.
func (u *unigram) keep(want func(i int) bool) {
	number := make([]int32, len(u.pieces))
	n := int32(0)
	for i := range u.pieces {
		number[i] = -1
		if want(i) {
			number[i] = n
			u.pieces[n] = u.pieces[i]
			n++
		}
	}
	u.pieces = u.pieces[:n]
	for k, p := range u.charPiece {
		if p >= 0 {
			u.charPiece[k] = number[p]
		}
	}
	u.renumber(number)
	u.rescore()
}

// finish returns the result: all required characters, those that have lost their
// piece at the lowest scores, and the best other pieces.
func (u *unigram) finish(room int) []piece {
	text := func(p *unigramPiece) string {
		return string(u.c.runes(nil, u.c.text[p.at:p.at+p.chars]))
	}
	lowest := float32(u.unk + 10)
	var result []piece
	penalty := float32(0)
	for _, r := range u.c.required {
		k, _ := slices.BinarySearch(u.c.chars[1:], r.char)
		if p := u.charPiece[k+1]; p >= 0 {
			result = append(result, piece{string(r.char), u.pieces[p].score})
			continue
		}
		// Distinct scores; the more frequent characters get the lower penalty.
		result = append(result, piece{string(r.char), lowest + penalty})
		penalty += 0.0001
	}
	var others []piece
	for i := range u.pieces {
		if p := &u.pieces[i]; p.chars > 1 {
			others = append(others, piece{text(p), p.score})
		}
	}
	slices.SortFunc(others, pieceOrder)
	result = append(result, others[:min(len(others), max(room-len(result), 0))]...)
	slices.SortFunc(result, pieceOrder)
	return result
}
