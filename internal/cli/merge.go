package cli

import (
	"github.com/spf13/cobra"

	"lep/checkpoint"
	"lep/train"
)

func (a *app) mergeCmd() *cobra.Command {
	opts := checkpoint.DefaultMergeOptions()
	var base, adapter, out string
	cmd := &cobra.Command{
		Use:   "merge --model BASE --adapter A --out DIR",
		Short: "Merge a LoRA adapter into its model",
		Long: `Merge a LoRA adapter of PEFT (or of lep train --train lora) into its model: W + scale·B·A, computed in float64 and rounded once.
Tensors that the adapter does not touch are copied byte for byte. A model whose two ends are tied while the adapter changes them apart
is refused, unless --tying says what shall become of it.`,
		Example: "  lep merge --model ./base --adapter ./adapter --out ./merged",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := opts.Validate(); err != nil {
				return usageError{err}
			}
			opts.Version = Version
			r, err := train.Merge(cmd.Context(), base, adapter, out, opts, a.force)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(r)
			}
			return a.table([][]string{
				{"tensors changed", thousands(int64(len(r.Changed)))}, {"copied", thousands(int64(r.Copied))},
				{"size", byteSize(r.Bytes)}, {"written to", r.Out},
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&base, "model", "", "base model: folder or hub id")
	f.StringVar(&adapter, "adapter", "", "adapter: folder or hub id")
	f.StringVar(&out, "out", "", "folder to write")
	f.Float64Var(&opts.AlphaScale, "alpha-scale", opts.AlphaScale, "divides lora_alpha: above 1 weakens the adapter")
	f.StringVar((*string)(&opts.Tying), "tying", string(opts.Tying), "of a tied model: refuse, untie or share")
	for _, name := range []string{"model", "adapter", "out"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
	return cmd
}
