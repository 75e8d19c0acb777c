package plan

// uncompiled is the speed without torch.compile by that with it (torchtitan: 5,762 of 6,667 tokens/s).
const uncompiled = 0.86

// launches is how long the kernels of a layer take to be started, forward and backward, in seconds: about a
// hundred of them at 10 µs. Small models and short passes are slower than their arithmetic for it.
const launches = 1e-3

// stepTime is how long things take in one step, in seconds.
type stepTime struct {
	compute, exposed float64
}

func (t stepTime) seconds() float64 { return t.compute + t.exposed }

// step foretells a step: passes of tokens each on every GPU; flops are the operations for one token,
// those that recomputing adds aside.
//
// Weights are gathered in bf16 for the forward pass, and those of layers again for the backward pass;
// gradients of what is trained are added up in float32. Both go on beside the arithmetic; what takes
// longer than it is waited for.
func (s *shape) step(c Cluster, tokens float64, passes int, flops float64, recompute, compile bool) stepTime {
	if recompute {
		flops += s.forwardPerTok
	}
	rate := c.GPU.FLOPS * c.GPU.Efficiency
	if !compile {
		rate *= uncompiled
	}
	one := max(tokens*flops/rate, launches*float64(s.cfg.NumHiddenLayers))
	t := stepTime{compute: one * float64(passes)}
	ranks := float64(c.Ranks())
	if ranks == 1 {
		return t
	}
	way := c.GPU.Link
	if c.Nodes > 1 {
		way = min(way, c.GPU.Network)
	}
	share := (ranks - 1) / ranks
	gather := share * 2 * (s.embed + s.head + 2*s.layers) / way
	sum := share * 4 * s.trained / way
	sums := float64(passes)
	if 4*s.trained <= deferBytes {
		sums = 1
	}
	t.exposed = max(0, gather*float64(passes)+sum*sums-t.compute)
	return t
}
