package plan

import (
	"strings"

	"lep/model"
)

// Part is a share of a GPU's memory.
type Part struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// shape is what the formulas need of a model, in elements.
type shape struct {
	cfg            *model.Config
	frozen         float64
	trained        float64 // low-rank terms included
	layer          float64 // of one layer
	layers         float64 // of all
	trainedLayers  float64 // matrices of layers that are trained, low-rank terms aside
	embed, head    float64 // head 0 where it is tied
	trainsEmbed    bool
	trainsHead     bool
	storesInputs   bool    // of linears in layers, whose weights (or terms) are trained
	forwardPerTok  float64 // operations of a forward pass through the layers, for one token
	optimizerBytes float64 // of a trained element
}

func newShape(cfg *model.Config, trained func(string) bool, total, frozen float64, optimizer float64, lora bool, length int) shape {
	s := shape{cfg: cfg, trained: total, frozen: frozen, storesInputs: lora, optimizerBytes: optimizer}
	matrices := 0.0
	for _, p := range cfg.Parameters() {
		n := float64(p.Elements())
		switch {
		case p.Name == model.EmbedTokens:
			s.embed, s.trainsEmbed = n, trained(p.Name)
		case p.Name == model.LMHead:
			s.head, s.trainsHead = n, trained(p.Name)
		case strings.HasPrefix(p.Name, "model.layers."):
			s.layers += n
			if len(p.Shape) == 2 {
				matrices += n
			}
			if trained(p.Name) {
				s.trainedLayers += n
				s.storesInputs = true
			}
		}
	}
	if cfg.TieWordEmbeddings {
		s.trainsHead = s.trainsEmbed
	}
	s.layer = s.layers / float64(max(1, cfg.NumHiddenLayers))
	s.forwardPerTok = 2*matrices + 2*float64(length)*float64(cfg.NumAttentionHeads*cfg.HeadDim*cfg.NumHiddenLayers)
	return s
}

// layerActivations is what one token leaves in one layer for the backward pass, in bytes: bf16, and
// float32 in the norms; attention as SDPA does it, without its scores.
func (s *shape) layerActivations() float64 {
	d, f := float64(s.cfg.HiddenSize), float64(s.cfg.IntermediateSize)
	q, kv := float64(s.cfg.NumAttentionHeads*s.cfg.HeadDim), float64(s.cfg.NumKeyValueHeads*s.cfg.HeadDim)
	bytes := 16*d + 2*(q+2*kv) + 2*q + 6*f // two norms; q, k, v and the output; gate, its activation, up
	if s.storesInputs {
		bytes += 4*d + 2*f // inputs of q, k and v, of gate and up, of down
	}
	return bytes
}

// fixedBytes are the CUDA context and NCCL's buffers; fragmentation is what the allocator loses.
const (
	fixedBytes    = 1.5e9
	fragmentation = 0.04
)

// logitsElements is CHUNK_ELEMENTS of the driver's loss on GPUs.
const logitsElements = 1 << 27

// deferBytes is DEFER_BYTES of the driver: gradients up to this size are added up whole over passes.
const deferBytes = 8 << 30

// memory returns the parts for tokens in a pass of one GPU, passes of a step, and ranks GPUs.
func (s *shape) memory(tokens float64, passes, ranks int, recompute bool, logits float64) []Part {
	d, f, v := float64(s.cfg.HiddenSize), float64(s.cfg.IntermediateSize), float64(s.cfg.VocabSize)
	w := float64(ranks)
	root := s.embed + s.head // one group with the last norm, gathered for the whole pass
	buffers := 0.0
	if s.trainsEmbed {
		buffers += 6 * s.embed // bf16, and float32 for the sum over ranks
	}
	if s.trainsHead {
		buffers += 10 * max(s.head, s.embed*boolean(s.cfg.TieWordEmbeddings)) // and float32 from the loss
	}
	if s.trainedLayers > 0 {
		buffers += 2 * 6 * s.layer
	}
	if passes > 1 && 4*s.trained <= deferBytes {
		buffers += 4 * s.trained
	}
	activations := tokens * float64(s.cfg.NumHiddenLayers) * s.layerActivations()
	if recompute {
		activations = tokens * (2*d*float64(s.cfg.NumHiddenLayers) + s.layerActivations())
	}
	activations += tokens * (8*f + 8*d) // gradients of one layer
	parts := []Part{
		{"weights", int64((4*s.trained + 2*s.frozen) / w)},
		{"gradients", int64(4 * s.trained / w)},
		{"optimizer", int64(s.optimizerBytes * s.trained / w)},
		{"gathered weights", int64(2*root + 2*2*s.layer)},
		{"gradient buffers", int64(buffers)},
		{"activations", int64(activations)},
		{"logits", int64(10*min(logits, tokens*v) + 2*tokens*d)},
	}
	var sum int64
	for _, p := range parts {
		sum += p.Bytes
	}
	return append(parts, Part{"context, buffers and gaps", int64(fixedBytes + fragmentation*float64(sum))})
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func total(parts []Part) int64 {
	var sum int64
	for _, p := range parts {
		sum += p.Bytes
	}
	return sum
}
