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
	plan     Plan
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
		j, err := prepare(ctx, m, t, o, folder)
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
	answered, total := 0, 0
	for _, j := range jobs {
		total += len(j.open)
	}
	for _, j := range jobs {
		start := time.Now()
		err := j.run(ctx, m, folder, o.LogSamples, func() {
			answered++
			total = max(total, answered) // dialogues are as long as they turn out
			if o.Progress != nil {
				o.Progress(j.task.Name, answered, total)
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
func prepare(ctx context.Context, m Model, t Task, o Options, folder *folder) (*job, error) {
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
	j.plan = Plan{
		Data: o.Data, NumFewshot: j.shots, Limit: o.Limit, Wording: o.Wording, Warn: o.Warn,
		Fits: func(messages []chat.Message) (bool, error) {
			n, err := m.PromptTokens(messages)
			return n < maxLen, err
		},
	}
	if t.Dialogue != nil {
		return j, nil
	}
	requests, err := t.Requests(ctx, j.plan)
	if err == nil && len(requests) == 0 {
		err = errors.New("the data has no records")
	}
	if err != nil {
		return nil, err
	}
	tooLong := 0
	for _, r := range requests {
		if r.TooLong {
			tooLong++
		}
	}
	if tooLong > 0 {
		o.Warn("%s: %d of %d requests are not shorter than %d tokens even without examples; they are asked without", t.Name, tooLong, len(requests), max(0, maxLen))
	}
	return j, j.extend(about, folder, requests)
}

// extend adds requests, with the answers that are kept.
func (j *job) extend(about Description, f *folder, requests []Request) error {
	for _, r := range requests {
		k := key(about, j.task, r)
		a, ok, err := f.recall(k, j.task.Name)
		if err != nil {
			return err
		}
		if !ok {
			j.open = append(j.open, len(j.requests))
		}
		j.requests, j.answers, j.keys = append(j.requests, r), append(j.answers, a), append(j.keys, k)
	}
	return nil
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

// run asks for what has no answer yet.
func (j *job) run(ctx context.Context, m Model, f *folder, keepPrompts bool, done func()) error {
	if j.task.Dialogue == nil {
		return j.ask(ctx, m, f, keepPrompts, done)
	}
	err := j.task.Dialogue(ctx, j.plan, func(requests []Request) ([]Sample, error) {
		first := len(j.requests)
		err := j.extend(m.Describe(), f, requests)
		if err == nil {
			err = j.ask(ctx, m, f, keepPrompts, done)
		}
		if err != nil {
			return nil, err
		}
		list := make([]Sample, len(requests))
		for i, r := range requests {
			if list[i], err = sample(j.task, first+i, r, j.answers[first+i]); err != nil {
				return nil, err
			}
		}
		return list, nil
	})
	if err == nil && len(j.requests) == 0 {
		err = errors.New("the data has no records")
	}
	return err
}

// ask answers what is not yet answered and keeps each answer as it comes.
func (j *job) ask(ctx context.Context, m Model, f *folder, keepPrompts bool, done func()) error {
	if len(j.open) == 0 {
		return nil
	}
	requests := make([]Request, len(j.open))
	for n, i := range j.open {
		requests[n] = j.requests[i]
	}
	open := j.open
	j.open = nil
	return m.Answer(ctx, j.task, requests, func(n int, a Answer) error {
		if !keepPrompts {
			a.Prompt = ""
		}
		i := open[n]
		j.answers[i] = a
		done()
		return f.keep(j.keys[i], j.task.Name, a)
	})
}
