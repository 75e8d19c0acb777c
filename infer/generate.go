package infer

import (
	"context"
	"fmt"
	"math"
	"slices"

	"lep/internal/hint"
	"lep/model"
)

// Request is one prompt. IDs, if not nil, win over Text.
type Request struct {
	Text       string
	AddSpecial bool // put the tokenizer's special tokens in front of Text
	IDs        []int32

	MaxNewTokens int
	Sampling     model.Sampling // the zero value is greedy
	Seed         uint64
	IgnoreEOS    bool     // do not stop at the model's end tokens
	StopIDs      []int32  // stop tokens besides these
	Stop         []string // stop at these strings, which are not part of the text; needs a tokenizer
	LogProbs     bool     // fill Result.LogProbs

	// OnToken, if not nil, is called for each new token with the text that became certain by
	// it, and at the end with ID -1 and the rest of the text, if any. An error ends everything.
	OnToken func(Token) error
}

// Token is a new token as it comes.
type Token struct {
	ID   int32
	Text string
}

// Why a generation ended.
const (
	FinishStop   = "stop"   // a stop token or a stop string
	FinishLength = "length" // MaxNewTokens, or the model's context is full
)

// Result is what follows a prompt.
type Result struct {
	IDs          []int32 // the stop token included, as transformers does
	Text         string  // special tokens left out; "" without a tokenizer
	Finish       string
	PromptTokens int
	LogProbs     []float64 // of each new id under the model, before sampling's filters; nats
}

// sequence is a request in work.
type sequence struct {
	index   int // of the request
	req     *Request
	slot    int
	ids     []int32 // prompt and new ids
	prompt  int
	max     int // most new ids
	fed     int // how many of ids are in the cache
	sampler *model.Sampler
	stop    []int32
	text    *stopText
	result  Result
}

// Generate continues prompts, several at a time. Common beginnings of prompts are computed
// once. Results stand in the order of the requests and do not depend on it but for rounding.
// When ctx ends, it returns ctx's error.
func (e *Engine) Generate(ctx context.Context, reqs []Request) ([]Result, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	waiting, capacity, err := e.admit(reqs)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(reqs))
	var active []*sequence
	finish := func(s *sequence) error {
		var err error
		if s.text != nil {
			err = s.text.finish(s.req.OnToken)
			s.result.Text = s.text.text()
		}
		s.result.IDs = s.ids[s.prompt:]
		results[s.index] = s.result
		return err
	}
	waiting = slices.DeleteFunc(waiting, func(s *sequence) bool {
		if s.max > 0 {
			return false
		}
		s.result.Finish = FinishLength
		err = finish(s)
		return true
	})
	if err != nil || len(waiting) == 0 {
		return results, err
	}
	if err := e.prepareCache(min(e.opts.Slots, len(waiting)), capacity); err != nil {
		return nil, err
	}
	for len(waiting)+len(active) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		active, waiting = e.start(active, waiting)
		if err := e.step(active); err != nil {
			return nil, err
		}
		kept := active[:0]
		for _, s := range active {
			switch {
			case s.result.Finish == "":
				kept = append(kept, s)
			default:
				if err := finish(s); err != nil {
					return nil, err
				}
			}
		}
		active = kept
	}
	return results, nil
}

