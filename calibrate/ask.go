package calibrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"lep/chat"
	"lep/checkpoint"
	"lep/infer"
	"lep/internal/hint"
	"lep/tokenizer"
)

// Asked is what answered, as every line of the output names it.
type Asked struct {
	Model  string `json:"model"`            // public name: hub id or the folder's own, or the server's name of it
	Digest string `json:"digest,omitempty"` // checkpoint.Fingerprint of a native model's folder
	API    string `json:"api,omitempty"`    // the server's address
}

// talk is a conversation under way, or ended.
type talk struct {
	Index   int      `json:"index"` // prompt × samples_per_prompt + sample
	Answers []string `json:"answers"`
	// Finish says why the last answer ended: infer.FinishStop or infer.FinishLength.
	Finish    string `json:"finish"`
	NewTokens int    `json:"new_tokens"` // of all answers; 0 where a server doesn't say
	// Unasked says why an answer could not be had at all: the prompt is too long, or the server refuses it.
	Unasked Reason `json:"unasked,omitempty"`
}

// asker answers all messages of prompts. It hands over each conversation once, from one goroutine at
// a time, and loses at most those under way when it stops.
type asker interface {
	ask(ctx context.Context, indices []int, done func(...talk) error) error
	// together is how many conversations, by their indices, are asked as one batch.
	together() int
	about() Asked
	close()
}

func newAsker(ctx context.Context, o *Options, p *prompts) (asker, error) {
	if o.API != "" {
		return dial(ctx, o, p)
	}
	return open(o, p)
}

// seed gives every conversation random numbers of its own, whatever else is asked with it.
func (o *Options) seed(index, turn int) uint64 {
	x := o.Seed + 0x9e3779b97f4a7c15*uint64(index*maxTurns+turn+1)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9 // splitmix64
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return (x ^ x>>31) >> 1 // servers read signed numbers
}

// native asks a model of our own engine.
type native struct {
	opts     *Options
	prompts  *prompts
	engine   *infer.Engine
	template *chat.Template
	special  map[string]string
	stop     []int32
	asked    Asked
}

func open(o *Options, p *prompts) (*native, error) {
	dir, err := checkpoint.Resolve(o.Model)
	if err != nil {
		return nil, err
	}
	digest, err := checkpoint.Fingerprint(dir)
	if err != nil {
		return nil, err
	}
	c, err := tokenizer.ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	if c.ChatTemplate == "" { // better known before the weights are read
		return nil, hint.Errorf("calibration asks an instruct model; a base model has no manner to keep", "%s: has no chat template", o.Model)
	}
	n := &native{opts: o, prompts: p, special: chat.Special(c), asked: Asked{Model: checkpoint.PublicName(o.Model), Digest: digest}}
	if n.template, err = chat.Parse(c.ChatTemplate); err != nil {
		return nil, fmt.Errorf("%s: chat template: %w", o.Model, err)
	}
	if n.engine, err = infer.Open(dir, o.Engine); err != nil {
		return nil, err
	}
	tok := n.engine.Tokenizer()
	if tok == nil {
		n.engine.Close()
		return nil, fmt.Errorf("%s: has no tokenizer", o.Model)
	}
	if id, ok := tok.ID(c.EOS); ok {
		n.stop = []int32{id}
	}
	return n, nil
}

func (n *native) about() Asked  { return n.asked }
func (n *native) close()        { n.engine.Close() }
func (n *native) together() int { return n.opts.BatchSize }

// ask answers batch by batch. Each batch forgets the one before, so that an answer depends on its
// batch alone, however often the run was stopped.
func (n *native) ask(ctx context.Context, indices []int, done func(...talk) error) error {
	for batch := range slices.Chunk(indices, n.opts.BatchSize) {
		n.engine.Forget()
		talks, err := n.batch(ctx, batch)
		if err != nil {
			return err
		}
		if err := done(talks...); err != nil {
			return err
		}
	}
	return nil
}

// batch answers conversations turn by turn, all that have a turn together.
func (n *native) batch(ctx context.Context, indices []int) ([]talk, error) {
	talks := make([]talk, len(indices))
	for i, index := range indices {
		talks[i].Index = index
	}
	for turn := 0; ; turn++ {
		var requests []infer.Request
		var asked []*talk
		for i := range talks {
			t := &talks[i]
			q := n.prompts.of(t.Index, n.opts)
			if turn >= len(q.users) || t.Unasked != "" || turn > 0 && t.Finish != infer.FinishStop {
				continue // an answer that was cut off ends a conversation
			}
			r, err := n.request(q, t, turn)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", q.source, q.line, err)
			}
			if t.Unasked == "" {
				requests, asked = append(requests, r), append(asked, t)
			}
		}
		if len(requests) == 0 {
			return talks, nil
		}
		results, err := n.engine.Generate(ctx, requests)
		if err != nil {
			return nil, err
		}
		for i, r := range results {
			asked[i].add(r.Text, r.Finish, len(r.IDs))
		}
	}
}

