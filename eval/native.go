package eval

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"lep/chat"
	"lep/infer"
	"lep/internal/hint"
	"lep/tokenizer"
)

// Native asks a model of our own engine.
type Native struct {
	engine   *infer.Engine
	tok      *tokenizer.Tokenizer
	renderer *Renderer
	stop     []string
	stopIDs  []int32
	about    Description
}

// NativeOptions say how a model of our engine is asked.
type NativeOptions struct {
	Name, Digest   string
	NoChatTemplate bool
	System         string
}

// NewNative returns a Model over an engine, which needs a tokenizer.
func NewNative(e *infer.Engine, o NativeOptions) (*Native, error) {
	tok := e.Tokenizer()
	if tok == nil {
		return nil, hint.Errorf("put a tokenizer.json into the model folder", "%s: no tokenizer, which evaluation needs", o.Name)
	}
	r, err := NewRenderer(tok, o.NoChatTemplate, o.System)
	if err != nil {
		return nil, err
	}
	n := &Native{engine: e, tok: tok, renderer: r,
		about: Description{Name: o.Name, Digest: o.Digest, Context: e.Context(), Chat: !r.Plain()}}
	stops, err := r.Stop()
	if err != nil {
		return nil, err
	}
	for _, s := range stops {
		if ids := tok.Encode(s); !r.Plain() && len(ids) > 0 && tok.Kind(ids[0]) == tokenizer.Special {
			n.stopIDs = append(n.stopIDs, ids[0]) // special tokens leave no text to find
		} else {
			n.stop = append(n.stop, s)
		}
	}
	if id, ok := tok.ID(tok.Config().EOS); ok {
		n.stopIDs = append(n.stopIDs, id)
	}
	return n, nil
}

// Describe implements Model.
func (n *Native) Describe() Description { return n.about }

// Supports implements Model: the engine can do everything.
func (n *Native) Supports(Task) error { return nil }

// PromptTokens implements Model.
func (n *Native) PromptTokens(messages []chat.Message) (int, error) {
	text, err := n.renderer.Render(messages)
	if err != nil {
		return 0, err
	}
	return len(n.tok.Encode(text)), nil
}

// Answer implements Model.
func (n *Native) Answer(ctx context.Context, t Task, requests []Request, keep func(int, Answer) error) error {
	prompts := make([]string, len(requests))
	for i, r := range requests {
		text, err := n.renderer.Render(r.Messages)
		if err != nil {
			return err
		}
		prompts[i] = text
	}
	whole := func(i int, a Answer) error {
		a.Prompt = prompts[i]
		if ref := requests[i].Reference; ref != "" {
			a.ReferenceTokens = min(referenceTokens(n.tok, ref), t.MaxNewTokens)
		}
		return keep(i, a)
	}
	switch t.Method {
	case Generate:
		return n.generate(ctx, t, prompts, whole)
	case Choice:
		return n.choose(ctx, requests, prompts, whole)
	case LogProb:
		return n.logProbs(ctx, requests, prompts, whole)
	}
	return fmt.Errorf("%s: unknown method %q", t.Name, t.Method)
}

// tail drops tokens on the left that the context has no room for.
func tail(ids []int32, room int) []int32 { return ids[max(0, len(ids)-max(1, room)):] }

func (n *Native) generate(ctx context.Context, t Task, prompts []string, keep func(int, Answer) error) error {
	list := make([]infer.Request, len(prompts))
	// A prompt is cut where it would leave the answer less than half of the context.
	room := n.engine.Context() - min(t.MaxNewTokens, n.engine.Context()/2)
	last := time.Now()
	for i, p := range prompts {
		q := infer.Request{IDs: tail(n.tok.Encode(p), room), MaxNewTokens: t.MaxNewTokens, Stop: slices.Concat(n.stop, t.Stop), StopIDs: n.stopIDs, Seed: seedOf(t.seed, p)}
		g := t.sampling
		q.Sampling.Temperature, q.Sampling.TopK, q.Sampling.TopP, q.Sampling.MinP, q.Sampling.RepetitionPenalty = g.Temperature, g.TopK, g.TopP, g.MinP, g.RepetitionPenalty
		q.OnResult = func(r infer.Result) error {
			now := time.Now() // answers overlap: the time since the last one is this one's share
			a := Answer{Text: strings.ToValidUTF8(r.Text, "\ufffd"), Tokens: n.answerTokens(r), PromptTokens: r.PromptTokens, Seconds: now.Sub(last).Seconds()}
			last = now
			return keep(i, a)
		}
		list[i] = q
	}
	_, err := n.engine.Generate(ctx, list)
	return err
}

// seedOf makes a prompt's sampling depend on seed and prompt alone, not on what else is asked.
func seedOf(seed int64, prompt string) uint64 { return generator(seed, prompt).Uint64() }

// answerTokens counts the tokens of an answer up to where its text was cut, without the end token.
func (n *Native) answerTokens(r infer.Result) int {
	ids := r.IDs
	if r.Finish != infer.FinishStop || len(ids) == 0 {
		return len(ids)
	}
	last := ids[len(ids)-1]
	if slices.Contains(n.stopIDs, last) || slices.Contains(n.engine.Generation().EOS, last) {
		return len(ids) - 1
	}
	for len(ids) > 0 && len(n.tok.DecodeSkip(ids[:len(ids)-1])) >= len(r.Text) {
		ids = ids[:len(ids)-1]
	}
	return len(ids)
}

