package eval

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"lep/chat"
	"lep/infer"
	"lep/internal/hint"
	"lep/tokenizer"
)

// Remote asks an OpenAI-compatible server. With /completions and a way to write the prompt (plain
// text, or the chat template of a local tokenizer) it sends text; else it sends messages.
type Remote struct {
	server   *infer.Remote
	can      infer.Capabilities
	renderer *Renderer            // nil: the server applies its own template
	tok      *tokenizer.Tokenizer // nil: the server counts tokens
	stop     []string
	about    Description
	ids      bool // prompts are sent as token ids

	mu      sync.Mutex
	lengths map[string]int // tokens by text
}

// RemoteOptions say how a server is asked.
type RemoteOptions struct {
	// Tokenizer is the model's, for its chat template and for counting tokens; nil if not at hand.
	Tokenizer      *tokenizer.Tokenizer
	NoChatTemplate bool
	System         string
	Warn           func(format string, args ...any)
}

// NewRemote returns a Model over a server that infer.Dial has probed. A difference between the
// server's way to count tokens and the tokenizer's is warned of.
func NewRemote(ctx context.Context, server *infer.Remote, o RemoteOptions) (*Remote, error) {
	r := &Remote{server: server, can: server.Capabilities(), tok: o.Tokenizer, lengths: map[string]int{}}
	if r.can.Completions && (o.NoChatTemplate || o.Tokenizer != nil) {
		var err error
		if r.renderer, err = NewRenderer(o.Tokenizer, o.NoChatTemplate, o.System); err != nil {
			return nil, err
		}
		if r.stop, err = r.renderer.Stop(); err != nil {
			return nil, err
		}
	}
	if r.renderer == nil {
		switch {
		case o.NoChatTemplate:
			return nil, fmt.Errorf("%s: no /completions, which plain text needs", server.Address())
		case !r.can.Chat:
			return nil, hint.Errorf("give --tokenizer a folder with the model's chat template, or --no-chat-template", "%s: no /chat/completions", server.Address())
		}
		r.renderer = &Renderer{System: o.System} // for Messages alone
	}
	r.about = Description{Name: server.Address() + " " + r.can.Model, Context: r.can.Context, Chat: !r.text() || !r.renderer.Plain()}
	r.about.Digest = "server " + r.about.Name
	if o.Tokenizer != nil && r.can.Tokenize != "" && o.Warn != nil {
		const probe = "Проверка: one two, три 123!"
		n, err := server.CountTokens(ctx, probe)
		if err != nil {
			return nil, err
		}
		if mine := len(o.Tokenizer.Encode(probe)); mine != n {
			o.Warn("%s: %q has %d tokens there and %d by the tokenizer given: not the same tokenizer?", server.Address(), probe, n, mine)
		}
	}
	return r, r.checkIDs(ctx)
}

// checkIDs makes prompts token ids where the server takes them and its own tokenizer would make the
// same ones: then nothing is put in front of a prompt that is not in it.
func (r *Remote) checkIDs(ctx context.Context) error {
	if !r.can.TokenIDs || r.tok == nil || !r.text() {
		return nil
	}
	text := "Проверка: one two, три 123!\n"
	if r.renderer.Template != nil {
		rendered, err := r.renderer.Render([]chat.Message{{Role: "user", Content: text}})
		if err != nil {
			return err
		}
		text = rendered
	}
	ids, err := r.server.TokenIDs(ctx, text)
	r.ids = err == nil && slices.Equal(ids, r.tok.Encode(text))
	return err
}

// text reports that prompts are sent as text.
func (r *Remote) text() bool { return r.stop != nil || r.renderer.Template != nil }

// Describe implements Model.
func (r *Remote) Describe() Description { return r.about }

// exact reports that choices can be scored token by token.
func (r *Remote) exact() bool { return r.text() && r.can.PromptLogProbs }

// forces reports that the log-probability of any next token can be had.
func (r *Remote) forces() bool { return r.ids && r.can.Forced }

// counts reports that tokens can be counted.
func (r *Remote) counts() bool { return r.tok != nil || r.can.Tokenize != "" }

// Supports implements Model.
func (r *Remote) Supports(t Task) error {
	switch {
	case t.Method == LogProb && !r.exact() && !r.forces():
		return hint.Errorf("a server that echoes prompts with log-probabilities, and --tokenizer or --no-chat-template, can do it",
			"%s: the task needs log-probabilities of the prompt, which the server does not return for text", r.server.Address())
	case t.Method == Choice && !r.exact() && !r.forces() && r.can.Top == 0:
		return fmt.Errorf("%s: the task needs probabilities of tokens, which the server does not return", r.server.Address())
	case strings.HasPrefix(t.Name, "cp_") && !r.counts():
		return hint.Errorf("give --tokenizer", "%s: the task needs the number of tokens, which the server does not count", r.server.Address())
	}
	return nil
}

