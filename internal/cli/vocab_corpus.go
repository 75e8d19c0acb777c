package cli

import (
	"context"

	"github.com/spf13/cobra"

	"lep/vocab/build"
)

// registerCorpus adds the flags that name texts and say what to do with bad rows. The share of
// texts is called --sample-share where --sample already names files.
func registerCorpus(cmd *cobra.Command, c *build.Corpus, help string) {
	*c = build.DefaultCorpus()
	o := &c.Reading
	f := cmd.Flags()
	f.StringArrayVar(&c.Files, "corpus", nil, help+": files, folders, globs, each with =WEIGHT behind it if the mixture matters (may be repeated)")
	f.StringVar(&o.TextField, "text-field", o.TextField, "field or column that holds the text")
	f.BoolVar(&o.WholeFile, "whole-file", false, "take each .txt file as one text, not each line")
	f.BoolVar(&o.ReplaceInvalid, "replace-invalid", false, "turn bytes that are no UTF-8 into U+FFFD, where such a row is bad otherwise")
	f.BoolVar(&c.SkipBad, "skip-bad", false, "leave bad rows out, however many, and count them")
	f.IntVar(&o.MaxBadRows, "max-bad-rows", 0, "stop at more bad rows than this")
	name := "sample"
	if f.Lookup(name) != nil {
		name = "sample-share"
	}
	f.Float64Var(&o.Sample, name, 1, "share of the texts to use, chosen by --seed")
}

// hooks show a work's progress and print its warnings.
func (a *app) hooks() build.Hooks { return build.Hooks{Progress: a.progress, Warn: a.notef} }

// openCorpus finds the files; nil if none are named. what is shown while they are read.
func (a *app) openCorpus(ctx context.Context, c *build.Corpus, what string) (*build.Texts, error) {
	c.Reading.Seed = uint64(a.seed)
	if err := c.Validate(); err != nil {
		return nil, usageError{err}
	}
	return c.Open(ctx, what, a.hooks())
}
