package infer

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"lep/internal/hint"
	"lep/model"
)

// Sequence is a text to score. IDs, if not nil, win over Text.
//
// Of IDs, those from From on (at least 1) are scored after what stands before them. Of Text,
// every token is scored, after the special tokens that the tokenizer puts in front; after the
// model's bos, or else eos, token if it puts none.
type Sequence struct {
	Text string
	IDs  []int32
	From int
}

// Score is the result of a sequence.
type Score struct {
	NLL    float64   // sum over the scored tokens, in nats
	Tokens int       // scored tokens
	Bytes  int       // of the text, UTF-8; of the text that IDs decode to; 0 without a tokenizer
	Each   []float64 // by scored token, in nats
}

// BitsPerByte returns nll/ln 2/bytes: the measure that compares models with different
// vocabularies on the same text. It is NaN for no bytes.
func BitsPerByte(nll float64, bytes int) float64 {
	if bytes == 0 {
		return math.NaN()
	}
	return nll / math.Ln2 / float64(bytes)
}

// piece is a window of a sequence: ids[start:end], scored from position from on.
type piece struct {
	seq, start, end, from int
}

// Score scores sequences. They are packed into passes of about Options.BatchTokens tokens
// without seeing each other; longer ones than the window are scored as Options.Window says. An
// id beyond the vocabulary is an error that names the sequence. Where most of the work would be
// beginnings that sequences have in common (answers to one few-shot prompt), these are computed
// once instead.
func (e *Engine) Score(ctx context.Context, list []Sequence) ([]Score, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	scores, ids := make([]Score, len(list)), make([][]int32, len(list))
	var pieces []piece
	for i, s := range list {
		from, err := e.ready(i, s, &ids[i], &scores[i])
		if err != nil {
			return nil, err
		}
		pieces = e.cut(pieces, i, len(ids[i]), from)
		scores[i].Tokens = max(0, len(ids[i])-from)
		scores[i].Each = make([]float64, scores[i].Tokens)
	}
	if list := e.sharing(pieces, ids); list != nil {
		if err := e.scoreShared(ctx, pieces, list, ids, scores); err != nil {
			return nil, err
		}
		pieces = nil
	}
	// Longest first; passes then have little unevenness, and memory is seen at once.
	slices.SortStableFunc(pieces, func(a, b piece) int { return cmp.Compare(b.end-b.start, a.end-a.start) })
	for len(pieces) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, tokens := 0, 0
		for n < len(pieces) && (n == 0 || tokens+pieces[n].end-pieces[n].start <= e.opts.BatchTokens) {
			tokens += pieces[n].end - pieces[n].start
			n++
		}
		if err := e.scorePass(pieces[:n], ids, scores); err != nil {
			return nil, err
		}
		pieces = pieces[n:]
	}
	for i := range scores {
		for _, v := range scores[i].Each {
			scores[i].NLL += v
		}
	}
	return scores, nil
}

// ready encodes and checks a sequence and returns its first scored position.
func (e *Engine) ready(i int, s Sequence, ids *[]int32, score *Score) (from int, err error) {
	*ids, from = s.IDs, max(s.From, 1)
	if s.IDs == nil {
		if e.tok == nil {
			return 0, fmt.Errorf("text %d: %w", i+1, errNoTokenizer)
		}
		front := e.prefix()
		if len(front) == 0 {
			front = slices.Concat(e.gen.BOS, e.gen.EOS)
			front = front[:min(1, len(front))]
		}
		if len(front) == 0 {
			return 0, hint.Errorf("give ids, whose first one is not scored", "text %d: neither tokenizer nor model has a token to put in front", i+1)
		}
		*ids, from, score.Bytes = slices.Concat(front, e.tok.Encode(s.Text)), len(front), len(s.Text)
	} else if e.tok != nil && len(s.IDs) > from {
		score.Bytes = len(e.tok.DecodeSkip(s.IDs)) - len(e.tok.DecodeSkip(s.IDs[:from]))
	}
	if err := e.checkIDs(*ids); err != nil {
		return 0, fmt.Errorf("text %d: %w", i+1, err)
	}
	return from, nil
}

// cut makes the windows of a sequence of n ids.
func (e *Engine) cut(pieces []piece, seq, n, from int) []piece {
	window := e.Context()
	if e.opts.Window > 0 {
		window = min(window, e.opts.Window)
	}
	for start := 0; from < n; start += max(1, window/2) {
		end := min(start+window, n)
		if from < end {
			pieces = append(pieces, piece{seq, start, end, from})
			from = end
		}
	}
	return pieces
}

// scorePass scores pieces in one row, each as a document of its own.
func (e *Engine) scorePass(pieces []piece, ids [][]int32, scores []Score) error {
	b := &model.Batch{B: 1}
	for doc, p := range pieces {
		for at := p.start; at < p.end; at++ {
			label := int32(model.IgnoreLabel)
			if at >= p.from {
				label = ids[p.seq][at]
			}
			b.InputIDs, b.Labels, b.DocIDs = append(b.InputIDs, ids[p.seq][at]), append(b.Labels, label), append(b.DocIDs, int32(doc))
		}
	}
	b.T = len(b.InputIDs)
	nll := make([]float64, b.T)
	if _, _, err := e.model.Score(b, nll); err != nil {
		return err
	}
	at := 0
	for _, p := range pieces {
		first := len(ids[p.seq]) - scores[p.seq].Tokens
		for i := p.from; i < p.end; i++ {
			scores[p.seq].Each[i-first] = nll[at+i-p.start-1]
		}
		at += p.end - p.start
	}
	return nil
}
