package checkpoint

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"lep/internal/hint"
	"lep/internal/orderedjson"
	"lep/tensor"
)

// Tying says what becomes of a tied model whose adapter changes only one end, or
// both ends differently.
type Tying string

// The ways of [MergeOptions.Tying].
const (
	TyingRefuse Tying = "refuse" // an error
	TyingUntie  Tying = "untie"  // two matrices, tie_word_embeddings false: what the adapter computed in training
	TyingShare  Tying = "share"  // one matrix, which takes the change: what LEP's authors do
)

// ParseTying reads a Tying.
func ParseTying(s string) (Tying, error) {
	switch t := Tying(s); t {
	case TyingRefuse, TyingUntie, TyingShare:
		return t, nil
	}
	return "", fmt.Errorf("%q, want one of refuse, untie, share", s)
}

// MergeOptions say how an adapter is joined to a base model.
type MergeOptions struct {
	// AlphaScale divides lora_alpha and every alpha pattern: above 1 it weakens the
	// adapter. A saved head of a tied model that is shared is weakened in the same way.
	AlphaScale float64 `yaml:"alpha_scale" json:"alpha_scale"`
	// NotScaleLMHead exempts LoRA terms on lm_head from AlphaScale.
	NotScaleLMHead bool  `yaml:"not_scale_lm_head" json:"not_scale_lm_head"`
	Tying          Tying `yaml:"tying" json:"tying"`

	Version string `yaml:"-" json:"-"` // of lep, for lep.json
}

// DefaultMergeOptions returns a merge as PEFT does it, which refuses what PEFT
// would silently get wrong.
func DefaultMergeOptions() MergeOptions { return MergeOptions{AlphaScale: 1, Tying: TyingRefuse} }

// Validate reports the first option that cannot be.
func (o MergeOptions) Validate() error {
	if !(o.AlphaScale > 0) {
		return fmt.Errorf("alpha_scale: %v, want a number above 0", o.AlphaScale)
	}
	if _, err := ParseTying(string(o.Tying)); err != nil {
		return fmt.Errorf("tying: %w", err)
	}
	return nil
}

// Merged is a base model with an adapter joined to it: W + Scale·B·A for each
// term, computed in float64 and rounded once to the base's dtype. Tensors that
// the adapter does not touch are the base's own.
type Merged struct {
	base    *Model
	adapter *Adapter
	config  *orderedjson.Object
	names   []string
	changes map[string]*change
	embed   string // names of the two matrices, "" where the base has no embeddings
	head    string
	tied    bool
}

// change is what becomes of one tensor: base, or saved in its place (moved by
// blend from the base), plus terms.
type change struct {
	name  string
	base  tensor.View // of the model; zero if the tensor is new (an untied head)
	saved *tensor.View
	blend float64 // result = base + blend·(saved - base); 1: saved as it is
	terms []LoRA  // scales already final
	dtype tensor.DType
	shape []int
}

// Merge joins an adapter (or a part of one) to a base model. Both must stay open
// while the result is used.
func Merge(base *Model, a *Adapter, opts MergeOptions) (*Merged, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	m := &Merged{base: base, adapter: a, config: base.config.Clone(), names: slices.Clone(base.names), changes: map[string]*change{}}
	if err := m.findEmbeddings(); err != nil {
		return nil, err
	}
	err := m.collect(a, opts)
	if err == nil {
		err = m.settleTying(a, opts)
	}
	if err == nil {
		err = m.checkShapes()
	}
	if err == nil {
		err = m.settleVocabulary()
	}
	if err != nil {
		return nil, fmt.Errorf("%s onto %s: %w", a.dir, base.dir, err)
	}
	return m, nil
}

func (m *Merged) findEmbeddings() error {
	embed, head, err := m.base.embeddingNames()
	if err != nil {
		return err
	}
	m.embed, m.head = embed, head
	m.tied, err = m.base.Tied()
	return err
}

// collect files what the adapter changes under the tensors' names.
func (m *Merged) collect(a *Adapter, opts MergeOptions) error {
	for i := range a.Saved {
		m.change(a.Saved[i].Name).saved = &a.Saved[i]
	}
	for _, t := range a.Modules {
		if !opts.NotScaleLMHead || !strings.Contains(t.Module, "lm_head") {
			t.Scale /= opts.AlphaScale
		}
		c := m.change(t.Module + ".weight")
		c.terms = append(c.terms, t)
	}
	for _, name := range slices.Sorted(maps.Keys(m.changes)) {
		c := m.changes[name]
		if m.base.Has(name) {
			v, err := m.base.Tensor(name)
			if err != nil {
				return err
			}
			c.base = v
		} else if name != m.head {
			return &TensorError{File: m.base.dir, Tensor: name, What: "is not there, but the adapter changes it",
				Advice: "the adapter belongs to another model: " + a.Config.BaseModel}
		}
	}
	return nil
}

