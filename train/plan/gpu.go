package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lep/internal/hint"
)

// GPU is a kind of accelerator.
type GPU struct {
	Name   string  `json:"name"`
	Memory int64   `json:"memory_bytes"` // that programs get
	FLOPS  float64 `json:"flops"`        // peak of dense bf16 products, per second
	// Efficiency is the share of FLOPS that training reaches with compiled layers, recomputed
	// arithmetic counted (hardware utilisation).
	Efficiency float64 `json:"efficiency"`
	Link       float64 `json:"link_bytes_per_second"`    // to the other GPUs of a machine, as collectives reach it
	Network    float64 `json:"network_bytes_per_second"` // of a whole machine to others, as collectives reach it
	Price      float64 `json:"price_per_hour"`           // in dollars, about what clouds ask; --price knows better
}

// gpus are NVIDIA's data sheets for memory and FLOPS; efficiencies come from what others measured (see
// docs/on-gpus.md), those of H200, RTX 4090 and L40S are assumed from their kin.
var gpus = []GPU{
	{"A100", 85_000_000_000, 312e12, 0.62, 150e9, 130e9, 1.8},
	{"A100-40GB", 42_300_000_000, 312e12, 0.62, 150e9, 130e9, 1.3},
	{"H100", 85_000_000_000, 989e12, 0.44, 250e9, 230e9, 2.8},
	{"H200", 150_000_000_000, 989e12, 0.46, 250e9, 230e9, 3.6},
	{"L40S", 47_800_000_000, 362e12, 0.45, 12e9, 12e9, 1.0},
	{"RTX4090", 25_300_000_000, 165e12, 0.60, 8e9, 3e9, 0.4},
}

// GPUs lists the kinds that are known.
func GPUs() []GPU { return slices.Clone(gpus) }

// Cluster is what a training runs on.
type Cluster struct {
	GPU   GPU `json:"gpu"`
	Count int `json:"count"` // GPUs of a machine
	Nodes int `json:"nodes"` // machines
}

// Ranks is the number of GPUs in all.
func (c Cluster) Ranks() int { return c.Count * c.Nodes }

func (c Cluster) String() string {
	s := fmt.Sprintf("%dx%s", c.Count, c.GPU.Name)
	if c.Nodes > 1 {
		s += fmt.Sprintf(",nodes=%d", c.Nodes)
	}
	return s
}

// ParseCluster reads "H100", "8xH100" or "8xH100,nodes=2" (eight GPUs on each of two machines).
func ParseCluster(text string) (Cluster, error) {
	fail := func(what string) (Cluster, error) {
		return Cluster{}, hint.Errorf("write 8xH100, or 8xH100,nodes=2", "gpus %q: %s", text, what)
	}
	c := Cluster{Count: 1, Nodes: 1}
	machine, rest, more := strings.Cut(text, ",")
	if more {
		number, ok := strings.CutPrefix(strings.TrimSpace(rest), "nodes=")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 1 || n > 10000 {
			return fail("want nodes=N, from 1 to 10000, behind the comma")
		}
		c.Nodes = n
	}
	name := strings.TrimSpace(machine)
	if count, kind, ok := strings.Cut(name, "x"); ok {
		n, err := strconv.Atoi(strings.TrimSpace(count))
		if err != nil || n < 1 || n > 64 {
			return fail("want 1 to 64 GPUs in a machine")
		}
		c.Count, name = n, kind
	}
	plain := func(s string) string {
		return strings.NewReplacer(" ", "", "-", "", "_", "").Replace(strings.ToUpper(s))
	}
	var names []string
	for _, g := range gpus {
		if plain(g.Name) == plain(name) || "RTX"+plain(name) == plain(g.Name) || plain(name) == plain(g.Name)+"80GB" {
			c.GPU = g
			return c, nil
		}
		names = append(names, g.Name)
	}
	return fail(fmt.Sprintf("no GPU %q is known, want one of %s", strings.TrimSpace(name), strings.Join(names, ", ")))
}
