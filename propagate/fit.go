package propagate

import (
	"context"
	"errors"
	"fmt"

	"lep/embedding"
	"lep/linalg"
	"lep/vocab"
)

// lambdas are the strengths that ridge tries, relative to the mean eigenvalue of SᵀS.
var lambdas = []float64{1e-3, 1e-2, 1e-1, 1, 10}

// fitter fits the maps of one matrix (embed_tokens or lm_head) for all targets.
type fitter struct {
	name    string
	opts    *Options
	blas    linalg.BLAS
	ops     *operators
	source  matrix
	targets []matrix
	held    []vocab.Pair // nil for none
	classes []vocab.Class
	unit    float64 // roundoff of the stored rows
}

// fitted is the map of one matrix of one target; a nil w is I.
type fitted struct {
	w      []float64
	result ModuleResult
}

// run fits the method asked for, for every target.
func (f *fitter) run(ctx context.Context) ([]fitted, error) {
	if f.opts.reference() {
		return f.reference(ctx)
	}
	method := f.opts.Method
	var tried [][]Candidate // by method, then target
	base, err := f.score(ctx, Swap, 0, make([][]float64, len(f.targets)))
	if err != nil {
		return nil, err
	}
	tried = append(tried, base)
	fits := map[Method][]fitted{}
	list := []Method{method}
	if method == Auto {
		list = []Method{Overlap, Conversion, Ridge}
	}
	for _, m := range list {
		if m == Swap {
			fits[m] = f.swap()
			continue
		}
		out, scores, err := f.method(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		fits[m], tried = out, append(tried, scores...)
	}
	fits[Swap] = f.swap()
	out := make([]fitted, len(f.targets))
	for t := range out {
		chosen := method
		var candidates []Candidate
		for _, scores := range tried {
			if scores != nil {
				candidates = append(candidates, scores[t])
			}
		}
		if method == Auto {
			if chosen = best(candidates); chosen == "" {
				return nil, fmt.Errorf("%s: method auto needs at least %d held-out tokens to choose by", f.name, minHeld)
			}
		}
		out[t] = fits[chosen][t]
		out[t].result.Candidates = candidates
		out[t].result.HeldOut = scoreOf(candidates, chosen, out[t].result.Lambda)
	}
	return out, nil
}

// best returns the method with the highest held-out R²; among equals (within 1e-6)
// the earlier, simpler one.
func best(candidates []Candidate) Method {
	var top *Candidate
	for i := range candidates {
		if c := &candidates[i]; top == nil || c.Score.R2 > top.Score.R2+1e-6 {
			top = c
		}
	}
	if top == nil {
		return ""
	}
	return top.Method
}

func scoreOf(candidates []Candidate, m Method, lambda Number) *Score {
	for _, c := range candidates {
		if c.Method == m && (m != Ridge || c.Lambda == lambda) {
			return &c.Score
		}
	}
	return nil
}

func (f *fitter) swap() []fitted {
	out := make([]fitted, len(f.targets))
	for t := range out {
		out[t].result = ModuleResult{Module: f.name, Method: Swap, Dim: f.source.Cols(), Rank: f.source.Cols()}
	}
	return out
}

// method fits one method twice from one pass over the rows: without the held-out
// tokens, to measure it (and to choose the ridge), and with all of them.
func (f *fitter) method(ctx context.Context, m Method) ([]fitted, [][]Candidate, error) {
	op, err := f.ops.of(m)
	if err != nil {
		return nil, nil, err
	}
	dim := f.source.Cols()
	train, rest := op, (*embedding.Operator)(nil)
	if f.held != nil {
		train, rest = split(op, f.held)
	}
	n := linalg.NewMultiNormalEquations(dim, len(f.targets), f.blas)
	if err := f.accumulate(ctx, n, train); err != nil {
		return nil, nil, err
	}
	relative := make([]float64, len(f.targets)) // the ridge of each target
	for t := range relative {
		relative[t] = f.opts.Lambda
	}
	var scores [][]Candidate
	if f.held != nil && train.Len() > 0 {
		if scores, err = f.tryHeldOut(ctx, m, n, train, relative); err != nil {
			return nil, nil, err
		}
	}
	if rest != nil {
		if err := f.accumulate(ctx, n, rest); err != nil {
			return nil, nil, err
		}
	}
	if m == Ridge && relative[0] == 0 {
		return nil, nil, fmt.Errorf("method ridge needs at least %d held-out tokens to choose lambda by, or lambda itself", minHeld)
	}
	solutions, err := f.solve(ctx, m, n, op, relative)
	if err != nil {
		return nil, nil, err
	}
	out := make([]fitted, len(solutions))
	for t, s := range solutions {
		out[t] = fitted{w: s.W, result: f.describe(m, s)}
		if m == Ridge {
			out[t].result.Lambda = Number(relative[t])
		}
	}
	return out, scores, nil
}

// tryHeldOut measures a method fitted on train alone. For ridge without a given
// strength it tries all and leaves the best of each target in relative.
func (f *fitter) tryHeldOut(ctx context.Context, m Method, n *linalg.NormalEquations, train *embedding.Operator, relative []float64) ([][]Candidate, error) {
	try := func(lambda []float64) ([]Candidate, error) {
		solutions, err := f.solve(ctx, m, n, train, lambda)
		if err != nil {
			return nil, err
		}
		w := make([][]float64, len(solutions))
		for t, s := range solutions {
			w[t] = s.W
		}
		return f.score(ctx, m, lambda[0], w)
	}
	if m != Ridge || relative[0] > 0 {
		scores, err := try(relative)
		return [][]Candidate{scores}, err
	}
	var all [][]Candidate
	for _, l := range lambdas {
		lambda := make([]float64, len(relative))
		for t := range lambda {
			lambda[t] = l
		}
		scores, err := try(lambda)
		if err != nil {
			return nil, err
		}
		all = append(all, scores)
	}
	for t := range relative {
		top := 0
		for i := range all {
			if all[i][t].Score.R2 > all[top][t].Score.R2 {
				top = i
			}
		}
		relative[t] = lambdas[top]
	}
	return all, nil
}

func (f *fitter) accumulate(ctx context.Context, n *linalg.NormalEquations, op *embedding.Operator) error {
	done, p := 0, newProgress(f.opts.logger(), "fitting "+f.name, op.Len())
	return pairs(ctx, op, f.source, f.targets, false)(func(rows int, s []float64, g ...[]float64) error {
		n.AddMulti(rows, s, g...)
		done += rows
		p.at(done)
		return ctx.Err()
	})
}

// solve takes the accumulated sums of op's rows; where they do not resolve the rank,
// the rows are streamed again through a QR decomposition.
func (f *fitter) solve(ctx context.Context, m Method, n *linalg.NormalEquations, op *embedding.Operator, relative []float64) ([]*linalg.Solution, error) {
	if m == Ridge {
		out := make([]*linalg.Solution, len(f.targets))
		for t := range out {
			s, err := n.Ridge(t, relative[t]*n.MeanEigenvalue())
			if err != nil {
				return nil, err
			}
			out[t] = s
		}
		return out, nil
	}
	out, err := n.Solve(f.unit)
	if errors.Is(err, linalg.ErrUnresolved) {
		return linalg.FitQR(ctx, f.blas, f.source.Cols(), len(f.targets), f.unit, pairs(ctx, op, f.source, f.targets, false))
	}
	return out, err
}

// score measures maps on the held-out tokens; nil without any.
func (f *fitter) score(ctx context.Context, m Method, lambda float64, w [][]float64) ([]Candidate, error) {
	if f.held == nil {
		return nil, nil
	}
	blocks := pairs(ctx, embedding.Overlap(f.held), f.source, f.targets, false)
	out, err := measure(f.blas, blocks, f.source.Cols(), w, f.held, f.classes)
	for t := range out {
		out[t].Method = m
		if m == Ridge {
			out[t].Lambda = Number(lambda)
		}
	}
	return out, err
}

// reference fits as the authors' code does: row means rounded to the dtype,
// minimum-norm least squares.
func (f *fitter) reference(ctx context.Context) ([]fitted, error) {
	op, err := f.ops.of(f.opts.Method)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	if op == nil {
		return f.swap(), nil
	}
	solutions, err := linalg.FitReference(ctx, f.blas, f.source.Cols(), len(f.targets), pairs(ctx, op, f.source, f.targets, true))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	out := make([]fitted, len(solutions))
	for t, s := range solutions {
		out[t] = fitted{w: s.W, result: f.describe(f.opts.Method, s)}
	}
	return out, nil
}

func (f *fitter) describe(m Method, s *linalg.Solution) ModuleResult {
	return ModuleResult{Module: f.name, Method: m, Rows: s.Rows, Dim: s.Dim, Rank: s.Rank, Solver: s.Method,
		Residual: Number(s.Residual), RelativeResidual: Number(s.RelativeResidual), NoiseFloor: Number(s.NoiseFloor),
		SigmaMax: Number(s.SigmaMax), SigmaMin: Number(s.SigmaMin), Condition: Number(s.Condition),
		NormW: Number(s.NormW), NormDelta: Number(s.NormDelta)}
}
