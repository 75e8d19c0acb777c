package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gofrs/flock"

	"lep/checkpoint"
	"lep/internal/hint"
	"lep/internal/testmodel"
	"lep/model"
	"lep/tensor"
	"lep/tokenizer"
)

// rowsFile writes rows of ids; odd ones have labels that leave their beginning out.
func rowsFile(t *testing.T, rows, length, vocab int) string {
	t.Helper()
	var b bytes.Buffer
	for i := range rows {
		ids := testmodel.IDs(uint64(i+1), length-i%5, vocab)
		row := map[string]any{"input_ids": ids}
		if i%2 == 1 {
			labels := slices.Clone(ids)
			labels[1], labels[2] = -100, -100
			row["labels"] = labels
		}
		if err := json.NewEncoder(&b).Encode(row); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const testVocab = 96

// smallRun returns settings of a run of 12 steps on a tiny model.
func smallRun(t *testing.T, dtype tensor.DType, keys map[string]any) Options {
	t.Helper()
	all := map[string]any{"vocab_size": testVocab}
	for k, v := range keys {
		all[k] = v
	}
	o := DefaultOptions()
	o.Model = testmodel.New(t, "llama", 7, dtype, all).Folder(t)
	o.Data = []string{rowsFile(t, 60, 24, testVocab)}
	o.Out = filepath.Join(t.TempDir(), "run")
	o.SequenceLen, o.PerDeviceBatchSize, o.GradientAccumulationSteps = 32, 2, 2
	o.MaxSteps, o.NumEpochs, o.LearningRate, o.ShuffleTokens = 12, 0, 1e-2, 400
	o.Train, o.SaveMinutes, o.BLAS, o.Threads = All, 0, "builtin", 2
	return o
}

func mustRun(t *testing.T, o Options) *Result {
	t.Helper()
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// weightsOf reads the file that a run wrote.
func weightsOf(t *testing.T, dir string) []byte {
	t.Helper()
	for _, name := range []string{"model.safetensors", "adapter_model.safetensors"} {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			return data
		}
	}
	t.Fatalf("%s: no weights", dir)
	return nil
}

// losses reads the course of a run.
func losses(t *testing.T, dir string) []float64 {
	t.Helper()
	records, err := ReadMetrics(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []float64
	for _, r := range records {
		if r.Event == "step" {
			if r.Step != len(out)+1 {
				t.Fatalf("metrics.jsonl: step %d, want %d", r.Step, len(out)+1)
			}
			out = append(out, *r.Loss)
		}
	}
	return out
}

// TestResume: a run that is interrupted at any step, and again, gives the bytes of one that
// is not; the sets, the optimizers and the orders of data all do.
func TestResume(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(o *Options)
	}{
		{"all", func(*Options) {}},
		{"embeddings", func(o *Options) { o.Train = Embeddings; o.EmbeddingLR = 3e-2 }},
		{"lora", func(o *Options) { o.Train, o.ModulesToSave = LoRA, []string{"embed_tokens", "lm_head"}; o.LoRAR = 4 }},
		{"rows", func(o *Options) { o.Train, o.FreezeRowsBelow = Embeddings, 40 }},
		{"sgd", func(o *Options) { o.Optimizer, o.Momentum = SGD, 0.9 }},
		{"epochs", func(o *Options) { o.MaxSteps, o.NumEpochs = 0, 1.5 }},
		{"in order", func(o *Options) { o.Shuffle, o.SamplePacking = false, false }},
		{"weights", func(o *Options) { o.Data = []string{o.Data[0] + "=0.7", rowsFile(t, 9, 20, testVocab) + "=0.3"} }},
		{"held-out", func(o *Options) { o.EvalData, o.EvalSteps = []string{rowsFile(t, 4, 20, testVocab)}, 2 }},
		{"one thread", func(o *Options) { o.Threads = 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := smallRun(t, tensor.F32, nil)
			tt.change(&o)
			straight := o
			straight.Out = filepath.Join(t.TempDir(), "straight")
			want := mustRun(t, straight)
			for _, stopAt := range []int{1, 5} {
				ctx, cancel := context.WithCancel(context.Background())
				stopped := o
				stopped.OnStep = func(p Progress) {
					if p.Event == "step" && p.Step == stopAt {
						cancel()
					}
				}
				r, err := Run(ctx, stopped)
				if !errors.Is(err, context.Canceled) || r.Ended != endedInterrupted || r.Steps != stopAt {
					t.Fatalf("interrupted at step %d: %+v, %v", stopAt, r, err)
				}
				if _, err := os.Stat(filepath.Join(o.Out, checkpoint.ConfigFile)); err == nil {
					t.Error("an interrupted run must not look like a model")
				}
			}
			got := mustRun(t, o)
			if got.Resumed != 5 || got.Steps != want.Steps || got.Tokens != want.Tokens {
				t.Errorf("resumed at %d, %d steps, %d tokens, want 5, %d, %d", got.Resumed, got.Steps, got.Tokens, want.Steps, want.Tokens)
			}
			if !bytes.Equal(weightsOf(t, o.Out), weightsOf(t, straight.Out)) {
				t.Error("the weights differ from those of the run that was not interrupted")
			}
			if a, b := losses(t, o.Out), losses(t, straight.Out); !slices.Equal(a, b) {
				t.Errorf("losses %v, want %v", a, b)
			}
			if again := mustRun(t, o); !again.Already || again.Steps != want.Steps {
				t.Errorf("a finished run started again: %+v, want Already", again)
			}
		})
	}
}

// TestThreads: the number of threads changes no bit.
func TestThreads(t *testing.T) {
	o := smallRun(t, tensor.BF16, nil)
	mustRun(t, o)
	want := weightsOf(t, o.Out)
	o.Threads, o.Out = 5, filepath.Join(t.TempDir(), "five")
	mustRun(t, o)
	if !bytes.Equal(weightsOf(t, o.Out), want) {
		t.Error("5 threads give other weights than 2")
	}
}

// TestLearns: the loss of what is seen again and again falls, for every set and schedule.
func TestLearns(t *testing.T) {
	for _, set := range []Set{All, Embeddings, LoRA} {
		for _, schedule := range []Scheduler{Cosine, Linear, Constant, WSD} {
			t.Run(fmt.Sprintf("%s %s", set, schedule), func(t *testing.T) {
				o := smallRun(t, tensor.BF16, nil)
				o.Data = []string{rowsFile(t, 4, 24, testVocab)}
				o.Train, o.LRSchedulerType, o.MaxSteps, o.LearningRate, o.ModulesToSave = set, schedule, 40, 2e-2, []string{"lm_head"}
				mustRun(t, o)
				l := losses(t, o.Out)
				if first, last := l[0], l[len(l)-1]; !(last < first-0.5) {
					t.Errorf("loss went from %.3f to %.3f, want it to fall by 0.5 at least", first, last)
				}
			})
		}
	}
}

// TestFrozenTensorsAreCopied: what is not trained keeps its bytes and dtype, what is changes.
func TestFrozenTensorsAreCopied(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(o *Options)
		moved  func(name string) bool
	}{
		{"embeddings", func(o *Options) { o.Train = Embeddings }, model.TrainEmbeddings},
		{"a layer more", func(o *Options) { o.Train, o.Layers = Embeddings, "1" }, func(name string) bool {
			return model.TrainEmbeddings(name) || strings.HasPrefix(name, "model.layers.1.")
		}},
		{"one layer", func(o *Options) { o.Layers = "0" }, model.TrainLayers(0, 1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := smallRun(t, tensor.BF16, nil)
			tt.change(&o)
			mustRun(t, o)
			before, after := testmodel.Read(t, o.Model), testmodel.Read(t, o.Out)
			if len(before) != len(after) {
				t.Fatalf("%d tensors, want %d", len(after), len(before))
			}
			for name, v := range before {
				same := bytes.Equal(v.Data, after[name].Data)
				if norm := len(v.Shape) == 1 && tt.moved(name); same == tt.moved(name) && !norm || after[name].DType != tensor.BF16 {
					t.Errorf("%s: %v, bytes equal: %t, want %t", name, after[name].DType, same, !tt.moved(name))
				}
			}
		})
	}
}

// TestRows: of the embeddings only the new rows move.
func TestRows(t *testing.T) {
	for _, by := range []string{"number", "table"} {
		t.Run(by, func(t *testing.T) {
			o := smallRun(t, tensor.F32, nil)
			isNew := func(id int) bool { return id >= 50 }
			o.Train, o.FreezeRowsBelow = Embeddings, 50
			if by == "table" {
				isNew = func(id int) bool { return id%3 == 1 }
				old := make([]*int32, testVocab)
				for id := range old {
					if !isNew(id) {
						n := int32(id)
						old[id] = &n
					}
				}
				data, err := json.Marshal(map[string]any{"old_ids": old})
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(o.Model, tokenizer.OldIDsFile), data, 0o644); err != nil {
					t.Fatal(err)
				}
				o.Train, o.FreezeRowsBelow = NewRows, 0
			}
			mustRun(t, o)
			before, after := testmodel.Read(t, o.Model), testmodel.Read(t, o.Out)
			for _, name := range []string{model.EmbedTokens, model.LMHead} {
				a, b := before[name], after[name]
				for id := range testVocab {
					if same := bytes.Equal(a.Row(id), b.Row(id)); same == isNew(id) {
						t.Errorf("%s: row %d: unchanged is %t, want %t", name, id, same, !isNew(id))
					}
				}
			}
		})
	}
}

