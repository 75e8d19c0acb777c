package infer

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"lep/linalg"
)

// TestBF16 holds scores in bf16 against those in float32: operands are rounded to 8 bits, and the
// mean over a text moves by less than 1 %. New tokens of a short prompt are computed in float32.
func TestBF16(t *testing.T) {
	if _, err := linalg.OpenBF16("auto", 1); err != nil {
		t.Skip(err)
	}
	g := readStories(t)
	half, full := stories(t, func(o *Options) { o.Precision = linalg.BF16 }), stories(t, nil)
	score := func(e *Engine) float64 {
		s, err := e.Score(context.Background(), []Sequence{{IDs: g.IDs, From: 1}})
		if err != nil {
			t.Fatal(err)
		}
		return s[0].NLL
	}
	a, b := score(half), score(full)
	t.Logf("%.4f nats in bf16, %.4f in float32", a, b)
	if a == b || math.Abs(a-b) > 0.01*b {
		t.Errorf("score %.4f nats, in float32 %.4f: want it near and not the same", a, b)
	}
	req := []Request{{IDs: g.IDs[:4], MaxNewTokens: 12, IgnoreEOS: true}}
	x, err := half.Generate(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	y, err := full.Generate(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x[0].IDs, y[0].IDs) {
		t.Errorf("new tokens %v, in float32 %v", x[0].IDs, y[0].IDs)
	}
}

func TestPrecisionSettings(t *testing.T) {
	o := DefaultOptions()
	o.Precision = "fp8"
	if err := o.Validate(); err == nil || !strings.Contains(err.Error(), `precision: "fp8", want one of`) {
		t.Errorf("got %v", err)
	}
}
