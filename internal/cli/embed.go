package cli

import (
	"os"

	"github.com/spf13/cobra"

	"lep/checkpoint"
	"lep/propagate"
)

func (a *app) embedCmd() *cobra.Command {
	opts := propagate.DefaultEmbedOptions()
	cmd := &cobra.Command{
		Use:   "embed --model DIR --tokenizer DIR --out DIR",
		Short: "Give a model first rows for a new vocabulary",
		Long: `Give a model first rows for a new vocabulary, from the rows of its old subtokens. A token with the bytes of an old one keeps
that row bit for bit; the others are the mean (or weighted mean) of the rows that the old vocabulary cuts them into. What comes out is
ready for continued pre-training.`,
		Example: "  lep embed --model meta-llama/Meta-Llama-3-8B --tokenizer ./extended --out ./llama3-extended",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.Force, opts.Seed, opts.Version = a.force, uint64(a.seed), Version
			if _, err := os.Stat(opts.Tokenizer); err != nil {
				dir, err := checkpoint.Resolve(opts.Tokenizer)
				if err != nil {
					return err
				}
				opts.Tokenizer = dir
			}
			r, err := propagate.Embed(cmd.Context(), opts)
			if err != nil {
				return err
			}
			for _, n := range r.Notes {
				a.notef("note: %s", n)
			}
			if a.json {
				err = a.printJSON(r)
			} else {
				err = a.printEmbed(r)
			}
			if err == nil && !propagate.Passed(r.Checks) {
				err = errCheck
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Model, "model", "", "model folder or hub id")
	f.StringVar(&opts.Tokenizer, "tokenizer", "", "the new tokenizer: folder, file or hub id")
	f.StringVar(&opts.Out, "out", "", "folder to write")
	f.StringVar(&opts.Method, "method", opts.Method, "mean, weighted (subtoken i weighs exp(-mult i)) or random")
	f.StringVar(&opts.Head, "head", opts.Head, "separate (rows from the old head) or tie (a copy of the input row)")
	f.Float64Var(&opts.Mult, "mult", opts.Mult, "steepness of weighted")
	f.IntVar(&opts.MeanCutoff, "mean-cutoff", opts.MeanCutoff, "old rows that enter the mean vector (0: all tokens)")
	f.Float64Var(&opts.SpaceWeight, "space-weight", opts.SpaceWeight, "weight of subtokens that are spaces alone (1: the paper's plain mean)")
	f.IntVar(&opts.PadToMultipleOf, "pad-to-multiple-of", opts.PadToMultipleOf, "round the rows up (0: a row for every token)")
	f.Float64Var(&opts.Range, "initializer-range", opts.Range, "standard deviation of random rows (0: the config's)")
	f.StringVar(&opts.Compat, "compat", "", `"reference": what the authors' code does, its faults included`)
	f.Int64Var(&opts.ShardSize, "max-shard-size", opts.ShardSize, "bytes of one weight file")
	for _, name := range []string{"model", "tokenizer", "out"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
	return cmd
}

func (a *app) printEmbed(r *propagate.EmbedResult) error {
	n := func(i int) string { return thousands(int64(i)) }
	err := a.table([][]string{
		{"tokens", n(r.Tokens)}, {"rows", n(r.Rows)}, {"copied", n(r.Counts.Copied)}, {"averaged", n(r.Counts.Averaged)},
		{"special", n(r.Counts.Special)}, {"mean vector", n(r.Counts.Mean)}, {"padding", n(r.Counts.Padding)}, {"written to", r.Out},
	})
	if err != nil {
		return err
	}
	for _, t := range r.NoRow {
		a.notef("note: %q has no old subtokens: its row is the mean vector", t)
	}
	if len(r.Zero) > 0 {
		a.notef("note: %d old rows are all zero: the mean vector stands in for them (ids %v)", len(r.Zero), r.Zero[:min(10, len(r.Zero))])
	}
	return a.printChecks(r.Checks)
}
