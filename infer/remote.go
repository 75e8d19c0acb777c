package infer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"lep/chat"
	"lep/internal/hint"
	"lep/model"
)

// Generator continues prompts: an [Engine] does, and so does a [Remote] server.
type Generator interface {
	Generate(ctx context.Context, requests []Request) ([]Result, error)
}

// Remote is a client of an OpenAI-compatible server. Its methods may be called from several
// goroutines.
type Remote struct {
	opts RemoteOptions
	base *url.URL
	http *http.Client
	can  Capabilities
	met  bool // the probe is over: the server was there
	// plain is an id whose text is whole characters, once the probe has found Forced.
	plain int32
}

// RemoteOptions say where a server is and how hard to try.
type RemoteOptions struct {
	URL         string        // "http://127.0.0.1:8080/v1"; /v1 is added where there is no path
	Key         string        // bearer token, "" for none; it appears in no error
	Model       string        // "" for the only one there is
	Concurrency int           // requests at a time, 0 for 8
	Timeout     time.Duration // of one try, 0 for two minutes
	Tries       uint          // of one request, 0 for 6
	FirstWait   time.Duration // before the second try, 0 for half a second; it doubles, with jitter
}

// Capabilities are what a probe found.
type Capabilities struct {
	Model   string
	Context int // most tokens, 0 if the server doesn't say
	// Completions: /completions continues plain text. PromptLogProbs: it also returns the
	// log-probability of every prompt token (echo). Top: how many likeliest tokens /completions
	// or else /chat/completions lists, 0 for none. Tokenize: /tokenize counts tokens.
	Completions, PromptLogProbs, Chat bool
	Top                               int
	Tokenize                          tokenizeForm
	// TokenIDs: a prompt may be token ids. Forced: the log-probability of any next token can be had;
	// see [Remote.NextLogProbs].
	TokenIDs, Forced bool
}

// tokenizeForm is the way a server's /tokenize is asked.
type tokenizeForm string

const (
	noTokenize      tokenizeForm = ""
	tokenizeContent tokenizeForm = "content" // llama.cpp: {"content"} → {"tokens"}
	tokenizePrompt  tokenizeForm = "prompt"  // vLLM: {"model", "prompt"} → {"count"}
)

// maxResponse bounds what is read of an answer.
const maxResponse = 64 << 20

// StatusError is a server's refusal.
type StatusError struct {
	Status int
	Place  string // method and path
	Body   string // its beginning
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: status %d: %s", e.Place, e.Status, e.Body)
}

// Dial probes a server and returns its client.
func Dial(ctx context.Context, o RemoteOptions) (*Remote, error) {
	base, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, hint.Errorf("an address is http://HOST:PORT/v1", "address %q: want http or https and a host", o.URL)
	}
	if strings.Trim(base.Path, "/") == "" {
		base.Path = "/v1"
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	if o.Concurrency == 0 {
		o.Concurrency = 8
	}
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.Tries == 0 {
		o.Tries = 6
	}
	if o.FirstWait == 0 {
		o.FirstWait = 500 * time.Millisecond
	}
	r := &Remote{opts: o, base: base, http: &http.Client{
		Timeout: o.Timeout,
		// The key must not travel to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if err := r.probe(ctx); err != nil {
		return nil, err
	}
	r.met = true
	return r, nil
}

// Capabilities returns what the probe found.
func (r *Remote) Capabilities() Capabilities { return r.can }

// Address is where the server is, without user and password.
func (r *Remote) Address() string {
	u := *r.base
	u.User = nil
	return u.String()
}

// post sends a request and decodes the answer, trying again after 408, 429, 5xx, time-outs, resets
// and answers that are cut off.
func (r *Remote) post(ctx context.Context, path string, body, to any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return r.retry(ctx, "POST", path, data, to)
}

func (r *Remote) retry(ctx context.Context, method, path string, data []byte, to any) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.Multiplier, wait.RandomizationFactor, wait.MaxInterval = r.opts.FirstWait, 2, 0.5, time.Minute
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, r.once(ctx, method, path, data, to)
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(r.opts.Tries), backoff.WithMaxElapsedTime(0))
	var permanent *backoff.PermanentError
	if errors.As(err, &permanent) {
		err = permanent.Err
	}
	var after *backoff.RetryAfterError
	if errors.As(err, &after) {
		err = fmt.Errorf("%s %s: the server keeps asking to wait (status 429)", method, path)
	}
	return err
}

