package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lep/checkpoint"
	"lep/corpus"
	"lep/corpus/shard"
	"lep/internal/orderedjson"
	"lep/model"
	"lep/tensor"
)

// Job is a training whose steps another engine does. It opens and refuses what Run opens and
// refuses, hands out the rows and settings of the steps, keeps the metrics, and writes the result; so that
// the run folders of both are alike.
type Job struct {
	r    *run
	from string
}

// OpenJob prepares a run. If its folder holds the result already, it returns that and no job.
func OpenJob(ctx context.Context, opts Options) (*Job, *Result, error) {
	if err := opts.Validate(); err != nil {
		return nil, nil, err
	}
	j := &Job{r: newRun(&opts)}
	err := j.open(ctx)
	if err == nil {
		return j, nil, nil
	}
	j.Close()
	if errors.Is(err, errFinished) {
		res, err := finished(opts.Out)
		return nil, res, err
	}
	return nil, nil, err
}

func (j *Job) open(ctx context.Context) (err error) {
	r := j.r
	if j.from, err = r.openFolder(); err != nil {
		return err
	}
	if err := r.openData(ctx); err != nil {
		return err
	}
	if err := r.stand(ctx, j.from); err != nil {
		return err
	}
	r.flops = flopsPerToken(r.cfg, r.plan.trainable, r.plan.lora, r.opts.SequenceLen)
	r.elements = j.elements()
	r.started = time.Now()
	return r.openRecords()
}

// Close gives the run folder free.
func (j *Job) Close() { j.r.close() }

// Options returns the settings, with those filled in that depend on the model.
func (j *Job) Options() *Options { return j.r.opts }

// ModelDir returns the folder of the model.
func (j *Job) ModelDir() string { return j.r.files.Dir() }

// Checkpoint returns the folder to go on at, "" at the beginning.
func (j *Job) Checkpoint() string { return j.from }

// State returns lep.json of a checkpoint at this moment, and what stands there as its key recipe. The engine keeps step,
// tokens, seconds, before, best, waited and evaluated up to date in those that it writes, and leaves the rest
// alone, the recipe to the byte.
func (j *Job) State() (state, recipe json.RawMessage, err error) {
	s := j.r.state
	s.Recipe = nil
	if state, err = orderedjson.Marshal(s); err != nil {
		return nil, nil, err
	}
	recipe, err = orderedjson.Marshal(j.r.recipe)
	return state, recipe, err
}

// Steps returns the steps of the whole run.
func (j *Job) Steps() int { return j.r.state.Steps }

// Rates returns the course of the learning rates.
func (j *Job) Rates() Schedule { return j.r.opts.schedule(j.r.state.Steps) }

// FLOPsPerToken estimates the arithmetic of training on a token.
func (j *Job) FLOPsPerToken() float64 { return j.r.flops }

// LoRA returns the low-rank terms.
func (j *Job) LoRA() []model.LoRA { return j.r.plan.lora }

// Rows returns the ranges [from, to) of rows of the embeddings that are trained; nil is all.
func (j *Job) Rows() [][2]int {
	var out [][2]int
	for _, r := range j.r.plan.rows {
		out = append(out, [2]int{r.from, r.to})
	}
	return out
}

// Trained lists the trained parameters in the order of Run's: those of the model in the order of the
// forward pass, then low-rank terms.
func (j *Job) Trained() []model.Parameter {
	var out []model.Parameter
	shapes := map[string][]int{}
	for _, p := range j.r.cfg.Parameters() {
		shapes[p.Name] = p.Shape
		if j.r.plan.trainable(p.Name) {
			out = append(out, p)
		}
	}
	for _, l := range j.r.plan.lora {
		shape := shapes[l.Module+".weight"]
		out = append(out, model.Parameter{Name: l.Module + loraA, Shape: []int{l.Rank, shape[1]}},
			model.Parameter{Name: l.Module + loraB, Shape: []int{shape[0], l.Rank}})
	}
	return out
}

