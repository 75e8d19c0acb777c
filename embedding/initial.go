package embedding

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"lep/internal/hint"
	"lep/tensor"
	"lep/tokenizer"
	"lep/vocab"
)

// InitOptions says how the first rows of a new vocabulary are made.
type InitOptions struct {
	// Method is mean (the paper's), weighted (subtoken i weighs exp(-mult·i)) or random.
	Method string `yaml:"method"`
	// Head is separate (the head's rows from the old head) or tie (a copy of the input row).
	Head string  `yaml:"head"`
	Mult float64 `yaml:"mult"`
	// MeanCutoff is the number of old rows that enter the mean vector, 0 for those
	// of all tokens.
	MeanCutoff int `yaml:"mean_cutoff"`
	// SpaceWeight multiplies the weight of subtokens that are spaces alone; 1 is the
	// paper's plain average.
	SpaceWeight float64 `yaml:"space_weight"`
	// PadToMultipleOf rounds the number of rows up; padding rows are the mean vector.
	PadToMultipleOf int `yaml:"pad_to_multiple_of"`
	// Range is the standard deviation of random rows (config.json initializer_range).
	Range float64 `yaml:"initializer_range"`
	Seed  uint64  `yaml:"seed"`
	// Compat is "" or "reference": exactly what the authors' code does, which decodes
	// new tokens to text and loses the rows of partial characters.
	Compat string `yaml:"compat"`
}

// DefaultInitOptions returns the settings of the authors' command.
func DefaultInitOptions() InitOptions {
	return InitOptions{Method: "mean", Head: "separate", Mult: 1, SpaceWeight: 0.1, Range: 0.02}
}

// Validate reports the first setting that cannot be.
func (o InitOptions) Validate() error {
	switch {
	case o.Method != "mean" && o.Method != "weighted" && o.Method != "random":
		return fmt.Errorf("method: %q, want mean, weighted or random", o.Method)
	case o.Head != "separate" && o.Head != "tie":
		return fmt.Errorf("head: %q, want separate or tie", o.Head)
	case o.Compat != "" && o.Compat != "reference":
		return fmt.Errorf("compat: %q, want reference or nothing", o.Compat)
	case !(o.Mult >= 0) || math.IsInf(o.Mult, 0):
		return fmt.Errorf("mult: %g, want 0 or more", o.Mult)
	case !(o.SpaceWeight >= 0 && o.SpaceWeight <= 1):
		return fmt.Errorf("space_weight: %g, want 0 to 1", o.SpaceWeight)
	case o.MeanCutoff < 0:
		return fmt.Errorf("mean_cutoff: %d, want 0 or more", o.MeanCutoff)
	case o.PadToMultipleOf < 0 || o.PadToMultipleOf > 1<<16:
		return fmt.Errorf("pad_to_multiple_of: %d, want 0 to 65536", o.PadToMultipleOf)
	case !(o.Range > 0) || math.IsInf(o.Range, 0):
		return fmt.Errorf("initializer_range: %g, want a positive number", o.Range)
	}
	return nil
}

// Counts says how many rows were made in which way.
type Counts struct {
	Copied   int `json:"copied"`
	Averaged int `json:"averaged"`
	Special  int `json:"special"`
	Mean     int `json:"mean"`    // no source: the mean vector
	Padding  int `json:"padding"` // rows beyond the tokens
}

// Initial makes the first rows of a new vocabulary, one at a time. It is safe for
// concurrent use.
type Initial struct {
	Conversion *vocab.Conversion
	Counts     Counts

	old     *tokenizer.Tokenizer
	opts    InitOptions
	rows    int
	modules []module
}

// module is one matrix: embed_tokens or lm_head.
type module struct {
	name string
	from tensor.View
	mean []float64 // the mean vector, rounded to the dtype under compat
}

// NewInitial prepares the rows of next from the old matrices: embed (V, D) and, for an
// untied model, head (V, D); a tied model passes the zero View. next must already
// hold the special tokens that it shall have ([WithSpecial]); reference is the special map
// that the authors' rules look at, and is only used with Compat reference.
func NewInitial(old, next *tokenizer.Tokenizer, embed, head tensor.View, reference []string, opts InitOptions) (*Initial, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	x := &Initial{old: old, opts: opts}
	if opts.Compat == "reference" {
		x.Conversion = vocab.InitialReference(old, next, reference)
	} else {
		x.Conversion = vocab.Convert(old, next)
	}
	c := x.Conversion
	x.Counts = Counts{Copied: c.Count(vocab.Copied), Averaged: c.Count(vocab.Composed),
		Special: c.Count(vocab.ByName), Mean: c.Count(vocab.LeftOut)}
	x.rows = next.Size()
	if m := opts.PadToMultipleOf; m > 0 {
		x.rows = (x.rows + m - 1) / m * m
	}
	x.Counts.Padding = x.rows - next.Size()
	for _, m := range []module{{name: "embed_tokens", from: embed}, {name: "lm_head", from: head}} {
		if m.from.Data == nil {
			continue
		}
		if m.from.Rows() < old.Size() {
			return nil, hint.Errorf("the model and its tokenizer are of different downloads",
				"%s: tensor %q has %d rows, the tokenizer has ids up to %d", m.name, m.from.Name, m.from.Rows(), old.Size()-1)
		}
		m.mean = x.meanVector(m.from)
		x.modules = append(x.modules, m)
	}
	if len(x.modules) == 0 {
		return nil, fmt.Errorf("embed_tokens: no matrix")
	}
	return x, nil
}

