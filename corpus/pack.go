package corpus

import (
	"fmt"
	"strings"
)

// Boundary says where blocks begin.
type Boundary string

// The boundaries.
const (
	AtLine     Boundary = "line"     // at the beginning of a document or of a line
	AtDocument Boundary = "document" // at the beginning of a document
	Anywhere   Boundary = "any"      // where the block before it ends
)

// ParseBoundary reads a Boundary.
func ParseBoundary(s string) (Boundary, error) {
	switch b := Boundary(s); b {
	case AtLine, AtDocument, Anywhere:
		return b, nil
	}
	return "", fmt.Errorf("%q, want one of %s", s, strings.Join([]string{string(AtLine), string(AtDocument), string(Anywhere)}, ", "))
}

// NoLabel marks a token that is not learned, as in PyTorch.
const NoLabel int32 = -100

// Block is a row of training data: one or several documents, or parts of them.
type Block struct {
	IDs []int32
	// Labels, of the length of IDs, are not shifted; NoLabel marks tokens without loss.
	// nil: every token behind the first Context is learned.
	Labels []int32
	// Context counts tokens at the beginning that the block before has learned already: the
	// beginning of a line whose rest follows.
	Context int
	// Starts are the places of the documents' first tokens in the block, the first is 0.
	Starts []int32
	// Source and Line tell where the first document comes from.
	Source string
	Line   int
}

// Packer fills blocks of up to Size tokens with documents one after another.
//
// A text that a block's end cuts goes on in the next block at the beginning of the line that
// was cut (or of the document, by Start), so that a block begins where a reader would; the
// repeated tokens are Context and count once in the loss. A line that would repeat more than
// a quarter of a block goes on where it was cut.
type Packer struct {
	Size  int // tokens, at least 2
	Start Boundary
	// Emit takes a full block; it owns the block's memory.
	Emit func(Block)

	current Block
	open    []Block // of AddWhole
}

// openBlocks is how many blocks wait for a sample that still fits.
const openBlocks = 32

// Add packs a text's ids; line(i) tells whether a line begins at ids[i]. doc says where the text
// comes from.
func (p *Packer) Add(ids []int32, line func(i int) bool, doc Doc) {
	context := 0
	for from := 0; from < len(ids); {
		room := p.Size - len(p.current.IDs)
		if room == 0 {
			p.emit()
			continue
		}
		to := min(from+room, len(ids))
		p.place(ids[from:to], context, doc)
		if to == len(ids) {
			return
		}
		p.emit()
		from = p.resume(from, to, line)
		context = to - from
	}
}

// resume returns where the text goes on that was cut before ids[cut]; its part in the
// full block began at from.
func (p *Packer) resume(from, cut int, line func(i int) bool) int {
	if p.Start == Anywhere {
		return cut
	}
	for i := cut; i >= max(from, cut-p.Size/4); i-- {
		if i == 0 || p.Start == AtLine && line(i) {
			return i
		}
	}
	return cut
}

func (p *Packer) place(ids []int32, context int, doc Doc) {
	b := &p.current
	if b.IDs == nil {
		*b = Block{IDs: make([]int32, 0, p.Size), Context: context, Source: doc.Source, Line: doc.Line}
	}
	b.Starts = append(b.Starts, int32(len(b.IDs)))
	b.IDs = append(b.IDs, ids...)
}

func (p *Packer) emit() {
	if len(p.current.IDs) > 0 {
		p.Emit(p.current)
	}
	p.current = Block{}
}

// AddWhole packs a sample with its labels beside others and does not cut it unless it is
// longer than a block, which then gets its parts one by one.
func (p *Packer) AddWhole(ids, labels []int32, doc Doc) {
	for len(ids) > p.Size {
		p.Emit(Block{IDs: ids[:p.Size], Labels: labels[:p.Size], Starts: []int32{0}, Source: doc.Source, Line: doc.Line})
		ids, labels = ids[p.Size:], labels[p.Size:]
	}
	if len(ids) == 0 {
		return
	}
	for i := range p.open {
		if b := &p.open[i]; p.Size-len(b.IDs) >= len(ids) {
			b.Starts = append(b.Starts, int32(len(b.IDs)))
			b.IDs, b.Labels = append(b.IDs, ids...), append(b.Labels, labels...)
			return
		}
	}
	if len(p.open) == openBlocks {
		p.Emit(p.open[0])
		p.open = append(p.open[:0], p.open[1:]...)
	}
	p.open = append(p.open, Block{IDs: append(make([]int32, 0, p.Size), ids...), Labels: append(make([]int32, 0, p.Size), labels...),
		Starts: []int32{0}, Source: doc.Source, Line: doc.Line})
}

// Flush emits the blocks that are not full.
func (p *Packer) Flush() {
	p.emit()
	for _, b := range p.open {
		p.Emit(b)
	}
	p.open = p.open[:0]
}
