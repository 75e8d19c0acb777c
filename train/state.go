package train

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"lep/checkpoint"
	"lep/internal/atomic"
	"lep/internal/hint"
	"lep/internal/orderedjson"
	"lep/tensor"
)

// state is all that a checkpoint holds beside tensors: with them it resumes to the bit.
type state struct {
	Lep          string                     `json:"lep"`
	Step         int                        `json:"step"`
	Steps        int                        `json:"steps"` // of the whole run
	RowsPerEpoch int                        `json:"rows_per_epoch"`
	Tokens       int64                      `json:"tokens"`
	Seconds      float64                    `json:"seconds"` // of training so far
	Feed         feedState                  `json:"feed"`
	Before       *Score                     `json:"before,omitempty"` // held-out, before the first step
	Best         *Best                      `json:"best,omitempty"`
	Waited       int                        `json:"waited"`    // evaluations since the best
	Evaluated    int                        `json:"evaluated"` // step of the last evaluation
	Recipe       map[string]json.RawMessage `json:"recipe,omitempty"`
	Digests      map[string]string          `json:"digests"` // SHA-256 of the tensors
}

// Best is the best evaluation of a run.
type Best struct {
	Step int `json:"step"`
	Score
}

// Files of a checkpoint. The manifest is complete or not there, because the folder gets its
// name at the end.
const (
	checkpointsDir = "checkpoints"
	bestDir        = "best"
	manifestFile   = "lep.json"
	stateFile      = "state.safetensors"
)

// Prefixes of tensors in a checkpoint, with torch's names for the moments.
const (
	paramPrefix = "param."
	mPrefix     = "exp_avg."
	vPrefix     = "exp_avg_sq."
)

func stepName(step int) string { return fmt.Sprintf("step-%06d", step) }

// floats32 announces float32 values of a tensor to a writer.
func floats32(w *checkpoint.Writer, name string, shape []int, x []float32) error {
	return w.Add(name, tensor.F32, shape, func(out io.Writer) error { return encodeFloats(out, x, tensor.F32) })
}

func encodeFloats(out io.Writer, x []float32, d tensor.DType) error {
	buf := make([]byte, 1<<16)
	for len(x) > 0 {
		n := min(len(x), len(buf)/d.Size())
		tensor.Encode32(buf, x[:n], d)
		if _, err := out.Write(buf[:n*d.Size()]); err != nil {
			return err
		}
		x = x[n:]
	}
	return nil
}

// saveState writes a checkpoint folder whole or not at all; without moments it is the best
// weights only.
func saveState(ctx context.Context, dir string, s *state, t *Trainer, moments bool, files checkpoint.FS) error {
	d, err := atomic.NewDir(dir, true)
	if err != nil {
		return err
	}
	defer d.Abort()
	w := checkpoint.NewWriter(d.Path(), checkpoint.WriterOptions{MaxShardSize: 1 << 62, Digests: true,
		BaseName: strings.TrimSuffix(stateFile, ".safetensors"), FS: files})
	for _, p := range t.Model.Trained() {
		if err := floats32(w, paramPrefix+p.Name, p.Shape, p.Data); err != nil {
			return err
		}
	}
	if moments {
		for name, x := range t.moments() {
			if err := floats32(w, name, []int{len(x)}, x); err != nil {
				return err
			}
		}
	}
	written, err := w.Write(ctx)
	if err != nil {
		return err
	}
	s.Digests = written.Digests
	data, err := orderedjson.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.Path(), manifestFile), append(data, '\n'), 0o644); err != nil {
		return err
	}
	return d.Commit()
}

// moments lists the optimizer's arenas by segment.
func (t *Trainer) moments() func(yield func(string, []float32) bool) {
	return func(yield func(string, []float32) bool) {
		params := t.Model.Trained()
		for i, s := range t.opt.segments {
			name := params[s.param].Name + "." + strconv.Itoa(i)
			if s.m != nil && !yield(mPrefix+name, s.m) || s.v != nil && !yield(vPrefix+name, s.v) {
				return
			}
		}
	}
}

