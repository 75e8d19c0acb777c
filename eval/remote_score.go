package eval

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"lep/infer"
	"lep/internal/hint"
	"lep/tokenizer"
)

// echo is a token of a prompt as the server scored it.
type echo struct {
	key     string // tells tokens apart
	end     int    // code points of the prompt up to and with the token
	logprob float64
}

// echoed returns the tokens of a text with their log-probabilities. Where a tokenizer is at hand
// it says which token is which: the texts that servers give for pieces of characters are
// ambiguous.
func (r *Remote) echoed(ctx context.Context, text string) ([]echo, error) {
	got, err := r.server.Ask(ctx, infer.RemotePrompt{Text: text, MaxNewTokens: 1, Top: 1, Echo: true})
	if err != nil {
		return nil, err
	}
	var list []echo
	if r.tok != nil {
		enc := r.tok.EncodeOptions(text, tokenizer.EncodeOptions{Offsets: true})
		bos := len(got.Tokens) - len(enc.IDs) - 1 // the server may put one token in front
		if bos != 0 && bos != 1 {
			return nil, fmt.Errorf("%s: %d tokens for a prompt and a new token, want %d by the tokenizer given", r.server.Address(), len(got.Tokens), len(enc.IDs)+1)
		}
		for i, id := range enc.IDs {
			list = append(list, echo{strconv.Itoa(int(id)), enc.Offsets[i][1], got.Tokens[bos+i].LogProb})
		}
		return list, nil
	}
	rest := text
	for _, t := range got.Tokens {
		if rest == "" { // the new token
			break
		}
		after, ok := strings.CutPrefix(rest, t.Text)
		if !ok && len(list) == 0 && len(got.Tokens) > 1 { // a special token in front
			continue
		}
		if !ok {
			return nil, hint.Errorf("give --tokenizer", "%s: its token %q is not what the prompt goes on with, %.20q", r.server.Address(), t.Text, rest)
		}
		rest = after
		list = append(list, echo{t.Text, utf8.RuneCountInString(text) - utf8.RuneCountInString(rest), t.LogProb})
	}
	if rest != "" {
		return nil, fmt.Errorf("%s: the prompt comes back without its end %.40q", r.server.Address(), rest)
	}
	return list, nil
}

// scored returns the tokens of a text with the log-probabilities of those that reach beyond its first
// code points.
func (r *Remote) scored(ctx context.Context, text string, first int) ([]echo, error) {
	if !r.forces() {
		return r.echoed(ctx, text)
	}
	enc := r.tok.EncodeOptions(text, tokenizer.EncodeOptions{Offsets: true})
	list := make([]echo, len(enc.IDs))
	for i, id := range enc.IDs {
		list[i].end = enc.Offsets[i][1]
		if list[i].end <= first || i == 0 {
			continue
		}
		got, err := r.server.NextLogProbs(ctx, tail(enc.IDs[:i], r.can.Context), []int32{id})
		if err != nil {
			return nil, err
		}
		list[i].logprob = got[0]
	}
	return list, nil
}

// chooseExactly scores every choice behind the prompt by the tokens that tell them apart, as the
// native engine does.
func (r *Remote) chooseExactly(ctx context.Context, p infer.RemotePrompt, q Request) (Answer, error) {
	prompt := strings.TrimRight(p.Text, " ")
	separator := " "
	if strings.HasSuffix(prompt, "\n") {
		separator = ""
	}
	all := make([][]echo, len(q.Choices))
	for i, c := range q.Choices {
		var err error
		if all[i], err = r.echoed(ctx, prompt+separator+c); err != nil {
			return Answer{}, err
		}
	}
	n := 0
	for !slices.ContainsFunc(all, func(l []echo) bool { return n >= len(l)-1 || l[n].key != all[0][n].key }) {
		n++
	}
	a := Answer{PromptTokens: n}
	for keep := 1; ; keep++ {
		a.Probs = a.Probs[:0]
		seen := map[string]bool{}
		longest := 0
		for _, l := range all {
			rest := l[n:]
			longest = max(longest, len(rest))
			sum, text := 0.0, ""
			for _, t := range rest[:min(keep, len(rest))] {
				sum += t.logprob
				text += t.key + "\x00"
			}
			seen[text] = true
			a.Probs = append(a.Probs, math.Exp(sum))
		}
		if len(seen) == len(all) || keep >= longest {
			return a, nil
		}
	}
}