func (r *Remote) once(ctx context.Context, method, path string, data []byte, to any) error {
	u := *r.base
	if rest, ok := strings.CutPrefix(path, "//"); ok { // beside /v1
		u.Path = strings.TrimSuffix(u.Path, "/v1") + "/" + rest
	} else {
		u.Path += path
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(data))
	if err != nil {
		return backoff.Permanent(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if r.opts.Key != "" {
		req.Header.Set("Authorization", "Bearer "+r.opts.Key)
	}
	res, err := r.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return backoff.Permanent(ctx.Err())
		}
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" {
			err = hint.Wrap(fmt.Errorf("%s: %w", r.Address(), dial), "is the server running?")
			if r.met { // it may come back
				return err
			}
			return backoff.Permanent(err)
		}
		return fmt.Errorf("%s: %w", r.Address(), err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxResponse+1))
	place := method + " " + u.Path
	switch {
	case res.StatusCode/100 != 2:
		return refusal(res, place, body)
	case err != nil:
		return fmt.Errorf("%s: %w", place, err)
	case len(body) > maxResponse:
		return backoff.Permanent(fmt.Errorf("%s: the answer has more than %d bytes", place, maxResponse))
	}
	if err := json.Unmarshal(body, to); err != nil {
		return fmt.Errorf("%s: the answer is no JSON as expected: %w", place, err)
	}
	return nil
}

// refusal turns a status into an error: one to try again after, or a last one.
func refusal(res *http.Response, place string, body []byte) error {
	text := strings.TrimSpace(string(body[:min(len(body), 300)]))
	err := &StatusError{Status: res.StatusCode, Place: place, Body: strings.ToValidUTF8(text, "�")}
	switch {
	case res.StatusCode == http.StatusTooManyRequests:
		if seconds, e := strconv.Atoi(res.Header.Get("Retry-After")); e == nil && seconds > 0 && seconds <= 60 {
			return backoff.RetryAfter(seconds)
		}
		return err
	case res.StatusCode == http.StatusRequestTimeout || res.StatusCode >= 500 && res.StatusCode != http.StatusNotImplemented:
		return err
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return backoff.Permanent(hint.Wrap(err, "set OPENAI_API_KEY"))
	}
	return backoff.Permanent(err)
}

// Each calls fn for 0 to n-1, as many at a time as the options say; the first error ends it.
func (r *Remote) Each(ctx context.Context, n int, fn func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, r.opts.Concurrency)
	var wait sync.WaitGroup
	for i := range n {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wait.Go(func() {
			defer func() { <-slots }()
			if err := fn(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// RemotePrompt is one thing asked of a server: Text or IDs of /completions, or else Messages of
// /chat/completions.
type RemotePrompt struct {
	Text         string
	IDs          []int32 // instead of Text, where Capabilities.TokenIDs
	Messages     []chat.Message
	MaxNewTokens int
	Sampling     model.Sampling // the zero value is greedy
	Seed         uint64         // sent with sampling that is not greedy
	IgnoreEOS    bool
	LogitBias    map[int32]float64 // added to the logits of tokens
	Stop         []string
	Top          int  // likeliest tokens to list for each new one
	Echo         bool // with the log-probabilities of the prompt; Text only
}

// RemoteToken is a token as a server reports it. LogProb is 0 for the first token of a prompt.
type RemoteToken struct {
	Text    string
	LogProb float64
	Top     map[string]float64 // log-probability by text
	// ID and TopIDs say the same by id, for servers that tell ids (llama.cpp); else -1 and empty.
	ID     int32
	TopIDs map[int32]float64
}

// RemoteAnswer is what a server answers.
type RemoteAnswer struct {
	Text         string
	Finish       string
	NewTokens    int // 0 if the server doesn't say
	PromptTokens int
	Tokens       []RemoteToken // with Top or Echo; of the prompt too with Echo
}
