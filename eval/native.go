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
		about: Description{Name: o.Name, Digest: o.Digest, Context: e.Context(), Chat: !r.Plain(), Batch: 64}}
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
func (n *Native) Answer(ctx context.Context, t Task, requests []Request) ([]Answer, error) {
	prompts := make([]string, len(requests))
	for i, r := range requests {
		text, err := n.renderer.Render(r.Messages)
		if err != nil {
			return nil, err
		}
		prompts[i] = text
	}
	answers, err := n.answer(ctx, t, requests, prompts)
	for i := range answers {
		answers[i].Prompt = prompts[i]
		if ref := requests[i].Reference; ref != "" {
			answers[i].ReferenceTokens = min(referenceTokens(n.tok, ref), t.MaxNewTokens)
		}
	}
	return answers, err
}

func (n *Native) answer(ctx context.Context, t Task, requests []Request, prompts []string) ([]Answer, error) {
	switch t.Method {
	case Generate:
		return n.generate(ctx, t, prompts)
	case Choice:
		return n.choose(ctx, requests, prompts)
	case LogProb:
		return n.logProbs(ctx, requests, prompts)
	}
	return nil, fmt.Errorf("%s: unknown method %q", t.Name, t.Method)
}

// tail drops tokens on the left that the context has no room for.
func tail(ids []int32, room int) []int32 { return ids[max(0, len(ids)-max(1, room)):] }

func (n *Native) generate(ctx context.Context, t Task, prompts []string) ([]Answer, error) {
	list := make([]infer.Request, len(prompts))
	// A prompt is cut where it would leave the answer less than half of the context.
	room := n.engine.Context() - min(t.MaxNewTokens, n.engine.Context()/2)
	for i, p := range prompts {
		list[i] = infer.Request{IDs: tail(n.tok.Encode(p), room), MaxNewTokens: t.MaxNewTokens,
			Stop: slices.Concat(n.stop, t.Stop), StopIDs: n.stopIDs}
	}
	start := time.Now()
	results, err := n.engine.Generate(ctx, list)
	if err != nil {
		return nil, err
	}
	each := time.Since(start).Seconds() / float64(max(1, len(list)))
	answers := make([]Answer, len(results))
	for i, r := range results {
		answers[i] = Answer{Text: strings.ToValidUTF8(r.Text, "\ufffd"), Tokens: n.answerTokens(r), PromptTokens: r.PromptTokens, Seconds: each}
	}
	return answers, nil
}

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
func (n *Native) choose(ctx context.Context, requests []Request, prompts []string) ([]Answer, error) {
	type step struct{ request, choice int }
	answers := make([]Answer, len(requests))
	var ids, candidates [][]int32
	var steps [][]step // by prompt and candidate
	for i, r := range requests {
		if len(r.Choices) == 0 {
			return nil, fmt.Errorf("request %d: no choices", i)
		}
		shared, score := choiceTokens(n.tok, prompts[i], r.Choices)
		answers[i] = Answer{PromptTokens: len(shared), Probs: make([]float64, len(r.Choices))}
		at := map[string]int{} // prompt so far → its place in ids
		for c, tokens := range score {
			answers[i].Probs[c] = 1
			for j, id := range tokens {
				key := string(mustJSON(tokens[:j]))
				p, known := at[key]
				if !known {
					p = len(ids)
					at[key] = p
					ids = append(ids, tail(slices.Concat(shared, tokens[:j]), n.engine.Context()))
					candidates, steps = append(candidates, nil), append(steps, nil)
				}
				candidates[p] = append(candidates[p], id)
				steps[p] = append(steps[p], step{i, c})
			}
		}
	}
	logs, err := n.engine.NextLogProbs(ctx, ids, candidates)
	if err != nil {
		return nil, err
	}
	for p, list := range steps {
		for k, s := range list {
			answers[s.request].Probs[s.choice] *= math.Exp(logs[p][k])
		}
	}
	return answers, nil
}

// logProbs scores the tokens of the last message, from the one that holds its first character on.
func (n *Native) logProbs(ctx context.Context, requests []Request, prompts []string) ([]Answer, error) {
	answers := make([]Answer, len(requests))
	list := make([]infer.Sequence, len(requests))
	for i, r := range requests {
		content := r.Messages[len(r.Messages)-1].Content
		start, ok := contentStart(prompts[i], content)
		if !ok {
			return nil, fmt.Errorf("request %d: the chat template does not write the last message at the end of the prompt", i)
		}
		at := utf8.RuneCountInString(prompts[i][:start])
		enc := n.tok.EncodeOptions(prompts[i], tokenizer.EncodeOptions{Offsets: true})
		first := slices.IndexFunc(enc.Offsets, func(o [2]int) bool { return o[1] > at })
		if first < 0 {
			return nil, fmt.Errorf("request %d: the last message has no tokens", i)
		}
		ids := tail(enc.IDs, n.engine.Context())
		first = max(0, first-(len(enc.IDs)-len(ids)))
		if first == 0 {
			answers[i].LogProbs = []float64{0} // nothing stands before the very first token
		}
		list[i] = infer.Sequence{IDs: ids, From: max(1, first)}
		answers[i].PromptTokens = len(ids)
	}
	scores, err := n.engine.Score(ctx, list)
	if err != nil {
		return nil, err
	}
	for i, s := range scores {
		for _, nll := range s.Each {
			answers[i].LogProbs = append(answers[i].LogProbs, -nll)
		}
	}
	return answers, nil
}

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
