package infer

import (
	"context"
	"fmt"
	"math"
)

// forceBias is added to the logit of a token that must come next: OpenAI's largest.
const forceBias = 100

// probeForcing finds out whether prompts may be token ids, and whether a token that logit_bias
// forces is reported with the log-probability that it has without the bias, as llama.cpp does.
func (r *Remote) probeForcing(ctx context.Context, text string) error {
	if r.can.Tokenize != tokenizeContent || r.can.Top < 2 {
		return nil
	}
	ids, err := r.TokenIDs(ctx, text)
	if err != nil || len(ids) == 0 {
		return ctx.Err()
	}
	a, err := r.Ask(ctx, RemotePrompt{IDs: ids, MaxNewTokens: 1, Top: 2})
	if isRefused(err) {
		return nil
	}
	if err != nil {
		return err
	}
	r.can.TokenIDs = a.PromptTokens == 0 || a.PromptTokens == len(ids)
	if !r.can.TokenIDs || len(a.Tokens) == 0 || len(a.Tokens[0].TopIDs) < 2 {
		return nil
	}
	for id, want := range a.Tokens[0].TopIDs {
		lp, ok, err := r.forced(ctx, ids, id, 1)
		if err != nil || !ok || math.Abs(lp[id]-want) > 0.01 {
			return ctx.Err()
		}
	}
	r.can.Forced, r.plain = true, ids[0]
	return nil
}

// TokenIDs returns the server's own ids of a text, without special ones around it.
func (r *Remote) TokenIDs(ctx context.Context, text string) ([]int32, error) {
	if r.can.Tokenize != tokenizeContent {
		return nil, fmt.Errorf("%s: the server does not list the ids of a text", r.Address())
	}
	var out struct{ Tokens []int32 }
	err := r.post(ctx, "//tokenize", map[string]any{"content": text, "add_special": false, "parse_special": true}, &out)
	return out.Tokens, err
}

// forced asks for one token behind ids and makes it be next. It returns the log-probabilities of that
// token and of the top likeliest, all as they are without the force; ok is false if the server says
// nothing, as llama.cpp does where the token is a part of a character.
func (r *Remote) forced(ctx context.Context, ids []int32, next int32, top int) (logProbs map[int32]float64, ok bool, err error) {
	a, err := r.Ask(ctx, RemotePrompt{IDs: ids, MaxNewTokens: 1, Top: top, LogitBias: map[int32]float64{next: forceBias}})
	if err != nil || len(a.Tokens) == 0 || a.Tokens[0].ID != next || len(a.Tokens[0].TopIDs) == 0 {
		return nil, false, err
	}
	logProbs = a.Tokens[0].TopIDs
	logProbs[next] = a.Tokens[0].LogProb
	return logProbs, true, nil
}

// NextLogProbs returns the log-probability of each candidate behind ids. It needs
// Capabilities.Forced: each candidate that is not among the likeliest is made to come next, which
// shows its log-probability however unlikely it is.
func (r *Remote) NextLogProbs(ctx context.Context, ids, candidates []int32) ([]float64, error) {
	known := map[int32]float64{}
	top := min(20, r.can.Top)
	for _, c := range candidates {
		if _, ok := known[c]; ok {
			continue
		}
		found, ok, err := r.forced(ctx, ids, c, top)
		if err == nil && !ok {
			found, err = r.amongAll(ctx, ids, c)
		}
		if err != nil {
			return nil, err
		}
		for id, lp := range found {
			known[id] = lp
		}
	}
	out := make([]float64, len(candidates))
	for i, c := range candidates {
		out[i] = known[c]
	}
	return out, nil
}

// amongAll finds a token that cannot be forced in longer and longer lists of the likeliest.
func (r *Remote) amongAll(ctx context.Context, ids []int32, c int32) (map[int32]float64, error) {
	for top := 1000; ; top *= 10 {
		found, ok, err := r.forced(ctx, ids, r.plain, top)
		if err != nil {
			return nil, err
		}
		if _, there := found[c]; there {
			return found, nil
		}
		if !ok || len(found) < top {
			return nil, fmt.Errorf("%s: no log-probability of token %d, not even among %d", r.Address(), c, len(found))
		}
	}
}
