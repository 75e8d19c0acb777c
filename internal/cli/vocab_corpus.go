package cli

import (
	"context"
	"iter"

	"github.com/spf13/cobra"

	"lep/corpus"
)

// corpusFlags name the texts that a verb reads and say what to do with bad rows.
type corpusFlags struct {
	files   []string
	opts    corpus.Options
	skipBad bool
}

// register adds the flags. The share of texts is called --sample-share where --sample
// already names files.
func (c *corpusFlags) register(cmd *cobra.Command, help string) {
	c.opts = corpus.DefaultOptions()
	f := cmd.Flags()
	f.StringArrayVar(&c.files, "corpus", nil, help+": files, folders, globs, each with =WEIGHT behind it if the mixture matters (may be repeated)")
	f.StringVar(&c.opts.TextField, "text-field", c.opts.TextField, "field or column that holds the text")
	f.BoolVar(&c.opts.WholeFile, "whole-file", false, "take each .txt file as one text, not each line")
	f.BoolVar(&c.opts.ReplaceInvalid, "replace-invalid", false, "turn bytes that are no UTF-8 into U+FFFD, where such a row is bad otherwise")
	f.BoolVar(&c.skipBad, "skip-bad", false, "leave bad rows out, however many, and count them")
	f.IntVar(&c.opts.MaxBadRows, "max-bad-rows", 0, "stop at more bad rows than this")
	name := "sample"
	if f.Lookup(name) != nil {
		name = "sample-share"
	}
	f.Float64Var(&c.opts.Sample, name, 1, "share of the texts to use, chosen by --seed")
}

// openedCorpus is a corpus that can be ranged over once.
type openedCorpus struct {
	reader *corpus.Reader
	texts  iter.Seq2[string, error]
}

// open finds the files; nil if none are named. With what, progress is shown while they are read.
func (c *corpusFlags) open(ctx context.Context, a *app, what string) (*openedCorpus, error) {
	if len(c.files) == 0 {
		return nil, nil
	}
	if c.opts.MaxBadRows < 0 {
		return nil, usagef("--max-bad-rows is %d, want 0 or more (--skip-bad for no limit)", c.opts.MaxBadRows)
	}
	opts := c.opts
	opts.Seed = uint64(a.seed)
	if c.skipBad {
		opts.MaxBadRows = -1
	}
	if err := opts.Validate(); err != nil {
		return nil, usageError{err}
	}
	r, err := corpus.Open(c.files, opts)
	if err != nil {
		return nil, err
	}
	return &openedCorpus{r, func(yield func(string, error) bool) {
		update, done := a.progress(what, "B")
		defer done()
		for text, err := range r.Texts(ctx) {
			p := r.Progress()
			update(p.Read, p.Total)
			if !yield(text, err) {
				return
			}
		}
	}}, nil
}

// stream is the texts, nil without a corpus.
func (c *openedCorpus) stream() iter.Seq2[string, error] {
	if c == nil {
		return nil
	}
	return c.texts
}

// noteBad tells of the rows that were left out and returns how many.
func (a *app) noteBad(c *openedCorpus) int {
	if c == nil {
		return 0
	}
	bad := c.reader.Bad()
	for _, row := range bad.First {
		a.notef("left out: %v", row)
	}
	if more := bad.Count - len(bad.First); more > 0 {
		a.notef("left out: %d more bad rows", more)
	}
	return bad.Count
}
