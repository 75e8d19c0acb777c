package propagate

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"unicode"
	"unicode/utf8"

	"gonum.org/v1/gonum/mat"

	"lep/linalg"
	"lep/tensor"
	"lep/tokenizer"
	"lep/vocab"
)

// Diagnosis shows what a projection did to one matrix: its singular spectrum and the
// company that new tokens keep, in the donor (before) and in the result (after).
type Diagnosis struct {
	// Before and After are singular values of the centred rows by the square root of their
	// number, the spread of the rows along each direction, the largest first; Ranks says which ones (from 1),
	// at most 128 evenly chosen. They are of at most 16,384 rows, and none beyond a hidden_size of 2048, where
	// they would take minutes.
	Ranks      []int        `json:"spectrum_ranks"`
	Before     []Number     `json:"spectrum_before"`
	After      []Number     `json:"spectrum_after"`
	Neighbours []Neighbours `json:"neighbours"`
}

// Neighbours are the tokens nearest to a new token by cosine.
type Neighbours struct {
	ID     int32       `json:"id"`
	Token  string      `json:"token"` // its text
	Before []Neighbour `json:"before"`
	After  []Neighbour `json:"after"`
}

// Neighbour is a token near another.
type Neighbour struct {
	ID     int32  `json:"id"`
	Token  string `json:"token"`
	Cosine Number `json:"cosine"`
}

const (
	spectrumDim    = 2048
	spectrumRows   = 16_384
	spectrumValues = 128
	neighbourCount = 5
)

// diagnose adds the diagnoses of a result that was just written to dir.
func (r *run) diagnose(ctx context.Context, dir string, t int, o *output) error {
	after, err := openModel("result", dir)
	if err != nil {
		return err
	}
	defer after.Close()
	ids := newWords(r.in.targets[t].tok, after.tok, r.opts.Diagnose)
	for mod := range o.modules {
		d := &Diagnosis{}
		o.modules[mod].Diagnosis = d
		old, now := r.in.donor.matrices()[mod], after.matrices()[mod]
		if old.Cols() <= spectrumDim {
			s, err := spectrum(ctx, r.blas, old)
			if err == nil {
				d.Before, d.Ranks = thinned(s)
				s, err = spectrum(ctx, r.blas, now)
				d.After, _ = thinned(s)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", moduleNames[mod], err)
			}
		}
		before, err := nearest(ctx, r.in.donor, old, ids)
		if err != nil {
			return err
		}
		behind, err := nearest(ctx, after, now, ids)
		if err != nil {
			return err
		}
		for i, id := range ids {
			d.Neighbours = append(d.Neighbours, Neighbours{id, tokenText(after.tok, id), before[i], behind[i]})
		}
	}
	return nil
}

// newWords picks n tokens that the old vocabulary lacks, evenly by id: words of four letters or
// more, because a reader can judge their neighbours.
func newWords(old, next *tokenizer.Tokenizer, n int) []int32 {
	known := map[int32]bool{}
	for _, p := range vocab.Shared(old, next) {
		known[p.New] = true
	}
	var all []int32
	for id := range int32(next.Size()) {
		if text, kind := next.Bytes(id); kind == tokenizer.Text && !known[id] && isWord(string(text)) {
			all = append(all, id)
		}
	}
	if len(all) <= n {
		return all
	}
	picked := make([]int32, n)
	for i := range picked {
		picked[i] = all[i*len(all)/n]
	}
	return picked
}

func isWord(text string) bool {
	letters := 0
	for i, r := range text {
		switch {
		case unicode.IsLetter(r):
			letters++
		case r == ' ' && i == 0:
		default:
			return false
		}
	}
	return letters >= 4
}

