package build

import (
	"context"
	"fmt"
	"iter"

	"lep/corpus"
)

// Corpus names texts and says what to do with bad rows.
type Corpus struct {
	Files   []string       `yaml:"corpus"` // see corpus.ParseSpec: files, folders, globs, weights
	Reading corpus.Options `yaml:",inline"`
	SkipBad bool           `yaml:"skip_bad"` // leave bad rows out, however many, and count them
}

// DefaultCorpus reads as corpus.DefaultOptions says.
func DefaultCorpus() Corpus { return Corpus{Reading: corpus.DefaultOptions()} }

// Hooks let a caller follow the work. All may be nil.
type Hooks struct {
	// Progress begins the display of a stage; update takes what is done and the total (0 if not
	// known), done ends it.
	Progress func(what, unit string) (update func(done, total int64), done func())
	// Warn takes what is worth knowing.
	Warn func(format string, args ...any)
}

func (h Hooks) progress(what, unit string) (update func(done, total int64), done func()) {
	if h.Progress == nil {
		return func(int64, int64) {}, func() {}
	}
	return h.Progress(what, unit)
}

func (h Hooks) warn(format string, args ...any) {
	if h.Warn != nil {
		h.Warn(format, args...)
	}
}

// Texts is a corpus that can be ranged over once.
type Texts struct {
	reader *corpus.Reader
	texts  iter.Seq2[string, error]
	hooks  Hooks
}

// Validate reports the first setting that cannot be.
func (c *Corpus) Validate() error {
	if c.Reading.MaxBadRows < 0 {
		return fmt.Errorf("max_bad_rows is %d, want 0 or more (skip_bad for no limit)", c.Reading.MaxBadRows)
	}
	return c.Reading.Validate()
}

// Open finds the files; nil if none are named. what names the stage while they are read.
func (c *Corpus) Open(ctx context.Context, what string, hooks Hooks) (*Texts, error) {
	if len(c.Files) == 0 {
		return nil, nil
	}
	opts := c.Reading
	if c.SkipBad {
		opts.MaxBadRows = -1
	}
	r, err := corpus.Open(c.Files, opts)
	if err != nil {
		return nil, err
	}
	return &Texts{reader: r, hooks: hooks, texts: func(yield func(string, error) bool) {
		update, done := hooks.progress(what, "B")
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

// All is the texts, nil without a corpus.
func (t *Texts) All() iter.Seq2[string, error] {
	if t == nil {
		return nil
	}
	return t.texts
}

// WarnBad tells of the rows that were left out and returns how many.
func (t *Texts) WarnBad() int {
	if t == nil {
		return 0
	}
	bad := t.reader.Bad()
	for _, row := range bad.First {
		t.hooks.warn("left out: %v", row)
	}
	if more := bad.Count - len(bad.First); more > 0 {
		t.hooks.warn("left out: %d more bad rows", more)
	}
	return bad.Count
}
