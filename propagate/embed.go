package propagate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"

	"lep/checkpoint"
	"lep/embedding"
	"lep/internal/atomic"
	"lep/internal/orderedjson"
	"lep/tensor"
	"lep/tokenizer"
	"lep/vocab"
)

// EmbedOptions are the settings of Embed.
type EmbedOptions struct {
	Model     string `yaml:"model" json:"model"`
	Tokenizer string `yaml:"tokenizer" json:"tokenizer"` // folder or file of the new tokenizer
	Out       string `yaml:"out" json:"out"`

	embedding.InitOptions `yaml:",inline"`

	ShardSize int64        `yaml:"max_shard_size" json:"max_shard_size"` // bytes
	Force     bool         `yaml:"force" json:"-"`
	Version   string       `yaml:"-" json:"-"`
	Logger    *slog.Logger `yaml:"-" json:"-"`
}

// DefaultEmbedOptions returns the settings of the authors' command, by the sound rules.
func DefaultEmbedOptions() EmbedOptions {
	return EmbedOptions{InitOptions: embedding.DefaultInitOptions(), ShardSize: 5_000_000_000}
}

// Validate reports the first setting that cannot be.
func (o *EmbedOptions) Validate() error {
	switch {
	case o.Model == "":
		return errors.New("model: none given")
	case o.Tokenizer == "":
		return errors.New("tokenizer: none given")
	case o.Out == "":
		return errors.New("out: none given")
	case o.ShardSize <= 0:
		return fmt.Errorf("max_shard_size: %d, want a number of bytes", o.ShardSize)
	}
	return o.InitOptions.Validate()
}

// EmbedResult is what Embed did.
type EmbedResult struct {
	Model   string            `json:"model"`
	Out     string            `json:"out"`
	Tokens  int               `json:"tokens"`
	Rows    int               `json:"rows"`
	Counts  embedding.Counts  `json:"counts"`
	Added   []string          `json:"added,omitempty"` // special tokens of the model that the new tokenizer lacked
	Zero    []int32           `json:"zero_rows"`       // new ids whose old rows are all zero: set to the mean vector
	NoRow   []string          `json:"mean_rows"`       // tokens without old subtokens, at most 100
	Digests map[string]string `json:"digests,omitempty"`
	Checks  []Check           `json:"checks"`
	Notes   []string          `json:"notes"`
}

// Embed writes a model with first rows for a new vocabulary: the model's layers and
// configs, the new tokenizer with the model's special tokens, and rows made from the old
// ones. Rows are streamed.
func Embed(ctx context.Context, opts EmbedOptions) (*EmbedResult, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	m, err := openModel("model", opts.Model)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	next, err := tokenizer.Open(opts.Tokenizer)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	e := &embedder{opts: &opts, m: m}
	if err := e.vocabulary(next); err != nil {
		return nil, err
	}
	dir, err := atomic.NewDir(opts.Out, opts.Force)
	if err != nil {
		return nil, err
	}
	defer dir.Abort()
	if err := m.checkFinite(); err != nil {
		return nil, err
	}
	if err := e.rows(); err != nil {
		return nil, err
	}
	return e.write(ctx, dir)
}

type embedder struct {
	opts    *EmbedOptions
	m       *model
	v       *vocabulary
	initial *embedding.Initial
	config  *orderedjson.Object
	gen     *orderedjson.Object
	zero    []int32
}

// vocabulary gives the new tokenizer the model's special tokens and roles. Under compat
// reference the authors' free tokens come first.
func (e *embedder) vocabulary(next *tokenizer.Tokenizer) error {
	next, err := e.pad(next)
	if err != nil {
		return err
	}
	joined, added, err := embedding.WithSpecial(e.m.tok, next)
	if err != nil {
		return err
	}
	e.v = &vocabulary{added: added}
	d := joined.Definition().Clone()
	renumber := func(old int32) (int32, bool) { return joined.ID(e.m.tok.Token(old)) }
	if d.PostProcessor, err = postProcessor(d.PostProcessor, e.m.tok.Definition().PostProcessor, renumber); err != nil {
		return err
	}
	if e.v.tok, err = tokenizer.New(d); err != nil {
		return err
	}
	e.v.index(e.m.tok)
	if e.v.config, err = joinConfig(next, e.m.tok, e.v); err != nil {
		return err
	}
	if e.opts.Compat == "reference" { // roles that the model lacks stay the new tokenizer's
		c, own := e.v.config, next.Config()
		c.BOS, c.EOS, c.PAD = cmp.Or(c.BOS, own.BOS), cmp.Or(c.EOS, own.EOS), cmp.Or(c.PAD, own.PAD)
	}
	return nil
}

// pad appends <|free_token1|> and so on up to a multiple of 256, as the authors'
// command does before it adds the special tokens.
func (e *embedder) pad(next *tokenizer.Tokenizer) (*tokenizer.Tokenizer, error) {
	const multiple = 256
	n := next.Size()
	if e.opts.Compat != "reference" || n%multiple == 0 {
		return next, nil
	}
	d := next.Definition().Clone()
	for i := 0; (n+i)%multiple != 0; i++ {
		d.AddedTokens = append(d.AddedTokens, tokenizer.AddedToken{ID: int32(n + i), Content: fmt.Sprintf("<|free_token%d|>", i+1), Normalized: true})
	}
	padded, err := tokenizer.New(d)
	if err != nil {
		return nil, err
	}
	*padded.Config() = *next.Config().Clone()
	return padded, nil
}

func (e *embedder) rows() (err error) {
	var head tensor.View
	if !e.m.tied {
		head = e.m.head.View
	}
	special := slices.Concat(rolesOf(e.v.config), addedNames(e.m.tok))
	e.initial, err = embedding.NewInitial(e.m.tok, e.v.tok, e.m.embed.View, head, special, e.opts.InitOptions)
	return err
}