// chooseByForce multiplies the probabilities of the tokens that tell the choices apart, as the native
// engine does: each is asked for behind the ones before it.
func (r *Remote) chooseByForce(ctx context.Context, p infer.RemotePrompt, q Request) (Answer, error) {
	shared, score := choiceTokens(r.tok, p.Text, q.Choices)
	a := Answer{PromptTokens: len(shared), Probs: make([]float64, len(score))}
	logProbs := map[string]float64{} // by the tokens behind the prompt
	for c, tokens := range score {
		a.Probs[c] = 1
		for j := range tokens {
			if _, known := logProbs[string(mustJSON(tokens[:j+1]))]; !known {
				var candidates []int32
				for _, other := range score {
					if len(other) > j && slices.Equal(other[:j], tokens[:j]) {
						candidates = append(candidates, other[j])
					}
				}
				got, err := r.server.NextLogProbs(ctx, tail(slices.Concat(shared, tokens[:j]), r.can.Context), candidates)
				if err != nil {
					return a, err
				}
				for i, id := range candidates {
					logProbs[string(mustJSON(append(slices.Clone(tokens[:j]), id)))] = got[i]
				}
			}
			a.Probs[c] *= math.Exp(logProbs[string(mustJSON(tokens[:j+1]))])
		}
	}
	return a, nil
}

// chooseByTop looks the choices up among the likeliest next tokens. One that is not among them
// counts as 0; if none is, the answer says so.
func (r *Remote) chooseByTop(ctx context.Context, p infer.RemotePrompt, q Request) (Answer, error) {
	p.MaxNewTokens, p.Top, p.Stop = 1, max(1, min(20, r.can.Top)), nil
	p.Text = strings.TrimRight(p.Text, " ")
	var a Answer
	for range 2 {
		got, err := r.server.Ask(ctx, p)
		if err != nil {
			return a, err
		}
		if len(got.Tokens) == 0 {
			return a, fmt.Errorf("%s: an answer without log-probabilities", r.server.Address())
		}
		first := got.Tokens[0]
		a = Answer{PromptTokens: got.PromptTokens, Probs: make([]float64, len(q.Choices))}
		found := false
		for i, c := range q.Choices {
			for _, spelling := range []string{c, " " + c} {
				if lp, ok := first.Top[spelling]; ok {
					a.Probs[i], found = max(a.Probs[i], math.Exp(lp)), true
				}
			}
		}
		if found || strings.Trim(first.Text, " ▁Ġ") != "" || !r.openEnd(&p) {
			if !found {
				a.Unscored = "no choice is among the server's likeliest tokens"
			}
			return a, nil
		}
		// The next token is a bare blank: it belongs to the prompt.
	}
	a.Unscored = "no choice is among the server's likeliest tokens"
	return a, nil
}

// openEnd puts a blank behind the prompt; false if there is no lead-in that could take it.
func (r *Remote) openEnd(p *infer.RemotePrompt) bool {
	if p.Messages == nil {
		p.Text += " "
		return true
	}
	p.Messages = slices.Clone(p.Messages)
	last := &p.Messages[len(p.Messages)-1]
	if last.Role != "assistant" {
		return false
	}
	last.Content = strings.TrimRight(last.Content, " ") + " "
	return true
}

// lastMessage returns the log-probabilities of the last message's tokens.
func (r *Remote) lastMessage(ctx context.Context, p infer.RemotePrompt, q Request) (Answer, error) {
	start, ok := contentStart(p.Text, q.Messages[len(q.Messages)-1].Content)
	if !ok {
		return Answer{}, fmt.Errorf("the chat template does not write the last message at the end of the prompt")
	}
	first := utf8.RuneCountInString(p.Text[:start])
	tokens, err := r.scored(ctx, p.Text, first)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{PromptTokens: len(tokens)}
	for _, t := range tokens {
		if t.end > first {
			a.LogProbs = append(a.LogProbs, t.logprob)
		}
	}
	if len(a.LogProbs) == 0 {
		return a, fmt.Errorf("%s: no tokens for the last message", r.server.Address())
	}
	return a, nil
}
