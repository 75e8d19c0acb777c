package infer

import (
	"context"
	"errors"
	"fmt"
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

	// OnToken, if not nil, is called from Generate's goroutine for each new token with the text
	// that became certain by it, and at the end with ID -1 and the rest of the text, if any. An
	// error from it ends the call.
	OnToken func(Token) error
	// OnResult, if not nil, is called from Generate's goroutine as soon as the request is done,
	// while others may still run. An error from it ends the call.
	OnResult func(Result) error
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

// sequence is a request in work. Whoever holds the engine's lock may change it.
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
	tokens  []Token // not yet given to OnToken
	done    bool
	told    bool // OnResult was called
	err     error
	result  Result
}

// Generate continues prompts, several at a time. Common beginnings of prompts are computed
// once. Results stand in the order of the requests and do not depend on it but for rounding.
// Calls from several goroutines share the work step by step. When ctx ends, Generate returns
// ctx's error.
func (e *Engine) Generate(ctx context.Context, reqs []Request) ([]Result, error) {
	list, err := e.admit(reqs)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	for _, s := range list {
		if !s.done {
			e.waiting = append(e.waiting, s)
		}
	}
	e.mu.Unlock()
	for {
		var tokens [][]Token
		var ended []*sequence
		e.mu.Lock()
		finished := !slices.ContainsFunc(list, func(s *sequence) bool { return !s.done })
		if !finished {
			e.round()
		}
		for _, s := range list {
			tokens = append(tokens, s.tokens)
			s.tokens = nil
			err = errors.Join(err, s.err)
			if s.done && !s.told {
				s.told, ended = true, append(ended, s)
			}
		}
		e.mu.Unlock()
		// Outside the lock: a slow reader holds up nobody else.
		for i, s := range list {
			for _, t := range tokens[i] {
				if s.req.OnToken != nil && err == nil {
					err = s.req.OnToken(t)
				}
			}
		}
		for _, s := range ended {
			if s.req.OnResult != nil && err == nil {
				err = s.req.OnResult(s.result)
			}
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			e.drop(list)
			return nil, err
		}
		if finished {
			break
		}
	}
	results := make([]Result, len(list))
	for i, s := range list {
		results[i] = s.result
	}
	return results, nil
}

// admit checks all requests before any work.
func (e *Engine) admit(reqs []Request) ([]*sequence, error) {
	var list []*sequence
	for i := range reqs {
		s, err := e.admitOne(&reqs[i])
		if err != nil {
			return nil, fmt.Errorf("prompt %d: %w", i+1, err)
		}
		s.index = i
		list = append(list, s)
	}
	return list, nil
}

func (e *Engine) admitOne(r *Request) (*sequence, error) {
	s := &sequence{req: r, sampler: model.NewSampler(r.Sampling, r.Seed), stop: r.StopIDs}
	if err := r.Sampling.Validate(); err != nil {
		return nil, err
	}
	switch {
	case r.IDs != nil:
		s.ids = slices.Clone(r.IDs)
	case e.tok == nil:
		return nil, errNoTokenizer
	default:
		s.ids = e.encode(r.Text, r.AddSpecial)
	}
	s.prompt = len(s.ids)
	switch {
	case s.prompt == 0:
		return nil, hint.Errorf("a model needs at least one token to go on from, <s> for instance", "no tokens")
	case s.prompt >= e.Context():
		return nil, hint.Errorf("cut the prompt", "%d tokens leave no room in the model's context of %d", s.prompt, e.Context())
	case len(r.Stop) > 0 && e.tok == nil:
		return nil, fmt.Errorf("stop strings: %w", errNoTokenizer)
	case slices.Contains(r.Stop, ""):
		return nil, errors.New("a stop string is empty")
	}
	if err := e.checkIDs(s.ids); err != nil {
		return nil, err
	}
	s.result.PromptTokens = s.prompt
	s.max = min(r.MaxNewTokens, e.Context()-s.prompt)
	if !r.IgnoreEOS {
		s.stop = slices.Concat(s.stop, e.gen.EOS)
	}
	if e.tok != nil {
		s.text = newStopText(e.tok, r.Stop)
	}
	if s.max <= 0 {
		s.finish(FinishLength)
	}
	return s, nil
}

// drop takes sequences out of the engine.
func (e *Engine) drop(list []*sequence) {
	e.mu.Lock()
	defer e.mu.Unlock()
	mine := func(s *sequence) bool { return slices.Contains(list, s) }
	e.waiting, e.active = slices.DeleteFunc(e.waiting, mine), slices.DeleteFunc(e.active, mine)
}

