package embedding

import (
	"fmt"
	"slices"

	"lep/tensor"
	"lep/vocab"
)

// Combine says how the rows of several subtokens become one.
type Combine uint8

const (
	Mean Combine = iota
	Sum
)

// Operator is the token conversion of the paper (arXiv 2412.21140) as a sparse
// matrix T over old rows: row i of T·E is a combination of a few rows of E. It is
// the same for every matrix E, so source and target rows stay aligned.
type Operator struct {
	tokens  []int32 // the token that row i stands for
	start   []int32
	ids     []int32
	weights []float64 // one for each id, 0 for a row of equal weights; nil if all are such
	combine Combine
	penalty float64 // divides a row of one id, unless its token is special; 0 or 1 for none
	special []bool  // by row; nil without penalty
}

// Conversion is the operator of a list of old subtokens: a row for every new token
// that is not left out.
func Conversion(c *vocab.Conversion, combine Combine) *Operator {
	op := &Operator{combine: combine, start: []int32{0}}
	for id := range c.Len() {
		if ids := c.IDs(id); len(ids) > 0 {
			op.append(int32(id), ids)
		}
	}
	return op
}

// Overlap is the operator that picks the old rows of shared tokens.
func Overlap(pairs []vocab.Pair) *Operator {
	op := &Operator{start: []int32{0}}
	for _, p := range pairs {
		op.append(p.New, []int32{p.Old})
	}
	return op
}

// Occurrences is the operator of counted subtokens: for a new token in counts,
// the mean of old rows weighted by the counts; for another, as Conversion. Old ids are
// taken in ascending order.
func Occurrences(c *vocab.Conversion, counts map[int32]map[int32]float64) (*Operator, error) {
	op := &Operator{start: []int32{0}}
	for id := range int32(c.Len()) {
		if c.How(int(id)) == vocab.LeftOut {
			continue
		}
		of := counts[id]
		if len(of) == 0 || c.How(int(id)) == vocab.ByName {
			ids := c.IDs(int(id))
			op.append(id, ids)
			op.weights = append(op.weights, make([]float64, len(ids))...)
			continue
		}
		var ids []int32
		total := 0.0
		for old, n := range of {
			if !(n > 0) {
				return nil, fmt.Errorf("occurrences of token %d: count %g of old token %d, want a positive number", id, n, old)
			}
			ids = append(ids, old)
			total += n
		}
		slices.Sort(ids)
		op.append(id, ids)
		for _, old := range ids {
			op.weights = append(op.weights, of[old]/total)
		}
	}
	return op, nil
}

func (op *Operator) append(token int32, ids []int32) {
	op.tokens = append(op.tokens, token)
	op.ids = append(op.ids, ids...)
	op.start = append(op.start, int32(len(op.ids)))
}

// Divide sets the authors' overlap_penalty: rows made of one old token are divided
// by it, those of special tokens excepted.
func (op *Operator) Divide(penalty float64, c *vocab.Conversion) {
	op.penalty, op.special = penalty, make([]bool, op.Len())
	for i, t := range op.tokens {
		op.special[i] = c != nil && c.How(int(t)) == vocab.ByName
	}
}

// Len returns the number of rows.
func (op *Operator) Len() int { return len(op.tokens) }

// Token returns the new token that a row stands for.
func (op *Operator) Token(row int) int32 { return op.tokens[row] }

// IDs returns the old tokens of a row; it aliases the operator.
func (op *Operator) IDs(row int) []int32 { return op.ids[op.start[row]:op.start[row+1]] }

// Filter returns the operator without the rows for which keep is false.
func (op *Operator) Filter(keep func(row int) bool) *Operator {
	out := &Operator{combine: op.combine, penalty: op.penalty, start: []int32{0}}
	for i := range op.Len() {
		if !keep(i) {
			continue
		}
		out.append(op.tokens[i], op.IDs(i))
		if op.weights != nil {
			out.weights = append(out.weights, op.weights[op.start[i]:op.start[i+1]]...)
		}
		if op.special != nil {
			out.special = append(out.special, op.special[i])
		}
	}
	return out
}

// MaxID returns the highest old id used, -1 for an empty operator.
func (op *Operator) MaxID() int32 {
	if len(op.ids) == 0 {
		return -1
	}
	return slices.Max(op.ids)
}

// weighted reports whether a row has weights of its own.
func (op *Operator) weighted(row int) bool { return op.weights != nil && op.weights[op.start[row]] > 0 }

// divisor returns what a row is divided by beside the number of its ids.
func (op *Operator) divisor(row int) float64 {
	if op.penalty == 0 || op.special[row] || op.start[row+1]-op.start[row] != 1 {
		return 1
	}
	return op.penalty
}

// Rows writes n rows of T·e, from row from on, to dst (n, D), in float64 from the
// stored values: nothing is rounded on the way. e is (V, D); ids are below V.
func (op *Operator) Rows(dst []float64, e tensor.View, from, n int) {
	d := e.Cols()
	size := d * e.DType.Size()
	for i := 0; i < n; {
		row := from + i
		a, b := op.start[row], op.start[row+1]
		out := dst[i*d : (i+1)*d]
		if b-a != 1 {
			op.combined(out, e, row)
			i++
			continue
		}
		// A run of rows that lie one behind the other in e is one conversion.
		run := 1
		for i+run < n && op.start[row+run+1]-op.start[row+run] == 1 && op.ids[int(a)+run] == op.ids[a]+int32(run) {
			run++
		}
		out = dst[i*d : (i+run)*d]
		first := int(op.ids[a]) * size
		tensor.Decode64(out, e.Data[first:first+run*size], e.DType)
		if op.penalty != 0 {
			for k := range run {
				scale(out[k*d:(k+1)*d], 1/op.divisor(row+k))
			}
		}
		i += run
	}
}

func (op *Operator) combined(out []float64, e tensor.View, row int) {
	a, b := op.start[row], op.start[row+1]
	clear(out)
	if op.weighted(row) {
		for k := a; k < b; k++ {
			addScaled(out, e.Row(int(op.ids[k])), e.DType, op.weights[k])
		}
		return
	}
	for k := a; k < b; k++ {
		addScaled(out, e.Row(int(op.ids[k])), e.DType, 1)
	}
	if op.combine == Mean {
		scale(out, 1/float64(b-a))
	}
}

func scale(x []float64, by float64) {
	for i := range x {
		x[i] *= by
	}
}
