package propagate

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Engine runs a model for the checks that need one. The command line plugs in the
// native engine; this package knows no architecture.
type Engine interface {
	// Greedy continues prompt with the most likely tokens until one of stop, which is
	// included, or until limit new tokens.
	Greedy(ctx context.Context, dir string, prompt, stop []int32, limit int) ([]int32, error)
	// BitsPerByte scores texts, and Logits returns those behind the last of ids.
	BitsPerByte(ctx context.Context, dir string, texts []string) (float64, error)
	Logits(ctx context.Context, dir string, ids []int32) ([]float32, error)
}

// CheckModel runs only those checks that need a model: opts.Engine is set.
func CheckModel(ctx context.Context, dir string, opts CheckOptions) ([]Check, error) {
	m, err := openModel("result", dir)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	c := &checker{ctx: ctx, m: m, opts: opts}
	c.engine()
	return c.out, ctx.Err()
}

// engine runs the checks that need a model: the answer to a fixed prompt stops by a stop
// token, bits per byte are finite, and a second load gives equal logits.
func (c *checker) engine() {
	stop, err := stops(c.m)
	if err != nil {
		c.add("greedy answer", false, "%v", err)
		return
	}
	prompt := c.m.tok.EncodeSpecial(scripts[0])
	if c.m.tok.Config().ChatTemplate != "" {
		text, err := render(c.m, conversations[0])
		if err != nil {
			c.add("greedy answer", false, "%v", err)
			return
		}
		prompt = c.m.tok.Encode(text)
		const limit = 512
		ids, err := c.opts.Engine.Greedy(c.ctx, c.m.Dir(), prompt, stop, limit)
		switch {
		case err != nil:
			c.add("greedy answer", false, "%v", err)
		case len(ids) == 0 || !slices.Contains(stop, ids[len(ids)-1]):
			c.add("greedy answer", false, "no stop token within %d tokens", limit)
		default:
			c.add("greedy answer", true, "stops after %d tokens by %q", len(ids), c.m.tok.Token(ids[len(ids)-1]))
		}
	}
	if len(c.opts.Texts) > 0 {
		c.bitsPerByte()
	}
	c.reload(prompt)
}

// bitsPerByte scores the texts with the result, and with the base and the donor for comparison.
func (c *checker) bitsPerByte() {
	ok := true
	var seen []string
	for _, m := range []struct{ role, dir string }{{"", c.m.Dir()}, {"base ", c.opts.Base}, {"donor ", c.opts.Donor}} {
		if m.dir == "" {
			continue
		}
		bits, err := c.opts.Engine.BitsPerByte(c.ctx, m.dir, c.opts.Texts)
		if err != nil {
			c.add("bits per byte", false, "%s%v", m.role, err)
			return
		}
		ok = ok && bits > 0 && bits < 8 // a model that knows nothing needs 8
		seen = append(seen, fmt.Sprintf("%s%.4f", m.role, bits))
	}
	c.add("bits per byte", ok, "%s over %d texts", strings.Join(seen, ", "), len(c.opts.Texts))
}

func (c *checker) reload(prompt []int32) {
	var logits [2][]float32
	for i := range logits {
		var err error
		if logits[i], err = c.opts.Engine.Logits(c.ctx, c.m.Dir(), prompt); err != nil {
			c.add("reload", false, "%v", err)
			return
		}
	}
	if !slices.Equal(logits[0], logits[1]) {
		c.add("reload", false, "two loads give different logits")
		return
	}
	c.add("reload", true, "two loads give the same %d logits", len(logits[0]))
}