// spectrum returns the singular values of a matrix's centred rows by the square root of
// their number, the largest first.
func spectrum(ctx context.Context, blas linalg.BLAS, m matrix) ([]float64, error) {
	dim, n := m.Cols(), min(m.Rows(), spectrumRows)
	if n == 0 || dim == 0 {
		return nil, nil
	}
	// Σ(x-μ)(x-μ)ᵀ = Σxxᵀ - nμμᵀ cancels where the mean is large, so rows are centred first.
	row := func(i int) []byte { return m.Row(int(int64(i) * int64(m.Rows()) / int64(n))) }
	mean, x := make([]float64, dim), make([]float64, dim)
	for i := range n {
		tensor.Decode64(x, row(i), m.DType)
		linalg.DAXPY(1/float64(n), x, mean)
	}
	gram, block := make([]float64, dim*dim), make([]float64, blockRows*dim)
	for from := 0; from < n; from += blockRows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		size := min(blockRows, n-from)
		for i := range size {
			to := block[i*dim : (i+1)*dim]
			tensor.Decode64(to, row(from+i), m.DType)
			linalg.DAXPY(-1, mean, to)
		}
		blas.DSYRK(dim, size, 1/float64(n), block, dim, 1, gram, dim)
	}
	releaseAll([]matrix{m})
	var e mat.EigenSym
	if !e.Factorize(mat.NewSymDense(dim, gram), false) {
		return nil, fmt.Errorf("the eigenvalues of a matrix of %d rows were not found", dim)
	}
	values := e.Values(nil)
	slices.Reverse(values)
	for i, v := range values {
		values[i] = math.Sqrt(max(v, 0))
	}
	return values, nil
}

// thinned keeps evenly chosen values, the first and the last among them, with their ranks from 1.
func thinned(all []float64) (values []Number, ranks []int) {
	n := min(len(all), spectrumValues)
	for i := range n {
		at := 0
		if n > 1 {
			at = i * (len(all) - 1) / (n - 1)
		}
		values, ranks = append(values, Number(all[at])), append(ranks, at+1)
	}
	return values, ranks
}

// nearest finds the tokens whose rows have the largest cosine with those of ids. Rows are
// streamed.
func nearest(ctx context.Context, m *model, e matrix, ids []int32) ([][]Neighbour, error) {
	dim := e.Cols()
	unit := func(to []float64, raw []byte) bool {
		tensor.Decode64(to, raw, e.DType)
		norm := math.Sqrt(linalg.DDOT(to, to))
		for i := range to {
			to[i] /= norm
		}
		return norm > 0
	}
	queries := make([][]float64, len(ids))
	for i, id := range ids {
		queries[i] = make([]float64, dim)
		if !unit(queries[i], e.Row(int(id))) {
			clear(queries[i]) // a row of zeros is near nothing
		}
	}
	found := make([][]Neighbour, len(ids))
	row := make([]float64, dim)
	for from, b := range m.Blocks(e.View) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for i := range min(b.Rows(), m.tok.Size()-from) {
			if !unit(row, b.Row(i)) {
				continue
			}
			for q := range ids {
				if id := int32(from + i); id != ids[q] {
					found[q] = keepNearest(found[q], Neighbour{ID: id, Cosine: Number(linalg.DDOT(row, queries[q]))})
				}
			}
		}
	}
	for _, list := range found {
		for i := range list {
			list[i].Token = tokenText(m.tok, list[i].ID)
		}
	}
	return found, nil
}

// keepNearest puts a neighbour in its place if it is among the nearest.
func keepNearest(list []Neighbour, n Neighbour) []Neighbour {
	if len(list) == neighbourCount && list[neighbourCount-1].Cosine >= n.Cosine {
		return list
	}
	at, _ := slices.BinarySearchFunc(list, n, func(a, b Neighbour) int {
		return cmp.Or(cmp.Compare(b.Cosine, a.Cosine), -1) // of equal ones the lower id first
	})
	list = slices.Insert(list, at, n)
	return list[:min(len(list), neighbourCount)]
}

// tokenText is a token's text, or its spelling where the bytes are no text.
func tokenText(tok *tokenizer.Tokenizer, id int32) string {
	if raw, kind := tok.Bytes(id); kind == tokenizer.Text && utf8.Valid(raw) {
		return string(raw)
	}
	return tok.Token(id)
}
