package propagate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"lep/internal/atomic"
	"lep/internal/hint"
	"lep/linalg"
	"lep/tensor"
	"lep/vocab"
)

// run is a propagation under way.
type run struct {
	opts    *Options
	in      *inputs
	ops     *operators
	held    []vocab.Pair
	classes []vocab.Class
	blas    linalg.BLAS
}

// prepare opens and checks everything that can be without reading weights.
func prepare(ctx context.Context, opts *Options) (*run, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	m, err := ParseMethod(string(opts.Method))
	if err != nil {
		return nil, err
	}
	opts.Method = m
	in, err := openInputs(opts)
	if err != nil {
		return nil, err
	}
	r := &run{opts: opts, in: in}
	if err := errors.Join(ctx.Err(), r.match()); err != nil {
		in.close()
		return nil, err
	}
	return r, nil
}

// match lists old subtokens and shared tokens. The old vocabulary is the source's, by
// which the source's rows are indexed; the authors' code takes the target's.
func (r *run) match() (err error) {
	o := &operators{penalty: r.opts.OverlapPenalty}
	r.ops = o
	old, next := r.in.source.tok, r.in.donor.tok
	if r.opts.Occurrences != "" {
		if o.counts, err = readOccurrences(r.opts.Occurrences); err != nil {
			return err
		}
	}
	if r.opts.reference() {
		return r.matchReference()
	}
	o.shared = vocab.Shared(old, next)
	o.usable = r.in.usable(r.opts.FitSpecial)
	o.conversion = vocab.Convert(old, next)
	if r.opts.Method == Bypass {
		o.bypass = vocab.Convert(old, old)
	}
	var usable, text []vocab.Pair
	for _, p := range o.shared {
		special := r.in.isSpecial(p.Old)
		if !special {
			text = append(text, p)
		}
		if o.usable(p.Old) {
			usable = append(usable, p)
		}
	}
	if len(text) == 0 {
		return hint.Errorf("is this donor's tokenizer the one that it was trained with, and the source its base?",
			"%s: the donor's vocabulary has no text token in common with the source's (%s)", r.in.donor.tokDir, r.in.source.tokDir)
	}
	o.shared = usable
	if r.opts.HeldOut > 0 {
		if r.held = holdOut(text, r.opts.HeldOut, r.opts.Seed); r.held == nil {
			r.in.note("only %d text tokens are shared: too few to hold some out, so no R² is reported", len(text))
		}
	}
	r.classes = vocab.ClassesOf(next)
	return nil
}

func (r *run) matchReference() (err error) {
	target := r.in.targets[0]
	old, next := target.tok, r.in.donor.tok
	quirk := r.opts.spaceForMetaspace(r.opts.Targets[0].Model)
	for i, t := range r.opts.Targets[1:] {
		if !samePieces(r.in.targets[i+1].tok, old) {
			return fmt.Errorf("compat reference: %q and %q have different tokens, by which their lists would differ: run them one by one",
				r.opts.Targets[0].Model, t.Model)
		}
		if r.opts.spaceForMetaspace(t.Model) != quirk {
			return fmt.Errorf("compat reference: %q and %q have different rules for ▁ (the word llama in a path): run them one by one, or set space_for_metaspace",
				r.opts.Targets[0].Model, t.Model)
		}
	}
	o := r.ops
	ref := vocab.ReferenceOptions{SpaceForMetaspace: quirk, Special: specialMap(next)}
	switch r.opts.Method {
	case Swap:
	case Overlap:
		o.shared = vocab.SharedReference(old, next)
	case Bypass:
		ref.Special = specialMap(old)
		o.bypass, err = vocab.ConvertReference(old, old, ref)
	default:
		o.conversion, err = vocab.ConvertReference(old, next, ref)
	}
	if err != nil {
		return fmt.Errorf("compat reference: %w", err)
	}
	op, err := o.of(r.opts.Method)
	if err != nil || op == nil {
		return err
	}
	if rows := r.in.source.embed.Rows(); int(op.MaxID()) >= rows {
		return fmt.Errorf("compat reference: method %s needs row %d of the source, which has %d: the target has tokens of its own, and the authors' code fails here too",
			r.opts.Method, op.MaxID(), rows)
	}
	return nil
}

// maxOccurrences bounds the file of counts.
const maxOccurrences = 1 << 30

// readOccurrences reads {"new id": {"old id": count}}.
func readOccurrences(path string) (map[int32]map[int32]float64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("occurrences: %w", err)
	}
	if info.Size() > maxOccurrences {
		return nil, fmt.Errorf("occurrences: %s has %d bytes, at most %d are read", path, info.Size(), maxOccurrences)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("occurrences: %w", err)
	}
	return parseOccurrences(path, data)
}

