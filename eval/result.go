package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"lep/internal/hint"
)

// Result is what a run found, as it stands in results.json.
type Result struct {
	// Results holds each task's metrics and, as NAME_stderr, their standard errors.
	Results map[string]map[string]float64 `json:"results"`
	// Scores holds each task's one number with its 95 % interval.
	Scores map[string]Interval `json:"scores"`
	// Groups are the means of the groups' scores, Extra tasks apart.
	Groups       map[string]float64 `json:"groups"`
	GroupsStderr map[string]float64 `json:"groups_stderr"`
	// Total is the mean of all scores but extras; nil without any. It is complete if no expected
	// task is missing.
	Total       *float64           `json:"total"`
	TotalStderr *float64           `json:"total_stderr,omitempty"`
	Complete    bool               `json:"total_complete"`
	Extra       map[string]float64 `json:"extra,omitempty"`
	// Missing are the expected tasks without a score, Failed those that were asked for, with the
	// reason.
	Missing  []string           `json:"missing"`
	Failed   map[string]string  `json:"failed,omitempty"`
	Shots    map[string]int     `json:"n-shot"`
	Samples  map[string]Count   `json:"n-samples"`
	Versions map[string]int     `json:"versions"`
	Measures map[string]Measure `json:"measures"`
	Overall  Measure            `json:"measures_overall"` // of all tasks together
	Config   map[string]any     `json:"config"`

	tasks []Task
	order []string            // expected
	sums  map[string]*amounts // by task
}

// Count is how many requests a task has and how many were graded.
type Count struct {
	Original  int `json:"original"`
	Effective int `json:"effective"`
	Unscored  int `json:"unscored,omitempty"`
	TooLong   int `json:"too_long,omitempty"` // not shorter than the limit even without examples
}

// Measure is how fast and in how many tokens answers were generated.
type Measure struct {
	Seconds             float64 `json:"seconds"` // of this run; answers that were kept cost none
	CharactersPerSecond float64 `json:"characters_per_second,omitempty"`
	CharactersPerToken  float64 `json:"characters_per_token,omitempty"`
	// AnswerLogProb is the mean over requests of the mean log-probability, in nats, of the right
	// answer's tokens; AnswerBitsPerByte compares models with different vocabularies.
	AnswerLogProb     *float64 `json:"answer_logprob,omitempty"`
	AnswerBitsPerByte *float64 `json:"answer_bits_per_byte,omitempty"`
}

// amounts are the sums that measures are made of.
type amounts struct {
	took               time.Duration
	characters, tokens int     // of written answers
	seconds            float64 // in which they were written
	answers            int     // right answers that were scored
	logProb            float64 // sum of their mean log-probabilities
	nats, bytes        float64 // of all of them
}

func (a *amounts) add(b amounts) {
	a.took, a.characters, a.tokens, a.seconds = a.took+b.took, a.characters+b.characters, a.tokens+b.tokens, a.seconds+b.seconds
	a.answers, a.logProb, a.nats, a.bytes = a.answers+b.answers, a.logProb+b.logProb, a.nats+b.nats, a.bytes+b.bytes
}

func (a amounts) measure() Measure {
	m := Measure{Seconds: a.took.Seconds()}
	if a.seconds > 0 && a.tokens > 0 {
		m.CharactersPerSecond, m.CharactersPerToken = float64(a.characters)/a.seconds, float64(a.characters)/float64(a.tokens)
	}
	if a.answers > 0 {
		mean, bits := a.logProb/float64(a.answers), a.nats/math.Ln2/a.bytes
		m.AnswerLogProb, m.AnswerBitsPerByte = &mean, &bits
	}
	return m
}

func newResult(o Options, m Description) *Result {
	r := &Result{
		Results: map[string]map[string]float64{}, Scores: map[string]Interval{}, Groups: map[string]float64{}, GroupsStderr: map[string]float64{},
		Failed: map[string]string{}, Shots: map[string]int{}, Samples: map[string]Count{}, Versions: map[string]int{}, Measures: map[string]Measure{},
		Config: map[string]any{"model": m.Name, "model_digest": m.Digest, "chat_template": m.Chat, "context": m.Context,
			"max_prompt_len": o.MaxPromptLen, "limit": o.Limit, "seed": o.Seed},
		order: o.Expected, sums: map[string]*amounts{},
	}
	for k, v := range o.Config {
		r.Config[k] = v
	}
	return r
}

func (r *Result) fail(t Task, err error) {
	text := err.Error()
	if advice := hint.Of(err); advice != "" {
		text += " (" + advice + ")"
	}
	r.Failed[t.Name] = text
}

