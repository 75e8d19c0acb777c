package build

import (
	"context"
	"errors"
	"fmt"

	"lep/corpus"
	"lep/internal/hint"
	"lep/tokenizer"
	"lep/vocab/scenario"
)

// Options say how a language comes into a model's vocabulary.
type Options struct {
	Scenario scenario.Name `yaml:"scenario"` // extend, optimize or replace
	Base     string        `yaml:"base"`     // the model's tokenizer: folder, file or hub id
	// Add is the vocabulary of the new language; without one TrainSize tokens are learned from the
	// corpus by Algorithm, in the base's style.
	Add       string `yaml:"add"`
	Algorithm string `yaml:"algorithm"`
	TrainSize int    `yaml:"train_size"`
	// The corpus is learned from, and tells optimize which tokens are used.
	Corpus `yaml:",inline"`
	// HeldOut are texts that prove the result: which lines are cut or decode otherwise.
	HeldOut []string `yaml:"held_out"`

	Extend scenario.ExtendOptions `yaml:",inline"`
	Cut    scenario.CutOptions    `yaml:",inline"`

	Version string `yaml:"-"` // of lep, for lep_vocab.json
	Threads int    `yaml:"-"`
	Force   bool   `yaml:"-"` // replace an output that is there
	Hooks   `yaml:"-"`
}

// DefaultOptions extends by 32,000 tokens of BPE.
func DefaultOptions() Options {
	return Options{Scenario: scenario.Extension, Algorithm: "bpe", TrainSize: 32000, Corpus: DefaultCorpus(),
		Extend: scenario.DefaultExtendOptions(), Cut: scenario.DefaultCutOptions()}
}

// Validate reports the first setting that cannot be, before any file is opened.
func (o *Options) Validate() error {
	switch o.Scenario {
	case scenario.Extension, scenario.Optimization, scenario.Replacement:
	default:
		return fmt.Errorf("scenario %q: want %s, %s or %s", o.Scenario, scenario.Extension, scenario.Optimization, scenario.Replacement)
	}
	if o.Scenario == scenario.Optimization && o.Cut.Rule == scenario.ByUsage && len(o.Files) == 0 {
		return errors.New("cut usage needs a corpus")
	}
	if o.Add == "" && len(o.Files) == 0 {
		return hint.Errorf("name a vocabulary, or texts to learn one from: corpus", "the vocabulary of the new language is missing")
	}
	if o.Add == "" {
		return (&TrainOptions{Algorithm: o.Algorithm, Size: o.TrainSize, Corpus: o.Corpus}).Validate()
	}
	return o.Corpus.Validate()
}

// Summary is what a scenario came to.
type Summary struct {
	Out         string                 `json:"out"`
	Scenario    scenario.Name          `json:"scenario"`
	Size        int                    `json:"size"`
	Kept        int                    `json:"kept"`
	Cut         int                    `json:"cut"`
	New         int                    `json:"new"`
	LeftOut     int                    `json:"left_out"`
	Unreachable []scenario.Unreachable `json:"unreachable"`
	Report      *CutDetails            `json:"cut_report,omitempty"`
	Proof       *scenario.Proof        `json:"proof,omitempty"`
	Notes       []string               `json:"notes"`

	LeftOutTokens []scenario.Unreachable `json:"-"` // with their reasons
}

// Make makes a vocabulary by a scenario, proves it on the held-out texts and writes its folder.
func Make(ctx context.Context, o Options, out string) (*Summary, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	base, err := Open(o.Base)
	if err != nil {
		return nil, err
	}
	add, err := o.other(ctx, base)
	if err != nil {
		return nil, err
	}
	r, details, err := o.make(ctx, base, add)
	if err != nil {
		return nil, err
	}
	sum := &Summary{
		Out: out, Scenario: r.Scenario, Size: len(r.OldIDs), Kept: r.Kept, Cut: r.Cut, New: r.New,
		LeftOut: len(r.LeftOut), LeftOutTokens: r.LeftOut, Unreachable: notNil(r.Unreachable), Report: details,
	}
	if sum.Proof, err = o.prove(ctx, base, r); err != nil {
		return nil, err
	}
	recipe, err := o.record()
	if err != nil {
		return nil, err
	}
	side, err := r.JSON(base.Definition, recipe, sum.Proof)
	if err != nil {
		return nil, err
	}
	notes, err := writeFolder(out, o.Force, r.Definition, r.Config(base.Config), rankFile(base.Path), side)
	if err != nil {
		return nil, err
	}
	if sum.Proof != nil && sum.Proof.Recut > 0 && r.Scenario != scenario.Replacement && o.Extend.Merges == scenario.AutoMerges && !o.Extend.Reference {
		notes = append(notes, "the base's native format joins tokens however they were cut; merges: learned keeps text without new tokens as it was, in tokenizer.json alone")
	}
	sum.Notes = notNil(notes)
	return sum, nil
}