// PromptTokens implements Model; 0 where nobody counts, so that no examples are dropped.
func (r *Remote) PromptTokens(messages []chat.Message) (int, error) {
	if !r.counts() {
		return 0, nil
	}
	if r.text() {
		prompt, err := r.renderer.Render(messages)
		if err != nil {
			return 0, err
		}
		return r.count(context.Background(), prompt)
	}
	var b strings.Builder // the server's template adds a few tokens a turn
	for _, m := range r.renderer.Messages(messages) {
		b.WriteString(m.Role + "\n" + m.Content + "\n")
	}
	return r.count(context.Background(), b.String())
}

func (r *Remote) count(ctx context.Context, text string) (int, error) {
	if r.tok != nil {
		return len(r.tok.Encode(text)), nil
	}
	r.mu.Lock()
	n, ok := r.lengths[text]
	r.mu.Unlock()
	if ok {
		return n, nil
	}
	n, err := r.server.CountTokens(ctx, text)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	r.lengths[text] = n
	r.mu.Unlock()
	return n, nil
}

// Answer implements Model.
func (r *Remote) Answer(ctx context.Context, t Task, requests []Request, keep func(int, Answer) error) error {
	var mu sync.Mutex
	last := time.Now()
	return r.server.Each(ctx, len(requests), func(ctx context.Context, i int) error {
		a, err := r.one(ctx, t, requests[i])
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if t.Method == Generate {
			now := time.Now() // answers overlap: the time since the last one is this one's share
			a.Seconds, last = now.Sub(last).Seconds(), now
		}
		return keep(i, a)
	})
}

func (r *Remote) one(ctx context.Context, t Task, q Request) (Answer, error) {
	prompt := infer.RemotePrompt{MaxNewTokens: t.MaxNewTokens, Stop: slices.Concat(r.stop, t.Stop), Seed: uint64(t.seed)}
	prompt.Sampling.Temperature, prompt.Sampling.TopK, prompt.Sampling.TopP = t.sampling.Temperature, t.sampling.TopK, t.sampling.TopP
	prompt.Sampling.MinP, prompt.Sampling.RepetitionPenalty = t.sampling.MinP, t.sampling.RepetitionPenalty
	if r.text() {
		text, err := r.renderer.Render(q.Messages)
		if err != nil {
			return Answer{}, err
		}
		prompt.Text = text
		if r.ids {
			prompt.IDs = r.tok.Encode(text)
		}
	} else {
		prompt.Messages = r.renderer.Messages(q.Messages)
	}
	var a Answer
	var err error
	switch {
	case t.Method == Generate:
		a, err = r.generate(ctx, prompt, q)
	case t.Method == LogProb:
		a, err = r.lastMessage(ctx, prompt, q)
	case r.forces():
		a, err = r.chooseByForce(ctx, prompt, q)
	case r.exact():
		a, err = r.chooseExactly(ctx, prompt, q)
	default:
		a, err = r.chooseByTop(ctx, prompt, q)
	}
	a.Prompt = prompt.Text
	return a, err
}

func (r *Remote) generate(ctx context.Context, p infer.RemotePrompt, q Request) (Answer, error) {
	if r.can.Context > 0 && p.IDs != nil { // cut as the native engine cuts
		p.IDs = tail(p.IDs, r.can.Context-min(p.MaxNewTokens, r.can.Context/2))
	}
	got, err := r.server.Ask(ctx, p)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Text: got.Text, Tokens: got.NewTokens, PromptTokens: got.PromptTokens}
	for _, s := range p.Stop { // a server need not know all stop strings
		a.Text, _, _ = strings.Cut(a.Text, s)
	}
	if q.Reference == "" {
		return a, nil
	}
	// Servers count the end token or not: the text is counted instead.
	if a.Tokens = 0; a.Text != "" {
		if a.Tokens, err = r.count(ctx, a.Text); err != nil {
			return a, err
		}
	}
	if r.tok != nil {
		a.ReferenceTokens = referenceTokens(r.tok, q.Reference)
	} else if a.ReferenceTokens, err = r.count(ctx, " "+q.Reference); err != nil {
		return a, err
	}
	a.ReferenceTokens = min(a.ReferenceTokens, p.MaxNewTokens)
	return a, nil
}