// elements counts what is trained.
func (j *Job) elements() int {
	rows := 0
	for _, r := range j.r.plan.rows {
		rows += r.to - r.from
	}
	n := 0
	for _, p := range j.Trained() {
		if j.r.plan.rows != nil && model.TrainEmbeddings(p.Name) {
			n += rows * p.Shape[1]
		} else {
			n += int(p.Elements())
		}
	}
	return n
}

// WriteStart writes the first values of what does not start at the model's: low-rank terms, and
// the modules of an adapter whose training goes on. It reports whether there are any.
func (j *Job) WriteStart(ctx context.Context, dir, base string) (bool, error) {
	var list []model.Param
	for _, p := range j.Trained() {
		low := strings.HasSuffix(p.Name, loraA) || strings.HasSuffix(p.Name, loraB)
		q := model.Param{Name: p.Name, Shape: p.Shape}
		if low || j.r.plan.adapter != nil {
			q.Data = make([]float32, p.Elements())
		}
		list = append(list, q)
	}
	if len(j.r.plan.lora) == 0 {
		return false, nil
	}
	if err := j.r.plan.startAdapter(list, j.r.opts.Seed); err != nil {
		return false, err
	}
	w := checkpoint.NewWriter(dir, checkpoint.WriterOptions{MaxShardSize: 1 << 62, BaseName: base})
	for _, p := range list {
		if p.Data == nil {
			continue
		}
		if err := floats32(w, p.Name, p.Shape, p.Data); err != nil {
			return false, err
		}
	}
	_, err := w.Write(ctx)
	return true, err
}

// blocksSource says in shards.json what the rows of a run were made of.
type blocksSource struct {
	Recipe     map[string]json.RawMessage `json:"recipe"`
	EpochSteps []int                      `json:"epoch_steps"`
}

// WriteBlocks writes the rows of all steps into dir, an existing folder, as shards in the order
// of the steps, unless they are there. It returns the steps by whose end one more pass over the data had ended.
func (j *Job) WriteBlocks(ctx context.Context, dir string) (epochSteps []int, err error) {
	if m, err := shard.ReadManifest(dir); err == nil {
		var have blocksSource
		if json.Unmarshal(m.Source, &have) == nil && sameRecipe(dir, have.Recipe, j.r.recipe) == nil {
			return have.EpochSteps, nil
		}
	}
	size := j.r.opts.SequenceLen
	if !j.r.opts.SamplePacking {
		size = 2
		if _, err := j.eachRow(ctx, func(b corpus.Block) error { size = max(size, len(b.IDs)); return nil }); err != nil {
			return nil, err
		}
	}
	w, err := j.blockWriter(dir, size)
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	epochSteps, err = j.eachRow(ctx, func(b corpus.Block) error {
		if !j.r.opts.DocumentMask {
			b.Starts = []int32{0}
		}
		return w.Add(b)
	})
	if err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	source, err := json.Marshal(blocksSource{Recipe: j.r.recipe, EpochSteps: epochSteps})
	if err != nil {
		return nil, err
	}
	_, err = shard.Finish(dir, source, w.Manifest())
	return epochSteps, err
}

func (j *Job) blockWriter(dir string, size int) (*shard.Writer, error) {
	digest, err := tokenizerDigest(j.r.files.Dir())
	if err != nil {
		return nil, err
	}
	return shard.Create(dir, "shard", shard.Settings{BlockSize: size, VocabSize: j.r.cfg.VocabSize, TokenizerSHA256: digest,
		HasLabels: true, HasDocuments: true, Order: shard.Stored})
}

// eachRow calls f with the rows of all steps.
func (j *Job) eachRow(ctx context.Context, f func(corpus.Block) error) (epochSteps []int, err error) {
	feed, err := openFeed(ctx, j.r.opts, j.r.enc, j.r.crew, j.r.log, nil)
	if err != nil {
		return nil, err
	}
	defer feed.close()
	for step := range j.r.state.Steps {
		for range j.r.rowsOf(step) {
			b, err := feed.next(ctx)
			if err != nil {
				return nil, err
			}
			if err := f(b); err != nil {
				return nil, err
			}
		}
		for len(epochSteps) < feed.epochs() {
			epochSteps = append(epochSteps, step+1)
		}
	}
	return epochSteps, nil
}

