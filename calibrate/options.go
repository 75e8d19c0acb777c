package calibrate

import (
	"errors"
	"fmt"
	"time"

	"lep/corpus"
	"lep/infer"
	"lep/internal/hint"
	"lep/model"
)

// Options say who is asked what, and how.
type Options struct {
	Model   string   `yaml:"model" json:"model"`     // folder or hub id; with API the name that the server knows it by
	API     string   `yaml:"api" json:"api"`         // address of an OpenAI-compatible server, "" for a native model
	Prompts []string `yaml:"prompts" json:"prompts"` // see corpus.Open: files, folders, globs; texts by line, or JSON rows
	Out     string   `yaml:"out" json:"out"`         // JSON lines to write
	// Rejected is a file for the conversations that the filters refused, each with its reason; "" for none.
	Rejected string `yaml:"rejected" json:"rejected"`
	Limit    int    `yaml:"limit" json:"limit"` // most prompts, 0 for all

	System           string         `yaml:"system" json:"system"` // system message of prompts that have none
	MaxNewTokens     int            `yaml:"max_new_tokens" json:"max_new_tokens"`
	Sampling         model.Sampling `yaml:",inline" json:"sampling"`
	SamplesPerPrompt int            `yaml:"samples_per_prompt" json:"samples_per_prompt"`
	Seed             uint64         `yaml:"seed" json:"seed"`

	// BatchSize is how many conversations a native model answers before they are saved. It is part of
	// what makes a run reproducible: a batch is computed together.
	BatchSize   int           `yaml:"batch_size" json:"batch_size"`
	Concurrency int           `yaml:"concurrency" json:"concurrency"` // requests to a server at a time
	Timeout     time.Duration `yaml:"timeout" json:"timeout"`         // of one try of a request
	Engine      infer.Options `yaml:"engine" json:"engine"`           // of a native model

	Filters Filters        `yaml:"filters" json:"filters"`
	Text    corpus.Options `yaml:",inline" json:"text"` // text_field, max_bad_rows, …

	Key      string         `yaml:"-" json:"-"` // bearer token of the server
	Force    bool           `yaml:"-" json:"-"` // replace Out and begin anew
	Progress func(Progress) `yaml:"-" json:"-"` // called as answers come, from one goroutine at a time

	firstWait time.Duration // before a request is tried again; 0 for infer's own
}

// Filters say which conversations are kept. One is judged by the first of its answers that fails.
type Filters struct {
	MinChars int `yaml:"min_chars" json:"min_chars"` // code points of an answer; an empty answer never passes
	MaxChars int `yaml:"max_chars" json:"max_chars"` // 0: no limit
	// KeepCutOff keeps answers that max_new_tokens cut off.
	KeepCutOff bool `yaml:"keep_cut_off" json:"keep_cut_off"`
	// MaxRepetition is the largest share of an answer's words that may stand in word 4-grams seen
	// before in the same answer (answers of 16 words and more). 1 switches the filter off.
	MaxRepetition float64 `yaml:"max_repetition" json:"max_repetition"`
	// Languages lists the languages an answer may have (ISO 639-1), none for any; SameLanguage wants that
	// of the prompt. Texts whose language [Identify] does not know pass.
	Languages    []string `yaml:"languages" json:"languages"`
	SameLanguage bool     `yaml:"same_language" json:"same_language"`
	// Refusals are further phrases by which an answer is known to be a refusal, besides the
	// built-in ones of DefaultRefusals; KeepRefusals switches the filter off.
	Refusals     []string `yaml:"refusals" json:"refusals"`
	KeepRefusals bool     `yaml:"keep_refusals" json:"keep_refusals"`
	// NearDuplicates is the similarity from which on a conversation is dropped for an earlier one: the
	// Jaccard index of their word 3-grams, estimated by MinHash. 0 switches the filter off.
	NearDuplicates float64 `yaml:"near_duplicates" json:"near_duplicates"`
}

// DefaultOptions returns greedy answers of up to 512 tokens, and filters against what is surely no
// training data.
func DefaultOptions() Options {
	text := corpus.DefaultOptions()
	text.RawJSON = true
	return Options{
		MaxNewTokens: 512, SamplesPerPrompt: 1, Seed: 1, BatchSize: 32, Concurrency: 8, Timeout: 2 * time.Minute,
		Engine: infer.DefaultOptions(), Text: text,
		Filters: Filters{MinChars: 1, MaxRepetition: 0.5, NearDuplicates: 0.85},
	}
}

// Validate reports the first setting that cannot be right.
func (o *Options) Validate() error {
	f := &o.Filters
	switch {
	case o.Model == "" && o.API == "":
		return errors.New("no model: give model, or api")
	case len(o.Prompts) == 0:
		return errors.New("no prompts")
	case o.Out == "":
		return errors.New("no file to write (out)")
	case o.Rejected == o.Out:
		return errors.New("rejected and out are the same file")
	case o.Limit < 0:
		return fmt.Errorf("limit is %d, want 0 (all) or more", o.Limit)
	case o.MaxNewTokens < 1:
		return fmt.Errorf("max_new_tokens is %d, want at least 1", o.MaxNewTokens)
	case o.SamplesPerPrompt < 1 || o.SamplesPerPrompt > 1000:
		return fmt.Errorf("samples_per_prompt is %d, want 1 to 1000", o.SamplesPerPrompt)
	case o.SamplesPerPrompt > 1 && o.Sampling.Temperature == 0:
		return hint.Errorf("set temperature, 0.7 for instance", "samples_per_prompt is %d and answers are greedy: all would be the same", o.SamplesPerPrompt)
	case o.BatchSize < 1:
		return fmt.Errorf("batch_size is %d, want at least 1", o.BatchSize)
	case o.Concurrency < 1:
		return fmt.Errorf("concurrency is %d, want at least 1", o.Concurrency)
	case o.Timeout <= 0:
		return fmt.Errorf("timeout is %s, want some time", o.Timeout)
	case f.MinChars < 0 || f.MaxChars < 0 || f.MaxChars > 0 && f.MaxChars < f.MinChars:
		return fmt.Errorf("min_chars is %d and max_chars %d, want 0 <= min_chars <= max_chars, or max_chars 0 for no limit", f.MinChars, f.MaxChars)
	case !(f.MaxRepetition >= 0 && f.MaxRepetition <= 1):
		return fmt.Errorf("max_repetition is %g, want 0 to 1", f.MaxRepetition)
	case !(f.NearDuplicates >= 0 && f.NearDuplicates <= 1):
		return fmt.Errorf("near_duplicates is %g, want 0 to 1", f.NearDuplicates)
	}
	for _, code := range f.Languages {
		if !known(code) {
			return fmt.Errorf("languages: %q is not among those that can be told apart: %s", code, knownList())
		}
	}
	if err := o.Sampling.Validate(); err != nil {
		return err
	}
	if err := o.Engine.Validate(); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	return o.Text.Validate()
}

// Progress tells how far a run is.
type Progress struct {
	Done, Total int // conversations
	Resumed     int // of Done, those that an earlier run had answered
	NewTokens   int // written by this run, as far as they are known
}