// Len returns the number of rows, padding included.
func (x *Initial) Len() int { return x.rows }

func (x *Initial) meanVector(e tensor.View) []float64 {
	n := e.Rows()
	if x.opts.MeanCutoff > 0 {
		n = min(n, x.opts.MeanCutoff)
	}
	mean := make([]float64, e.Cols())
	for i := range n {
		addScaled(mean, e.Row(i), e.DType, 1)
	}
	scale(mean, 1/float64(n))
	if x.opts.Compat == "reference" {
		raw := make([]byte, len(mean)*e.DType.Size())
		tensor.Encode64(raw, mean, e.DType)
		tensor.Decode64(mean, raw, e.DType)
	}
	return mean
}

// Row writes row id of a module (0 embed_tokens, 1 lm_head) to dst in the dtype of the
// old matrix, and reports whether the mean vector stands in for old rows that are
// all zero. The sum is in float64 and rounded once; a row copied from one old token is
// the old row bit for bit.
func (x *Initial) Row(dst []byte, mod, id int) (wasZero bool) {
	m := x.modules[mod]
	if mod == 1 && x.opts.Head == "tie" {
		m = x.modules[0]
	}
	d := m.from.Cols()
	if x.opts.Method == "random" && id < x.Conversion.Len() {
		x.random(dst, m, mod, id)
		return false
	}
	var ids []int32
	if id < x.Conversion.Len() {
		ids = x.Conversion.IDs(id)
	}
	switch len(ids) {
	case 0:
		tensor.Encode64(dst, m.mean, m.from.DType)
		return false
	case 1:
		copy(dst, m.from.Row(int(ids[0])))
	default:
		row := make([]float64, d)
		for i, w := range x.weights(ids) {
			addScaled(row, m.from.Row(int(ids[i])), m.from.DType, w)
		}
		tensor.Encode64(dst, row, m.from.DType)
	}
	if !x.isZero(dst, m.from.DType, d) {
		return false
	}
	tensor.Encode64(dst, m.mean, m.from.DType)
	return true
}

// isZero is the exact test, or the authors': a norm below 1e-12 after rounding.
func (x *Initial) isZero(row []byte, dt tensor.DType, d int) bool {
	if x.opts.Compat != "reference" {
		return allZero(row, dt)
	}
	wide := make([]float64, d)
	tensor.Decode64(wide, row, dt)
	sum := 0.0
	for _, v := range wide {
		sum += v * v
	}
	return math.Sqrt(sum) < 1e-12
}

// weights returns the normalised weights of two or more subtokens.
func (x *Initial) weights(ids []int32) []float64 {
	w := make([]float64, len(ids))
	total := 0.0
	for i, id := range ids {
		w[i] = 1
		if x.opts.Method == "weighted" {
			w[i] = math.Exp(-x.opts.Mult * float64(i))
		}
		if strings.Trim(x.old.Token(id), " Ġ▁") == "" {
			w[i] *= x.opts.SpaceWeight
		}
		total += w[i]
	}
	if total == 0 { // spaces alone, and they weigh nothing: all the same
		for i := range w {
			w[i] = 1
		}
		total = float64(len(w))
	}
	scale(w, 1/total)
	return w
}

// random fills a row from a generator of its own, so that rows can be made in any order.
func (x *Initial) random(dst []byte, m module, mod, id int) {
	if x.opts.Head == "tie" {
		mod = 0
	}
	r := rand.New(rand.NewPCG(x.opts.Seed, uint64(mod)<<32|uint64(id)))
	row := make([]float64, m.from.Cols())
	for j := range row {
		row[j] = r.NormFloat64() * x.opts.Range
	}
	tensor.Encode64(dst, row, m.from.DType)
}

// WithSpecial returns next with the added tokens of old, in the order of their old
// ids and with their flags: one that next lacks comes behind its last id and is named
// in the list; one that next has as a piece or as an added token keeps its id.
func WithSpecial(old, next *tokenizer.Tokenizer) (*tokenizer.Tokenizer, []string, error) {
	d := next.Definition().Clone()
	at := make(map[string]int, len(d.AddedTokens))
	for i, a := range d.AddedTokens {
		at[a.Content] = i
	}
	id := int32(next.Size())
	var names []string
	for _, a := range old.Definition().AddedTokens {
		if i, ok := at[a.Content]; ok {
			a.ID = d.AddedTokens[i].ID
			d.AddedTokens[i] = a
			continue
		}
		if piece, ok := next.ID(a.Content); ok {
			a.ID = piece
		} else {
			a.ID = id
			id++
			names = append(names, a.Content)
		}
		d.AddedTokens = append(d.AddedTokens, a)
	}
	slices.SortStableFunc(d.AddedTokens, func(a, b tokenizer.AddedToken) int { return cmp.Compare(a.ID, b.ID) })
	t, err := tokenizer.New(d)
	return t, names, err
}
