package train

import (
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lep/checkpoint"
	"lep/internal/golden"
	"lep/internal/testmodel"
	"lep/linalg"
	"lep/model"
)

// Limits that the reference data's README gives.
const (
	lossLimit   = 5e-6 // absolute
	normLimit   = 5e-6 // relative
	weightLimit = 2e-5 // absolute
	rmsLimit    = 5e-7
	dotLimit    = 1e-4 // absolute
	digestLimit = 1e-5 // relative
	logitLimit  = 1e-4
)

type digests map[string][2]float64

type unequal struct {
	Loss   float64 `json:"loss"`
	Norm   float64 `json:"grad_norm"`
	Digest digests `json:"grad_digest"`
}

type trajectory struct {
	LR        []float64   `json:"lr"`
	MicroLoss [][]float64 `json:"micro_loss"`
	Loss      []float64   `json:"loss"`
	GradNorm  []float64   `json:"grad_norm"`
	First     digests     `json:"first_step_grad_digest"`
	M         digests     `json:"adam_exp_avg_digest"`
	V         digests     `json:"adam_exp_avg_sq_digest"`
	Config    struct {
		Base        string   `json:"base"`
		Mode        string   `json:"mode"`
		LR          float64  `json:"lr"`
		WeightDecay float64  `json:"weight_decay"`
		Decayed     []string `json:"decayed"`
	} `json:"config"`
	Unequal struct {
		OverTokens unequal `json:"mean_over_tokens"`
	} `json:"unequal_accumulation"`
}

// goldenOptions are the settings of all trajectories.
func goldenOptions(tr *trajectory) Options {
	o := DefaultOptions()
	o.Train = map[string]Set{"full": All, "emb": Embeddings, "lora": LoRA}[tr.Config.Mode]
	o.LearningRate, o.WeightDecay = tr.Config.LR, tr.Config.WeightDecay
	o.AdamEpsilon, o.WarmupSteps = 1e-5, 4
	o.BLAS = "builtin"
	return o
}

// openForTraining builds a model as Run does.
func openForTraining(t *testing.T, dir string, o *Options) (*model.Model, *plan) {
	t.Helper()
	files, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	config, err := json.Marshal(files.Config())
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := model.ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlan(o, cfg, dir)
	if err != nil {
		t.Fatal(err)
	}
	blas, err := linalg.Open(o.BLAS, 2)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.New(cfg, files, model.Options{BLAS: blas, Threads: 2, Trainable: p.trainable, LoRA: p.lora})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if err := p.startAdapter(m.Trained(), o.Seed); err != nil {
		t.Fatal(err)
	}
	return m, p
}

// liveName is the name that the reference gives to a trained parameter.
func liveName(name string, lora bool) string {
	if !lora {
		return name
	}
	for _, kind := range []string{"lora_A", "lora_B"} {
		if module, ok := strings.CutSuffix(name, "."+kind+".weight"); ok {
			return "base_model.model." + module + "." + kind + ".default.weight"
		}
	}
	return "base_model.model." + strings.TrimSuffix(name, ".weight") + ".modules_to_save.default.weight"
}

func goldenBatches(t *testing.T, dir string) [][]*model.Batch {
	const steps, micro, rows, length = 20, 2, 2, 32
	b := testmodel.Read(t, filepath.Join(dir, "batches.safetensors"))
	ids, labels := b.Int32(t, "input_ids"), b.Int32(t, "labels")
	out := make([][]*model.Batch, steps)
	for s := range out {
		for range micro {
			n := rows * length
			out[s] = append(out[s], &model.Batch{B: rows, T: length, InputIDs: ids[:n], Labels: labels[:n]})
			ids, labels = ids[n:], labels[n:]
		}
	}
	return out
}

var trajectories = []string{"full-llama", "full-qwen2-tied", "emb-llama", "emb-stories-tied", "lora-llama"}

func readTrajectory(t *testing.T, name string) (tr trajectory, dir string, o Options) {
	t.Helper()
	dir = golden.Shared(t, "reference", "models", "training", name)
	if err := json.Unmarshal(golden.Read(t, filepath.Join(dir, "trajectory.json")), &tr); err != nil {
		t.Fatal(err)
	}
	o = goldenOptions(&tr)
	o.Model = golden.Shared(t, "reference", "models", "checkpoints", tr.Config.Base)
	if o.Train == LoRA {
		o.Adapter = filepath.Join(dir, "adapter_init")
	}
	return tr, dir, o
}