func addedNames(t *tokenizer.Tokenizer) []string {
	var names []string
	for _, a := range t.Definition().AddedTokens {
		names = append(names, a.Content)
	}
	return names
}

func (e *embedder) configs() error {
	e.config, e.gen = e.m.Config().Clone(), e.m.GenerationConfig()
	if err := checkpoint.SetVocabSize(e.config, e.initial.Len()); err != nil {
		return err
	}
	to := func(old int) (int, bool) {
		id, ok := e.v.shared[int32(old)]
		return int(id), ok
	}
	if err := checkpoint.RemapTokenIDs(e.config, to); err != nil {
		return fmt.Errorf("%s: %w", checkpoint.ConfigFile, err)
	}
	if e.gen != nil {
		e.gen = e.gen.Clone()
		if err := checkpoint.RemapTokenIDs(e.gen, to); err != nil {
			return fmt.Errorf("%s: %w", checkpoint.GenerationConfigFile, err)
		}
	}
	return checkpoint.WriteBothSpellings(e.config)
}

// oldIDs returns for each token the old id whose row it keeps, nil for a new one.
func (e *embedder) oldIDs() []*int32 {
	c := e.initial.Conversion
	old := make([]*int32, c.Len())
	for id := range old {
		if how := c.How(id); how == vocab.Copied || how == vocab.ByName {
			old[id] = &c.IDs(id)[0]
		}
	}
	return old
}

// writeOldIDs writes lep_vocab.json, from which training tells new rows from old.
func writeOldIDs(dir string, old []*int32, baseSize int) error {
	o := orderedjson.New()
	if err := errors.Join(o.Set("size", len(old)), o.Set("base_size", baseSize), o.Set("old_ids", old)); err != nil {
		return err
	}
	return writeObject(filepath.Join(dir, tokenizer.OldIDsFile), o)
}

func (e *embedder) write(ctx context.Context, dir *atomic.Dir) (*EmbedResult, error) {
	if err := e.configs(); err != nil {
		return nil, fmt.Errorf("%s: %w", e.m.Dir(), err)
	}
	written, err := e.writeWeights(ctx, dir.Path())
	if err != nil {
		return nil, err
	}
	notes, err := tokenizer.WriteFolder(dir.Path(), e.v.tok.Definition(), e.v.config)
	if err != nil {
		return nil, err
	}
	if err := writeObject(filepath.Join(dir.Path(), checkpoint.ConfigFile), e.config); err != nil {
		return nil, err
	}
	if e.gen != nil {
		if err := writeObject(filepath.Join(dir.Path(), checkpoint.GenerationConfigFile), e.gen); err != nil {
			return nil, err
		}
	}
	if err := writeOldIDs(dir.Path(), e.oldIDs(), e.m.tok.Size()); err != nil {
		return nil, err
	}
	if err := copyLicences(dir.Path(), e.m.Dir()); err != nil {
		return nil, err
	}
	r := &EmbedResult{Model: e.opts.Model, Out: e.opts.Out, Tokens: e.v.tok.Size(), Rows: e.initial.Len(), Counts: e.initial.Counts, Added: e.v.added,
		Zero: e.zero, Digests: written.Digests, Notes: append(e.v.notes, notes...)}
	for id := range e.initial.Conversion.Len() {
		if e.initial.Conversion.How(id) == vocab.LeftOut && len(r.NoRow) < 100 {
			r.NoRow = append(r.NoRow, e.v.tok.Token(int32(id)))
		}
	}
	if r.Checks, err = CheckFolder(ctx, dir.Path(), CheckOptions{Against: e.m.Dir(), Role: "model"}); err != nil {
		return nil, fmt.Errorf("the result cannot be opened again: %w", err)
	}
	record := map[string]any{"lep": e.opts.Version, "command": "embed", "options": e.opts, "result": r}
	o := orderedjson.New()
	for _, key := range []string{"lep", "command", "options", "result"} {
		if err := o.Set(key, record[key]); err != nil {
			return nil, err
		}
	}
	if err := writeObject(filepath.Join(dir.Path(), "lep.json"), o); err != nil {
		return nil, err
	}
	return r, dir.Commit()
}

func (e *embedder) writeWeights(ctx context.Context, dir string) (checkpoint.Written, error) {
	opts := checkpoint.DefaultWriterOptions()
	opts.MaxShardSize, opts.Digests = e.opts.ShardSize, true
	w := checkpoint.NewWriter(dir, opts)
	head, err := e.m.HeadName()
	if err != nil {
		return checkpoint.Written{}, err
	}
	for _, name := range e.m.Names() {
		mod := slices.Index([]string{e.m.embed.Name, head}, name)
		switch {
		case mod == 1 && e.m.tied:
			continue
		case mod >= 0:
			from := e.m.matrices()[mod]
			err = w.Add(name, from.DType, []int{e.initial.Len(), from.Cols()}, func(out io.Writer) error { return e.stream(ctx, mod, from, out) })
		default:
			err = w.Copy(e.m, name)
		}
		if err != nil {
			return checkpoint.Written{}, err
		}
	}
	return w.Write(ctx)
}

func (e *embedder) stream(ctx context.Context, mod int, from matrix, out io.Writer) error {
	row := make([]byte, from.Cols()*from.DType.Size())
	for id := range e.initial.Len() {
		if id%blockRows == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			releaseAll([]matrix{from})
		}
		if e.initial.Row(row, mod, id) && mod == 0 {
			e.zero = append(e.zero, int32(id))
		}
		if _, err := out.Write(row); err != nil {
			return err
		}
	}
	return nil
}
