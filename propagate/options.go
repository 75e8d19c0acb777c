package propagate

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"lep/internal/hint"
	"lep/linalg"
)

// Method names a way to choose W.
type Method string

// The methods; the paper's names are in brackets.
const (
	Swap          Method = "swap"           // W = I (direct embedding swap)
	Overlap       Method = "overlap"        // rows of tokens that both vocabularies have (overlapping token correction)
	Conversion    Method = "conversion"     // a row for every new token: the mean of its old subtokens (vocabulary conversion)
	Bypass        Method = "bypass"         // a row for every old token
	SumConversion Method = "sum_conversion" // sums in place of means
	OccConversion Method = "occ_conversion" // means weighted by given counts
	Ridge         Method = "ridge"          // conversion, held near the identity; strength chosen on held-out tokens
	Auto          Method = "auto"           // the best of the above on held-out tokens
)

// Methods lists all methods in the order of help texts.
var methods = []Method{Swap, Overlap, Conversion, Bypass, SumConversion, OccConversion, Ridge, Auto}

// Methods returns the names that ParseMethod takes.
func Methods() []Method { return slices.Clone(methods) }

// ParseMethod reads a method's name; the authors' straight and union are taken for
// swap and overlap.
func ParseMethod(s string) (Method, error) {
	switch s {
	case "straight":
		return Swap, nil
	case "union":
		return Overlap, nil
	}
	if slices.Contains(methods, Method(s)) {
		return Method(s), nil
	}
	var names []string
	for _, m := range methods {
		names = append(names, string(m))
	}
	return "", fmt.Errorf("method: %q, want one of %s", s, strings.Join(names, ", "))
}

// UnmarshalText reads a method in recipes.
func (m *Method) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMethod(string(text))
	return err
}

// Target is one instruct model and the folder that its result goes to.
type Target struct {
	Model string `yaml:"model" json:"model"`
	Out   string `yaml:"out" json:"out"`
}

// Options are the settings of a propagation. Models are folders or hub ids.
type Options struct {
	Source  string   `yaml:"source" json:"source"`
	Donor   string   `yaml:"donor" json:"donor"` // a model, or a LoRA adapter with its saved embeddings
	Targets []Target `yaml:"targets" json:"targets"`

	Method Method `yaml:"method" json:"method"`
	// Compat is "" or "reference": what the authors' code does, its faults included.
	Compat string `yaml:"compat" json:"compat"`
	// KeepShared leaves the target's own rows to the tokens that it already has (by
	// their bytes) and projects the new ones only.
	KeepShared bool `yaml:"keep_shared" json:"keep_shared"`
	// FitSpecial fits on special tokens too, by name, as the sound rules of the reference
	// data do. Tuning moves their rows more than any others, and the result takes them
	// from the target anyway; without them the map is that of the text alone.
	FitSpecial bool `yaml:"fit_special" json:"fit_special"`
	// HeldOut is the share of shared text tokens that the reported R² is measured on, and
	// that ridge and auto choose by, at most 4096 tokens; 0 for none (ridge without Lambda and auto need some).
	HeldOut float64 `yaml:"held_out" json:"held_out"`
	// Lambda is the strength of ridge relative to the mean eigenvalue of SᵀS; 0 to choose it.
	Lambda float64 `yaml:"lambda" json:"lambda"`
	// Occurrences is a JSON file {"new id": {"old id": count}} for occ_conversion.
	Occurrences string `yaml:"occurrences" json:"occurrences"`
	Seed        uint64 `yaml:"seed" json:"seed"`
	// Diagnose is the number of new tokens whose neighbours before and after are reported, with
	// the spectra of the matrices; 0 for none.
	Diagnose int `yaml:"diagnose" json:"diagnose"`

	// PadToMultipleOf rounds the rows of the result up; 0 writes a row for every
	// token and no more, whatever padding the donor has.
	PadToMultipleOf int `yaml:"pad_to_multiple_of" json:"pad_to_multiple_of"`
	// ChatTemplate is a file that replaces the target's chat template.
	ChatTemplate string `yaml:"chat_template" json:"chat_template"`
	// CheckLayers compares the donor's layers with the source's, which a donor shares
	// if only its embeddings were trained.
	CheckLayers bool `yaml:"check_layers" json:"check_layers"`

	// AlphaScale divides lora_alpha of a LoRA donor; NotScaleLMHead exempts a LoRA on lm_head.
	AlphaScale     float64 `yaml:"alpha_scale" json:"alpha_scale"`
	NotScaleLMHead bool    `yaml:"not_scale_lm_head" json:"not_scale_lm_head"`

	// OverlapPenalty divides conversion rows made of one old token (the authors' setting; 1).
	OverlapPenalty float64 `yaml:"overlap_penalty" json:"overlap_penalty"`
	// SpaceForMetaspace is auto, yes or no: whether, with Compat reference, ▁ becomes a
	// space before a token is encoded. auto is the authors' rule: if the target's
	// path contains "llama".
	SpaceForMetaspace string `yaml:"space_for_metaspace" json:"space_for_metaspace"`

	ShardSize int64 `yaml:"max_shard_size" json:"max_shard_size"` // bytes
	Force     bool  `yaml:"force" json:"-"`                       // replace an existing result

	// Language, License and Datasets go into the model card.
	Language string   `yaml:"language" json:"language,omitempty"`
	License  string   `yaml:"license" json:"license,omitempty"`
	Datasets []string `yaml:"datasets" json:"datasets,omitempty"`

	Version string       `yaml:"-" json:"-"` // of lep, for lep.json
	BLAS    linalg.BLAS  `yaml:"-" json:"-"` // nil: linalg.Open("auto", Threads)
	Threads int          `yaml:"-" json:"-"` // 0: all processors
	Logger  *slog.Logger `yaml:"-" json:"-"` // nil discards
}

