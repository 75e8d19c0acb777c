package propagate

import (
	"math"
	"math/rand/v2"
	"slices"

	"lep/embedding"
	"lep/linalg"
	"lep/vocab"
)

// Score says how well a map takes held-out source rows to target rows.
type Score struct {
	Tokens int `json:"tokens"`
	// R2 is 1 - ||S W - G||²/||G - mean(G)||² over these tokens, where the mean is that
	// of all held-out tokens; Cosine is the mean cosine of S W and G.
	R2     Number `json:"r2"`
	Cosine Number `json:"cosine"`
}

// Candidate is a method as measured on held-out tokens.
type Candidate struct {
	Method  Method           `json:"method"`
	Lambda  Number           `json:"lambda,omitempty"` // of ridge, relative to the mean eigenvalue of SᵀS
	Score   Score            `json:"score"`
	Classes map[string]Score `json:"classes"`
}

// minHeld is the fewest held-out tokens that a figure is given for; above maxHeld more
// of them only cost time.
const minHeld, maxHeld = 20, 4096

// holdOut draws the held-out tokens from the shared ones; nil if they are too few.
func holdOut(shared []vocab.Pair, share float64, seed uint64) []vocab.Pair {
	n := min(int(share*float64(len(shared))), maxHeld)
	if n < minHeld {
		return nil
	}
	r := rand.New(rand.NewPCG(seed, 0x6c6570))
	held := make([]vocab.Pair, 0, n)
	for _, i := range r.Perm(len(shared))[:n] {
		held = append(held, shared[i])
	}
	slices.SortFunc(held, func(a, b vocab.Pair) int { return int(a.Old - b.Old) })
	return held
}

// split parts an operator's rows into those that know nothing of the held-out
// tokens and the rest, which hold one of them, alone or in a mean.
func split(op *embedding.Operator, held []vocab.Pair) (train, rest *embedding.Operator) {
	out := make(map[int32]bool, len(held))
	for _, p := range held {
		out[p.Old] = true
	}
	touches := func(row int) bool {
		return slices.ContainsFunc(op.IDs(row), func(id int32) bool { return out[id] })
	}
	return op.Filter(func(row int) bool { return !touches(row) }), op.Filter(touches)
}

// moments are the sums that scores are made of.
type moments struct {
	n                int
	wrong, cos       float64
	square           float64 // Σ||g||²
	deviationFromAll float64 // Σ||g - mean||²
}

// measure applies each W (nil is I) to the held-out rows and compares with each
// target's: out[t] for w[t].
func measure(blas linalg.BLAS, blocks linalg.Blocks, dim int, w [][]float64, held []vocab.Pair, classes []vocab.Class) ([]Candidate, error) {
	mean := make([][]float64, len(w))
	for t := range w {
		mean[t] = make([]float64, dim)
	}
	err := blocks(func(rows int, _ []float64, g ...[]float64) error {
		for t := range w {
			for i := range rows {
				linalg.DAXPY(1/float64(len(held)), g[t][i*dim:(i+1)*dim], mean[t])
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sums := make([]map[vocab.Class]*moments, len(w))
	for t := range sums {
		sums[t] = map[vocab.Class]*moments{}
	}
	at := 0
	var p []float64
	err = blocks(func(rows int, s []float64, g ...[]float64) error {
		for t := range w {
			p = append(p[:0], s[:rows*dim]...)
			if w[t] != nil {
				linalg.Project(blas, p, rows, s, w[t], dim)
			}
			for i := range rows {
				c := classes[held[at+i].New]
				if sums[t][c] == nil {
					sums[t][c] = &moments{}
				}
				sums[t][c].add(p[i*dim:(i+1)*dim], g[t][i*dim:(i+1)*dim], mean[t])
			}
		}
		at += rows
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]Candidate, len(w))
	for t := range out {
		var all moments
		out[t].Classes = map[string]Score{}
		for _, c := range vocab.Classes() {
			if m := sums[t][c]; m != nil {
				all.merge(m)
				out[t].Classes[c.String()] = m.score()
			}
		}
		out[t].Score = all.score()
	}
	return out, nil
}

func (m *moments) add(p, g, mean []float64) {
	var pp, gg, pg, wrong, dev float64
	for j, x := range p {
		y := g[j]
		pp += x * x
		gg += y * y
		pg += x * y
		wrong += (x - y) * (x - y)
		dev += (y - mean[j]) * (y - mean[j])
	}
	m.n++
	m.wrong += wrong
	m.square += gg
	m.deviationFromAll += dev
	if pp > 0 && gg > 0 {
		m.cos += pg / math.Sqrt(pp*gg)
	}
}

func (m *moments) merge(o *moments) {
	m.n += o.n
	m.wrong += o.wrong
	m.cos += o.cos
	m.square += o.square
	m.deviationFromAll += o.deviationFromAll
}

func (m *moments) score() Score {
	return Score{Tokens: m.n, R2: Number(1 - m.wrong/m.deviationFromAll), Cosine: Number(m.cos / float64(m.n))}
}
