package train

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"lep/corpus"
	"lep/internal/golden"
	"lep/internal/hint"
	"lep/internal/pocket"
	"lep/internal/testmodel"
	"lep/model"
	"lep/tensor"
)

// TestGoldenRun: rows of ids in their order, kept as they are, through a whole run give the
// reference's losses and weights.
func TestGoldenRun(t *testing.T) {
	tr, dir, o := readTrajectory(t, "full-llama")
	var b bytes.Buffer
	for _, micro := range goldenBatches(t, dir) {
		for _, m := range micro {
			for r := range m.B {
				row := map[string]any{"input_ids": m.InputIDs[r*m.T : (r+1)*m.T], "labels": m.Labels[r*m.T : (r+1)*m.T]}
				if err := json.NewEncoder(&b).Encode(row); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	o.Data, o.Out = []string{filepath.Join(t.TempDir(), "rows.jsonl")}, filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(o.Data[0], b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	o.PerDeviceBatchSize, o.GradientAccumulationSteps, o.Shuffle, o.SamplePacking = 2, 2, false, false
	if r := mustRun(t, o); r.Steps != 20 || r.Epochs != 1 {
		t.Errorf("%d steps, %v epochs, want 20 and 1", r.Steps, r.Epochs)
	}
	records, err := ReadMetrics(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for _, r := range records {
		if r.Event != "step" {
			continue
		}
		near(t, r.Step, "loss", *r.Loss, tr.Loss[i], lossLimit)
		near(t, r.Step, "grad_norm", *r.GradNorm, tr.GradNorm[i], normLimit*tr.GradNorm[i])
		near(t, r.Step, "lr", *r.LR, tr.LR[i], 1e-12)
		i++
	}
	if i != 20 {
		t.Errorf("%d records of steps, want 20", i)
	}
	got, want := testmodel.Read(t, filepath.Join(o.Out, "model.safetensors")), testmodel.Read(t, filepath.Join(dir, "weights_final.safetensors"))
	for name := range want {
		compare(t, name, got.Float32(t, name), want.Float32(t, name))
	}
}

// TestTexts: texts become rows with bos and eos, begin at lines, and every token is learned once.
func TestTexts(t *testing.T) {
	family, err := pocket.Unpack(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	texts, err := pocket.Heldout("ru")
	if err != nil {
		t.Fatal(err)
	}
	texts = texts[:40]
	var b bytes.Buffer
	for i, text := range texts {
		texts[i] = strings.ReplaceAll(text, ". ", ".\n")
		if err := json.NewEncoder(&b).Encode(map[string]string{"text": texts[i]}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "texts.jsonl")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	o.Model, o.Data, o.Out, o.SequenceLen, o.Shuffle = family.Base, []string{path}, "none", 64, false
	o.ShuffleTokens = 1 << 20
	o.SequenceLen = 128
	r := newRun(&o)
	defer r.close()
	if err := r.openModel(); err != nil {
		t.Fatal(err)
	}
	if err := r.openData(context.Background()); err != nil {
		t.Fatal(err)
	}
	f, err := newTextFeed(&o, r.enc, r.crew, r.log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	if _, err := f.fill(context.Background()); err != nil {
		t.Fatal(err)
	}
	var got, want []int32
	atLine := 0
	for _, row := range f.window {
		got = append(got, row.IDs[row.Context:]...)
		if text := r.tok.Decode(row.IDs[:1]); text == "<|begin_of_text|>" || row.Context > 0 {
			atLine++
		}
	}
	for _, text := range texts {
		want = append(append(append(want, r.enc.bos...), r.tok.Encode(text)...), r.enc.eos...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the rows without context hold %d tokens, want the texts' %d in their order", len(got), len(want))
	}
	if len(r.enc.bos) != 1 || len(r.enc.eos) != 1 || atLine < len(f.window)/3 {
		t.Errorf("bos %v, eos %v, %d of %d rows begin at a line, want more", r.enc.bos, r.enc.eos, atLine, len(f.window))
	}
}

// TestFillBatch: labels of context, document beginnings and padding.
func TestFillBatch(t *testing.T) {
	rows := []corpus.Block{
		{IDs: []int32{1, 2, 3, 4, 5}, Context: 2, Starts: []int32{0, 3}},
		{IDs: []int32{6, 7}, Labels: []int32{-100, 7}, Starts: []int32{0}},
	}
	for _, tt := range []struct {
		mask         bool
		labels, docs []int32
	}{
		{true, []int32{-100, -100, 3, -100, 5, -100, -100, 7, -100, -100, -100, -100}, []int32{0, 0, 0, 1, 1, -1, 0, 0, -1, -1, -1, -1}},
		{false, []int32{-100, -100, 3, 4, 5, -100, -100, 7, -100, -100, -100, -100}, []int32{0, 0, 0, 0, 0, -1, 0, 0, -1, -1, -1, -1}},
	} {
		b := &model.Batch{InputIDs: make([]int32, 40)}
		fillBatch(b, rows, 6, tt.mask)
		if !slices.Equal(b.Labels, tt.labels) || !slices.Equal(b.DocIDs, tt.docs) || b.B != 2 || b.T != 6 {
			t.Errorf("mask %t: labels %v, documents %v, want %v, %v", tt.mask, b.Labels, b.DocIDs, tt.labels, tt.docs)
		}
	}
}

// TestWeights: two sources share the bytes as their weights say, and the small one repeats.
func TestWeights(t *testing.T) {
	o := smallRun(t, tensor.F32, nil)
	o.Data = []string{rowsFile(t, 400, 24, testVocab) + "=0.25", rowsFile(t, 50, 24, testVocab) + "=0.75"}
	r, err := openRun(context.Background(), &o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for range 2000 {
		if _, err := r.feed.next(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	a, b := r.feed.(*textFeed).sources[0].state, r.feed.(*textFeed).sources[1].state
	if share := float64(a.Bytes) / float64(a.Bytes+b.Bytes); math.Abs(share-0.25) > 0.01 || b.Epoch < 2 || b.Epoch < a.Epoch {
		t.Errorf("share %.3f with passes %d and %d, want 0.25 and more passes over the small one", share, a.Epoch, b.Epoch)
	}
}

// TestBadRows: a row that cannot be used stops the run with its place, or is counted.
func TestBadRows(t *testing.T) {
	for _, tt := range []struct {
		name, row, want string
	}{
		{"ids beyond the vocabulary", `{"input_ids":[1,96]}`, "rows.jsonl:61: token 1: id 96"},
		{"label beyond", `{"input_ids":[1,2],"labels":[1,-5]}`, "rows.jsonl:61"},
		{"lengths", `{"input_ids":[1,2],"labels":[1]}`, "rows.jsonl:61"},
		{"nothing to learn", `{"input_ids":[1,2],"labels":[-100,-100]}`, "rows.jsonl:61: nothing to learn"},
		{"no JSON", `{"input_ids":`, "rows.jsonl:61"},
		{"a conversation", `{"messages":[{"role":"user","content":"x"}]}`, `rows.jsonl:61: row of layout "messages"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := smallRun(t, tensor.F32, nil)
			f, err := os.OpenFile(o.Data[0], os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(f, tt.row)
			f.Close()
			o.ShuffleTokens = 1 << 20
			if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), tt.want) || hint.Of(err) == "" {
				t.Errorf("error %v (hint %q), want %q and a hint", err, hint.Of(err), tt.want)
			}
			o.Text.MaxBadRows = 1
			o.Force = true
			mustRun(t, o)
		})
	}
}

// TestMemory: what does not fit is refused with what to change, or computed twice if that helps.
func TestMemory(t *testing.T) {
	o := smallRun(t, tensor.F32, nil)
	o.SequenceLen, o.PerDeviceBatchSize = 128, 16
	r := newRun(&o)
	if err := r.openModel(); err != nil {
		t.Fatal(err)
	}
	whole := r.memory
	r.close()
	if whole.Recompute || whole.Total <= 0 {
		t.Fatalf("%+v, want a total without recomputation", whole)
	}
	o.Memory = whole.Total - 1
	r = newRun(&o)
	if err := r.openModel(); err != nil || !r.memory.Recompute {
		t.Errorf("%+v, %v, want activations to be computed twice", r.memory, err)
	}
	o.Memory = r.memory.Total - 1
	r.close()
	r = newRun(&o)
	err := r.openModel()
	if err == nil || !strings.Contains(hint.Of(err), "per_device_batch_size: 8 with gradient_accumulation_steps: 4") {
		t.Errorf("%v, hint %q, want half the batch", err, hint.Of(err))
	}
	r.close()
}

// TestOtherModel: a checkpoint of another model is refused, a damaged one is passed over.
func TestOtherModel(t *testing.T) {
	o := smallRun(t, tensor.F32, nil)
	o.SaveSteps = 4
	mustRun(t, o)
	list := checkpoints(o.Out)
	if len(list) != 2 {
		t.Fatalf("%v, want two checkpoints", list)
	}
	other := o
	other.Model, other.Out, other.ResumeFromCheckpoint = testmodel.New(t, "llama", 8, tensor.F32, map[string]any{"vocab_size": testVocab}).Folder(t), filepath.Join(t.TempDir(), "x"), list[0]
	if _, err := Run(context.Background(), other); err == nil || !strings.Contains(err.Error(), "of another model") {
		t.Errorf("error %v, want that the checkpoint is of another model", err)
	}
	changed := o
	changed.Out, changed.ResumeFromCheckpoint, changed.WeightDecay = filepath.Join(t.TempDir(), "y"), list[0], 0.2
	if _, err := Run(context.Background(), changed); err == nil || !strings.Contains(err.Error(), "weight_decay is 0.2, the run was started with 0.1") {
		t.Errorf("error %v, want the setting that differs", err)
	}
	same := o
	same.Out, same.ResumeFromCheckpoint = filepath.Join(t.TempDir(), "z"), list[1]
	if r := mustRun(t, same); r.Resumed != 4 {
		t.Errorf("resumed at %d, want 4", r.Resumed)
	}
	if !bytes.Equal(weightsOf(t, same.Out), weightsOf(t, o.Out)) {
		t.Error("from the older checkpoint come other weights")
	}
	forgetSettings(t, list[1], "muon_momentum", "text.MaxDocBytes")
	later := o
	later.Out, later.ResumeFromCheckpoint, later.MuonMomentum = filepath.Join(t.TempDir(), "l"), list[1], 0.5
	if _, err := Run(context.Background(), later); err == nil || !strings.Contains(err.Error(), "muon_momentum is 0.5, the run was started with 0.95") {
		t.Errorf("error %v, want that what an older lep did not know was the default", err)
	}
	later.Out, later.MuonMomentum = filepath.Join(t.TempDir(), "m"), o.MuonMomentum
	if r := mustRun(t, later); r.Resumed != 4 {
		t.Errorf("resumed at %d from a checkpoint of an older lep, want 4", r.Resumed)
	}
	state := filepath.Join(list[0], stateFile)
	data, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(state, data, 0o644); err != nil {
		t.Fatal(err)
	}
	same.Out, same.ResumeFromCheckpoint = filepath.Join(t.TempDir(), "w"), list[0]
	if _, err := Run(context.Background(), same); err == nil || !strings.Contains(err.Error(), "its bytes have changed") {
		t.Errorf("error %v, want that the bytes have changed", err)
	}
}

// forgetSettings takes settings out of a checkpoint's recipe, which an older lep did not have; "a.b" is a key of one.
func forgetSettings(t *testing.T, dir string, names ...string) {
	t.Helper()
	path := filepath.Join(dir, manifestFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var manifest map[string]any
	if err := json.Unmarshal(data, &manifest); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		at := manifest["recipe"].(map[string]any)
		if outer, inner, ok := strings.Cut(name, "."); ok {
			at, name = at[outer].(map[string]any), inner
		}
		if _, ok := at[name]; !ok {
			t.Fatalf("%s: the recipe has no %s", path, name)
		}
		delete(at, name)
	}
	if data, err = json.Marshal(manifest); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestTornMetrics: a last line without its end is left out, a broken one in the middle is an error.
func TestTornMetrics(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, MetricsFile)
	if err := os.WriteFile(path, []byte("{\"event\":\"step\",\"step\":1}\n{\"event\":\"st"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r, err := ReadMetrics(dir); err != nil || len(r) != 1 || r[0].Step != 1 {
		t.Errorf("%v, %v, want one record", r, err)
	}
	if err := os.WriteFile(path, []byte("{\"event\":\"st\n{}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMetrics(dir); err == nil || !strings.Contains(err.Error(), MetricsFile+":1") {
		t.Errorf("error %v, want one that names line 1", err)
	}
}

// TestTensorBoard reads an event file as TensorBoard does.
func TestTensorBoard(t *testing.T) {
	dir := t.TempDir()
	e, err := newEventFile(dir, time.Unix(1700000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.scalar(time.Unix(1700000001, 0), 7, "train/loss", 2.5); err != nil {
		t.Fatal(err)
	}
	if err := e.close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v, want one event file", files, err)
	}
	data := golden.Read(t, files[0])
	var messages [][]byte
	for len(data) > 0 {
		n := binary.LittleEndian.Uint64(data)
		msg := data[12 : 12+n]
		if binary.LittleEndian.Uint32(data[8:]) != maskedCRC(data[:8]) || binary.LittleEndian.Uint32(data[12+n:]) != maskedCRC(msg) {
			t.Fatal("a checksum is wrong")
		}
		messages, data = append(messages, msg), data[16+n:]
	}
	if len(messages) != 2 || !bytes.Contains(messages[0], []byte("brain.Event:2")) {
		t.Fatalf("%d messages, want the version and a scalar", len(messages))
	}
	want := protowire.AppendFixed32([]byte("\x0a\x0atrain/loss\x15"), math.Float32bits(2.5))
	if !bytes.Contains(messages[1], want) || !bytes.Contains(messages[1], []byte{0x10, 7}) {
		t.Errorf("% x, want step 7 with % x", messages[1], want)
	}
	// The CRC of "123456789" (RFC 3720, B.4 gives others; this is the catalogue's check value).
	if c := maskedCRC([]byte("123456789")); c != (0xE3069283>>15|0xE3069283<<17&0xffffffff)+0xa282ead8&0xffffffff {
		t.Errorf("masked CRC %x", c)
	}
}

func TestValidate(t *testing.T) {
	good := func() Options {
		o := DefaultOptions()
		o.Model, o.Data, o.Out = "m", []string{"d"}, "o"
		return o
	}
	o := good()
	if err := o.Validate(); err != nil {
		t.Fatalf("defaults: %v", err)
	}
	for _, tt := range []struct {
		change func(o *Options)
		want   string
	}{
		{func(o *Options) { o.Task = "chat" }, `task: "chat", want one of pretrain, sft`},
		{func(o *Options) { o.Train = "head" }, `train: "head", want one of embeddings, new_rows, all, lora`},
		{func(o *Options) { o.LRSchedulerType = "step" }, "lr_scheduler_type"},
		{func(o *Options) { o.BlockStart = "word" }, "block_start"},
		{func(o *Options) { o.SequenceLen = 1 }, "sequence_len is 1"},
		{func(o *Options) { o.PerDeviceBatchSize = 0 }, "per_device_batch_size is 0, want at least 1"},
		{func(o *Options) { o.LearningRate = math.NaN() }, "learning_rate is NaN"},
		{func(o *Options) { o.AdamBeta2 = 1 }, "adam_beta2 is 1"},
		{func(o *Options) { o.NumEpochs = 0 }, "num_epochs is 0"},
		{func(o *Options) { o.EarlyStoppingPatience = 2 }, "early_stopping_patience needs eval_data"},
		{func(o *Options) { o.Optimizer, o.Backend = Muon, PyTorch }, "optimizer is muon: backend native has it"},
		{func(o *Options) { o.MuonMomentum = 1 }, "muon_momentum is 1"},
		{func(o *Options) { o.Train, o.LoRAR = LoRA, 0 }, "lora_r is 0"},
		{func(o *Options) { o.Adapter = "a" }, "adapter: train is"},
		{func(o *Options) { o.OutputDType = "I8" }, "output_dtype"},
		{func(o *Options) { o.Data = nil }, "data: no files given"},
		{func(o *Options) { o.Text.Sample = 0 }, "sample"},
	} {
		o := good()
		tt.change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}

// FuzzState: no manifest makes the reader fail otherwise than by an error.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"lep":"x","step":3,"steps":9,"feed":{"window":1,"delivered":2,"sources":[{"position":null}]},"recipe":{"a":1},"digests":{}}`))
	f.Add([]byte(`{"step":-1}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, manifestFile), data, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := readState(dir)
		if err == nil && (s.Step < 0 || s.Step > s.Steps || s.Feed.Window < 0) {
			t.Errorf("%+v was accepted", s)
		}
	})
}

// FuzzLayers: a choice that is accepted names layers of the model.
func FuzzLayers(f *testing.F) {
	f.Add("0-3,30-31", 32)
	f.Add("5-2", 8)
	f.Add("0-99999999999", 4)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = min(n, 1000)
		r, err := parseLayers(s, n)
		for l := range r {
			if err == nil && (l < 0 || l >= n) {
				t.Errorf("parseLayers(%q, %d) holds layer %d", s, n, l)
			}
		}
	})
}
