package pocket

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"lep/checkpoint"
	"lep/model"
	"lep/tensor"
)

// deviation of random weights, config.json's initializer_range.
const deviation = 0.02

// writeRandom writes a model of the family's shape with random weights to dir: what recipes/pocket-train.yaml begins with.
// Norms are ones and lm_head is a copy of embed_tokens.
func writeRandom(ctx context.Context, dir string) error {
	if err := writeSide(dir, "base", "base"); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, "README.md")); err != nil { // the base's card
		return err
	}
	config, err := read("base.config.json")
	if err != nil {
		return err
	}
	c, err := model.ParseConfig(config)
	if err != nil {
		return fmt.Errorf("the bundled config.json: %w", err)
	}
	w := checkpoint.NewWriter(dir, checkpoint.DefaultWriterOptions())
	rng := rand.New(rand.NewPCG(1, 0x72616e646f6d))
	var tokens []float32
	for _, p := range c.Parameters() {
		x := make([]float32, p.Elements())
		for i := range x {
			if len(p.Shape) == 1 { // a norm
				x[i] = 1
			} else {
				x[i] = float32(rng.NormFloat64() * deviation)
			}
		}
		switch p.Name {
		case model.EmbedTokens:
			tokens = x
		case model.LMHead:
			x = tokens
		}
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