func TestTrajectories(t *testing.T) {
	for _, name := range trajectories {
		t.Run(name, func(t *testing.T) {
			tr, dir, o := readTrajectory(t, name)
			m, _ := openForTraining(t, o.Model, &o)
			trainer := NewTrainer(m, &o, 20)
			defer trainer.Close()
			checkDecayed(t, trainer, tr.Config.Decayed)
			for i, micro := range goldenBatches(t, dir) {
				s, err := trainer.Step(micro)
				if err != nil {
					t.Fatal(err)
				}
				near(t, s.Number, "lr", s.LR, tr.LR[i], 1e-12)
				near(t, s.Number, "loss", s.Loss, tr.Loss[i], lossLimit)
				near(t, s.Number, "grad_norm", s.GradNorm, tr.GradNorm[i], normLimit*tr.GradNorm[i])
				for j, want := range tr.MicroLoss[i] {
					near(t, s.Number, "micro_loss", s.NLL[j]/float64(micro[j].Scored()), want, lossLimit)
				}
				if i == 1 {
					checkWeights(t, filepath.Join(dir, "weights_step2.safetensors"), m, o.Train == LoRA)
				}
			}
			if o.Train == LoRA {
				checkAdapter(t, filepath.Join(dir, "adapter_final"), m)
			} else {
				checkWeights(t, filepath.Join(dir, "weights_final.safetensors"), m, false)
			}
			for _, s := range trainer.opt.segments {
				live := liveName(m.Trained()[s.param].Name, o.Train == LoRA)
				checkDigest(t, "exp_avg "+live, s.m, tr.M[live])
				checkDigest(t, "exp_avg_sq "+live, s.v, tr.V[live])
			}
			checkLogits(t, dir, m, o.Train == LoRA)
		})
	}
}

// TestUnequalAccumulation: the mean is over the tokens of all micro-batches together.
func TestUnequalAccumulation(t *testing.T) {
	for _, name := range trajectories {
		t.Run(name, func(t *testing.T) {
			tr, dir, o := readTrajectory(t, name)
			m, _ := openForTraining(t, o.Model, &o)
			micro := goldenBatches(t, dir)[0]
			for i := range micro[0].Labels {
				if i%micro[0].T >= 9 {
					micro[0].Labels[i] = model.IgnoreLabel
				}
			}
			trainer := NewTrainer(m, &o, 20)
			defer trainer.Close()
			tokens, sum := micro[0].Scored()+micro[1].Scored(), 0.0
			for _, b := range micro {
				nll, _, err := m.Backward(b, 1/float64(tokens), nil)
				if err != nil {
					t.Fatal(err)
				}
				sum += nll
			}
			want := tr.Unequal.OverTokens
			near(t, 1, "loss", sum/float64(tokens), want.Loss, lossLimit)
			near(t, 1, "grad_norm", trainer.opt.gradNorm(), want.Norm, normLimit*want.Norm)
			for _, p := range m.Trained() {
				live := liveName(p.Name, o.Train == LoRA)
				checkDigest(t, "gradient of "+live, p.Grad, want.Digest[live])
			}
			m.ZeroGradients()
			s, err := trainer.Step(micro)
			if err != nil {
				t.Fatal(err)
			}
			near(t, 1, "loss of the step", s.Loss, want.Loss, lossLimit)
			near(t, 1, "grad_norm of the step", s.GradNorm, want.Norm, normLimit*want.Norm)
		})
	}
}

func near(t *testing.T, step int, what string, got, want, limit float64) {
	t.Helper()
	if !(math.Abs(got-want) <= limit) {
		t.Errorf("step %d: %s is %.9g, want %.9g within %.2g", step, what, got, want, limit)
	}
}

func checkDecayed(t *testing.T, trainer *Trainer, want []string) {
	t.Helper()
	if want == nil {
		return
	}
	var got []string
	for _, s := range trainer.opt.segments {
		if s.decay {
			got = append(got, trainer.Model.Trained()[s.param].Name)
		}
	}
	if slices.Sort(got); strings.HasPrefix(want[0], "base_model.") {
		for i := range got {
			got[i] = liveName(got[i], true)
		}
		slices.Sort(got)
	}
	if !slices.Equal(got, want) {
		t.Errorf("decayed are %v, want %v", got, want)
	}
}

