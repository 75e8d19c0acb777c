package train

import (
	"math"
	"strings"
	"testing"

	"lep/internal/testmodel"
	"lep/model"
	"lep/tensor"
)

// TestBF16Steps holds a training in bf16 against one in float32. Operands are rounded to 8 bits;
// the losses of these 12 steps at a high rate differ by 0.55 % at most and do not drift apart:
// 1 % is allowed.
func TestBF16Steps(t *testing.T) {
	losses := func(precision Precision) (list []float64) {
		o := DefaultOptions()
		o.Precision, o.Threads, o.BLAS, o.LRSchedulerType, o.WarmupRatio, o.LearningRate = precision, 2, "builtin", Constant, 0, 3e-3
		blas, err := o.OpenBLAS()
		if err != nil {
			t.Skip(err)
		}
		tiny := testmodel.New(t, "llama", 1, tensor.F32, nil)
		cfg, err := model.ParseConfig(tiny.Config)
		if err != nil {
			t.Fatal(err)
		}
		m, err := model.New(cfg, tiny, model.Options{BLAS: blas, Threads: 2, Trainable: model.TrainAll})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		trainer := NewTrainer(m, &o, 12)
		defer trainer.Close()
		batch := []*model.Batch{{B: 2, T: 24, InputIDs: testmodel.IDs(3, 48, cfg.VocabSize)}}
		for range 12 {
			s, err := trainer.Step(batch)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, s.Loss)
		}
		return list
	}
	half, full := losses(BF16), losses(Float32)
	same := true
	for i := range full {
		t.Logf("step %d: %.6f, float32 %.6f", i+1, half[i], full[i])
		if math.Abs(half[i]-full[i]) > 1e-2*full[i] {
			t.Errorf("step %d: loss %v, in float32 %v", i+1, half[i], full[i])
		}
		same = same && half[i] == full[i]
	}
	if same || full[11] > 0.9*full[0] {
		t.Errorf("float32 losses %v: bf16 gives the same (%v), or nothing was learned", full, same)
	}
}

func TestPrecisionSettings(t *testing.T) {
	for _, tt := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Precision = "fp16" }, `precision: "fp16", want one of float32, bf16`},
		{func(o *Options) { o.Precision, o.Backend = BF16, PyTorch }, "precision: bf16 is the native engine's"},
	} {
		o := DefaultOptions()
		o.Model, o.Out, o.Data = "m", "o", []string{"d"}
		tt.change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
	o := DefaultOptions()
	o.Precision, o.BLAS = BF16, "gonum"
	if _, err := o.OpenBLAS(); err == nil || !strings.Contains(err.Error(), "blas gonum") {
		t.Errorf("bf16 with gonum: %v", err)
	}
}
