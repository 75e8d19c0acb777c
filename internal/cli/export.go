package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"lep/export"
)

func (a *app) exportCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write a model for other programs",
	}
	cmd.AddCommand(a.exportGGUFCmd())
	return cmd
}

func (a *app) exportGGUFCmd() *cobra.Command {
	opts := export.DefaultOptions()
	cmd := &cobra.Command{
		Use:   "gguf --model DIR --out FILE",
		Short: "Write a model as one GGUF file for llama.cpp, Ollama and LM Studio",
		Long: `Write a model folder as one GGUF file for llama.cpp, Ollama and LM Studio: weights, vocabulary, stop tokens, chat template.
llama.cpp's pre-tokenizer is chosen from the tokenizer's own split pattern; what llama.cpp would run or cut otherwise than the
folder says is refused, or noted where it is at the edge. Memory does not grow with the model.`,
		Example: "  lep export gguf --model ./result --out result.gguf\n  lep export gguf --model ./result --out result-q8.gguf --type q8_0",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.Force, opts.Threads = a.force, a.threads
			if err := opts.Validate(); err != nil {
				return usageError{err}
			}
			r, err := export.Run(cmd.Context(), opts)
			if err != nil {
				return err
			}
			for _, n := range r.Notes {
				a.notef("note: %s", n)
			}
			if a.json {
				return a.printJSON(r)
			}
			return a.table([][]string{
				{"architecture", r.Architecture}, {"matrices", r.Type}, {"tensors", strconv.Itoa(r.Tensors)},
				{"tokens", fmt.Sprintf("%s and %d padding rows", thousands(int64(r.Tokens)), r.PaddingRows)},
				{"tokenizer", r.Tokenizer + ", " + r.Pre}, {"size", byteSize(r.Bytes)}, {"written to", r.Out},
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Model, "model", "", "model folder or hub id")
	f.StringVar(&opts.Out, "out", "", "file to write")
	f.StringVar(&opts.Type, "type", opts.Type, "of matrices: f32, f16, bf16, q8_0, or auto for the folder's own")
	f.BoolVar(&opts.AllowUnigram, "allow-unigram", false, "export a Unigram vocabulary although llama.cpp drops its byte fallback")
	for _, name := range []string{"model", "out"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
	return cmd
}