// TestAdapterOutput: what is trained as low-rank terms gives the same logits from the
// written adapter, merged, as from the model in training; also with tied embeddings.
func TestAdapterOutput(t *testing.T) {
	for _, tied := range []bool{false, true} {
		t.Run(fmt.Sprintf("tied %t", tied), func(t *testing.T) {
			o := smallRun(t, tensor.F32, map[string]any{"tie_word_embeddings": tied})
			o.Train, o.LoRAR, o.UseRSLoRA, o.ModulesToSave, o.Layers = LoRA, 3, true, []string{"lm_head"}, "1"
			r, err := openRun(context.Background(), &o)
			if err != nil {
				t.Fatal(err)
			}
			defer r.close()
			if _, err := r.train(context.Background()); err != nil {
				t.Fatal(err)
			}
			base, err := checkpoint.Open(o.Model)
			if err != nil {
				t.Fatal(err)
			}
			defer base.Close()
			a, err := checkpoint.OpenAdapter(o.Out)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if len(a.Modules) != len(model.Modules) {
				t.Errorf("%d modules, want those of one layer", len(a.Modules))
			}
			merged, err := checkpoint.Merge(base, a, checkpoint.DefaultMergeOptions())
			if err != nil {
				t.Fatal(err)
			}
			whole, err := model.New(r.cfg, merged, model.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer whole.Close()
			b := &model.Batch{B: 1, T: 20, InputIDs: testmodel.IDs(3, 20, testVocab)}
			want := logits(t, r.trainer.Model, b)
			for i, x := range logits(t, whole, b) {
				if !(math.Abs(float64(x-want[i])) <= logitLimit) {
					t.Fatalf("logit %d is %v merged, %v in training", i, x, want[i])
				}
			}
			// And the adapter can be trained on.
			o.Adapter, o.Out = o.Out, filepath.Join(t.TempDir(), "further")
			mustRun(t, o)
		})
	}
}

func logits(t *testing.T, m *model.Model, b *model.Batch) []float32 {
	t.Helper()
	h, err := m.Hidden(b)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, len(h)/m.Config.HiddenSize*m.Config.VocabSize)
	m.Logits(out, h)
	return out
}