func (m *Merged) change(name string) *change {
	c := m.changes[name]
	if c == nil {
		c = &change{name: name, blend: 1}
		m.changes[name] = c
	}
	return c
}

// settleTying decides what a tied model's two ends become.
func (m *Merged) settleTying(a *Adapter, opts MergeOptions) error {
	if !m.tied {
		return nil
	}
	embed, head := m.changes[m.embed], m.changes[m.head]
	if embed == nil && head == nil {
		return nil
	}
	if embed != nil && head != nil && sameChange(embed, head) {
		m.drop(m.head)
		return nil
	}
	tying := opts.Tying
	if tying == TyingRefuse && a.Config.EnsureTying {
		tying = TyingShare
	}
	switch tying {
	case TyingUntie:
		return m.untie()
	case TyingShare:
		return m.share(opts.AlphaScale)
	}
	return hint.Errorf("untie them (tying: untie) to keep what was trained, or share the change between both (tying: share)",
		"the model ties %s and %s, the adapter changes them apart", m.embed, m.head)
}

func sameChange(a, b *change) bool {
	return len(a.terms) == 0 && len(b.terms) == 0 && a.saved.DType == b.saved.DType && slices.Equal(a.saved.Shape, b.saved.Shape) &&
		bytes.Equal(a.saved.Data, b.saved.Data)
}

// untie gives each end its own matrix.
func (m *Merged) untie() error {
	v, err := m.base.matrix(m.embed)
	if err != nil {
		return err
	}
	m.change(m.head).base = v // the end that stays untouched keeps the shared matrix
	m.change(m.embed).base = v
	m.tied = false
	if !slices.Contains(m.names, m.head) {
		m.names = append(m.names, m.head)
	}
	return SetTieWordEmbeddings(m.config, false)
}

// share lets both ends take the head's change: base + (saved - base)/alphaScale.
func (m *Merged) share(alphaScale float64) error {
	head := m.changes[m.head]
	if head == nil { // the input matrix alone changes, and the head is it
		m.drop(m.head)
		return nil
	}
	if m.changes[m.embed] != nil {
		return hint.Errorf("untie them (tying: untie)", "the adapter changes %s and %s differently: they cannot be shared", m.embed, m.head)
	}
	v, err := m.base.matrix(m.embed)
	if err != nil {
		return err
	}
	head.name, head.base = m.embed, v
	if head.saved != nil {
		head.blend = 1 / alphaScale
	}
	m.changes[m.embed] = head
	delete(m.changes, m.head)
	m.drop(m.head)
	return nil
}

// drop removes a tensor from the result: a tied model holds one matrix.
func (m *Merged) drop(name string) {
	delete(m.changes, name)
	m.names = slices.DeleteFunc(m.names, func(n string) bool { return n == name })
}

func (m *Merged) checkShapes() error {
	for _, name := range slices.Sorted(maps.Keys(m.changes)) {
		c := m.changes[name]
		c.dtype, c.shape = c.base.DType, c.base.Shape
		if c.saved != nil {
			resized := !slices.Equal(c.saved.Shape, c.base.Shape)
			rowsOnly := len(c.saved.Shape) == 2 && len(c.base.Shape) == 2 && c.saved.Cols() == c.base.Cols()
			if resized && !(rowsOnly && isEmbedding(c.name) && c.blend == 1) {
				return &TensorError{File: adapterFile, Tensor: c.name, What: fmt.Sprintf("shape %v, want %v (base model)", c.saved.Shape, c.base.Shape)}
			}
			c.shape = c.saved.Shape
		}
		if !c.dtype.IsFloat() {
			return &TensorError{File: m.base.dir, Tensor: c.name, What: fmt.Sprintf("dtype %s cannot be merged into, want F64, F32, F16 or BF16", c.dtype),
				Advice: "the base is quantised: give the model that it was made from"}
		}
		for _, t := range c.terms {
			out, in := t.B.Rows(), t.A.Cols()
			if t.Transposed {
				out, in = in, out
			}
			if !slices.Equal(c.shape, []int{out, in}) {
				return &TensorError{File: adapterFile, Tensor: t.Module, What: fmt.Sprintf("LoRA of [%d %d], want %v (base model)", out, in, c.shape)}
			}
		}
	}
	return nil
}

