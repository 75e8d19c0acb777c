package cli

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"lep/internal/hint"
	"lep/internal/pocket"
	"lep/linalg"
	"lep/propagate"
)

// Levels of checking a result.
const (
	checkFull = "full" // run the result as a model too
	checkFast = "fast" // files and tokenizer only
	checkAuto = "auto" // full for models whose weights are small
)

// smallModel is the most bytes of weights that --check auto runs (about 4 GB, a minute or two).
const smallModel = 4 << 30

func (a *app) propagateCmd() *cobra.Command {
	opts := propagate.DefaultOptions()
	var targets, outs []string
	var dryRun bool
	var check string
	cmd := &cobra.Command{
		Use:   "propagate --source BASE --target INSTRUCT --donor ADAPTED --out DIR",
		Short: "Carry an adapted base model's embeddings into an instruct model",
		Long: `Carry an adapted base model's embeddings into an instruct model of the same family (Learned Embedding Propagation).

The source is the base model, the donor the same base with a new vocabulary, trained (a model, or a LoRA adapter), the target
any instruct model tuned from the source. The result is the target with the donor's vocabulary: its layers, special tokens, chat
template and generation settings are the target's, its embed_tokens and lm_head are the donor's, projected.

Methods: swap, overlap, conversion (the paper's best), bypass, sum_conversion, occ_conversion, ridge, and auto, which chooses on
held-out tokens. --target and --out may be repeated: one donor, many instruct models.`,
		Example: `  lep propagate --source meta-llama/Meta-Llama-3-8B --target meta-llama/Meta-Llama-3-8B-Instruct --donor ./llama3-ru --out ./llama3-ru-instruct
  lep propagate --source base --donor ru --target chat --out chat-ru --target code --out code-ru --method auto`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(targets) != len(outs) {
				return usagef("%d --target and %d --out: each target needs its own out", len(targets), len(outs))
			}
			if check != checkFull && check != checkFast && check != checkAuto {
				return usagef("--check %q: want %s, %s or %s", check, checkAuto, checkFull, checkFast)
			}
			for i := range targets {
				opts.Targets = append(opts.Targets, propagate.Target{Model: targets[i], Out: outs[i]})
			}
			opts.Threads, opts.Force, opts.Seed, opts.Version = a.threads, a.force, uint64(a.seed), Version
			var err error
			if opts.BLAS, err = linalg.Open(a.blas, a.threads); err != nil {
				return usageError{err}
			}
			if dryRun {
				return a.planPropagation(cmd.Context(), opts)
			}
			r, err := propagate.Run(cmd.Context(), opts)
			if err != nil {
				return err
			}
			return a.finishPropagation(cmd.Context(), r, check)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Source, "source", "", "base model: folder or hub id")
	f.StringVar(&opts.Donor, "donor", "", "adapted base model, or a LoRA adapter of it")
	f.StringArrayVar(&targets, "target", nil, "instruct model (may be repeated)")
	f.StringArrayVar(&outs, "out", nil, "folder of the result, one for each target")
	f.StringVar((*string)(&opts.Method), "method", string(opts.Method), "one of "+methodNames())
	f.StringVar(&opts.Compat, "compat", "", `"reference": what the authors' code does, its faults included`)
	f.BoolVar(&opts.KeepShared, "keep-shared", false, "keep the target's own rows of tokens that it already has")
	f.BoolVar(&opts.FitSpecial, "fit-special", opts.FitSpecial, "fit on special tokens too (false: on text alone, which tuning moves least)")
	f.Float64Var(&opts.HeldOut, "held-out", opts.HeldOut, "share of shared tokens that R² is measured on")
	f.Float64Var(&opts.Lambda, "lambda", opts.Lambda, "strength of ridge, relative to the mean eigenvalue (0: choose on held-out tokens)")
	f.StringVar(&opts.Occurrences, "occurrences", "", `JSON file {"new id": {"old id": count}} for occ_conversion`)
	f.IntVar(&opts.Diagnose, "diagnose", 0, "new tokens whose neighbours before and after go into lep.json, with the spectra (0: none)")
	f.IntVar(&opts.PadToMultipleOf, "pad-to-multiple-of", opts.PadToMultipleOf, "round the rows up (0: a row for every token)")
	f.StringVar(&opts.ChatTemplate, "chat-template", "", "file with another chat template than the target's")
	f.BoolVar(&opts.CheckLayers, "check-layers", opts.CheckLayers, "compare the donor's layers with the source's first")
	f.Float64Var(&opts.AlphaScale, "alpha-scale", opts.AlphaScale, "divides lora_alpha of a LoRA donor")
	f.BoolVar(&opts.NotScaleLMHead, "not-scale-lm-head", false, "leave a LoRA on lm_head out of --alpha-scale")
	f.Float64Var(&opts.OverlapPenalty, "overlap-penalty", opts.OverlapPenalty, "divides conversion rows made of one old token")
	f.StringVar(&opts.SpaceForMetaspace, "space-for-metaspace", opts.SpaceForMetaspace, "with --compat reference: auto (if the target's path contains llama), yes or no")
	f.Int64Var(&opts.ShardSize, "max-shard-size", opts.ShardSize, "bytes of one weight file")
	f.StringVar(&opts.Language, "language", "", "language code for the model card")
	f.StringVar(&opts.License, "license", "", "license for the model card")
	f.StringArrayVar(&opts.Datasets, "dataset", nil, "data the donor was trained on, for the model card (may be repeated)")
	f.BoolVar(&dryRun, "dry-run", false, "print the plan, sizes, memory and time, and write nothing")
	f.StringVar(&check, "check", checkAuto, "checks of the result: full (also run it), fast, or auto (full up to 4 GB of weights)")
	for _, name := range []string{"source", "target", "donor", "out"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
	return cmd
}

func methodNames() string {
	var names []string
	for _, m := range propagate.Methods() {
		names = append(names, string(m))
	}
	return strings.Join(names, ", ")
}

func (a *app) planPropagation(ctx context.Context, opts propagate.Options) error {
	_, rate := gflops(opts.BLAS)
	plan, err := propagate.NewPlan(ctx, opts, rate)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(plan)
	}
	_, err = fmt.Fprint(a.out, plan)
	return err
}