// WriteHeldOut writes the held-out rows as shards into dir, an existing folder. It reports whether there are any.
func (j *Job) WriteHeldOut(dir string) (bool, error) {
	if j.r.eval == nil {
		return false, nil
	}
	w, err := j.blockWriter(dir, j.r.opts.SequenceLen)
	if err != nil {
		return false, err
	}
	defer w.Abort()
	for _, b := range j.r.eval.rows {
		if err := w.Add(b); err != nil {
			return false, err
		}
	}
	w.CountBytes(int64(j.r.eval.bytes))
	if err := w.Flush(); err != nil {
		return false, err
	}
	_, err = shard.Finish(dir, nil, w.Manifest())
	return true, err
}

// Note shows a record to OnStep and, if its step is one of logging_steps, writes it into the metrics.
func (j *Job) Note(rec Record) error {
	r := j.r
	r.state.Step, r.state.Tokens = rec.Step, rec.Tokens
	switch rec.Event {
	case "step", "eval":
		if r.opts.OnStep != nil {
			r.opts.OnStep(Progress{Record: rec, Steps: r.state.Steps})
		}
	case "checkpoint":
		if rec.Note != "" {
			r.log.Warn("checkpoint, training goes on and tries again", "step", rec.Step, "note", rec.Note)
		} else {
			r.log.Info("checkpoint", "step", rec.Step)
		}
	}
	if rec.Event == "step" && rec.Step%r.opts.LoggingSteps != 0 && rec.Step != r.state.Steps {
		return nil
	}
	return r.metrics.write(rec)
}

// Outcome is what an engine came to.
type Outcome struct {
	State   json.RawMessage `json:"state"` // see Job.State
	Ended   string          `json:"ended"` // as in Result
	Epochs  float64         `json:"epochs"`
	Loss    float64         `json:"loss"`
	After   *Score          `json:"after,omitempty"`
	Best    *Best           `json:"best,omitempty"`
	Weights string          `json:"weights"` // safetensors with the trained parameters in float32; empty if interrupted
}

// Finish writes the result of an engine into the run folder, as Run does at its end.
func (j *Job) Finish(ctx context.Context, out Outcome) (*Result, error) {
	r := j.r
	if err := json.Unmarshal(out.State, &r.state); err != nil {
		return nil, fmt.Errorf("state of the engine: %w", err)
	}
	r.before, r.started = r.state.Seconds, time.Now()
	res := r.result(out.Ended)
	res.Loss, res.Epochs, res.After, res.Best = out.Loss, out.Epochs, out.After, out.Best
	stop := Record{Event: "stop", Step: r.state.Step, Epoch: res.Epochs, Tokens: r.state.Tokens, Note: out.Ended}
	if out.Weights == "" {
		return res, r.metrics.write(stop)
	}
	f, err := checkpoint.OpenFile(out.Weights)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := j.weightsOf(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(out.Weights), err)
	}
	r.trained = func() []trainedTensor { return list }
	if err := r.publish(context.WithoutCancel(ctx), res); err != nil {
		return nil, err
	}
	return res, r.metrics.write(stop)
}

// weightsOf finds the trained parameters in a file, each of its shape.
func (j *Job) weightsOf(f *checkpoint.File) ([]trainedTensor, error) {
	var list []trainedTensor
	for _, p := range j.Trained() {
		v, err := f.Tensor(p.Name)
		if err != nil {
			return nil, err
		}
		if v.DType != tensor.F32 || !slices.Equal(v.Shape, p.Shape) {
			return nil, fmt.Errorf("tensor %q: %v %v, want F32 %v", p.Name, v.DType, v.Shape, p.Shape)
		}
		list = append(list, trainedTensor{p.Name, p.Shape, v.Float32})
	}
	return list, nil
}