// TestLock: a second process is refused.
func TestLock(t *testing.T) {
	o := smallRun(t, tensor.F32, nil)
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		t.Fatal(err)
	}
	l := flock.New(filepath.Join(o.Out, lockFile))
	if ok, err := l.TryLock(); err != nil || !ok {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "another process is training") {
		t.Errorf("error %v, want that another process is training", err)
	}
}

// fullDisk lets the first checkpoints fail as a full disk does.
type fullDisk struct{ failures int }

func (d *fullDisk) Create(name string) (checkpoint.Output, error) {
	if d.failures > 0 {
		d.failures--
		return nil, &os.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
	}
	return os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
}
func (d *fullDisk) Remove(name string) error   { return os.Remove(name) }
func (d *fullDisk) Free(string) (int64, error) { return 0, errors.ErrUnsupported }

// TestFullDisk: a checkpoint that cannot be written stops nothing and leaves nothing.
func TestFullDisk(t *testing.T) {
	o := smallRun(t, tensor.F32, nil)
	o.SaveSteps = 3
	r, err := openRun(context.Background(), &o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	r.saveFS = &fullDisk{failures: 2}
	res, err := r.train(context.Background())
	if err != nil || res.Steps != 12 {
		t.Fatalf("%+v, %v, want 12 steps in spite of the full disk", res, err)
	}
	if list := checkpoints(o.Out); len(list) != 1 || !strings.HasSuffix(list[0], stepName(9)) {
		t.Errorf("checkpoints %v, want that of step 9 only", list)
	}
	entries, err := os.ReadDir(filepath.Join(o.Out, checkpointsDir))
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v, want no remains of the others", entries, err)
	}
}