// settleVocabulary sets vocab_size to the rows that a saved matrix brought.
func (m *Merged) settleVocabulary() error {
	rows := map[string]int{}
	for _, name := range []string{m.embed, m.head} {
		if c := m.changes[name]; c != nil {
			rows[name] = c.shape[0]
		} else if m.base.Has(name) {
			v, err := m.base.Tensor(name)
			if err != nil {
				return err
			}
			rows[name] = v.Rows()
		}
	}
	if m.tied {
		delete(rows, m.head)
	}
	head, ok := rows[m.head]
	if ok && head != rows[m.embed] {
		return hint.Errorf("modules_to_save must name both embed_tokens and lm_head when the vocabulary changes",
			"%s has %d rows after merging, %s has %d", m.embed, rows[m.embed], m.head, head)
	}
	d, err := ReadDimensions(m.config)
	if err != nil || d.VocabSize == rows[m.embed] {
		return err
	}
	return SetVocabSize(m.config, rows[m.embed])
}

// Config returns the base's config.json with the vocabulary size and the tied
// flag of the result; clone it to edit it.
func (m *Merged) Config() *orderedjson.Object { return m.config }

// Names returns the tensors of the result; it is shared.
func (m *Merged) Names() []string { return m.names }

// Has reports whether the result holds a tensor.
func (m *Merged) Has(name string) bool { return slices.Contains(m.names, name) }

// Tied reports whether the result uses one matrix for both ends.
func (m *Merged) Tied() (bool, error) { return m.tied, nil }

// EmbedTokens returns the input embeddings, (rows, D).
func (m *Merged) EmbedTokens() (tensor.View, error) { return m.Tensor(m.embed) }

// LMHead returns the output embeddings, (rows, D).
func (m *Merged) LMHead() (tensor.View, error) {
	if m.tied {
		return m.Tensor(m.embed)
	}
	return m.Tensor(m.head)
}

// Changes reports whether the adapter changes a tensor.
func (m *Merged) Changes(name string) bool { return m.changes[name] != nil }

// Release drops the bytes of a view from memory, whichever file it is of; see
// [File.Release].
func (m *Merged) Release(v tensor.View) {
	m.base.Release(v)
	m.adapter.Release(v)
}

// Tensor returns a tensor of the result: a view of the base's file, a view of the
// adapter's file where the tensor was saved whole in the base's dtype, else newly
// computed memory.
func (m *Merged) Tensor(name string) (tensor.View, error) {
	c := m.changes[name]
	if c == nil {
		if !m.Has(name) {
			return tensor.View{}, &TensorError{File: m.base.dir, Tensor: name, What: "is not there"}
		}
		return m.base.Tensor(name)
	}
	if v, ok := c.whole(); ok {
		v.Name = name
		return v, nil
	}
	var b bytes.Buffer
	b.Grow(c.rows() * c.cols() * c.dtype.Size())
	if err := m.stream(c, &b); err != nil {
		return tensor.View{}, err
	}
	return tensor.View{Name: name, DType: c.dtype, Shape: c.shape, Data: b.Bytes()}, nil
}

// whole returns the tensor that stands for a change as it is, if one does.
func (c *change) whole() (tensor.View, bool) {
	switch {
	case len(c.terms) > 0:
		return tensor.View{}, false
	case c.saved == nil:
		return c.base, true
	}
	return *c.saved, c.blend == 1 && c.saved.DType == c.dtype
}

// Add announces a tensor of the result to a writer: a byte for byte copy if the
// adapter does not change it, else rows computed while they are written.
func (m *Merged) Add(w *Writer, name string) error {
	c := m.changes[name]
	switch {
	case c != nil:
		if v, ok := c.whole(); ok && c.saved == nil {
			return w.CopyAs(name, m.base, v.Name)
		} else if ok {
			v.Name = name
			return w.AddView(v)
		}
		return w.Add(name, c.dtype, c.shape, func(out io.Writer) error { return m.stream(c, out) })
	case m.Has(name):
		return w.Copy(m.base, name)
	}
	return &TensorError{File: m.base.dir, Tensor: name, What: "is not there"}
}

func (c *change) rows() int { return tensor.View{Shape: c.shape}.Rows() }
func (c *change) cols() int { return tensor.View{Shape: c.shape}.Cols() }