// other opens the new language's vocabulary, or learns it in the style of the base, without
// its special tokens.
func (o *Options) other(ctx context.Context, base *Vocabulary) (add *Vocabulary, err error) {
	if o.Add != "" {
		add, err = Open(o.Add)
	} else {
		add, err = o.learn(ctx, base)
	}
	if err == nil && o.Scenario != scenario.Replacement {
		add.Definition.SentencePiece = nil // its tokens are taken in their HF form
	}
	return add, err
}

func (o *Options) learn(ctx context.Context, base *Vocabulary) (*Vocabulary, error) {
	opts := DefaultTrainOptions()
	opts.Algorithm, opts.Size, opts.AllowSmaller = o.Algorithm, o.TrainSize, true
	opts.Like, opts.Corpus, opts.Threads, opts.Hooks = o.Base, o.Corpus, o.Threads, o.Hooks
	like := &Vocabulary{Path: base.Path, Definition: base.Definition.Clone(), Config: base.Config}
	like.Definition.AddedTokens = nil
	t, err := newTrainer(opts, like)
	if err != nil {
		return nil, err
	}
	r, _, err := t.Learn(ctx, "learn: read", 0)
	if err != nil {
		return nil, err
	}
	return &Vocabulary{Path: o.Files[0], Definition: r.Definition, Config: base.Config}, nil
}

func (o *Options) make(ctx context.Context, base, add *Vocabulary) (*scenario.Result, *CutDetails, error) {
	switch o.Scenario {
	case scenario.Extension:
		r, err := scenario.Extend(base.Definition, add.Definition, o.Extend)
		return r, nil, err
	case scenario.Replacement:
		r, err := scenario.Replace(base.Definition, add.Definition)
		return r, nil, err
	}
	texts, err := o.Corpus.Open(ctx, "cut", o.Hooks)
	if err != nil {
		return nil, nil, err
	}
	cut, report, err := scenario.Cut(base.Definition, texts.All(), o.Cut)
	if err != nil {
		return nil, nil, err
	}
	texts.WarnBad()
	r, err := scenario.Extend(cut.Definition, add.Definition, o.Extend)
	if err != nil {
		return nil, nil, err
	}
	r.After(cut, base.Definition)
	tok, err := tokenizer.New(base.Definition)
	if err != nil {
		return nil, nil, err
	}
	return r, detailCut(tok, report), nil
}

func (o *Options) prove(ctx context.Context, base *Vocabulary, r *scenario.Result) (*scenario.Proof, error) {
	reading := corpus.DefaultOptions()
	reading.Seed = o.Reading.Seed
	c := Corpus{Files: o.HeldOut, Reading: reading}
	texts, err := c.Open(ctx, "prove", o.Hooks)
	if err != nil || texts == nil {
		return nil, err
	}
	return scenario.Prove(base.Definition, r, texts.All())
}

// record is the whole recipe of a scenario, for lep_vocab.json.
func (o *Options) record() (map[string]any, error) {
	out := map[string]any{"lep": o.Version, "base": o.Base, "sample": notNil(o.HeldOut)}
	if o.Add != "" {
		out["add"] = o.Add
	} else {
		out["algorithm"], out["train_size"] = o.Algorithm, o.TrainSize
	}
	parts := map[string]any{}
	if len(o.Files) > 0 {
		out["corpus"] = o.Files
		parts["reading"] = o.Reading
	}
	if o.Scenario != scenario.Replacement {
		parts["extend"] = o.Extend
	}
	if o.Scenario == scenario.Optimization {
		parts["cut"] = o.Cut
	}
	for name, part := range parts {
		raw, err := asJSON(part)
		if err != nil {
			return nil, err
		}
		out[name] = raw
	}
	return out, nil
}