// admit checks all requests before any work. It returns them with the capacity that the
// longest needs.
func (e *Engine) admit(reqs []Request) (list []*sequence, capacity int, err error) {
	for i := range reqs {
		r := &reqs[i]
		s := &sequence{index: i, req: r, ids: r.IDs, sampler: model.NewSampler(r.Sampling, r.Seed)}
		if r.IDs == nil {
			if e.tok == nil {
				return nil, 0, errNoTokenizer(fmt.Sprintf("prompt %d", i+1))
			}
			s.ids = e.encode(r.Text, r.AddSpecial)
		}
		if err := r.Sampling.Validate(); err != nil {
			return nil, 0, fmt.Errorf("prompt %d: %w", i+1, err)
		}
		if len(s.ids) == 0 {
			return nil, 0, hint.Errorf("a model needs at least one token to go on from, <s> for instance", "prompt %d: no tokens", i+1)
		}
		if len(s.ids) >= e.Context() {
			return nil, 0, hint.Errorf("cut the prompt", "prompt %d: %d tokens leave no room in the model's context of %d", i+1, len(s.ids), e.Context())
		}
		if len(r.Stop) > 0 && e.tok == nil {
			return nil, 0, errNoTokenizer(fmt.Sprintf("prompt %d: stop strings", i+1))
		}
		if slices.Contains(r.Stop, "") {
			return nil, 0, fmt.Errorf("prompt %d: a stop string is empty", i+1)
		}
		for at, id := range s.ids {
			if id < 0 || int(id) >= e.model.Config.VocabSize {
				return nil, 0, fmt.Errorf("prompt %d: token %d: id is %d, want 0 to %d (vocab_size %d)", i+1, at, id, e.model.Config.VocabSize-1, e.model.Config.VocabSize)
			}
		}
		s.ids, s.prompt = slices.Clone(s.ids), len(s.ids)
		s.result.PromptTokens = s.prompt
		s.max = min(r.MaxNewTokens, e.Context()-s.prompt)
		s.stop = r.StopIDs
		if !r.IgnoreEOS {
			s.stop = slices.Concat(s.stop, e.gen.EOS)
		}
		if e.tok != nil {
			s.text = newStopText(e.tok, r.Stop)
		}
		capacity = max(capacity, s.prompt+s.max)
		list = append(list, s)
	}
	return list, capacity, nil
}

// prepareCache makes a cache for sequences of capacity tokens, of as many slots as fit, or
// keeps the one that is there, with what it holds.
func (e *Engine) prepareCache(slots, capacity int) error {
	perSlot := int64(e.model.Config.CacheFloats(1, capacity)) * 4
	if fit := e.opts.CacheBytes / perSlot; int64(slots) > fit {
		if fit == 0 {
			return hint.Errorf("ask for fewer new tokens, shorten the prompt or raise cache_bytes",
				"keys and values of %d tokens take %d MiB, cache_bytes allows %d", capacity, perSlot>>20, e.opts.CacheBytes>>20)
		}
		slots = int(fit)
	}
	if e.cache != nil && e.cache.Slots() >= slots && e.cache.Capacity() >= capacity {
		return nil
	}
	// Some room, so that a chat does not make a new cache at each turn.
	capacity = min(max(capacity+capacity/2, 256), e.Context())
	for int64(slots)*int64(e.model.Config.CacheFloats(1, capacity))*4 > e.opts.CacheBytes && slots > 1 {
		slots--
	}
	e.cache = nil
	cache, err := e.model.NewCache(slots, capacity)
	if err != nil {
		return err
	}
	e.cache, e.known = cache, make([][]int32, slots)
	return nil
}

// start gives free slots to waiting sequences. A sequence that begins as one that is being
// read now waits for it, to copy its beginning.
func (e *Engine) start(active, waiting []*sequence) (nowActive, stillWaiting []*sequence) {
	free := make([]bool, e.cache.Slots())
	for i := range free {
		free[i] = !slices.ContainsFunc(active, func(s *sequence) bool { return s.slot == i })
	}
	for _, s := range waiting {
		slot := e.slotFor(s, free, active)
		if slot < 0 {
			stillWaiting = append(stillWaiting, s)
			continue
		}
		s.slot, free[slot] = slot, false
		active = append(active, s)
	}
	return active, stillWaiting
}

// worthCopying is how many common tokens are worth waiting a step for.
const worthCopying = 8