// finishPropagation runs the model-based checks, prints the result and fails if a check
// has not passed.
func (a *app) finishPropagation(ctx context.Context, r *propagate.Result, level string) error {
	e := a.newEngine()
	defer e.close()
	passed := true
	for i := range r.Targets {
		t := &r.Targets[i]
		full := level == checkFull || level == checkAuto && weightBytes(t.Out) <= smallModel
		if full && propagate.Passed(t.Checks) {
			checks, err := runChecks(ctx, e, t.Out)
			if err != nil {
				return err
			}
			t.Checks = append(t.Checks, checks...)
		}
		passed = passed && propagate.Passed(t.Checks)
	}
	var err error
	if a.json {
		err = a.printJSON(r)
	} else {
		err = a.printPropagation(r)
	}
	if err == nil && !passed {
		err = hint.Wrap(errCheck, "the result is written all the same: look at the checks marked FAILED")
	}
	return err
}

// runChecks does only what needs a model; the rest is already done.
func runChecks(ctx context.Context, e *engine, dir string) ([]propagate.Check, error) {
	texts, err := checkTexts()
	if err != nil {
		return nil, err
	}
	return propagate.CheckModel(ctx, dir, propagate.CheckOptions{Engine: e, Texts: texts})
}

// checkTexts are a few held-out texts in Russian and English.
func checkTexts() ([]string, error) {
	var out []string
	for _, lang := range []string{"ru", "en"} {
		texts, err := pocket.Heldout(lang)
		if err != nil {
			return nil, err
		}
		out = append(out, texts[:8]...)
	}
	return out, nil
}

func weightBytes(dir string) int64 {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return math.MaxInt64
	}
	var n int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ".safetensors") {
			n += info.Size()
		}
	}
	return n
}

func (a *app) printPropagation(r *propagate.Result) error {
	fmt.Fprintf(a.out, "%s -> %s tokens, %s of them in both vocabularies; hidden size %d, %s\n", thousands(int64(r.OldTokens)),
		thousands(int64(r.NewTokens)), thousands(int64(r.Shared)), r.Dim, r.DType)
	for _, n := range r.Notes {
		a.notef("note: %s", n)
	}
	for _, t := range r.Targets {
		fmt.Fprintf(a.out, "\n%s -> %s (%s rows)\n", t.Target, t.Out, thousands(int64(t.Rows)))
		rows := [][]string{{"  module", "method", "rows fitted", "rank", "residual", "held-out R²", "cosine", "|W - I|"}}
		for _, m := range t.Modules {
			r2, cosine := "-", "-"
			if m.HeldOut != nil {
				r2, cosine = number(float64(m.HeldOut.R2)), number(float64(m.HeldOut.Cosine))
			}
			rows = append(rows, []string{"  " + m.Module, string(m.Method), thousands(int64(m.Rows)), fmt.Sprintf("%d/%d", m.Rank, m.Dim),
				number(float64(m.RelativeResidual)), r2, cosine, number(float64(m.NormDelta))})
		}
		if err := a.table(rows); err != nil {
			return err
		}
		for _, n := range t.Notes {
			a.notef("note: %s", n)
		}
		if err := a.printChecks(t.Checks); err != nil {
			return err
		}
	}
	return nil
}

func number(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "-"
	}
	return fmt.Sprintf("%.4f", x)
}

// printChecks lists what was checked, the failures marked.
func (a *app) printChecks(checks []propagate.Check) error {
	var rows [][]string
	for _, c := range checks {
		state := "  ok"
		if !c.OK {
			state = "  FAILED"
		}
		rows = append(rows, []string{state, c.Name, c.Detail})
	}
	return a.table(rows)
}
