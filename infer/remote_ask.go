package infer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"lep/chat"
	"lep/internal/hint"
)

// probe finds out what a server can do: what it lists, and what it does with small requests, for
// some accept options that they then ignore.
func (r *Remote) probe(ctx context.Context) error {
	if err := r.probeModel(ctx); err != nil {
		return err
	}
	const text = "one two three"
	a, err := r.Ask(ctx, RemotePrompt{Text: text, MaxNewTokens: 1, Top: 20, Echo: true})
	if isRefused(err) { // a server may limit top_logprobs, or refuse to echo
		a, err = r.Ask(ctx, RemotePrompt{Text: text, MaxNewTokens: 1, Top: 5})
	}
	if isRefused(err) {
		a, err = r.Ask(ctx, RemotePrompt{Text: text, MaxNewTokens: 1})
	}
	if err == nil {
		r.can.Completions = true
		r.can.PromptLogProbs = strings.HasPrefix(a.Text, text) && strings.HasPrefix(joined(a.Tokens), text)
		r.can.Top = likeliest(a.Tokens)
	} else if !isRefused(err) {
		return err
	}
	a, err = r.Ask(ctx, RemotePrompt{Messages: []chat.Message{{Role: "user", Content: "1"}}, MaxNewTokens: 1, Top: 20})
	if isRefused(err) {
		a, err = r.Ask(ctx, RemotePrompt{Messages: []chat.Message{{Role: "user", Content: "1"}}, MaxNewTokens: 1})
	}
	if err == nil {
		r.can.Chat = true
		if !r.can.Completions {
			r.can.Top = likeliest(a.Tokens)
		}
	} else if !isRefused(err) {
		return err
	}
	if !r.can.Completions && !r.can.Chat {
		return hint.Errorf("is it an OpenAI-compatible server?", "%s: neither /completions nor /chat/completions answers: %w", r.Address(), err)
	}
	for _, form := range []tokenizeForm{tokenizeContent, tokenizePrompt} {
		if n, err := r.countTokens(ctx, form, text); err == nil && n > 0 {
			r.can.Tokenize = form
			break
		}
	}
	if r.can.Completions {
		if err := r.probeForcing(ctx, text); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// isRefused reports an answer that says no, as opposed to none.
func isRefused(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Status/100 == 4 && status.Status != 401 && status.Status != 403 && status.Status != 429 ||
		errors.As(err, &status) && status.Status == 501
}

func joined(tokens []RemoteToken) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString(t.Text)
	}
	return b.String()
}

func likeliest(tokens []RemoteToken) int {
	most := 0
	for _, t := range tokens {
		most = max(most, len(t.Top))
	}
	return most
}

// probeModel finds the model's name and context.
func (r *Remote) probeModel(ctx context.Context) error {
	var list struct {
		Data []struct {
			ID          string
			MaxModelLen int `json:"max_model_len"` // vLLM
			Meta        struct {
				Context int `json:"n_ctx"` // llama.cpp
				Train   int `json:"n_ctx_train"`
			}
		}
	}
	err := r.retry(ctx, "GET", "/models", nil, &list)
	if isRefused(err) && r.opts.Model != "" {
		r.can.Model = r.opts.Model
		return nil
	}
	if err != nil {
		return err
	}
	var names []string
	for _, m := range list.Data {
		names = append(names, m.ID)
		if m.ID == r.opts.Model || r.opts.Model == "" && len(list.Data) == 1 {
			r.can.Model = m.ID
			if r.can.Context = m.MaxModelLen; r.can.Context == 0 {
				r.can.Context = max(m.Meta.Context, 0)
			}
			if r.can.Context == 0 {
				r.can.Context = max(m.Meta.Train, 0)
			}
		}
	}
	switch {
	case r.can.Model != "":
		return nil
	case r.opts.Model == "":
		return hint.Errorf("choose one of "+strings.Join(names, ", "), "%s: %d models, and none is named", r.Address(), len(names))
	}
	return hint.Errorf("it has "+strings.Join(names, ", "), "%s: no model %q", r.Address(), r.opts.Model)
}