// TestBadLoss: infinite weights stop the run with step, rows and tensor, and keep what was saved.
func TestBadLoss(t *testing.T) {
	o := smallRun(t, tensor.F32, nil)
	o.SaveSteps = 2
	r, err := openRun(context.Background(), &o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	r.opts.OnStep = func(p Progress) {
		if p.Step == 5 {
			r.trainer.Model.Trained()[3].Data[70] = float32(math.NaN())
		}
	}
	_, err = r.train(context.Background())
	var bad *BadLossError
	if !errors.As(err, &bad) || bad.Step != 6 {
		t.Fatalf("error %v, want a BadLossError at step 6", err)
	}
	name := r.trainer.Model.Trained()[3].Name
	for _, part := range []string{"step 6", name, "row 2, column 6", "rows.jsonl:"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q, want it to name %q", err, part)
		}
	}
	if !strings.Contains(hint.Of(err), stepName(4)) {
		t.Errorf("hint %q, want it to name the checkpoint of step 4", hint.Of(err))
	}
}

// TestAskedFiles: touch RUN/save writes a checkpoint, touch RUN/stop ends with a model.
func TestAskedFiles(t *testing.T) {
	o := smallRun(t, tensor.F32, nil)
	o.OnStep = func(p Progress) {
		name := map[int]string{3: saveFile, 7: stopFile}[p.Step]
		if name != "" && p.Event == "step" {
			if err := os.WriteFile(filepath.Join(o.Out, name), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := mustRun(t, o)
	if r.Ended != endedStop || r.Steps != 7 {
		t.Errorf("%+v, want to be stopped at step 7", r)
	}
	if list := checkpoints(o.Out); len(list) != 2 {
		t.Errorf("checkpoints %v, want those of steps 7 and 3", list)
	}
	weightsOf(t, o.Out)
	o.OnStep = nil
	if r := mustRun(t, o); r.Resumed != 7 || r.Steps != 12 {
		t.Errorf("%+v, want to go on at step 7 to 12", r)
	}
}

// TestEarlyStopping: random labels are learned by heart, the held-out loss grows, and the
// best weights are kept.
func TestEarlyStopping(t *testing.T) {
	o := smallRun(t, tensor.F32, nil)
	o.Data = []string{rowsFile(t, 3, 24, testVocab)}
	o.EvalData, o.EvalSteps, o.EarlyStoppingPatience, o.MaxSteps, o.LearningRate = []string{rowsFile(t, 9, 30, testVocab)}, 3, 2, 200, 3e-2
	o.LRSchedulerType = Constant
	r := mustRun(t, o)
	if r.Ended != endedEarly || r.Best == nil || r.Best.Step >= r.Steps || r.After.Loss != r.Best.Loss {
		t.Fatalf("%+v, want an early end and the best step's weights", r)
	}
	records, err := ReadMetrics(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records {
		if rec.Event == "eval" && rec.Step > 0 && *rec.EvalLoss < r.Best.Loss {
			t.Errorf("step %d: held-out loss %v, below the best %v", rec.Step, *rec.EvalLoss, r.Best.Loss)
		}
	}
	check := o
	check.Model, check.Out, check.MaxSteps, check.LearningRate, check.EvalSteps, check.EarlyStoppingPatience = o.Out, filepath.Join(t.TempDir(), "check"), 1, 0, 0, 0
	if got := mustRun(t, check).Before.Loss; math.Abs(got-r.Best.Loss) > 1e-6 {
		t.Errorf("the weights written have a held-out loss of %v, want %v", got, r.Best.Loss)
	}
}
