package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"lep/train"
)

func (a *app) tokenizeCmd() *cobra.Command {
	opts := train.DefaultOptions()
	var flags trainingFlags
	part := "1/1"
	cmd := &cobra.Command{
		Use:   "tokenize --tokenizer T --data F --out DIR",
		Short: "Tokenize and pack a corpus into shards, which every engine trains on in the same order",
		Long: `Tokenize and pack a corpus into shards, once for all trainings: lep train --data DIR reads them, on either backend, in the same
order for the same seed.

Large corpora are split over processes or machines by --shard i/n into one folder (or folders that are copied together): each takes every
n-th document, and the one that ends last writes shards.json, without which the folder is not finished. The same command again goes on
behind the last whole file. The format is described by "go doc lep/corpus/shard".`,
		Example: `  lep tokenize --tokenizer ./llama3-extended --data 'ru/*.jsonl.zst' --sequence-len 4096 --out ru-shards
  lep tokenize --tokenizer ./llama3-extended --data 'ru/*.jsonl.zst' --shard 3/8 --out ru-shards
  lep train --model ./llama3-extended --data ru-shards --out donor`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.apply(&opts); err != nil {
				return err
			}
			var i, n int
			if _, err := fmt.Sscanf(part, "%d/%d", &i, &n); err != nil || fmt.Sprintf("%d/%d", i, n) != part || i < 1 || i > n {
				return usagef("--shard: %q, want i/n such as 3/8", part)
			}
			opts.Threads, opts.Force = a.threads, a.force
			if err := opts.Validate(); err != nil {
				return usageError{err}
			}
			return a.tokenize(cmd.Context(), opts, i, n)
		},
	}
	f := cmd.Flags()
	bindRows(f, &opts)
	flags.bindRows(f)
	f.StringVar(&opts.Model, "tokenizer", "", "folder with a tokenizer (for --task sft also its chat template), or its file")
	f.StringVar(&opts.Out, "out", "", "folder of the shards")
	f.StringVar(&part, "shard", part, "the part i of n of the documents to do")
	for _, name := range []string{"tokenizer", "data", "out"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
	return cmd
}

func (a *app) tokenize(ctx context.Context, opts train.Options, part, parts int) error {
	opts.Log = a.logger()
	update, done := a.progress("tokenize", "B")
	r, err := train.Tokenize(ctx, opts, part, parts, func(p train.TokenizeProgress) { update(p.Read, p.Total) })
	done()
	if err != nil {
		if errors.Is(err, context.Canceled) {
			a.notef("stopped; the same command goes on behind the last whole file")
		}
		return err
	}
	if a.json {
		return a.printJSON(r)
	}
	rows := [][]string{
		{"documents", thousands(r.Documents)}, {"bytes of text", thousands(r.Bytes)}, {"tokens", thousands(r.Tokens)},
		{"blocks", fmt.Sprintf("%s of %d tokens, in %d files", thousands(r.Blocks), r.BlockSize, len(r.Shards))},
	}
	if r.BadRows > 0 {
		rows = append(rows, []string{"bad rows left out", thousands(int64(r.BadRows))})
	}
	if len(r.Missing) > 0 {
		rows = append(rows, []string{"parts still missing", strings.Trim(fmt.Sprint(r.Missing), "[]")})
	}
	return a.table(append(rows, []string{"written to", r.Out}))
}
