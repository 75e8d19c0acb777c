package eval

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"lep/chat"
)

// job is a task with its requests.
type job struct {
	task     Task
	shots    int
	requests []Request
	answers  []Answer
	keys     []string
	open     []int // requests without an answer
}

// Run asks a model all requests of all tasks. A task that cannot be run (no data, bad data, a
// server without the means) is listed in Result.Missing with the reason, and the others go on.
// An error means that nothing was summed up; what was answered is kept in Out for Resume.
func Run(ctx context.Context, m Model, tasks []Task, o Options) (*Result, error) {
	if o.MaxPromptLen == 0 {
		o.MaxPromptLen = defaultMaxPromptLen
	}
	if o.Warn == nil {
		o.Warn = func(string, ...any) {}
	}
	folder, err := openFolder(o, m.Describe())
	if err != nil {
		return nil, err
	}
	defer folder.close()
	result := newResult(o, m.Describe())
	var jobs []*job
	for _, t := range tasks {
		j, err := prepare(ctx, m, t, o)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			o.Warn("%s cannot be run: %v", t.Name, err)
			result.fail(t, err)
			continue
		}
		jobs = append(jobs, j)
	}
	left := 0
	for _, j := range jobs {
		if err := j.recall(folder); err != nil {
			return nil, err
		}
		left += len(j.open)
	}
	total := left
	for _, j := range jobs {
		start := time.Now()
		err := j.run(ctx, m, folder, o.LogSamples, func() {
			left--
			if o.Progress != nil {
				o.Progress(j.task.Name, total-left, total)
			}
		})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			o.Warn("%s failed: %v", j.task.Name, err)
			result.fail(j.task, err)
			continue
		}
		if err := result.add(j, o, folder, time.Since(start)); err != nil {
			o.Warn("%s cannot be graded: %v", j.task.Name, err)
			result.fail(j.task, err)
			continue
		}
		if o.AnswerLogProb {
			if err := result.scoreAnswers(ctx, m, j); err != nil {
				return nil, err
			}
		}
	}
	result.sum()
	return result, folder.finish(result)
}

// prepare builds a task's requests.
func prepare(ctx context.Context, m Model, t Task, o Options) (*job, error) {
	if err := m.Supports(t); err != nil {
		return nil, err
	}
	about := m.Describe()
	t = o.Generation.apply(t, o.Seed)
	maxLen := o.MaxPromptLen
	if about.Context > 0 {
		maxLen = min(maxLen, about.Context-t.MaxNewTokens)
	}
	if maxLen < 1 {
		o.Warn("%s: %d new tokens leave no room for a prompt in the model's context of %d; answers end where the context does", t.Name, t.MaxNewTokens, about.Context)
	}
	j := &job{task: t, shots: o.shots(t, about)}
	var err error
	j.requests, err = t.Requests(ctx, Plan{
		Data: o.Data, NumFewshot: j.shots, Limit: o.Limit, Wording: o.Wording, Warn: o.Warn,
		Fits: func(messages []chat.Message) (bool, error) {
			n, err := m.PromptTokens(messages)
			return n < maxLen, err
		},
	})
	if err == nil && len(j.requests) == 0 {
		err = errors.New("the data has no records")
	}
	if err != nil {
		return nil, err
	}
	tooLong := 0
	for _, r := range j.requests {
		if r.TooLong {
			tooLong++
		}
	}
	if tooLong > 0 {
		o.Warn("%s: %d of %d requests are not shorter than %d tokens even without examples; they are asked without", t.Name, tooLong, len(j.requests), max(0, maxLen))
	}
	j.answers, j.keys = make([]Answer, len(j.requests)), make([]string, len(j.requests))
	for i, r := range j.requests {
		j.keys[i] = key(about, t, r)
	}
	return j, nil
}

// key identifies an answer: whatever could change it goes in.
func key(m Description, t Task, r Request) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", m.Digest)
	parts := map[string]any{
		"task": t.Name, "version": t.Version, "method": t.Method, "max_new_tokens": t.MaxNewTokens, "stop": t.Stop,
		"context": m.Context, "chat": m.Chat, "messages": r.Messages, "choices": r.Choices, "reference": r.Reference,
	}
	if !t.sampling.greedy() {
		parts["sampling"], parts["seed"] = t.sampling, t.seed
	}
	h.Write(mustJSON(parts))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// recall takes the answers that are kept.
func (j *job) recall(f *folder) error {
	for i, k := range j.keys {
		a, ok, err := f.recall(k, j.task.Name)
		if err != nil {
			return err
		}
		if j.answers[i] = a; !ok {
			j.open = append(j.open, i)
		}
	}
	return nil
}

// run answers what is not yet answered and keeps each answer as it comes.
func (j *job) run(ctx context.Context, m Model, f *folder, keepPrompts bool, done func()) error {
	if len(j.open) == 0 {
		return nil
	}
	requests := make([]Request, len(j.open))
	for n, i := range j.open {
		requests[n] = j.requests[i]
	}
	return m.Answer(ctx, j.task, requests, func(n int, a Answer) error {
		if !keepPrompts {
			a.Prompt = ""
		}
		i := j.open[n]
		j.answers[i] = a
		done()
		return f.keep(j.keys[i], j.task.Name, a)
	})
}
