package cli

import (
	"context"

	"github.com/spf13/pflag"

	"lep/infer"
	"lep/linalg"
)

// engine runs models for the acceptance checks: it keeps the last one open.
type engine struct {
	opts infer.Options
	dir  string
	open *infer.Engine
}

func (a *app) inferOptions() infer.Options {
	o := infer.DefaultOptions()
	o.Threads, o.BLAS = a.threads, a.blas
	return o
}

// precisionFlag adds --precision.
func precisionFlag(f *pflag.FlagSet, p *linalg.Precision) {
	*p = linalg.Float32
	f.StringVar((*string)(p), "precision", string(*p), "of the products with prompts and scored texts: float32, or bf16, up to twice as fast, where the processor has it")
}

// precise returns the settings of the command line with a precision.
func (a *app) precise(p linalg.Precision) (infer.Options, error) {
	o := a.inferOptions()
	o.Precision = p
	if err := o.Validate(); err != nil {
		return o, usageError{err}
	}
	return o, nil
}

// openModel opens a folder with the settings of the command line.
func (a *app) openModel(dir string, p linalg.Precision) (*infer.Engine, error) {
	o, err := a.precise(p)
	if err != nil {
		return nil, err
	}
	return infer.Open(dir, o)
}

func (a *app) newEngine() *engine { return &engine{opts: a.inferOptions()} }

func (e *engine) get(dir string) (*infer.Engine, error) {
	if e.open != nil && e.dir == dir {
		return e.open, nil
	}
	if err := e.close(); err != nil {
		return nil, err
	}
	opened, err := infer.Open(dir, e.opts)
	if err != nil {
		return nil, err
	}
	e.open, e.dir = opened, dir
	return opened, nil
}

func (e *engine) close() error {
	if e.open == nil {
		return nil
	}
	err := e.open.Close()
	e.open = nil
	return err
}

// Greedy implements propagate.Engine.
func (e *engine) Greedy(ctx context.Context, dir string, prompt, stop []int32, limit int) ([]int32, error) {
	m, err := e.get(dir)
	if err != nil {
		return nil, err
	}
	r, err := m.Generate(ctx, []infer.Request{{IDs: prompt, MaxNewTokens: limit, IgnoreEOS: true, StopIDs: stop}})
	if err != nil {
		return nil, err
	}
	return r[0].IDs, nil
}

// BitsPerByte implements propagate.Engine.
func (e *engine) BitsPerByte(ctx context.Context, dir string, texts []string) (float64, error) {
	m, err := e.get(dir)
	if err != nil {
		return 0, err
	}
	return bitsPerByte(ctx, m, texts)
}

func bitsPerByte(ctx context.Context, m *infer.Engine, texts []string) (float64, error) {
	list := make([]infer.Sequence, len(texts))
	for i, t := range texts {
		list[i].Text = t
	}
	scores, err := m.Score(ctx, list)
	if err != nil {
		return 0, err
	}
	var nll float64
	var bytes int
	for _, s := range scores {
		nll += s.NLL
		bytes += s.Bytes
	}
	return infer.BitsPerByte(nll, bytes), nil
}

// Logits implements propagate.Engine: log-probabilities of all next tokens, which
// are the logits but for a constant. The model is loaded anew each time, so that two
// calls compare two loads.
func (e *engine) Logits(ctx context.Context, dir string, ids []int32) ([]float32, error) {
	if err := e.close(); err != nil {
		return nil, err
	}
	m, err := e.get(dir)
	if err != nil {
		return nil, err
	}
	all := make([]int32, m.Model().Config.VocabSize)
	for i := range all {
		all[i] = int32(i)
	}
	rows, err := m.NextLogProbs(ctx, [][]int32{ids}, [][]int32{all}, nil)
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(all))
	for i, x := range rows[0] {
		out[i] = float32(x)
	}
	return out, nil
}
