package model

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lep/internal/golden"
	"lep/internal/testmodel"
	"lep/linalg"
)

// Limits of reference/models/README.md: about five times what its float32 run differs from
// its float64 run.
const (
	hiddenLimit     = 1e-4 // absolute, logits too
	lossLimit       = 5e-6 // absolute
	gradLimit       = 3e-5 // relative to the tensor's largest entry
	digestNormLimit = 1e-5 // relative
	digestDotLimit  = 1e-4 // absolute
)

var goldenModels = []string{"llama-gqa-f32", "llama3-rope-tied-bf16", "mistral-swa-f16", "qwen2-tied-bf16",
	"qwen3-sharded-bf16", "llama-bias-f32", "qwen2-mixedswa-bf16", "gemma2-optional-bf16"}

type goldenCase struct {
	Loss       float64               `json:"loss"`
	LossF64    float64               `json:"loss_f64"`
	Tokens     int                   `json:"n_loss_tokens"`
	GradNorm   float64               `json:"grad_norm"`
	GradDigest map[string][2]float64 `json:"grad_digest"`
	Crossing   float64               `json:"loss_crossing_documents"`
}

type goldenFile struct {
	Cases    map[string]goldenCase `json:"cases"`
	Generate json.RawMessage       `json:"generate"`
	IDs      []int32               `json:"ids"`
	MeanNLL  float64               `json:"mean_nll"`
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	if err := json.Unmarshal(golden.Read(t, path), v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// testBLAS is what tests compute with: the kernels that need nothing installed.
func testBLAS(t testing.TB, threads int) linalg.BLAS {
	t.Helper()
	b, err := linalg.Open("builtin", threads)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func loadGolden(t testing.TB, name, config string, opts Options) *Model {
	t.Helper()
	dir := golden.Shared(t, "reference", "models", "checkpoints", name)
	data, err := os.ReadFile(filepath.Join(dir, config))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ParseConfig(data)
	if err != nil {
		t.Fatal(err)
	}
	if opts.BLAS == nil {
		opts.BLAS = testBLAS(t, 1)
	}
	if opts.Threads == 0 {
		opts.Threads = 2
	}
	m, err := New(cfg, testmodel.Read(t, dir), opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func maxDiff(a, b []float32) float64 {
	d := 0.0
	for i := range a {
		if diff := math.Abs(float64(a[i]) - float64(b[i])); diff > d || math.IsNaN(diff) {
			d = diff
		}
	}
	return d
}

func maxAbs(a []float32) float64 {
	top := 0.0
	for _, v := range a {
		top = max(top, math.Abs(float64(v)))
	}
	return top
}

func near(t *testing.T, what string, got, want []float32, limit float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	if d := maxDiff(got, want); !(d <= limit) {
		t.Errorf("%s: largest difference %.3g, limit %.3g", what, d, limit)
	}
}

// goldenBatch makes the batch of a case: an attention mask becomes negative document ids.
func goldenBatch(t testing.TB, f testmodel.Tensors, name string) *Batch {
	t.Helper()
	shape := f[name+".input_ids"].Shape
	b := &Batch{B: shape[0], T: shape[1], InputIDs: f.Int32(t, name+".input_ids"), Labels: f.Int32(t, name+".labels")}
	if _, ok := f[name+".doc_ids"]; ok {
		b.DocIDs = f.Int32(t, name+".doc_ids")
	}
	if _, ok := f[name+".attention_mask"]; ok {
		b.DocIDs = f.Int32(t, name+".attention_mask")
		for i := range b.DocIDs {
			b.DocIDs[i]--
		}
	}
	return b
}

// withoutPads corrects what a golden says of the loss: HF scores the first token behind left
// padding on the garbage of a wholly masked row, we do not score it.
func (c *goldenCase) withoutPads(b *Batch, nll []float32) {
	if b.DocIDs == nil {
		return
	}
	sum := c.LossF64 * float64(c.Tokens)
	for i := range b.InputIDs {
		if i%b.T < b.T-1 && b.DocIDs[i] < 0 && b.Labels[i+1] != IgnoreLabel {
			at := i/b.T*(b.T-1) + i%b.T
			sum -= float64(nll[at])
			nll[at] = 0
			c.Tokens--
			c.GradDigest = nil
		}
	}
	c.LossF64 = sum / float64(c.Tokens)
}

var goldenCases = []string{"plain", "padded_right", "padded_left", "packed"}

func TestGoldenForward(t *testing.T) {
	for _, name := range goldenModels {
		for _, config := range []string{"config.json", "config.legacy.json"} {
			t.Run(name+"/"+config, func(t *testing.T) {
				m := loadGolden(t, name, config, Options{})
				f := testmodel.Read(t, golden.Shared(t, "reference", "models", "goldens", name, "forward.safetensors"))
				var g goldenFile
				readJSON(t, golden.Shared(t, "reference", "models", "goldens", name, "golden.json"), &g)
				for _, c := range goldenCases {
					checkForward(t, m, f, c, g.Cases[c])
				}
				checkRope(t, m, f)
			})
		}
	}
}

func checkForward(t *testing.T, m *Model, f testmodel.Tensors, name string, want goldenCase) {
	b := goldenBatch(t, f, name)
	h, err := m.Hidden(b)
	if err != nil {
		t.Fatal(err)
	}
	h = append([]float32(nil), h...)
	logits := make([]float32, b.B*b.T*m.Config.VocabSize)
	m.Logits(logits, h)
	for i := range b.InputIDs { // hidden states of pads are zero in the golden
		if b.DocIDs != nil && b.DocIDs[i] < 0 {
			clear(h[i*m.Config.HiddenSize : (i+1)*m.Config.HiddenSize])
			clear(logits[i*m.Config.VocabSize : (i+1)*m.Config.VocabSize])
		}
	}
	near(t, name+".final_norm", h, f.Float32(t, name+".final_norm"), hiddenLimit)
	near(t, name+".logits", logits, f.Float32(t, name+".logits"), hiddenLimit)

	wantNLL := f.Float32(t, name+".nll")
	want.withoutPads(b, wantNLL)
	nll := make([]float64, b.B*b.T)
	sum, scored, err := m.Score(b, nll)
	if err != nil {
		t.Fatal(err)
	}
	if scored != want.Tokens || scored != b.Scored() {
		t.Errorf("%s: %d labels scored, Scored says %d, want %d", name, scored, b.Scored(), want.Tokens)
	}
	if loss := sum / float64(scored); math.Abs(loss-want.LossF64) > lossLimit {
		t.Errorf("%s: loss %.9f, want %.9f", name, loss, want.LossF64)
	}
	got := make([]float32, 0, len(wantNLL))
	for i, v := range nll {
		if i%b.T < b.T-1 {
			got = append(got, float32(v))
		}
	}
	near(t, name+".nll", got, wantNLL, hiddenLimit)
	if want.Crossing != 0 {
		every := *b
		every.Labels = b.InputIDs
		sum, scored, err := m.Score(&every, nil)
		if err != nil {
			t.Fatal(err)
		}
		if loss := sum / float64(scored); math.Abs(loss-want.Crossing) > lossLimit {
			t.Errorf("%s: loss over document borders %.9f, want %.9f", name, loss, want.Crossing)
		}
		every.Labels = nil
		sum, scored, err = m.Score(&every, nil)
		if err != nil {
			t.Fatal(err)
		}
		if loss := sum / float64(scored); math.Abs(loss-want.LossF64) > lossLimit || scored != b.Scored() || scored != every.Scored() {
			t.Errorf("%s: loss without labels %.9f over %d, want %.9f over %d", name, loss, scored, want.LossF64, b.Scored())
		}
	}
}

func checkRope(t *testing.T, m *Model, f testmodel.Tensors) {
	near(t, "rope.inv_freq", m.invFreq, f.Float32(t, "rope.inv_freq"), 1e-7)
	cos, sin := f.Float32(t, "rope.cos"), f.Float32(t, "rope.sin")
	table, half := m.rope(48), m.Config.HeadDim/2
	for p := range 48 {
		near(t, "rope.cos", table.cos[p*half:(p+1)*half], cos[p*2*half:p*2*half+half], 1e-5)
		near(t, "rope.sin", table.sin[p*half:(p+1)*half], sin[p*2*half:p*2*half+half], 1e-5)
	}
}

// TestGoldenLayers compares what is inside: every layer's output, and layer 0 step by step.
func TestGoldenLayers(t *testing.T) {
	for _, name := range goldenModels {
		t.Run(name, func(t *testing.T) {
			m := loadGolden(t, name, "config.json", Options{Trainable: TrainAll})
			f := testmodel.Read(t, golden.Shared(t, "reference", "models", "goldens", name, "forward.safetensors"))
			b := goldenBatch(t, f, "plain")
			if _, err := m.forward(b, true); err != nil {
				t.Fatal(err)
			}
			for i, x := range m.work.inputs {
				near(t, fmt.Sprintf("hidden.%d", i), x, f.Float32(t, fmt.Sprintf("plain.hidden.%d", i)), hiddenLimit)
			}
			cfg, a := m.Config, m.work.acts[0]
			h, kv, hd := cfg.NumAttentionHeads, cfg.NumKeyValueHeads, cfg.HeadDim
			near(t, "l0.q", m.heads(a.qkv, b, 0, h), f.Float32(t, "plain.l0.q"), hiddenLimit)
			near(t, "l0.k", m.heads(a.qkv, b, h, kv), f.Float32(t, "plain.l0.k"), hiddenLimit)
			near(t, "l0.v", m.heads(a.qkv, b, h+kv, kv), f.Float32(t, "plain.l0.v"), hiddenLimit)
			near(t, "l0.context", a.ctx[:b.B*b.T*h*hd], f.Float32(t, "plain.l0.context"), hiddenLimit)
			attn, mlp := a.attnOut, a.mlpOut
			if attn == nil {
				attn, mlp = difference(a.mid, a.x), difference(m.work.inputs[1], a.mid)
			}
			near(t, "l0.attn_out", attn, f.Float32(t, "plain.l0.attn_out"), hiddenLimit)
			near(t, "l0.mlp_out", mlp, f.Float32(t, "plain.l0.mlp_out"), hiddenLimit)
		})
	}
}

// heads reorders heads from..from+n-1 of qkv from (B, T, head, Hd) to (B, head, T, Hd).
func (m *Model) heads(qkv []float32, b *Batch, from, n int) []float32 {
	hd := m.Config.HeadDim
	var out []float32
	for row := range b.B {
		for h := range n {
			for i := range b.T {
				at := (row*b.T+i)*m.qkvWidth() + (from+h)*hd
				out = append(out, qkv[at:at+hd]...)
			}
		}
	}
	return out
}

func difference(a, b []float32) []float32 {
	out := make([]float32, len(a))
	for i := range a {
		out[i] = a[i] - b[i]
	}
	return out
}

func TestGoldenGradients(t *testing.T) {
	for _, name := range goldenModels {
		for _, opts := range []struct {
			name string
			Options
		}{{"stored", Options{Trainable: TrainAll}}, {"recomputed", Options{Trainable: TrainAll, Recompute: true}}} {
			t.Run(name+"/"+opts.name, func(t *testing.T) {
				m := loadGolden(t, name, "config.json", opts.Options)
				dir := golden.Shared(t, "reference", "models", "goldens", name)
				f := testmodel.Read(t, filepath.Join(dir, "forward.safetensors"))
				var g goldenFile
				readJSON(t, filepath.Join(dir, "golden.json"), &g)
				for _, c := range goldenCases {
					b := goldenBatch(t, f, c)
					m.ZeroGradients()
					sum, scored, err := m.Backward(b, 1/float64(b.Scored()), nil)
					if err != nil {
						t.Fatal(err)
					}
					want := g.Cases[c]
					want.withoutPads(b, f.Float32(t, c+".nll"))
					if loss := sum / float64(scored); math.Abs(loss-want.LossF64) > lossLimit {
						t.Errorf("%s: loss %.9f, want %.9f", c, loss, want.LossF64)
					}
					checkDigests(t, m, c, want)
					if c == "plain" && !strings.HasPrefix(name, "gemma2") {
						checkGradients(t, m, testmodel.Read(t, filepath.Join(dir, "grads.safetensors")))
					}
				}
			})
		}
	}
}

func checkGradients(t *testing.T, m *Model, want testmodel.Tensors) {
	t.Helper()
	if len(m.Trained()) != len(want) {
		t.Errorf("%d trained parameters, want %d", len(m.Trained()), len(want))
	}
	for _, p := range m.Trained() {
		w := want.Float32(t, p.Name)
		near(t, "gradient of "+p.Name, p.Grad, w, gradLimit*maxAbs(w))
	}
}

// checkDigests compares the norm of each gradient and its product with sin(1+i).
func checkDigests(t *testing.T, m *Model, name string, want goldenCase) {
	t.Helper()
	if want.GradDigest == nil {
		return
	}
	total := 0.0
	for _, p := range m.Trained() {
		norm, product := digest(p.Grad)
		total += norm * norm
		w, ok := want.GradDigest[p.Name]
		if !ok {
			t.Errorf("%s: no digest of %s", name, p.Name)
		}
		if math.Abs(norm-w[0]) > digestNormLimit*w[0] || math.Abs(product-w[1]) > digestDotLimit {
			t.Errorf("%s: gradient of %s: norm %.7f, product %.7f, want %.7f, %.7f", name, p.Name, norm, product, w[0], w[1])
		}
	}
	if norm := math.Sqrt(total); math.Abs(norm-want.GradNorm) > digestNormLimit*want.GradNorm {
		t.Errorf("%s: norm of all gradients %.8f, want %.8f", name, norm, want.GradNorm)
	}
}

func digest(g []float32) (norm, product float64) {
	for i, v := range g {
		norm += float64(v) * float64(v)
		product += float64(v) * math.Sin(1+float64(i))
	}
	return math.Sqrt(norm), product
}

// TestLeftPadding moves the padding of the left-padded golden, whose gradients contain HF's
// garbage, to the right, where goldens hold: nothing may change but rounding.
func TestLeftPadding(t *testing.T) {
	for _, name := range goldenModels {
		m := loadGolden(t, name, "config.json", Options{Trainable: TrainAll})
		f := testmodel.Read(t, golden.Shared(t, "reference", "models", "goldens", name, "forward.safetensors"))
		left := goldenBatch(t, f, "padded_left")
		leftSum, scored, err := m.Backward(left, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := append([]float32(nil), m.Gradients()...)
		right := &Batch{B: left.B, T: left.T}
		for row := range left.B {
			pads := 0
			for left.DocIDs[row*left.T+pads] < 0 {
				pads++
			}
			for i := range left.T {
				from := row*left.T + (i+pads)%left.T
				right.InputIDs = append(right.InputIDs, left.InputIDs[from])
				right.Labels = append(right.Labels, left.Labels[from])
				right.DocIDs = append(right.DocIDs, left.DocIDs[from])
			}
		}
		m.ZeroGradients()
		sum, n, err := m.Backward(right, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n != scored || math.Abs(sum-leftSum) > 1e-4 {
			t.Errorf("%s: loss %.6f over %d padded right, %.6f over %d padded left", name, sum, n, leftSum, scored)
		}
		near(t, name+": gradients", m.Gradients(), want, gradLimit*maxAbs(want))
	}
}

// TestGoldenStories runs trained weights: 211 tokens of text.
func TestGoldenStories(t *testing.T) {
	m := loadGolden(t, "stories260K", "config.json", Options{Trainable: TrainAll})
	dir := golden.Shared(t, "reference", "models", "goldens", "stories260K")
	f := testmodel.Read(t, filepath.Join(dir, "forward.safetensors"))
	var g goldenFile
	readJSON(t, filepath.Join(dir, "golden.json"), &g)
	b := &Batch{B: 1, T: len(g.IDs), InputIDs: g.IDs}
	h, err := m.Hidden(b)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "final_norm", h, f.Float32(t, "final_norm"), hiddenLimit)
	logits := make([]float32, b.T*m.Config.VocabSize)
	m.Logits(logits, h)
	near(t, "logits", logits, f.Float32(t, "logits"), hiddenLimit)
	nll := make([]float64, b.T)
	sum, scored, err := m.Backward(b, 1/float64(b.T-1), nll)
	if err != nil {
		t.Fatal(err)
	}
	if loss := sum / float64(scored); math.Abs(loss-g.MeanNLL) > lossLimit {
		t.Errorf("mean nll %.8f, want %.8f", loss, g.MeanNLL)
	}
	var whole struct {
		GradDigest map[string][2]float64 `json:"grad_digest"`
	}
	readJSON(t, filepath.Join(dir, "golden.json"), &whole)
	for _, p := range m.Trained() {
		norm, product := digest(p.Grad)
		w := whole.GradDigest[p.Name]
		if math.Abs(norm-w[0]) > digestNormLimit*w[0] || math.Abs(product-w[1]) > digestDotLimit {
			t.Errorf("gradient of %s: norm %.7f, product %.7f, want %.7f, %.7f", p.Name, norm, product, w[0], w[1])
		}
	}
}
