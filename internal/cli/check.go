package cli

import (
	"context"

	"github.com/spf13/cobra"

	"lep/checkpoint"
	"lep/propagate"
)

func (a *app) checkCmd() *cobra.Command {
	var level string
	var opts propagate.CheckOptions
	cmd := &cobra.Command{
		Use:   "check DIR",
		Short: "Run the acceptance checks on a model folder",
		Long: `Run the acceptance checks on a model folder: finite rows and sane norms, rows and config in agreement, round trips in many
scripts, special tokens, chat template and stop tokens, the tied flag, no NaN in any layer; and with the model run: a greedy answer that
stops, bits per byte, equal logits after reloading. --against names the instruct model that it was made from; --base and --donor are scored beside it.
Exit status 3 if a check has not passed.`,
		Example: "  lep check ./llama3-ru-instruct --against meta-llama/Meta-Llama-3-8B-Instruct --base meta-llama/Meta-Llama-3-8B --donor ./donor",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := checkpoint.Resolve(args[0])
			if err != nil {
				return err
			}
			if level != checkFull && level != checkFast && level != checkAuto {
				return usagef("--level %q: want %s, %s or %s", level, checkAuto, checkFull, checkFast)
			}
			checks, err := a.checkFolder(cmd.Context(), dir, opts, level)
			if err != nil {
				return err
			}
			if a.json {
				err = a.printJSON(map[string]any{"dir": dir, "passed": propagate.Passed(checks), "checks": checks})
			} else {
				err = a.printChecks(checks)
			}
			if err == nil && !propagate.Passed(checks) {
				err = errCheck
			}
			return err
		},
	}
	cmd.Flags().StringVar(&opts.Against, "against", "", "the model that it was made from: folder or hub id")
	cmd.Flags().StringVar(&opts.Base, "base", "", "the base model, for its bits per byte: folder or hub id")
	cmd.Flags().StringVar(&opts.Donor, "donor", "", "the donor, for its bits per byte: folder or hub id")
	cmd.Flags().StringVar(&level, "level", checkAuto, "full (also run the model), fast (embeddings and config alone), or auto (run it up to 4 GB of weights)")
	return cmd
}

// checkFolder runs the acceptance checks on a folder; the models of opts may be hub ids.
func (a *app) checkFolder(ctx context.Context, dir string, opts propagate.CheckOptions, level string) ([]propagate.Check, error) {
	var err error
	for _, other := range []*string{&opts.Against, &opts.Base, &opts.Donor} {
		if *other == "" {
			continue
		}
		if *other, err = checkpoint.Resolve(*other); err != nil {
			return nil, err
		}
	}
	opts.ScanLayers = level != checkFast
	if level == checkFull || level == checkAuto && weightBytes(dir) <= smallModel {
		e := a.newEngine()
		defer e.close()
		opts.Engine = e
		if opts.Texts, err = checkTexts(); err != nil {
			return nil, err
		}
	}
	return propagate.CheckFolder(ctx, dir, opts)
}
