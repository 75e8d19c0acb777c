package train

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"lep/internal/hint"
	"lep/model"
)

// Memory is what a run takes, in bytes, foretold before it starts.
type Memory struct {
	model.Memory
	Optimizer int64
	Data      int64 // a window of rows
	Total     int64
	Free      int64 // what may be used, 0 if that is not known
	Recompute bool  // activations are computed again because they would not fit otherwise, or by choice
}

// estimate foretells the memory of a run; what cannot fit is refused, with what to change.
// Frozen weights do not count: they are mapped, and the system may drop them.
func (p *plan) estimate(o *Options, cfg *model.Config) (Memory, error) {
	free := o.Memory
	if free == 0 {
		free = freeMemory()
	}
	of := func(recompute bool, batch int) (Memory, error) {
		opts := model.Options{Threads: o.threads(), Trainable: p.trainable, LoRA: p.lora, Recompute: recompute}
		m := Memory{Free: free, Recompute: recompute}
		var err error
		if m.Memory, err = model.Estimate(cfg, opts, batch, o.SequenceLen); err != nil {
			return m, err
		}
		m.Optimizer = m.Trained * o.stateFloats()
		m.Data = int64(o.ShuffleTokens) * 8
		m.Total = m.Trained + m.Gradients + m.Activations + m.Optimizer + m.Data
		return m, nil
	}
	m, err := of(o.GradientCheckpointing, o.PerDeviceBatchSize)
	if err != nil || free == 0 || m.Total <= free {
		return m, err
	}
	if again, err := of(true, o.PerDeviceBatchSize); err != nil || again.Total <= free {
		return again, err
	}
	var advice []string
	for b := o.PerDeviceBatchSize / 2; b >= 1; b /= 2 {
		if small, err := of(true, b); err == nil && small.Total <= free {
			advice = append(advice, fmt.Sprintf("per_device_batch_size: %d with gradient_accumulation_steps: %d does the same in less memory",
				b, o.GradientAccumulationSteps*((o.PerDeviceBatchSize+b-1)/b)))
			break
		}
	}
	if len(advice) == 0 {
		advice = append(advice, "train less (embeddings, lora), with shorter rows (sequence_len) or a smaller shuffle_tokens")
	}
	return m, hint.Errorf(strings.Join(advice, "; "), "%s of memory needed (parameters %s, gradients %s, optimizer %s, activations %s, data %s), %s may be used",
		size(m.Total), size(m.Trained), size(m.Gradients), size(m.Optimizer), size(m.Activations), size(m.Data), size(free))
}

func size(n int64) string { return fmt.Sprintf("%.2f GB", float64(n)/1e9) }

// freeMemory asks the system how much memory may be had without swapping; 0 if it does not say.
func freeMemory() int64 {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(data) {
		rest, ok := bytes.CutPrefix(line, []byte("MemAvailable:"))
		if !ok {
			continue
		}
		kib, _, _ := strings.Cut(strings.TrimSpace(string(rest)), " ")
		if n, err := strconv.ParseInt(kib, 10, 64); err == nil {
			return n << 10
		}
	}
	return 0
}

// flopsPerToken is the arithmetic of a step for one token: two operations for each weight of
// a linear forward, two for the gradient of its input, two for that of a trained weight; and
// attention over half of a row, twice again backward.
func flopsPerToken(cfg *model.Config, trainable func(string) bool, terms []model.LoRA, length int) float64 {
	var flops float64
	lora := map[string]model.LoRA{}
	for _, l := range terms {
		lora[l.Module] = l
	}
	for _, q := range cfg.Parameters() {
		head := q.Name == model.LMHead || q.Name == model.EmbedTokens && cfg.TieWordEmbeddings
		if len(q.Shape) != 2 || q.Name == model.EmbedTokens && !head {
			continue
		}
		n := float64(q.Elements())
		flops += 4 * n
		if trainable(q.Name) {
			flops += 2 * n
		}
		if l, ok := lora[strings.TrimSuffix(q.Name, ".weight")]; ok {
			flops += 6 * float64(l.Rank) * float64(q.Shape[0]+q.Shape[1])
		}
	}
	attention := 2 * 2 * float64(length) / 2 * float64(cfg.NumAttentionHeads*cfg.HeadDim*cfg.NumHiddenLayers)
	return flops + 3*attention
}
