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

// Options say how tasks are run. The zero value runs everything and keeps no files.
type Options struct {
	Data    Data
	Wording Wording
	// NumFewshot is the number of examples; negative: what the task says, else none for models
	// with a chat template and 5 for others.
	NumFewshot int
	Limit      int // most records of each task, 0 for all
	// MaxPromptLen is the number of tokens that a prompt must stay below, 0 for 4096.
	MaxPromptLen int
	Seed         int64
	// Out is the folder for results, "" for none; Resume continues what lies there.
	Out           string
	Resume, Force bool
	LogSamples    bool // keep the rendered prompts with the samples
	AnswerLogProb bool // also score the right answers (Measure.AnswerLogProb)
	// Expected are the tasks that the total is a mean of.
	Expected []string
	// Config is kept in the results as it is.
	Config map[string]any
	// Progress is told after every batch; Warn takes what is worth knowing. Either may be nil.
	Progress func(task string, done, total int)
	Warn     func(format string, args ...any)
}

// baseFewshot is the number of examples for models without a chat template.
const baseFewshot = 5

const defaultMaxPromptLen = 4096

// shots returns the number of examples for a task.
func (o Options) shots(t Task, m Description) int {
	switch {
	case o.NumFewshot >= 0:
		return o.NumFewshot
	case t.NumFewshot != nil:
		return *t.NumFewshot
	case m.Chat:
		return 0
	}
	return baseFewshot
}

// job is a task with its requests.
type job struct {
	task     Task
	shots    int
	requests []Request
	answers  []Answer
	keys     []string
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
		left += folder.recall(j)
	}
	total := left
	for _, j := range jobs {
		start := time.Now()
		err := j.run(ctx, m, folder, o.LogSamples, func(n int) {
			left -= n
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
	h.Write(mustJSON(map[string]any{
		"task": t.Name, "version": t.Version, "method": t.Method, "max_new_tokens": t.MaxNewTokens, "stop": t.Stop,
		"context": m.Context, "chat": m.Chat, "messages": r.Messages, "choices": r.Choices, "reference": r.Reference,
	}))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// run answers what is not yet answered, a batch at a time.
func (j *job) run(ctx context.Context, m Model, f *folder, keepPrompts bool, done func(int)) error {
	var open []int
	for i := range j.requests {
		if !f.has(j.keys[i]) {
			open = append(open, i)
		}
	}
	batch := max(1, m.Describe().Batch)
	for len(open) > 0 {
		now := open[:min(batch, len(open))]
		open = open[len(now):]
		requests := make([]Request, len(now))
		for n, i := range now {
			requests[n] = j.requests[i]
		}
		answers, err := m.Answer(ctx, j.task, requests)
		if err != nil {
			return err
		}
		for n, i := range now {
			j.answers[i] = answers[n]
			if !keepPrompts {
				answers[n].Prompt = ""
			}
			if err := f.keep(j.keys[i], j.task.Name, answers[n]); err != nil {
				return err
			}
		}
		done(len(now))
	}
	return nil
}