// round starts waiting sequences where slots are free and does one step of all that are
// active. Errors are left in the sequences that they concern.
func (e *Engine) round() {
	isDone := func(s *sequence) bool { return s.done }
	e.waiting = slices.DeleteFunc(e.waiting, isDone)
	e.start()
	if err := e.step(); err != nil {
		for _, s := range e.active {
			s.err, s.done = err, true
		}
	}
	e.active = slices.DeleteFunc(e.active, isDone)
}

// start gives free slots to waiting sequences, in their order. One that is longer than the
// cache waits until nothing is active, and then gets a larger one.
func (e *Engine) start() {
	var later []*sequence
	for i, s := range e.waiting {
		if need := s.prompt + s.max; len(e.active) == 0 {
			if err := e.slots.prepare(e.model, e.opts.Slots, need, e.opts.CacheBytes); err != nil {
				s.err, s.done = fmt.Errorf("prompt %d: %w", s.index+1, err), true
				continue
			}
		} else if need > e.slots.cache.Capacity() {
			later = append(later, e.waiting[i:]...)
			break
		}
		if !e.place(s) {
			later = append(later, s)
		}
	}
	e.waiting = later
}

// worthCopying is how many common tokens are worth waiting a step for.
const worthCopying = 8

// place gives a sequence a free slot with as much of its beginning as any slot holds. It
// reports false if none is free, or if a longer beginning is being read right now.
func (e *Engine) place(s *sequence) bool {
	prompt := s.ids[:s.prompt-1] // the last token is fed in any case
	from, common := e.slots.longest(prompt)
	to := -1
	for i, known := range e.slots.known {
		if slices.ContainsFunc(e.active, func(a *sequence) bool { return a.slot == i }) {
			continue
		}
		// The slot that has the beginning already, else the one with the least to lose.
		if to < 0 || i == from || to != from && len(known) < len(e.slots.known[to]) {
			to = i
		}
	}
	if to < 0 {
		return false
	}
	for _, other := range e.active {
		if n := commonPrefix(other.ids, prompt); other.fed < n && n >= common+worthCopying {
			return false
		}
	}
	e.slots.hold(to, from, common, prompt)
	s.slot, s.fed = to, common
	e.active = append(e.active, s)
	return true
}

// step feeds each active sequence its next tokens and, where the prompt is read, takes one.
func (e *Engine) step() error {
	if len(e.active) == 0 {
		return nil
	}
	spans := make([]model.Span, 0, len(e.active))
	room := max(e.opts.BatchTokens-len(e.active), 0)
	for _, s := range e.active {
		n := min(len(s.ids)-s.fed, 1+room)
		room -= n - 1
		spans = append(spans, model.Span{Slot: s.slot, IDs: s.ids[s.fed : s.fed+n]})
	}
	hidden, err := e.model.Extend(e.slots.cache, spans)
	if err != nil {
		return err
	}
	d, v := e.model.Config.HiddenSize, e.model.Config.VocabSize
	at, last := 0, make([]float32, 0, len(e.active)*d)
	var ready []*sequence
	for i, s := range e.active {
		n := len(spans[i].IDs)
		at += n
		e.slots.known[s.slot] = append(e.slots.known[s.slot], spans[i].IDs...)
		if s.fed += n; s.fed == len(s.ids) {
			last = append(last, hidden[(at-1)*d:at*d]...)
			ready = append(ready, s)
		}
	}
	if len(ready) == 0 {
		return nil
	}
	logits := make([]float32, len(ready)*v)
	e.model.Logits(logits, last)
	for i, s := range ready {
		if err := s.take(logits[i*v : (i+1)*v]); err != nil {
			s.err, s.done = fmt.Errorf("prompt %d: %w", s.index+1, err), true
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
		s.result.LogProbs = append(s.result.LogProbs, float64(logProbs[id])-logSumExp(logProbs))
	}
	s.ids = append(s.ids, id)
	token, stopped := Token{ID: id}, slices.Contains(s.stop, id)
	if s.text != nil {
		var byText bool
		token.Text, byText = s.text.add(id)
		stopped = stopped || byText
	}
	s.tokens = append(s.tokens, token)
	if stopped {
		s.finish(FinishStop)
	} else if len(s.ids)-s.prompt >= s.max {
		s.finish(FinishLength)
	}
	return nil
}

// finish ends a sequence.
func (s *sequence) finish(why string) {
	s.done, s.result.Finish, s.result.IDs = true, why, s.ids[s.prompt:]
	if s.text == nil {
		return
	}
	if rest := s.text.finish(); rest != "" {
		s.tokens = append(s.tokens, Token{ID: -1, Text: rest})
	}
	s.result.Text = s.text.text()
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
