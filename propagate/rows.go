package propagate

import (
	"context"
	"fmt"

	"lep/embedding"
	"lep/linalg"
	"lep/tensor"
	"lep/vocab"
)

// blockRows is how many rows are gathered and multiplied at a time: enough to keep
// a matrix library busy, and 33 MB in float64 at hidden size 4096.
const blockRows = 1024

// matrix is a stored matrix and what lets its pages go.
type matrix struct {
	tensor.View
	release func(tensor.View)
}

// keptBytes is how much of a mapped matrix may be touched before its pages are
// released: rows are gathered in any order, and the pages of a large matrix would
// otherwise all stay resident.
const keptBytes = 48 << 20

// pairs streams S and the G of every target for an operator, in blocks, and gathers
// one block while the matrix library works on the other. If rounded is set, rows are
// rounded to the stored dtype as the authors' code does.
func pairs(ctx context.Context, op *embedding.Operator, s matrix, g []matrix, rounded bool) linalg.Blocks {
	dim := s.Cols()
	return func(add func(rows int, s []float64, g ...[]float64) error) error {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		free, full := make(chan *block, 2), make(chan *block, 2)
		size := min(blockRows, max(1, op.Len())) * dim
		for range cap(free) {
			b := &block{s: make([]float64, size)}
			for range g {
				b.g = append(b.g, make([]float64, size))
			}
			free <- b
		}
		go func() {
			defer close(full)
			touched := 0
			for at := 0; at < op.Len(); at += blockRows {
				var b *block
				select {
				case b = <-free:
				case <-ctx.Done():
					return
				}
				b.rows = min(blockRows, op.Len()-at)
				gather := op.Rows
				if rounded {
					gather = op.RoundedRows
				}
				gather(b.s, s.View, at, b.rows)
				for t := range g {
					gather(b.g[t], g[t].View, at, b.rows)
				}
				if touched += touch(op, at, b.rows, dim*s.DType.Size()); touched > keptBytes {
					touched = 0
					releaseAll(append(g[:len(g):len(g)], s))
				}
				full <- b
			}
			releaseAll(append(g[:len(g):len(g)], s))
		}()
		for b := range full {
			if err := add(b.rows, b.s[:b.rows*dim], b.g...); err != nil {
				return err
			}
			free <- b
		}
		return ctx.Err()
	}
}

// faultBytes is what the system maps around a page that is touched.
const faultBytes = 64 << 10

// touch estimates the bytes that become resident when rows of an operator are read.
func touch(op *embedding.Operator, from, n, rowBytes int) int {
	total, last := 0, int32(-2)
	for row := from; row < from+n; row++ {
		for _, id := range op.IDs(row) {
			if id != last+1 && id != last {
				total += faultBytes
			}
			total += rowBytes
			last = id
		}
	}
	return total
}

type block struct {
	rows int
	s    []float64
	g    [][]float64
}

func releaseAll(of []matrix) {
	for _, m := range of {
		if m.release != nil {
			m.release(m.View)
		}
	}
}

// operators makes the rows that the methods are fitted on. It is made once for a
// vocabulary and serves both matrices and every target.
type operators struct {
	conversion *vocab.Conversion // nil for methods that need none
	shared     []vocab.Pair
	bypass     *vocab.Conversion
	counts     map[int32]map[int32]float64
	penalty    float64
	usable     func(old int32) bool // whether source and target have a row of the same token
}

// of returns the operator of a method, nil for swap.
func (o *operators) of(m Method) (*embedding.Operator, error) {
	var op *embedding.Operator
	var err error
	switch m {
	case Swap:
		return nil, nil
	case Overlap:
		op = embedding.Overlap(o.shared)
	case Bypass:
		op = embedding.Conversion(o.bypass, embedding.Mean)
		o.divide(op, o.bypass)
	case SumConversion:
		op = embedding.Conversion(o.conversion, embedding.Sum)
		o.divide(op, o.conversion)
	case OccConversion:
		if op, err = embedding.Occurrences(o.conversion, o.counts); err != nil {
			return nil, err
		}
		o.divide(op, o.conversion)
	default: // conversion, ridge
		op = embedding.Conversion(o.conversion, embedding.Mean)
		o.divide(op, o.conversion)
	}
	if o.usable != nil {
		op = op.Filter(func(row int) bool {
			for _, id := range op.IDs(row) {
				if !o.usable(id) {
					return false
				}
			}
			return true
		})
	}
	if op.Len() == 0 {
		return nil, fmt.Errorf("method %s: no rows to fit: the donor's vocabulary shares no tokens with the source's", m)
	}
	return op, nil
}

func (o *operators) divide(op *embedding.Operator, c *vocab.Conversion) {
	if o.penalty != 1 {
		op.Divide(o.penalty, c)
	}
}