// readState reads a checkpoint's manifest.
func readState(dir string) (*state, error) {
	path := filepath.Join(dir, manifestFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &state{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s.Step < 0 || s.Steps < s.Step || s.Feed.Window < 0 || s.Feed.Delivered < 0 || len(s.Recipe) == 0 {
		return nil, fmt.Errorf("%s: step %d of %d, window %d: not a checkpoint of a training", path, s.Step, s.Steps, s.Feed.Window)
	}
	return s, nil
}

// loadState fills a trainer from a checkpoint; every tensor must have the digest that the
// manifest gives. Nothing is changed unless all are right.
func loadState(dir string, s *state, t *Trainer, moments bool) error {
	f, err := checkpoint.OpenFile(filepath.Join(dir, stateFile))
	if err != nil {
		return err
	}
	defer f.Close()
	want := map[string][]float32{}
	for _, p := range t.Model.Trained() {
		want[paramPrefix+p.Name] = p.Data
	}
	if moments {
		for name, x := range t.moments() {
			want[name] = x
		}
	}
	views := map[string]tensor.View{}
	for name, x := range want {
		v, err := f.Tensor(name)
		if err != nil {
			return err
		}
		if v.DType != tensor.F32 || len(v.Data) != 4*len(x) {
			return fmt.Errorf("%s: tensor %q: %s %v, want F32 of %d elements", filepath.Join(dir, stateFile), name, v.DType, v.Shape, len(x))
		}
		sum := sha256.Sum256(v.Data)
		if got := hex.EncodeToString(sum[:]); got != s.Digests[name] {
			return fmt.Errorf("%s: tensor %q: its bytes have changed (SHA-256 %s, want %s)", filepath.Join(dir, stateFile), name, got, s.Digests[name])
		}
		views[name] = v
	}
	for name, v := range views {
		tensor.Decode32(want[name], v.Data, v.DType)
	}
	if moments {
		t.step, t.opt.t = s.Step, s.Step
		t.opt.findLive()
	}
	return nil
}

// checkpoints lists the step folders of a run, the newest first.
func checkpoints(run string) []string {
	entries, err := os.ReadDir(filepath.Join(run, checkpointsDir))
	if err != nil {
		return nil
	}
	type found struct {
		step int
		path string
	}
	var list []found
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), "step-")
		if n, err := strconv.Atoi(number); ok && err == nil && e.IsDir() {
			list = append(list, found{n, filepath.Join(run, checkpointsDir, e.Name())})
		}
	}
	slices.SortFunc(list, func(a, b found) int { return b.step - a.step })
	out := make([]string, len(list))
	for i, f := range list {
		out[i] = f.path
	}
	return out
}

// prune removes all but the newest checkpoints. The manifest goes first: what is left of a
// checkpoint if the program is killed meanwhile is none.
func prune(run string, keep int) error {
	list := checkpoints(run)
	for _, dir := range list[min(keep, len(list)):] {
		if err := os.Remove(filepath.Join(dir, manifestFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// bookkeeping are settings that do not change what is trained: a run may be resumed with others.
var bookkeeping = []string{"model", "adapter", "output_dir", "logging_steps", "save_steps", "save_minutes", "save_total_limit",
	"resume_from_checkpoint", "tensorboard", "eval_task_steps", "torch", "memory", "gradient_checkpointing", "threads", "blas", "output_dtype", "counted_rows"}

// recipe returns the settings that decide the course of a run, with a fingerprint of the
// model and the size of the data.
func (o *Options) recipe(base *checkpoint.Model, dataBytes int64) (map[string]json.RawMessage, error) {
	raw, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	r := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	for _, key := range bookkeeping {
		delete(r, key)
	}
	print, err := fingerprint(base)
	if err != nil {
		return nil, err
	}
	if r["base_model"], err = json.Marshal(print); err != nil {
		return nil, err
	}
	r["data_bytes"], err = json.Marshal(dataBytes)
	return r, err
}

// fingerprint tells models apart by their config, the shapes of their tensors and the first
// bytes of each: enough to find a mistake, and cheap.
func fingerprint(m *checkpoint.Model) (string, error) {
	h := sha256.New()
	config, err := json.Marshal(m.Config())
	if err != nil {
		return "", err
	}
	h.Write(config)
	for _, name := range m.Names() {
		v, err := m.Tensor(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %s %v ", name, v.DType, v.Shape)
		h.Write(v.Data[:min(len(v.Data), 1<<12)])
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// sameRecipe refuses a checkpoint that was made with other settings or of another model. A setting that its lep
// did not know yet counts as the default: that is how things were before there was a choice.
func sameRecipe(place string, was, now map[string]json.RawMessage) error {
	raw, err := json.Marshal(DefaultOptions())
	if err != nil {
		return err
	}
	defaults, before := object(raw), maps.Clone(was)
	for k := range now {
		if _, ok := was[k]; !ok {
			before[k] = defaults[k] // nil for what is no setting
		}
	}
	var differ []string
	for k := range before {
		if !sameSetting(before[k], now[k], defaults[k]) {
			differ = append(differ, k)
		}
	}
	if len(differ) == 0 {
		return nil
	}
	slices.Sort(differ)
	const advice = "give what the run was started with, or start anew with --force"
	if slices.Contains(differ, "base_model") {
		return hint.Errorf(advice, "%s: the checkpoint is of another model", place)
	}
	k := differ[0]
	return hint.Errorf(advice, "%s: %s is %s, the run was started with %s", place, k, compact(now[k]), compact(before[k]))
}

// sameSetting compares two values of a setting, key by key if they have keys; one that was not there counts as the
// default's.
func sameSetting(was, now, fallback json.RawMessage) bool {
	if compact(was) == compact(now) {
		return true
	}
	before, after, defaults := object(was), object(now), object(fallback)
	if before == nil || after == nil {
		return false
	}
	for k := range before {
		if _, ok := after[k]; !ok {
			return false
		}
	}
	for k, value := range after {
		old, ok := before[k]
		if !ok {
			old = defaults[k]
		}
		if !sameSetting(old, value, defaults[k]) {
			return false
		}
	}
	return true
}

// object reads a value with keys, nil if it is none.
func object(raw json.RawMessage) map[string]json.RawMessage {
	var o map[string]json.RawMessage
	if json.Unmarshal(raw, &o) != nil {
		return nil
	}
	return o
}

// compact is JSON without the blanks that an indented file has.
func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return string(raw)
	}
	return b.String()
}
