package cli

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"lep/checkpoint"
	"lep/train"
)

type mergeResult struct {
	Out     string   `json:"out"`
	Changed []string `json:"changed"` // tensors
	Copied  int      `json:"copied"`  // tensors, byte for byte
	Bytes   int64    `json:"bytes"`
}

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
			r, err := a.merge(cmd, base, adapter, out, opts)
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

func (a *app) merge(cmd *cobra.Command, base, adapter, out string, opts checkpoint.MergeOptions) (*mergeResult, error) {
	m, err := checkpoint.Open(base)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	ad, err := checkpoint.OpenAdapter(adapter)
	if err != nil {
		return nil, err
	}
	defer ad.Close()
	merged, err := checkpoint.Merge(m, ad, opts)
	if err != nil {
		return nil, err
	}
	r := &mergeResult{Out: out}
	return r, a.writeDir(out, func(dir string) error {
		w := checkpoint.NewWriter(dir, checkpoint.DefaultWriterOptions())
		for _, name := range merged.Names() {
			if merged.Changes(name) {
				r.Changed = append(r.Changed, name)
			} else {
				r.Copied++
			}
			if err := merged.Add(w, name); err != nil {
				return err
			}
		}
		written, err := w.Write(cmd.Context())
		if err != nil {
			return err
		}
		r.Bytes = written.TotalSize
		if err := train.CopyModelFiles(m.Dir(), dir); err != nil {
			return err
		}
		config := merged.Config().Clone()
		if err := checkpoint.WriteBothSpellings(config); err != nil {
			return err
		}
		text, err := config.Indent()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, checkpoint.ConfigFile), text, 0o644); err != nil {
			return err
		}
		done, err := checkpoint.Open(dir)
		if err != nil {
			return err
		}
		defer done.Close()
		return done.CheckFinite(cmd.Context(), r.Changed...)
	})
}
