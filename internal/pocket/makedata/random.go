package main

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lep/checkpoint"
	"lep/model"
	"lep/tensor"
	"lep/train"
)

// The random weights: embeddings are as large as what the layers add to them and share a direction, from which heads
// can take positions alone; the head begins as a copy of what tells tokens apart.
const (
	embedDeviation = 0.5
	headDeviation  = 0.02
)

// model writes a model with random weights beside the texts.
func (s *settings) model(ctx context.Context) error {
	if s.family == "" {
		return nil
	}
	config, err := os.ReadFile(filepath.Join(s.family, "config.json"))
	if err != nil {
		return err
	}
	c, err := model.ParseConfig(config)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.out, "random")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := train.CopyModelFiles(s.family, dir); err != nil {
		return err
	}
	w := checkpoint.NewWriter(dir, checkpoint.DefaultWriterOptions())
	rng := rand.New(rand.NewPCG(s.seed, 0x72616e646f6d))
	tokens := normals(rng, c.VocabSize*c.HiddenSize, 1)
	for _, p := range c.Parameters() {
		x := weights(rng, c, p, tokens)
		if err := w.Add(p.Name, tensor.F32, p.Shape, func(out io.Writer) error {
			data := make([]byte, 4*len(x))
			tensor.Encode32(data, x, tensor.F32)
			_, err := out.Write(data)
			return err
		}); err != nil {
			return err
		}
	}
	_, err = w.Write(ctx)
	return err
}

// weights returns the first weights of a tensor; tokens are the (V, D) directions that tell tokens apart.
func weights(rng *rand.Rand, c *model.Config, p model.Parameter, tokens []float32) []float32 {
	switch {
	case len(p.Shape) == 1: // a norm
		return slices.Repeat([]float32{1}, p.Shape[0])
	case p.Name == model.LMHead:
		return scaled(tokens, headDeviation)
	case p.Name == model.EmbedTokens:
		x := scaled(tokens, embedDeviation)
		shared := normals(rng, c.HiddenSize, embedDeviation)
		for i := range x {
			x[i] += shared[i%c.HiddenSize]
		}
		return x
	}
	deviation := 1 / math.Sqrt(float64(p.Shape[1]))
	if strings.HasSuffix(p.Name, "o_proj.weight") || strings.HasSuffix(p.Name, "down_proj.weight") {
		deviation /= math.Sqrt(2 * float64(c.NumHiddenLayers)) // what the layers add stays of the embeddings' size
	}
	return normals(rng, int(p.Elements()), deviation)
}

func normals(rng *rand.Rand, n int, deviation float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * deviation)
	}
	return x
}

func scaled(x []float32, by float32) []float32 {
	out := make([]float32, len(x))
	for i := range x {
		out[i] = x[i] * by
	}
	return out
}