// CountTokens counts the tokens of a text without special ones; it needs Capabilities.Tokenize.
func (r *Remote) CountTokens(ctx context.Context, text string) (int, error) {
	return r.countTokens(ctx, r.can.Tokenize, text)
}

func (r *Remote) countTokens(ctx context.Context, form tokenizeForm, text string) (int, error) {
	body := map[string]any{"content": text, "add_special": false}
	switch form {
	case noTokenize:
		return 0, fmt.Errorf("%s: the server does not count tokens", r.Address())
	case tokenizePrompt:
		body = map[string]any{"model": r.can.Model, "prompt": text, "add_special_tokens": false}
	}
	var out struct {
		Count  int
		Tokens []json.RawMessage
	}
	if err := r.post(ctx, "//tokenize", body, &out); err != nil {
		return 0, err
	}
	return max(out.Count, len(out.Tokens)), nil
}

// Ask sends one prompt.
func (r *Remote) Ask(ctx context.Context, p RemotePrompt) (RemoteAnswer, error) {
	body := r.settings(p)
	if p.Messages != nil {
		return r.askChat(ctx, p, body)
	}
	body["prompt"] = p.Text
	if p.IDs != nil {
		body["prompt"] = p.IDs
	}
	if p.Top > 0 {
		body["logprobs"] = p.Top
	}
	if p.Echo {
		body["echo"] = true
	}
	var out struct {
		Choices []struct {
			Text     string
			Finish   string `json:"finish_reason"`
			LogProbs *struct {
				Tokens        []string
				TokenLogProbs []*float64           `json:"token_logprobs"`
				Top           []map[string]float64 `json:"top_logprobs"`
				// llama.cpp answers in the form of chat.
				Content []chatToken
			}
		}
		Usage usage
	}
	if err := r.post(ctx, "/completions", body, &out); err != nil {
		return RemoteAnswer{}, err
	}
	if len(out.Choices) == 0 {
		return RemoteAnswer{}, fmt.Errorf("%s: an answer without choices", r.Address())
	}
	c := out.Choices[0]
	a := RemoteAnswer{Text: c.Text, Finish: c.Finish, NewTokens: out.Usage.New, PromptTokens: out.Usage.Prompt}
	if l := c.LogProbs; l != nil {
		for i, text := range l.Tokens {
			t := RemoteToken{Text: text, ID: -1}
			if i < len(l.TokenLogProbs) && l.TokenLogProbs[i] != nil {
				t.LogProb = *l.TokenLogProbs[i]
			}
			if i < len(l.Top) {
				t.Top = l.Top[i]
			}
			a.Tokens = append(a.Tokens, t)
		}
		if len(l.Tokens) == 0 {
			a.Tokens = tokensOf(l.Content)
		}
	}
	return a, nil
}

// settings are what a request says beside its prompt. Options beyond OpenAI's (top_k, min_p,
// repetition_penalty, ignore_eos), which vLLM and llama.cpp have, are sent only where they do something.
func (r *Remote) settings(p RemotePrompt) map[string]any {
	s := p.Sampling
	body := map[string]any{"model": r.can.Model, "max_tokens": p.MaxNewTokens, "temperature": s.Temperature}
	if s.Temperature > 0 {
		body["seed"] = p.Seed
	}
	for name, value := range map[string]float64{"top_p": s.TopP, "min_p": s.MinP, "top_k": float64(s.TopK)} {
		if value > 0 {
			body[name] = value
		}
	}
	if s.RepetitionPenalty > 0 && s.RepetitionPenalty != 1 {
		body["repetition_penalty"] = s.RepetitionPenalty
		body["repeat_penalty"] = s.RepetitionPenalty // llama.cpp's name
	}
	if p.IgnoreEOS {
		body["ignore_eos"] = true
	}
	if len(p.Stop) > 0 {
		body["stop"] = p.Stop
	}
	if len(p.LogitBias) > 0 {
		body["logit_bias"] = p.LogitBias
	}
	return body
}

