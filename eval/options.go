package eval

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"lep/internal/hint"
)

// Options say how tasks are run.
type Options struct {
	// NumFewshot is the number of examples; negative: what the task says, else none for models
	// with a chat template and 5 for others.
	NumFewshot int `yaml:"num_fewshot"`
	Limit      int `yaml:"limit"` // most records of each task, 0 for all
	// MaxPromptLen is the number of tokens that a prompt must stay below, 0 for 4096.
	MaxPromptLen  int        `yaml:"max_prompt_len"`
	Generation    Generation `yaml:"gen_kwargs"`
	LogSamples    bool       `yaml:"log_samples"`    // keep the rendered prompts with the samples
	AnswerLogProb bool       `yaml:"answer_logprob"` // also score the right answers (Measure.AnswerLogProb)
	Seed          int64      `yaml:"seed"`

	Data    Data    `yaml:"-"`
	Wording Wording `yaml:"-"`
	// Out is the folder for results, "" for none; Resume continues what lies there.
	Out           string `yaml:"-"`
	Resume, Force bool   `yaml:"-"`
	// Cache is a file of answers that runs share, "" for none: what it has is not asked again.
	Cache string `yaml:"-"`
	// Expected are the tasks that the total is a mean of.
	Expected []string `yaml:"-"`
	// Config is kept in the results as it is.
	Config map[string]any `yaml:"-"`
	// Progress is told after every answer; Warn takes what is worth knowing. Either may be nil.
	Progress func(task string, done, total int) `yaml:"-"`
	Warn     func(format string, args ...any)   `yaml:"-"`
}

// DefaultOptions returns the settings of the paper: no examples for models with a chat template,
// 5 for others, prompts below 4096 tokens, greedy.
func DefaultOptions() Options {
	return Options{NumFewshot: -1, MaxPromptLen: defaultMaxPromptLen, Seed: 1}
}

// Validate reports the first setting out of its range.
func (o Options) Validate() error {
	switch {
	case o.NumFewshot < -1:
		return fmt.Errorf("num_fewshot is %d, want -1 (as the task says) or more", o.NumFewshot)
	case o.Limit < 0:
		return fmt.Errorf("limit is %d, want 0 (all) or more", o.Limit)
	case o.MaxPromptLen < 0:
		return fmt.Errorf("max_prompt_len is %d, want 1 or more", o.MaxPromptLen)
	case o.Resume && o.Out == "":
		return fmt.Errorf("there is no folder to resume in")
	}
	return o.Generation.Validate()
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

// Generation changes how answers are written; the zero value leaves tasks as they are and is greedy.
type Generation struct {
	MaxNewTokens int      `yaml:"max_new_tokens" json:"max_new_tokens,omitempty"` // 0: as the task says
	Stop         []string `yaml:"stop" json:"stop,omitempty"`                     // besides the task's
	Temperature  float64  `yaml:"temperature" json:"temperature,omitempty"`       // 0: greedy
	TopK         int      `yaml:"top_k" json:"top_k,omitempty"`                   // 0: all
	TopP         float64  `yaml:"top_p" json:"top_p,omitempty"`                   // 0 or 1: all
	MinP         float64  `yaml:"min_p" json:"min_p,omitempty"`                   // 0: all
	// RepetitionPenalty of 0 or 1 is none.
	RepetitionPenalty float64 `yaml:"repetition_penalty" json:"repetition_penalty,omitempty"`
}

// Validate reports the first setting out of its range.
func (g Generation) Validate() error {
	switch {
	case g.MaxNewTokens < 0:
		return fmt.Errorf("max_new_tokens is %d, want 1 or more", g.MaxNewTokens)
	case slices.Contains(g.Stop, ""):
		return fmt.Errorf("stop: an empty string")
	case !(g.Temperature >= 0) || math.IsInf(g.Temperature, 0):
		return fmt.Errorf("temperature is %v, want 0 or more", g.Temperature)
	case g.TopK < 0:
		return fmt.Errorf("top_k is %d, want 0 or more", g.TopK)
	case !(g.TopP >= 0 && g.TopP <= 1), !(g.MinP >= 0 && g.MinP <= 1):
		return fmt.Errorf("top_p is %v, min_p %v, want 0 to 1", g.TopP, g.MinP)
	case !(g.RepetitionPenalty >= 0) || math.IsInf(g.RepetitionPenalty, 0):
		return fmt.Errorf("repetition_penalty is %v, want 0 or more", g.RepetitionPenalty)
	}
	return nil
}

// generationKeys are the names that lm-evaluation-harness and transformers have for a setting.
var generationKeys = []string{"max_new_tokens", "max_gen_toks", "max_tokens", "until", "stop", "do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty"}

// Set sets a value by its name in other harnesses: max_gen_toks, until (one string more a time),
// do_sample (false makes the answers greedy), temperature and so on.
func (g *Generation) Set(key, value string) error {
	var err error
	switch key {
	case "max_new_tokens", "max_gen_toks", "max_tokens":
		g.MaxNewTokens, err = strconv.Atoi(value)
	case "until", "stop":
		g.Stop = append(g.Stop, value)
	case "do_sample":
		var sample bool
		if sample, err = strconv.ParseBool(value); err == nil && !sample {
			g.Temperature = 0
		} else if err == nil && g.Temperature == 0 {
			g.Temperature = 1
		}
	case "temperature":
		g.Temperature, err = strconv.ParseFloat(value, 64)
	case "top_k":
		g.TopK, err = strconv.Atoi(value)
	case "top_p":
		g.TopP, err = strconv.ParseFloat(value, 64)
	case "min_p":
		g.MinP, err = strconv.ParseFloat(value, 64)
	case "repetition_penalty":
		g.RepetitionPenalty, err = strconv.ParseFloat(value, 64)
	default:
		return hint.Errorf(hint.DidYouMean(key, generationKeys), "unknown setting %q", key)
	}
	if err != nil {
		return fmt.Errorf("%s: %q is no such value", key, value)
	}
	return nil
}

// greedy reports that answers are the likeliest ones.
func (g Generation) greedy() bool {
	return g.Temperature == 0 && (g.RepetitionPenalty == 0 || g.RepetitionPenalty == 1)
}

// apply returns the task as it is asked with these settings. Tasks that do not write stay as they are.
func (g Generation) apply(t Task, seed int64) Task {
	if t.Method != Generate {
		return t
	}
	if g.MaxNewTokens > 0 {
		t.MaxNewTokens = g.MaxNewTokens
	}
	t.Stop = slices.Concat(t.Stop, g.Stop)
	t.sampling, t.seed = g, seed
	return t
}
