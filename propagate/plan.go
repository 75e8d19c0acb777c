package propagate

import (
	"context"
	"fmt"

	"lep/embedding"
)

// Plan says what a run would do, from the headers and tokenizers alone: no weights
// are read and nothing is written.
type Plan struct {
	Source    string         `json:"source"`
	Donor     string         `json:"donor"`
	Method    Method         `json:"method"`
	Tied      bool           `json:"tied"`
	DType     string         `json:"dtype"`
	Dim       int            `json:"dim"`
	OldTokens int            `json:"old_tokens"`
	NewTokens int            `json:"new_tokens"`
	Shared    int            `json:"shared"`
	Rows      map[Method]int `json:"rows_fitted"`
	Targets   []PlanTarget   `json:"targets"`
	Memory    int64          `json:"memory_bytes"` // resident, estimated
	Flops     float64        `json:"floating_point_operations"`
	Seconds   Number         `json:"seconds"` // estimated from Flops at a rate given to NewPlan
	Notes     []string       `json:"notes"`
}

// PlanTarget is one result folder of a plan.
type PlanTarget struct {
	Target string   `json:"target"`
	Out    string   `json:"out"`
	Rows   int      `json:"rows"`
	Added  []string `json:"added,omitempty"`
	Bytes  int64    `json:"bytes"`     // of the weight files
	New    int64    `json:"new_bytes"` // of them computed; the rest is copied
}

// NewPlan checks the options and inputs as Run does and estimates sizes, memory and time.
// gflops is the double precision rate of the matrix library over all threads, as
// lep doctor measures it; 0 leaves the time out.
func NewPlan(ctx context.Context, opts Options, gflops float64) (*Plan, error) {
	r, err := prepare(ctx, &opts)
	if err != nil {
		return nil, err
	}
	defer r.in.close()
	in := r.in
	p := &Plan{Source: opts.Source, Donor: opts.Donor, Method: opts.Method, Tied: in.source.tied, DType: in.donor.embed.DType.String(),
		Dim: in.source.embed.Cols(), OldTokens: in.source.tok.Size(), NewTokens: in.donor.tok.Size(), Shared: len(r.ops.shared),
		Rows: map[Method]int{}}
	dim, modules, targets := float64(p.Dim), float64(len(in.source.matrices())), float64(len(in.targets))
	for _, m := range opts.fitted() {
		op, err := r.ops.of(m)
		if err != nil {
			return nil, err
		}
		p.Rows[m] = length(op)
		solves := 1.0
		if r.held != nil {
			solves = 2
			if m == Ridge && opts.Lambda == 0 {
				solves += float64(len(lambdas))
			}
		}
		// AᵀA over the upper triangle and one AᵀB a target; a Cholesky, two triangular
		// solves and a residual for each solution.
		p.Flops += modules * (float64(length(op))*dim*dim*(1+2*targets) + solves*targets*dim*dim*dim*(1.0/3+2+2))
	}
	for i, t := range in.targets {
		out, err := r.result(i)
		if err != nil {
			return nil, err
		}
		pt := PlanTarget{Target: opts.Targets[i].Model, Out: opts.Targets[i].Out, Rows: out.rows, Added: out.added}
		for _, name := range t.Names() {
			v, err := t.Tensor(name)
			if err != nil {
				return nil, err
			}
			pt.Bytes += int64(len(v.Data))
		}
		for _, e := range t.matrices() {
			row := int64(e.Cols() * e.DType.Size())
			pt.New += int64(out.rows) * row
			pt.Bytes += int64(out.rows-e.Rows()) * row
		}
		p.Flops += modules * float64(in.donor.tok.Size()) * dim * dim // float32 counts half
		p.Targets = append(p.Targets, pt)
		p.Notes = append(p.Notes, out.notes...)
	}
	matrix := int64(p.Dim) * int64(p.Dim) * 8
	p.Memory = 256<<20 + 2*keptBytes + matrix*int64(4+5*len(in.targets)) + int64(blockRows*p.Dim)*8*int64(2+2*len(in.targets))
	if gflops > 0 {
		p.Seconds = Number(p.Flops / gflops / 1e9)
	}
	p.Notes = append(in.notes, p.Notes...)
	return p, nil
}

// fitted lists the methods that a run fits.
func (o *Options) fitted() []Method {
	switch o.Method {
	case Swap:
		return nil
	case Auto:
		return []Method{Overlap, Conversion, Ridge}
	}
	return []Method{o.Method}
}

func length(op *embedding.Operator) int {
	if op == nil {
		return 0
	}
	return op.Len()
}

// String is the plan in lines, as --dry-run prints it.
func (p *Plan) String() string {
	s := fmt.Sprintf("%s -> %d new tokens, %d old, %d shared; hidden %d, %s, tied %t\n", p.Method, p.NewTokens, p.OldTokens, p.Shared, p.Dim, p.DType, p.Tied)
	for m, n := range p.Rows {
		s += fmt.Sprintf("fit %s over %d rows\n", m, n)
	}
	for _, t := range p.Targets {
		s += fmt.Sprintf("write %s: %d rows, %.3g GB of weights, %.3g GB of them new\n", t.Out, t.Rows, float64(t.Bytes)/1e9, float64(t.New)/1e9)
	}
	s += fmt.Sprintf("memory about %.3g GB", float64(p.Memory)/1e9)
	if p.Seconds > 0 {
		s += fmt.Sprintf(", time about %.3g s", float64(p.Seconds))
	}
	return s + "\n"
}
