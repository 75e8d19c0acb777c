package propagate

import (
	"fmt"
	"slices"
	"strings"

	"lep/checkpoint"
	"lep/internal/hint"
	"lep/internal/orderedjson"
	"lep/tensor"
	"lep/tokenizer"
)

// model is an open model folder with its tokenizer and embedding matrices.
type model struct {
	role string // source, target or donor, for messages
	*checkpoint.Model
	weights interface { // of the model, or of the model with an adapter merged into it
		Config() *orderedjson.Object
		Tied() (bool, error)
		EmbedTokens() (tensor.View, error)
		LMHead() (tensor.View, error)
	}
	tok    *tokenizer.Tokenizer
	tokDir string
	dims   checkpoint.Dimensions
	tied   bool
	embed  matrix
	head   matrix // of an untied model
}

func openModel(role, path string) (*model, error) {
	c, err := checkpoint.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", role, err)
	}
	m := &model{role: role, Model: c, weights: c, tokDir: c.Dir()}
	if err := m.open(); err != nil {
		c.Close()
		return nil, fmt.Errorf("%s: %w", role, err)
	}
	return m, nil
}

func (m *model) open() (err error) {
	if m.dims, err = checkpoint.ReadDimensions(m.weights.Config()); err != nil {
		return fmt.Errorf("%s: config.json: %w", m.Dir(), err)
	}
	if m.tied, err = m.weights.Tied(); err != nil {
		return err
	}
	e, err := m.weights.EmbedTokens()
	if err != nil {
		return err
	}
	m.embed = matrix{e, m.Release}
	if !m.tied {
		h, err := m.weights.LMHead()
		if err != nil {
			return err
		}
		m.head = matrix{h, m.Release}
	}
	m.tok, err = tokenizer.Open(m.tokDir)
	if err != nil {
		return err // names the file
	}
	return m.checkMatrices()
}

// matrices returns the matrices that propagation maps, by module name.
func (m *model) matrices() []matrix {
	if m.tied {
		return []matrix{m.embed}
	}
	return []matrix{m.embed, m.head}
}

var moduleNames = [...]string{"embed_tokens", "lm_head"}

// checkMatrices holds the matrices against config.json and the tokenizer.
func (m *model) checkMatrices() error {
	for _, e := range m.matrices() {
		if m.dims.HiddenSize != 0 && e.Cols() != m.dims.HiddenSize {
			return fmt.Errorf("%s: tensor %q: shape %v, want hidden_size %d columns (config.json)", m.Dir(), e.Name, e.Shape, m.dims.HiddenSize)
		}
		if e.Rows() != m.embed.Rows() || e.DType != m.embed.DType {
			return fmt.Errorf("%s: tensor %q: %s %v, want %s %v as %q", m.Dir(), e.Name, e.DType, e.Shape, m.embed.DType, m.embed.Shape, m.embed.Name)
		}
		if n := m.tok.Size(); e.Rows() < n {
			return hint.Errorf("the tokenizer was replaced or extended but the matrix was not: use the tokenizer that the model was trained with, or run lep embed first",
				"%s: tensor %q: %d rows, but the tokenizer has %d tokens (%q is id %d)", m.Dir(), e.Name, e.Rows(), n, m.tok.Token(int32(n-1)), n-1)
		}
	}
	return nil
}

// checkFinite reports the first NaN or infinity of the matrices.
func (m *model) checkFinite() error {
	for _, e := range m.matrices() {
		for at, b := range m.Blocks(e.View) {
			row, col, found := checkpoint.FindNonFinite(b)
			if found {
				return hint.Errorf("the file is damaged or the training diverged: projecting it would spread the value to every row",
					"%s: %s: tensor %q: row %d (%q), column %d is not finite", m.role, m.Dir(), e.Name, at+row, m.tok.Token(int32(at+row)), col)
			}
		}
	}
	return nil
}

// inputs are the models of a run.
type inputs struct {
	source  *model
	donor   *model
	adapter *checkpoint.Adapter // set if the donor is one; donor is then its base with the embedding part merged
	targets []*model
	notes   []string
}

func openInputs(opts *Options) (in *inputs, err error) {
	in = &inputs{}
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	if in.source, err = openModel("source", opts.Source); err != nil {
		return in, err
	}
	if in.donor, in.adapter, err = openDonor(opts); err != nil {
		return in, err
	}
	for _, t := range opts.Targets {
		m, err := openModel("target", t.Model)
		if err != nil {
			return in, err
		}
		in.targets = append(in.targets, m)
	}
	for _, m := range in.all() {
		for _, n := range m.Notes {
			in.note("%s: %s: %s", m.role, m.Dir(), n)
		}
	}
	return in, in.check(opts)
}

func (in *inputs) note(format string, args ...any) {
	in.notes = append(in.notes, fmt.Sprintf(format, args...))
}

func (in *inputs) all() []*model {
	var out []*model
	for _, m := range append([]*model{in.source, in.donor}, in.targets...) {
		if m != nil {
			out = append(out, m)
		}
	}
	return out
}

func (in *inputs) close() {
	for _, m := range in.all() {
		m.Close()
	}
	if in.adapter != nil {
		in.adapter.Close()
	}
}

