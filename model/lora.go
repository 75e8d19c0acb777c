package model

import (
	"fmt"
	"slices"
)

// LoRA asks for a low-rank term on one linear (Hu et al. 2021): W x + Scale·B A x, with
// A (Rank, in) and B (out, Rank). Scale is alpha/r, or alpha/sqrt(r) for rsLoRA.
type LoRA struct {
	Module string // "model.layers.3.self_attn.q_proj"
	Rank   int
	Scale  float64
}

// loraTerm is the term in a model. A and B start as zeros; the caller fills them
// through [Model.Trained], as "MODULE.lora_A.weight" and "MODULE.lora_B.weight".
type loraTerm struct {
	a, b  *weight
	scale float32
}

type loraSpec struct {
	LoRA
	layer      int
	index      linearIndex
	rows, cols int
}

func (s loraSpec) elements() int64 { return int64(s.Rank) * int64(s.rows+s.cols) }

// resolveLoRA finds the linear of each term; terms are put in the order of the forward pass.
func resolveLoRA(cfg *Config, terms []LoRA) ([]loraSpec, error) {
	if len(terms) == 0 {
		return nil, nil
	}
	byPath := map[string]loraSpec{}
	for l := range cfg.NumHiddenLayers {
		for i := range numLinears {
			rows, cols, _ := cfg.linearShape(i)
			byPath[modulePath(l, i)] = loraSpec{layer: l, index: i, rows: rows, cols: cols}
		}
	}
	var specs []loraSpec
	seen := map[string]bool{}
	for _, t := range terms {
		s, ok := byPath[t.Module]
		if !ok {
			return nil, fmt.Errorf("lora: module %q is not a linear of this model (its linears are model.layers.0 to %d with %v)",
				t.Module, cfg.NumHiddenLayers-1, Modules)
		}
		if seen[t.Module] {
			return nil, fmt.Errorf("lora: module %q stands twice", t.Module)
		}
		if t.Rank < 1 || t.Rank > max(s.rows, s.cols) {
			return nil, fmt.Errorf("lora: module %q: rank is %d, want 1 to %d", t.Module, t.Rank, max(s.rows, s.cols))
		}
		seen[t.Module] = true
		s.LoRA = t
		specs = append(specs, s)
	}
	slices.SortFunc(specs, func(a, b loraSpec) int { return (a.layer-b.layer)*int(numLinears) + int(a.index-b.index) })
	return specs, nil
}

func (l *linear) addLoRA(ld *loader, s loraSpec) {
	a := &weight{name: s.Module + ".lora_A.weight", rows: s.Rank, cols: s.cols}
	b := &weight{name: s.Module + ".lora_B.weight", rows: s.rows, cols: s.Rank}
	ld.place(a, []int{a.rows, a.cols})
	ld.place(b, []int{b.rows, b.cols})
	l.lora = &loraTerm{a: a, b: b, scale: float32(s.Scale)}
}
