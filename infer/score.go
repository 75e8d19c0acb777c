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
	if order := e.sharing(pieces, ids); order != nil {
		if err := e.scoreShared(ctx, order, ids, scores); err != nil {
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

// sharing returns the pieces in an order in which neighbours share beginnings, if at least
// half of all tokens need not be computed then and a cache for the longest fits; else nil. Only
// whole sequences count.
func (e *Engine) sharing(pieces []piece, ids [][]int32) []piece {
	order := slices.Clone(pieces)
	slices.SortFunc(order, func(a, b piece) int { return slices.Compare(ids[a.seq], ids[b.seq]) })
	all, shared := 0, 0
	for i, p := range order {
		if p.start > 0 || p.end < len(ids[p.seq]) || 4*int64(e.model.Config.CacheFloats(1, p.end)) > e.opts.CacheBytes {
			return nil
		}
		all += p.end
		if i > 0 {
			shared += min(commonPrefix(ids[order[i-1].seq], ids[p.seq]), p.from-1)
		}
	}
	if 2*shared < all {
		return nil
	}
	return order
}

// scoreShared scores whole sequences one after another over a cache that keeps the beginning
// that each shares with the one before it.
func (e *Engine) scoreShared(ctx context.Context, order []piece, ids [][]int32, scores []Score) error {
	capacity := 0
	for _, p := range order {
		capacity = max(capacity, p.end)
	}
	r, d := &e.reading, e.model.Config.HiddenSize
	if err := r.prepare(e.model, 1, capacity, e.opts.CacheBytes); err != nil {
		return err
	}
	for _, p := range order {
		if err := ctx.Err(); err != nil {
			return err
		}
		text := ids[p.seq]
		n := min(commonPrefix(r.known[0], text), p.from-1)
		r.hold(0, 0, n, text)
		for n < p.end-1 { // the last token predicts nothing
			next := min(n+e.opts.BatchTokens, p.end-1)
			h, err := e.model.Extend(r.cache, []model.Span{{Slot: 0, IDs: text[n:next]}})
			if err != nil {
				return err
			}
			r.known[0] = append(r.known[0], text[n:next]...)
			if first := max(n, p.from-1); first < next {
				each := scores[p.seq].Each[first+1-p.from : next+1-p.from]
				if err := e.model.NLL(each, h[(first-n)*d:], text[first+1:next+1]); err != nil {
					return err
				}
			}
			n = next
		}
	}
	return nil
}

// NextLogProbs returns, for each prompt, the log-probability in nats of each of its
// candidates as the next token. Prompts with common beginnings are computed together.
func (e *Engine) NextLogProbs(ctx context.Context, prompts, candidates [][]int32) ([][]float64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(prompts) != len(candidates) {
		return nil, fmt.Errorf("%d prompts, %d lists of candidates", len(prompts), len(candidates))
	}
	capacity, order := 0, make([]int, len(prompts))
	for i, p := range prompts {
		order[i], capacity = i, max(capacity, len(p))
		if len(p) == 0 || len(p) > e.Context() {
			return nil, fmt.Errorf("prompt %d: %d tokens, want 1 to %d (the model's context)", i+1, len(p), e.Context())
		}
		if err := e.checkIDs(slices.Concat(p, candidates[i])); err != nil {
			return nil, fmt.Errorf("prompt %d: %w", i+1, err)
		}
	}
	if len(prompts) == 0 {
		return nil, nil
	}
	if err := e.reading.prepare(e.model, 1, capacity, e.opts.CacheBytes); err != nil {
		return nil, err
	}
	// In order of their ids, neighbours have the longest beginnings in common.
	slices.SortFunc(order, func(a, b int) int { return slices.Compare(prompts[a], prompts[b]) })
	out := make([][]float64, len(prompts))
	logits := make([]float32, e.model.Config.VocabSize)
	for _, i := range order {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := e.read(prompts[i], logits); err != nil {
			return nil, err
		}
		for _, id := range candidates[i] {
			out[i] = append(out[i], logProb(logits, id))
		}
	}
	return out, nil
}

// read makes the reading slot hold ids and fills the logits of the next token.
func (e *Engine) read(ids []int32, logits []float32) error {
	r := &e.reading
	n := min(commonPrefix(r.known[0], ids), len(ids)-1)
	r.hold(0, 0, n, ids)
	d := e.model.Config.HiddenSize
	for n < len(ids) {
		next := min(n+e.opts.BatchTokens, len(ids))
		h, err := e.model.Extend(r.cache, []model.Span{{Slot: 0, IDs: ids[n:next]}})
		if err != nil {
			return err
		}
		r.known[0] = append(r.known[0], ids[n:next]...)
		if n = next; n == len(ids) {
			e.model.Logits(logits, h[len(h)-d:])
		}
	}
	return nil
}
