package cli

import (
	"context"

	"github.com/spf13/cobra"

	"lep/vocab/build"
	"lep/vocab/stats"
)

func (a *app) vocabDiffCmd() *cobra.Command {
	var l lookFlags
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Compare two vocabularies: what they share, how each cuts the same text",
		Long: `Compare two vocabularies: tokens that both have (by bytes, whatever alphabet the files use), by class and script; characters
and bytes a token carries and words kept whole, by language on built-in texts and with --corpus on yours; the same sentences cut by
each; and how much faster B would write, estimated from characters per token.`,
		Example: "  lep vocab diff meta-llama/Meta-Llama-3-8B ./extended --corpus ru.jsonl.zst --html diff.html",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := l.check(a); err != nil {
				return err
			}
			return a.vocabDiff(cmd.Context(), args[0], args[1], &l)
		},
	}
	l.register(cmd)
	cobra.CheckErr(cmd.Flags().MarkHidden("list")) // a comparison lists no tokens
	return cmd
}

func (a *app) vocabDiff(ctx context.Context, pathA, pathB string, l *lookFlags) error {
	first, err := build.OpenTokenizer(pathA)
	if err != nil {
		return err
	}
	second, err := build.OpenTokenizer(pathB)
	if err != nil {
		return err
	}
	texts, err := a.openCorpus(ctx, &l.corpus, "measure")
	if err != nil {
		return err
	}
	d, err := stats.Compare(ctx, first, second, texts.All(), l.opts)
	if err != nil {
		return err
	}
	texts.WarnBad()
	page := d.Page(pathA, pathB)
	if err := a.writePage(l.html, page); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(d)
	}
	return a.printReport(page)
}