func checkWeights(t *testing.T, path string, m *model.Model, lora bool) {
	t.Helper()
	if _, err := filepath.Glob(path); err != nil {
		t.Fatal(err)
	}
	if matches, _ := filepath.Glob(path); len(matches) == 0 {
		return // only some trajectories have the weights of the second step
	}
	want := testmodel.Read(t, path)
	for _, p := range m.Trained() {
		compare(t, p.Name, p.Data, want.Float32(t, liveName(p.Name, lora)))
	}
}

func checkAdapter(t *testing.T, dir string, m *model.Model) {
	t.Helper()
	want := testmodel.Read(t, filepath.Join(dir, "adapter_model.safetensors"))
	for _, p := range m.Trained() {
		compare(t, p.Name, p.Data, want.Float32(t, "base_model.model."+p.Name))
	}
}

func compare(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", name, len(got), len(want))
	}
	var worst, sum float64
	for i := range got {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		worst, sum = max(worst, d), sum+d*d
	}
	if rms := math.Sqrt(sum / float64(len(got))); !(worst <= weightLimit && rms <= rmsLimit) {
		t.Errorf("%s: off by up to %.3g, RMS %.3g, want at most %.3g and %.3g", name, worst, rms, weightLimit, rmsLimit)
	}
}

// checkDigest compares the norm of x and its product with sin(1 + i).
func checkDigest(t *testing.T, what string, x []float32, want [2]float64) {
	t.Helper()
	var sum, dot float64
	for i, v := range x {
		sum += float64(v) * float64(v)
		dot += float64(v) * math.Sin(float64(1+i))
	}
	if norm := math.Sqrt(sum); !(math.Abs(norm-want[0]) <= digestLimit*want[0]+1e-12 && math.Abs(dot-want[1]) <= dotLimit) {
		t.Errorf("%s: norm %.9g and product %.9g, want %.9g and %.9g", what, norm, dot, want[0], want[1])
	}
}

func checkLogits(t *testing.T, dir string, m *model.Model, lora bool) {
	t.Helper()
	file, key := "final_logits.safetensors", "logits"
	if lora {
		file, key = "merged.safetensors", "adapter_logits"
	}
	want := testmodel.Read(t, filepath.Join(dir, file))
	logitsNear(t, m, want, key)
}

// logitsNear runs the model on want's input_ids.
func logitsNear(t *testing.T, m *model.Model, want testmodel.Tensors, key string) {
	t.Helper()
	shape := want["input_ids"].Shape
	h, err := m.Hidden(&model.Batch{B: shape[0], T: shape[1], InputIDs: want.Int32(t, "input_ids")})
	if err != nil {
		t.Fatal(err)
	}
	logits := want.Float32(t, key)
	got := make([]float32, len(logits))
	m.Logits(got, h)
	worst := 0.0
	for i := range got {
		worst = max(worst, math.Abs(float64(got[i])-float64(logits[i])))
	}
	if !(worst <= logitLimit) {
		t.Errorf("%s: off by up to %.3g, want at most %.3g", key, worst, logitLimit)
	}
}

// TestAdaptersApply holds adapters of other kinds, loaded as low-rank terms to train on and
// merged into the base, against PEFT's merge.
func TestAdaptersApply(t *testing.T) {
	for name, base := range map[string]string{"adapter-rslora-qv": "", "adapter-patterns": "", "adapter-regex-tied": ""} {
		t.Run(name, func(t *testing.T) {
			dir := golden.Shared(t, "reference", "models", "training", name)
			var about struct {
				Config struct {
					Base string `json:"base"`
				} `json:"config"`
				Scaling map[string]float64 `json:"scaling"`
			}
			if err := json.Unmarshal(golden.Read(t, filepath.Join(dir, "adapter.json")), &about); err != nil {
				t.Fatal(err)
			}
			base = golden.Shared(t, "reference", "models", "checkpoints", about.Config.Base)
			o := DefaultOptions()
			o.Train, o.Adapter = LoRA, filepath.Join(dir, "adapter")
			m, p := openForTraining(t, base, &o)
			for _, l := range p.lora {
				near(t, 0, "scale of "+l.Module, l.Scale, about.Scaling["base_model.model."+l.Module], 1e-12)
			}
			if len(p.lora) != len(about.Scaling) {
				t.Errorf("%d modules, want %d", len(p.lora), len(about.Scaling))
			}
			want := testmodel.Read(t, filepath.Join(dir, "merged.safetensors"))
			for _, key := range []string{"adapter_logits", "merged_logits"} {
				if _, ok := want[key]; ok {
					logitsNear(t, m, want, key)
				}
			}
		})
	}
}