// slotFor returns a free slot for a sequence, holding as much of its beginning as any slot
// knows, or -1.
func (e *Engine) slotFor(s *sequence, free []bool, active []*sequence) int {
	to, from, common := -1, -1, 0
	for i, known := range e.known {
		n := commonPrefix(known, s.ids[:s.prompt-1]) // the last token is fed in any case
		if n > common {
			from, common = i, n
		}
		// The free slot whose content is least worth keeping, or has the beginning already.
		if free[i] && (to < 0 || from == i || len(known) < len(e.known[to]) && to != from) {
			to = i
		}
	}
	if to < 0 {
		return -1
	}
	for _, other := range active {
		if n := commonPrefix(other.ids, s.ids[:s.prompt-1]); other.fed < n && n >= common+worthCopying {
			return -1
		}
	}
	if from >= 0 && from != to {
		e.cache.Copy(to, from, common)
	} else {
		e.cache.Truncate(to, common)
	}
	e.known[to] = append(e.known[to][:0], s.ids[:common]...)
	s.fed = common
	return to
}

func commonPrefix(a, b []int32) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// step feeds each active sequence its next tokens and, where the prompt is read, takes one.
func (e *Engine) step(active []*sequence) error {
	spans := make([]model.Span, 0, len(active))
	room := max(e.opts.BatchTokens-len(active), 0)
	for _, s := range active {
		n := min(len(s.ids)-s.fed, 1+room)
		room -= n - 1
		spans = append(spans, model.Span{Slot: s.slot, IDs: s.ids[s.fed : s.fed+n]})
	}
	hidden, err := e.model.Extend(e.cache, spans)
	if err != nil {
		return err
	}
	d, v := e.model.Config.HiddenSize, e.model.Config.VocabSize
	at, last := 0, make([]float32, 0, len(active)*d)
	var ready []*sequence
	for i, s := range active {
		n := len(spans[i].IDs)
		at += n
		e.known[s.slot] = append(e.known[s.slot], spans[i].IDs...)
		if s.fed += n; s.fed == len(s.ids) {
			last = append(last, hidden[(at-1)*d:at*d]...)
			ready = append(ready, s)
		}
	}
	logits := make([]float32, len(ready)*v)
	e.model.Logits(logits, last)
	for i, s := range ready {
		if err := s.take(logits[i*v : (i+1)*v]); err != nil {
			return fmt.Errorf("prompt %d: %w", s.index+1, err)
		}
	}
	return nil
}

// take chooses the next token and sees whether it is the last.
func (s *sequence) take(logits []float32) error {
	var logProbs []float32
	if s.req.LogProbs {
		logProbs = slices.Clone(logits)
	}
	id, err := s.sampler.Next(logits, s.ids)
	if err != nil {
		return err
	}
	if logProbs != nil {
		s.result.LogProbs = append(s.result.LogProbs, logProb(logProbs, id))
	}
	s.ids = append(s.ids, id)
	if slices.Contains(s.stop, id) {
		s.result.Finish = FinishStop
	} else if len(s.ids)-s.prompt >= s.max {
		s.result.Finish = FinishLength
	}
	token := Token{ID: id}
	if s.text != nil {
		var stopped bool
		if token.Text, stopped = s.text.add(id); stopped {
			s.result.Finish = FinishStop
		}
	}
	if s.req.OnToken != nil {
		return s.req.OnToken(token)
	}
	return nil
}

// logProb returns log softmax(logits)[id] in float64.
func logProb(logits []float32, id int32) float64 {
	top := float64(slices.Max(logits))
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - top)
	}
	return float64(logits[id]) - top - math.Log(sum)
}

// encode turns a prompt's text into ids.
func (e *Engine) encode(text string, special bool) []int32 {
	if !special {
		return e.tok.Encode(text)
	}
	return slices.Concat(e.prefix(), e.tok.Encode(text))
}

// prefix returns the special tokens that the tokenizer puts in front of a text.
func (e *Engine) prefix() []int32 {
	const probe = "a"
	with, without := e.tok.EncodeSpecial(probe), e.tok.Encode(probe)
	for n := range with {
		if n+len(without) <= len(with) && slices.Equal(with[n:n+len(without)], without) {
			return with[:n]
		}
	}
	return nil
}