func parseOccurrences(path string, data []byte) (map[int32]map[int32]float64, error) {
	var raw map[string]map[string]float64
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("%s: occurrences: %w", path, err)
	}
	out := make(map[int32]map[int32]float64, len(raw))
	for id, counts := range raw {
		n, err := strconv.ParseInt(id, 10, 32)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%s: occurrences: %q is no token id", path, id)
		}
		of := make(map[int32]float64, len(counts))
		for old, c := range counts {
			k, err := strconv.ParseInt(old, 10, 32)
			if err != nil || k < 0 {
				return nil, fmt.Errorf("%s: occurrences of %q: %q is no token id", path, id, old)
			}
			of[int32(k)] = c
		}
		out[int32(n)] = of
	}
	return out, nil
}

// Run propagates the donor's vocabulary into every target and writes the result folders.
// Inputs are checked before anything is written, and a folder appears whole or
// not at all. Memory is O(hidden²) for each target; rows are streamed.
func Run(ctx context.Context, opts Options) (*Result, error) {
	began, cpu := time.Now(), cpuSeconds()
	r, err := prepare(ctx, &opts)
	if err != nil {
		return nil, err
	}
	defer r.in.close()
	outputs := make([]*output, len(r.in.targets))
	for t := range outputs {
		if outputs[t], err = r.result(t); err != nil {
			return nil, err
		}
		dir, err := atomic.NewDir(opts.Targets[t].Out, opts.Force)
		if err != nil {
			return nil, err
		}
		defer dir.Abort()
		outputs[t].dir = dir
	}
	if err := r.checkWeights(); err != nil {
		return nil, err
	}
	if err := r.openBLAS(); err != nil {
		return nil, err
	}
	if err := r.fit(ctx, outputs); err != nil {
		return nil, err
	}
	result := r.describe()
	for t, out := range outputs {
		opts.logger().Info("writing", "out", opts.Targets[t].Out, "rows", out.rows)
		tr, err := r.write(ctx, t, out, result)
		if err != nil {
			return nil, err
		}
		result.Targets = append(result.Targets, *tr)
	}
	result.Seconds, result.CPUSeconds = Number(time.Since(began).Seconds()), Number(cpuSeconds()-cpu)
	return result, nil
}

func (r *run) openBLAS() (err error) {
	r.blas = r.opts.BLAS
	if r.blas == nil {
		threads := r.opts.Threads
		if threads == 0 {
			threads = runtime.GOMAXPROCS(0)
		}
		r.blas, err = linalg.Open("auto", threads)
	}
	return err
}

// checkWeights reads every row once: NaN and infinities, and the donor's layers.
func (r *run) checkWeights() error {
	for _, m := range r.in.all() {
		if err := m.checkFinite(); err != nil {
			return err
		}
	}
	if r.opts.CheckLayers {
		return r.in.checkLayers()
	}
	return nil
}

// fit fits the map of every module and target into the outputs.
func (r *run) fit(ctx context.Context, outputs []*output) error {
	// The heap is a few dim² matrices that come and go: with the usual 100% it may become
	// twice as large before anything is collected, and there is little to scan.
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	for mod := range r.in.source.matrices() {
		f := r.fitter(mod)
		fits, err := f.run(ctx)
		if err != nil {
			return err
		}
		for t := range outputs {
			p := outputs[t].projection(r, t, mod, fits[t].w)
			p.describe(&fits[t].result)
			outputs[t].modules = append(outputs[t].modules, fits[t].result)
			outputs[t].projections = append(outputs[t].projections, p)
			r.opts.logger().Info("fitted", "module", f.name, "target", r.opts.Targets[t].Model, "method", fits[t].result.Method,
				"rows", fits[t].result.Rows, "rank", fits[t].result.Rank, "relative_residual", float64(fits[t].result.RelativeResidual))
		}
	}
	return nil
}

func (r *run) fitter(mod int) *fitter {
	source := r.in.source.matrices()[mod]
	f := &fitter{name: moduleNames[mod], opts: r.opts, blas: r.blas, ops: r.ops, source: source,
		held: r.held, classes: r.classes, unit: source.DType.UnitRoundoff()}
	for _, t := range r.in.targets {
		f.targets = append(f.targets, t.matrices()[mod])
	}
	return f
}

func (r *run) describe() *Result {
	in := r.in
	res := &Result{Source: r.opts.Source, Donor: r.opts.Donor, Tied: in.source.tied, DType: in.donor.embed.DType.TorchName(),
		Dim: in.source.embed.Cols(), OldTokens: in.source.tok.Size(), NewTokens: in.donor.tok.Size(), Shared: len(r.ops.shared),
		HeldOut: len(r.held), Notes: append([]string{}, in.notes...)}
	if c := r.ops.conversion; c != nil {
		res.Copied, res.Composed = c.Count(vocab.Copied)+c.Count(vocab.ByName), c.Count(vocab.Composed)
		res.LeftOut = c.Count(vocab.LeftOut)
	}
	return res
}

// sixteenBits reports whether rows are stored in a 16-bit type.
func sixteenBits(d tensor.DType) bool { return d == tensor.BF16 || d == tensor.F16 }