// choose multiplies the probabilities of the tokens that tell the choices apart.
func (n *Native) choose(ctx context.Context, requests []Request, prompts []string, keep func(int, Answer) error) error {
	type factor struct{ choice, candidate int }
	type step struct { // a prompt that is asked for its next token
		request int
		factors []factor
	}
	answers, open := make([]Answer, len(requests)), make([]int, len(requests)) // open: steps left
	var ids, candidates [][]int32
	var steps []step
	for i, r := range requests {
		if len(r.Choices) == 0 {
			return fmt.Errorf("request %d: no choices", i)
		}
		shared, score := choiceTokens(n.tok, prompts[i], r.Choices)
		answers[i] = Answer{PromptTokens: len(shared), Probs: make([]float64, len(r.Choices))}
		at := map[string]int{} // tokens behind the prompt → its step
		for c, tokens := range score {
			answers[i].Probs[c] = 1
			for j, id := range tokens {
				key := string(mustJSON(tokens[:j]))
				p, known := at[key]
				if !known {
					p = len(ids)
					at[key] = p
					ids = append(ids, tail(slices.Concat(shared, tokens[:j]), n.engine.Context()))
					candidates, steps = append(candidates, nil), append(steps, step{request: i})
					open[i]++
				}
				steps[p].factors = append(steps[p].factors, factor{c, len(candidates[p])})
				candidates[p] = append(candidates[p], id)
			}
		}
	}
	_, err := n.engine.NextLogProbs(ctx, ids, candidates, func(p int, logProbs []float64) error {
		i := steps[p].request
		for _, f := range steps[p].factors {
			answers[i].Probs[f.choice] *= math.Exp(logProbs[f.candidate])
		}
		if open[i]--; open[i] > 0 {
			return nil
		}
		return keep(i, answers[i])
	})
	return err
}

// logProbs scores the tokens of the last message, from the one that holds its first character on.
func (n *Native) logProbs(ctx context.Context, requests []Request, prompts []string, keep func(int, Answer) error) error {
	answers := make([]Answer, len(requests))
	list := make([]infer.Sequence, len(requests))
	for i, r := range requests {
		content := r.Messages[len(r.Messages)-1].Content
		start, ok := contentStart(prompts[i], content)
		if !ok {
			return fmt.Errorf("request %d: the chat template does not write the last message at the end of the prompt", i)
		}
		at := utf8.RuneCountInString(prompts[i][:start])
		enc := n.tok.EncodeOptions(prompts[i], tokenizer.EncodeOptions{Offsets: true})
		first := slices.IndexFunc(enc.Offsets, func(o [2]int) bool { return o[1] > at })
		if first < 0 {
			return fmt.Errorf("request %d: the last message has no tokens", i)
		}
		ids := tail(enc.IDs, n.engine.Context())
		first = max(0, first-(len(enc.IDs)-len(ids)))
		if first == 0 {
			answers[i].LogProbs = []float64{0} // nothing stands before the very first token
		}
		list[i] = infer.Sequence{IDs: ids, From: max(1, first)}
		answers[i].PromptTokens = len(ids)
	}
	// Sequences of one document stand together and share its tokens; in parts, so that little is lost when a run is stopped.
	for from := 0; from < len(list); from += scoredTogether {
		to := min(from+scoredTogether, len(list))
		scores, err := n.engine.Score(ctx, list[from:to])
		if err != nil {
			return err
		}
		for i, s := range scores {
			a := answers[from+i]
			for _, nll := range s.Each {
				a.LogProbs = append(a.LogProbs, -nll)
			}
			if err := keep(from+i, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// scoredTogether is how many sequences are scored in one call.
const scoredTogether = 32

// referenceTokens counts the tokens of a text behind a blank, which tokenizers that put one
// before everything add themselves.
func referenceTokens(tok *tokenizer.Tokenizer, text string) int {
	probe := tok.Encode("1")
	if adds := len(probe) > 1 || len(probe) == 1 && utf8.RuneCountInString(tok.Token(probe[0])) > 1; !adds {
		text = " " + text
	}
	return len(tok.Encode(text))
}

// AnswerLogProbs returns, for each request, the log-probabilities of the tokens of its Answer
// behind the prompt: those whose span begins at the prompt's end or later. Where the prompt's last
// blank and the answer's first letters are one token, it does not count.
func (n *Native) AnswerLogProbs(ctx context.Context, requests []Request) ([][]float64, error) {
	list := make([]infer.Sequence, len(requests))
	for i, r := range requests {
		prompt, err := n.renderer.Render(r.Messages)
		if err != nil {
			return nil, err
		}
		enc := n.tok.EncodeOptions(prompt+r.Answer, tokenizer.EncodeOptions{Offsets: true})
		end := utf8.RuneCountInString(prompt)
		first := slices.IndexFunc(enc.Offsets, func(o [2]int) bool { return o[0] >= end })
		if first < 0 {
			first = len(enc.IDs)
		}
		ids := tail(enc.IDs, n.engine.Context())
		list[i] = infer.Sequence{IDs: ids, From: max(1, first-(len(enc.IDs)-len(ids)))}
	}
	scores, err := n.engine.Score(ctx, list)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(scores))
	for i, s := range scores {
		for _, nll := range s.Each {
			out[i] = append(out[i], -nll)
		}
	}
	return out, nil
}