type usage struct {
	Prompt int `json:"prompt_tokens"`
	New    int `json:"completion_tokens"`
}

type chatToken struct {
	ID      *int32 // llama.cpp
	Token   string
	LogProb float64
	Top     []struct {
		ID      *int32
		Token   string
		LogProb float64
	} `json:"top_logprobs"`
}

func tokensOf(list []chatToken) []RemoteToken {
	var out []RemoteToken
	for _, t := range list {
		top, ids, id := map[string]float64{}, map[int32]float64{}, int32(-1)
		if t.ID != nil {
			id = *t.ID
		}
		for _, o := range t.Top {
			if o.ID != nil {
				ids[*o.ID] = o.LogProb
			}
			if had, ok := top[o.Token]; !ok || o.LogProb > had {
				top[o.Token] = o.LogProb
			}
		}
		out = append(out, RemoteToken{Text: t.Token, LogProb: t.LogProb, Top: top, ID: id, TopIDs: ids})
	}
	return out
}

func (r *Remote) askChat(ctx context.Context, p RemotePrompt, body map[string]any) (RemoteAnswer, error) {
	body["messages"] = p.Messages
	if n := len(p.Messages); n > 0 && p.Messages[n-1].Role == "assistant" {
		body["continue_final_message"], body["add_generation_prompt"] = true, false
	}
	if p.Top > 0 {
		body["logprobs"], body["top_logprobs"] = true, p.Top
	}
	var out struct {
		Choices []struct {
			Message  struct{ Content *string }
			Finish   string `json:"finish_reason"`
			LogProbs *struct{ Content []chatToken }
		}
		Usage usage
	}
	if err := r.post(ctx, "/chat/completions", body, &out); err != nil {
		return RemoteAnswer{}, err
	}
	if len(out.Choices) == 0 {
		return RemoteAnswer{}, fmt.Errorf("%s: an answer without choices", r.Address())
	}
	c := out.Choices[0]
	a := RemoteAnswer{Finish: c.Finish, NewTokens: out.Usage.New, PromptTokens: out.Usage.Prompt}
	if c.Message.Content != nil {
		a.Text = *c.Message.Content
	}
	if c.LogProbs != nil {
		a.Tokens = tokensOf(c.LogProbs.Content)
	}
	return a, nil
}

// Generate implements Generator by /completions. Requests are texts; AddSpecial is the server's
// business, and Result.IDs stays empty.
func (r *Remote) Generate(ctx context.Context, requests []Request) ([]Result, error) {
	if !r.can.Completions {
		return nil, fmt.Errorf("%s: no /completions, which texts are continued by", r.Address())
	}
	out := make([]Result, len(requests))
	err := r.Each(ctx, len(requests), func(ctx context.Context, i int) error {
		q := requests[i]
		if q.IDs != nil || len(q.StopIDs) > 0 || q.LogProbs || q.OnToken != nil {
			return fmt.Errorf("prompt %d: a server takes text, and neither ids, stop ids, log-probabilities nor a stream", i+1)
		}
		if q.Sampling.NoRepeatNgramSize > 0 {
			return fmt.Errorf("prompt %d: no_repeat_ngram_size is unknown to servers", i+1)
		}
		a, err := r.Ask(ctx, RemotePrompt{Text: q.Text, MaxNewTokens: q.MaxNewTokens, Sampling: q.Sampling, Seed: q.Seed, IgnoreEOS: q.IgnoreEOS, Stop: q.Stop})
		if err != nil {
			return fmt.Errorf("prompt %d: %w", i+1, err)
		}
		out[i] = Result{Text: a.Text, Finish: a.Finish, PromptTokens: a.PromptTokens}
		return nil
	})
	return out, err
}