// add grades a job and keeps its samples.
func (r *Result) add(j *job, o Options, f *folder, took time.Duration) error {
	var list []Sample
	count := Count{Original: len(j.requests)}
	sums := amounts{took: took}
	for i, q := range j.requests {
		a := j.answers[i]
		if q.TooLong {
			count.TooLong++
		}
		if a.Unscored != "" {
			count.Unscored++ // graded nevertheless, with 0 for every choice, as the benchmark does
		}
		s, err := sample(j.task, i, q, a)
		if err != nil {
			return err
		}
		if o.LogSamples && a.Prompt != "" { // answers kept by a run without LogSamples have none
			s.Fields["prompt"] = mustJSON(a.Prompt)
		}
		list = append(list, s)
		sums.add(amounts{characters: utf8.RuneCountInString(a.Text), tokens: a.Tokens, seconds: a.Seconds})
	}
	if err := f.samples(j.task.Name, list); err != nil {
		return err
	}
	if j.tied() {
		o.Warn("%s: in every answer all choices are equally likely: the figures are those of always taking the first choice", j.task.Name)
	}
	if count.Unscored > 0 {
		o.Warn("%s: %d of %d answers count as 0 for every choice: %s", j.task.Name, count.Unscored, count.Original, j.unscored())
	}
	count.Effective = len(list)
	graded, interval, err := Grade(j.task, list, o.Seed)
	if err != nil {
		return err
	}
	name := j.task.Name
	r.Results[name], r.Scores[name], r.Samples[name], r.Measures[name] = graded, interval, count, sums.measure()
	r.Shots[name], r.Versions[name] = j.shots, j.task.Version
	r.tasks = append(r.tasks, j.task)
	r.sums[name] = &sums
	return nil
}

// answerScorer is a model that can score given answers.
type answerScorer interface {
	AnswerLogProbs(ctx context.Context, requests []Request) ([][]float64, error)
}

// scoreAnswers adds the log-probabilities of the right answers to a task's measures.
func (r *Result) scoreAnswers(ctx context.Context, m Model, j *job) error {
	scorer, ok := m.(answerScorer)
	if !ok {
		return fmt.Errorf("%s: the model cannot score given answers", m.Describe().Name)
	}
	var list []Request
	for _, q := range j.requests {
		if q.Answer != "" {
			list = append(list, q)
		}
	}
	if len(list) == 0 {
		return nil
	}
	scores, err := scorer.AnswerLogProbs(ctx, list)
	if err != nil {
		return err
	}
	sums := r.sums[j.task.Name]
	for i, s := range scores {
		if len(s) == 0 {
			continue
		}
		sum := 0.0
		for _, v := range s {
			sum += v
		}
		sums.add(amounts{answers: 1, logProb: sum / float64(len(s)), nats: -sum, bytes: float64(len(list[i].Answer))})
	}
	r.Measures[j.task.Name] = sums.measure()
	return nil
}

// tied reports that no answer prefers any choice, which is a fault of what gave the probabilities.
func (j *job) tied() bool {
	return j.task.Method == Choice && !slices.ContainsFunc(j.answers, func(a Answer) bool {
		return slices.ContainsFunc(a.Probs, func(p float64) bool { return p != a.Probs[0] })
	})
}

func (j *job) unscored() string {
	for _, a := range j.answers {
		if a.Unscored != "" {
			return a.Unscored
		}
	}
	return ""
}

// Grade computes a task's metrics of its samples, with NAME_stderr for each, and the interval of
// its score.
func Grade(t Task, list []Sample, seed int64) (map[string]float64, Interval, error) {
	measured, err := MeasureAll(t, list)
	if err != nil {
		return nil, Interval{}, err
	}
	metrics, err := t.Aggregate(measured)
	if err != nil {
		return nil, Interval{}, err
	}
	stderr, score, err := t.Bootstrap(measured, seed)
	if err != nil {
		return nil, Interval{}, err
	}
	out := map[string]float64{}
	for name, v := range metrics {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, Interval{}, fmt.Errorf("%s is not a number", name)
		}
		out[name], out[name+"_stderr"] = v, stderr[name]
	}
	return out, score, nil
}

// MeasureAll grades samples one by one; an error names the line.
func MeasureAll(t Task, list []Sample) ([]Measured, error) {
	if len(list) == 0 {
		return nil, errors.New("no samples")
	}
	out := make([]Measured, len(list))
	for i, s := range list {
		m, err := t.Measure(s)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", t.Name, i+1, err)
		}
		out[i] = m
	}
	return out, nil
}

// sum computes groups and total.
func (r *Result) sum() {
	var overall amounts
	for _, t := range r.tasks { // in one order, so that sums have the same last digit
		overall.add(*r.sums[t.Name])
	}
	r.Overall = overall.measure()
	var all []Interval
	groups := map[string][]Interval{}
	var counted []string
	for _, t := range r.tasks {
		s := r.Scores[t.Name]
		if t.Group == Extra {
			if r.Extra == nil {
				r.Extra = map[string]float64{}
			}
			r.Extra[t.Name] = s.Score
			continue
		}
		groups[t.Group] = append(groups[t.Group], s)
		all = append(all, s)
		counted = append(counted, t.Name)
	}
	for name, list := range groups {
		r.Groups[name], r.GroupsStderr[name] = meanOf(list)
	}
	if len(all) > 0 {
		total, stderr := meanOf(all)
		r.Total, r.TotalStderr = &total, &stderr
	}
	r.Missing = []string{}
	for _, name := range r.order {
		if !slices.Contains(counted, name) {
			r.Missing = append(r.Missing, name)
		}
	}
	r.Complete = len(r.Missing) == 0 && len(all) > 0
}

// meanOf is the plain mean of scores; its standard error takes the tasks as independent.
func meanOf(list []Interval) (mean, stderr float64) {
	square := 0.0
	for _, s := range list {
		mean += s.Score
		square += s.Stderr * s.Stderr
	}
	n := float64(len(list))
	return mean / n, math.Sqrt(square) / n
}