// today is the date for templates that write one, the default of Llama 3.1's: an answer must not
// depend on the day.
var today = time.Date(2024, time.July, 26, 0, 0, 0, 0, time.UTC)

func (n *native) request(q *prompt, t *talk, turn int) (infer.Request, error) {
	text, err := n.template.Render(chat.Options{Messages: q.messages(t.Answers), AddGenerationPrompt: true, Special: n.special, Now: today})
	if err != nil {
		return infer.Request{}, fmt.Errorf("chat template: %w", err)
	}
	ids := n.engine.Tokenizer().Encode(text.Text)
	if len(ids) >= n.engine.Context() {
		t.Unasked = TooLong
	}
	return infer.Request{IDs: ids, MaxNewTokens: n.opts.MaxNewTokens, Sampling: n.opts.Sampling, Seed: n.opts.seed(t.Index, turn), StopIDs: n.stop}, nil
}

func (t *talk) add(text, finish string, tokens int) {
	t.Answers = append(t.Answers, strings.TrimSpace(strings.ToValidUTF8(text, "\ufffd")))
	t.Finish = finish
	t.NewTokens += tokens
}

// remote asks a server, several conversations at a time.
type remote struct {
	opts    *Options
	prompts *prompts
	server  *infer.Remote
}

func dial(ctx context.Context, o *Options, p *prompts) (*remote, error) {
	server, err := infer.Dial(ctx, infer.RemoteOptions{URL: o.API, Key: o.Key, Model: o.Model, Concurrency: o.Concurrency, Timeout: o.Timeout, FirstWait: o.firstWait})
	if err != nil {
		return nil, err
	}
	if !server.Capabilities().Chat {
		return nil, fmt.Errorf("%s: no /chat/completions, by which a model is asked in its own template", server.Address())
	}
	if o.Sampling.NoRepeatNgramSize > 0 {
		return nil, fmt.Errorf("no_repeat_ngram_size is unknown to servers")
	}
	return &remote{opts: o, prompts: p, server: server}, nil
}

func (r *remote) about() Asked {
	return Asked{Model: r.server.Capabilities().Model, API: r.server.Address()}
}
func (r *remote) close()        {}
func (r *remote) together() int { return 1 }

// refusalsInRow is how many prompts a server may refuse one after another before the fault is taken
// for the request's and not the prompts'.
const refusalsInRow = 10

func (r *remote) ask(ctx context.Context, indices []int, done func(...talk) error) error {
	results := make(chan talk)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		failed <- r.server.Each(ctx, len(indices), func(ctx context.Context, i int) error {
			t, err := r.one(ctx, indices[i])
			if err != nil {
				return err
			}
			select {
			case results <- t:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		close(results)
	}()
	refused := 0
	for t := range results {
		if refused++; t.Unasked == "" {
			refused = 0
		}
		err := done(t)
		if err == nil && refused >= refusalsInRow {
			err = fmt.Errorf("%s: %d prompts refused one after another, the last: %s", r.server.Address(), refused, t.Finish)
		}
		if err != nil {
			cancel()
			<-failed
			return err
		}
	}
	return <-failed
}

func (r *remote) one(ctx context.Context, index int) (talk, error) {
	t := talk{Index: index}
	q := r.prompts.of(index, r.opts)
	for turn := range q.users {
		a, err := r.server.Ask(ctx, infer.RemotePrompt{Messages: q.messages(t.Answers), MaxNewTokens: r.opts.MaxNewTokens,
			Sampling: r.opts.Sampling, Seed: r.opts.seed(index, turn)})
		var status *infer.StatusError
		if errors.As(err, &status) && slices.Contains([]int{400, 413, 422}, status.Status) {
			t.Unasked, t.Finish = Refused, status.Error()
			return t, nil
		}
		if err != nil {
			return t, fmt.Errorf("%s:%d: %w", q.source, q.line, err)
		}
		if t.add(a.Text, a.Finish, a.NewTokens); a.Finish == infer.FinishLength {
			break
		}
	}
	return t, nil
}