// check refuses models that do not belong together.
func (in *inputs) check(opts *Options) error {
	s := in.source
	for _, m := range in.all()[1:] {
		if a, b := family(s), family(m); a != b {
			return fmt.Errorf("%s/config.json: model family is %s, source has %s", m.Dir(), b, a)
		}
		if m.embed.Cols() != s.embed.Cols() {
			return fmt.Errorf("%s/config.json: hidden_size is %d, source has %d", m.Dir(), m.embed.Cols(), s.embed.Cols())
		}
		if m.dims.NumHiddenLayers != s.dims.NumHiddenLayers {
			return fmt.Errorf("%s/config.json: num_hidden_layers is %d, source has %d", m.Dir(), m.dims.NumHiddenLayers, s.dims.NumHiddenLayers)
		}
		if m.tied != s.tied {
			return hint.Errorf("all three models must tie their embeddings or none: untie the tied ones by writing the matrix twice, or use their tied siblings",
				"%s: %s has tied embeddings %t, source has %t", m.Dir(), m.role, m.tied, s.tied)
		}
	}
	for _, t := range in.targets {
		if t.embed.DType != in.donor.embed.DType {
			in.note("the donor's matrices are %s, the target's %s: the result is %s as the target", in.donor.embed.DType, t.embed.DType, t.embed.DType)
		}
		if err := in.sameOld(t, opts); err != nil {
			return err
		}
	}
	return nil
}

func family(m *model) string {
	kind := m.Config().Text("model_type")
	var archs []string
	if _, err := m.Config().Decode("architectures", &archs); err == nil && kind == "" {
		kind = strings.Join(archs, ",")
	}
	return kind
}

// sameOld checks that a target has the source's vocabulary; tokens of its own behind
// it and renamed special tokens are fine.
func (in *inputs) sameOld(t *model, opts *Options) error {
	n := int32(min(in.source.tok.Size(), t.tok.Size()))
	var renamed []string
	for id := range n {
		a, ka := in.source.tok.Bytes(id)
		b, kb := t.tok.Bytes(id)
		if ka == kb && slices.Equal(a, b) {
			continue
		}
		if outside(ka) && outside(kb) {
			renamed = append(renamed, fmt.Sprintf("%d %q is %q", id, in.source.tok.Token(id), t.tok.Token(id)))
			continue
		}
		return hint.Errorf("the target must be tuned from the source with the same vocabulary; give the base model that it was tuned from",
			"%s: token %d is %q, in the source's tokenizer %q", t.Dir(), id, t.tok.Token(id), in.source.tok.Token(id))
	}
	if len(renamed) > 0 {
		in.note("%s: %d special tokens have other names than in the source (%s); they are not fitted on", t.Dir(), len(renamed), renamed[0])
	}
	return nil
}

// outside reports whether a token is no piece of text.
func outside(k tokenizer.Kind) bool {
	switch k {
	case tokenizer.Text, tokenizer.Byte, tokenizer.UserDefined:
		return false
	}
	return true
}

// usable returns the test that source and all targets have a row for an old id, and
// mean the same token by it.
func (in *inputs) usable(fitSpecial bool) func(old int32) bool {
	return func(id int32) bool {
		if int(id) >= in.source.embed.Rows() || !fitSpecial && in.isSpecial(id) {
			return false
		}
		for _, t := range in.targets {
			if int(id) >= t.embed.Rows() || t.tok.Token(id) != in.source.tok.Token(id) {
				return false
			}
		}
		return true
	}
}

// isSpecial reports whether an old token is no piece of text.
func (in *inputs) isSpecial(old int32) bool {
	_, kind := in.source.tok.Bytes(old)
	return outside(kind)
}

// checkLayers notes if the donor's layers are not the source's.
func (in *inputs) checkLayers() error {
	d, err := compareLayers(in.source, in.donor)
	switch {
	case err != nil:
		return err
	case d.missing > 0:
		in.note("the donor lacks %d tensors that the source has (%s): its layers were not compared", d.missing, d.firstMissing)
	case d.worst > 0:
		in.note("the donor's layers differ from the source's by up to %.3g (%s): its embeddings belong to layers that the result will not have; "+
			"was it trained from another base, or with its layers?", d.worst, d.where)
	}
	return nil
}

// layerDifference is what compareLayers finds.
type layerDifference struct {
	worst        float64
	where        string
	missing      int
	firstMissing string
}

// compareLayers compares all tensors of a but the embedding matrices with those of b.
func compareLayers(a, b *model) (d layerDifference, err error) {
	skip := map[string]bool{a.embed.Name: true, b.embed.Name: true}
	for _, m := range []*model{a, b} {
		if head, err := m.HeadName(); err == nil {
			skip[head] = true
		}
	}
	for _, name := range a.Names() {
		if skip[name] {
			continue
		}
		if !b.Has(name) {
			if d.missing++; d.missing == 1 {
				d.firstMissing = name
			}
			continue
		}
		va, err := a.Tensor(name)
		if err != nil {
			return d, err
		}
		vb, err := b.Tensor(name)
		if err != nil {
			return d, err
		}
		if !slices.Equal(va.Shape, vb.Shape) {
			return d, fmt.Errorf("%s: tensor %q: shape %v, the %s has %v", b.Dir(), name, vb.Shape, a.role, va.Shape)
		}
		for at, block := range a.Blocks(va) {
			other := vb.Block(at, block.Rows())
			diff := blockDifference(block, other)
			b.Release(other)
			if diff > d.worst {
				d.worst, d.where = diff, name
			}
		}
	}
	return d, nil
}

func blockDifference(a, b tensor.View) float64 {
	if a.DType == b.DType && string(a.Data) == string(b.Data) {
		return 0
	}
	if !a.DType.IsFloat() || !b.DType.IsFloat() {
		return 1
	}
	x, y := make([]float64, a.Cols()), make([]float64, a.Cols())
	worst := 0.0
	for i := range a.Rows() {
		tensor.Decode64(x, a.Row(i), a.DType)
		tensor.Decode64(y, b.Row(i), b.DType)
		for j := range x {
			if d := x[j] - y[j]; d > worst {
				worst = d
			} else if -d > worst {
				worst = -d
			}
		}
	}
	return worst
}