// DefaultOptions returns the sound settings.
func DefaultOptions() Options {
	return Options{Method: Conversion, FitSpecial: true, HeldOut: 0.1, Seed: 1, CheckLayers: true, AlphaScale: 1, OverlapPenalty: 1,
		SpaceForMetaspace: "auto", ShardSize: 5_000_000_000}
}

// Validate reports the first setting that cannot be, before any file is opened.
func (o *Options) Validate() error {
	if _, err := ParseMethod(string(o.Method)); err != nil {
		return err
	}
	switch {
	case o.Source == "":
		return errors.New("source: no model given")
	case o.Donor == "":
		return errors.New("donor: no model given")
	case len(o.Targets) == 0:
		return errors.New("target: no model given")
	case o.Compat != "" && o.Compat != "reference":
		return fmt.Errorf("compat: %q, want reference or nothing", o.Compat)
	case !(o.HeldOut >= 0 && o.HeldOut <= 0.5):
		return fmt.Errorf("held_out: %g, want 0 to 0.5", o.HeldOut)
	case o.HeldOut == 0 && (o.Method == Auto || o.Method == Ridge && o.Lambda == 0):
		return hint.Errorf("give --held-out, or for ridge --lambda", "held_out: 0, but method %s chooses on held-out tokens", o.Method)
	case !(o.Lambda >= 0) || math.IsInf(o.Lambda, 0):
		return fmt.Errorf("lambda: %g, want 0 or more", o.Lambda)
	case o.Method == OccConversion && o.Occurrences == "":
		return hint.Errorf(`give --occurrences FILE, JSON {"new id": {"old id": count}}`, "occurrences: no file given, but the method is occ_conversion")
	case o.Method != OccConversion && o.Occurrences != "":
		return fmt.Errorf("occurrences: a file is given, but the method is %s", o.Method)
	case o.Compat == "reference" && (o.Method == Ridge || o.Method == Auto || o.KeepShared):
		return errors.New("compat: the authors' code has no ridge, auto or keep_shared")
	case o.Compat == "reference" && !o.FitSpecial:
		return errors.New("compat: the authors' code always fits on special tokens")
	case o.Diagnose < 0 || o.Diagnose > 1000:
		return fmt.Errorf("diagnose: %d, want 0 to 1000 tokens", o.Diagnose)
	case o.PadToMultipleOf < 0 || o.PadToMultipleOf > 1<<16:
		return fmt.Errorf("pad_to_multiple_of: %d, want 0 to 65536", o.PadToMultipleOf)
	case !(o.AlphaScale > 0) || math.IsInf(o.AlphaScale, 0):
		return fmt.Errorf("alpha_scale: %g, want a positive number", o.AlphaScale)
	case !(o.OverlapPenalty > 0) || math.IsInf(o.OverlapPenalty, 0):
		return fmt.Errorf("overlap_penalty: %g, want a positive number", o.OverlapPenalty)
	case o.ShardSize <= 0:
		return fmt.Errorf("max_shard_size: %d, want a number of bytes", o.ShardSize)
	case !slices.Contains([]string{"auto", "yes", "no"}, o.SpaceForMetaspace):
		return fmt.Errorf("space_for_metaspace: %q, want auto, yes or no", o.SpaceForMetaspace)
	}
	return o.validateTargets()
}

func (o *Options) validateTargets() error {
	seen := map[string]bool{}
	for i, t := range o.Targets {
		if t.Model == "" || t.Out == "" {
			return hint.Errorf("give --target and --out in pairs", "target %d: model %q, out %q, want both", i+1, t.Model, t.Out)
		}
		out, err := filepath.Abs(t.Out)
		if err != nil {
			return fmt.Errorf("out: %w", err)
		}
		if seen[out] {
			return fmt.Errorf("out: %q is given twice", t.Out)
		}
		seen[out] = true
	}
	return nil
}

func (o *Options) reference() bool { return o.Compat == "reference" }

// spaceForMetaspace decides the authors' path quirk.
func (o *Options) spaceForMetaspace(target string) bool {
	switch o.SpaceForMetaspace {
	case "yes":
		return true
	case "no":
		return false
	}
	return strings.Contains(strings.ToLower(target), "llama")
}

func (o *Options) logger() *slog.Logger {
	if o.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Logger
}
