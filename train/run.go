package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/gofrs/flock"

	"lep/checkpoint"
	"lep/corpus"
	"lep/corpus/shard"
	"lep/internal/atomic"
	"lep/internal/hint"
	"lep/linalg"
	"lep/model"
	"lep/tokenizer"
)

// Result is what a run came to.
type Result struct {
	Out     string  `json:"output_dir"`
	Steps   int     `json:"steps"`
	Epochs  float64 `json:"epochs"`
	Tokens  int64   `json:"tokens"`  // without padding
	Trained int     `json:"trained"` // elements
	Loss    float64 `json:"loss"`    // of the last step
	Before  *Score  `json:"before,omitempty"`
	After   *Score  `json:"after,omitempty"` // of the weights written
	Best    *Best   `json:"best,omitempty"`
	// Tasks are the scores of the weights written, by task.
	Tasks map[string]float64 `json:"tasks,omitempty"`

	Seconds         float64 `json:"seconds"` // of training, before a resume too
	TokensPerSecond float64 `json:"tokens_per_second"`
	Memory          Memory  `json:"memory"`
	Resumed         int     `json:"resumed_at,omitempty"`
	// Ended says why a run ended before its last step: "early stopping", "stop file" or
	// "interrupted" (then no model was written, but a checkpoint).
	Ended string `json:"ended,omitempty"`
	// Already says that the folder holds the result of the same run: nothing was done.
	Already bool `json:"already,omitempty"`
}

// Files in a run folder by which it is told what to do, and the lock.
const (
	saveFile   = "save" // writes a checkpoint
	stopFile   = "stop" // ends the run with the weights it has
	lockFile   = ".lock"
	recipeFile = "recipe.yaml"
)

// run is a training in progress.
type run struct {
	opts    *Options
	log     *slog.Logger
	lock    *flock.Flock
	files   *checkpoint.Model
	cfg     *model.Config
	tok     *tokenizer.Tokenizer // nil if there is none
	shards  *shard.Manifest      // nil if the data is texts or rows
	plan    *plan
	memory  Memory
	recipe  map[string]json.RawMessage
	blas    linalg.BLAS
	crew    *crew
	enc     *encoder    // nil for shards
	eval    *evaluation // nil without eval_data
	feed    feed
	metrics *metrics
	trainer *Trainer
	trained func() []trainedTensor
	state   state
	resumed int

	saveFS    checkpoint.FS // nil: the system's
	lastSave  time.Time
	saveAgain time.Time // after a checkpoint that could not be written
	started   time.Time
	before    float64 // seconds of training before a resume
	flops     float64 // of a token
	elements  int     // trained
	closers   []func() error
}

// Run trains as opts say. It writes checkpoints to opts.Out, from which a run with the same
// settings goes on where it ended, and at the end a model folder or adapter. When ctx is done
// it finishes the step, writes a checkpoint and returns ctx's error with the result so far.
func Run(ctx context.Context, opts Options) (*Result, error) {
	r, err := openRun(ctx, &opts)
	if errors.Is(err, errFinished) {
		return finished(opts.Out)
	} else if err != nil {
		return nil, err
	}
	defer r.close()
	return r.train(ctx)
}

func newRun(o *Options) *run {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &run{opts: o, log: log}
}

// errFinished says that the folder holds the result of the same run.
var errFinished = errors.New("the run is finished")

// openRun prepares a run.
func openRun(ctx context.Context, o *Options) (*run, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Backend != Native {
		return nil, fmt.Errorf("backend: %q does not run here: see OpenJob", o.Backend)
	}
	r := newRun(o)
	if err := r.open(ctx); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *run) open(ctx context.Context) error {
	from, err := r.openFolder()
	if err != nil {
		return err
	}
	if err := r.openData(ctx); err != nil {
		return err
	}
	return r.start(ctx, from)
}

// openFolder opens the model and the run folder, and returns the checkpoint to go on at, "" for none.
func (r *run) openFolder() (from string, err error) {
	if err := r.openModel(); err != nil {
		return "", err
	}
	if err := r.lockFolder(); err != nil {
		return "", err
	}
	if r.recipe, err = r.newRecipe(); err != nil {
		return "", err
	}
	from, done, err := r.prepareFolder()
	if done {
		err = errFinished
	}
	return from, err
}

// close ends what was opened, the last first.
func (r *run) close() {
	for i := len(r.closers) - 1; i >= 0; i-- {
		if err := r.closers[i](); err != nil {
			r.log.Warn("closing", "error", err)
		}
	}
	r.closers = nil
}

func (r *run) onClose(f func() error) { r.closers = append(r.closers, f) }

// openModel opens the model's files, reads its config and tokenizer, and plans what is trained.
func (r *run) openModel() (err error) {
	if r.files, err = checkpoint.Open(r.opts.Model); err != nil {
		return err
	}
	r.onClose(r.files.Close)
	dir := r.files.Dir()
	config, err := json.Marshal(r.files.Config())
	if err != nil {
		return err
	}
	if r.cfg, err = model.ParseConfig(config); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if err := r.checkShards(); err != nil {
		return err
	}
	if r.opts.SequenceLen == 0 {
		r.opts.SequenceLen = min(1024, r.cfg.MaxPositionEmbeddings)
	}
	if r.opts.SequenceLen > r.cfg.MaxPositionEmbeddings {
		return hint.Errorf("give a shorter sequence_len", "sequence_len is %d, the model's context %d tokens (config.json max_position_embeddings)",
			r.opts.SequenceLen, r.cfg.MaxPositionEmbeddings)
	}
	if r.tok, err = tokenizer.Open(dir); err != nil {
		for _, name := range []string{"tokenizer.json", "tokenizer.model"} {
			if _, missing := os.Stat(filepath.Join(dir, name)); missing == nil {
				return err
			}
		}
		r.tok = nil // rows of ids need none; others say so
	}
	if r.plan, err = newPlan(r.opts, r.cfg, dir); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if r.plan.adapter != nil {
		r.onClose(r.plan.adapter.Close)
	}
	if r.opts.Backend == Native {
		r.memory, err = r.plan.estimate(r.opts, r.cfg)
	}
	return err
}

// lockFolder makes the run folder and keeps other processes out of it.
func (r *run) lockFolder() error {
	if err := os.MkdirAll(r.opts.Out, 0o755); err != nil {
		return err
	}
	r.lock = flock.New(filepath.Join(r.opts.Out, lockFile))
	ok, err := r.lock.TryLock()
	if err != nil {
		return err
	}
	if !ok {
		return hint.Errorf("wait for it, or give another output_dir", "%s: another process is training into this folder", r.opts.Out)
	}
	r.onClose(r.lock.Close)
	return nil
}

func (r *run) newRecipe() (map[string]json.RawMessage, error) {
	var bytes int64
	if r.shards != nil {
		return r.opts.recipe(r.files, r.shards.Bytes)
	}
	for _, d := range r.opts.Data {
		spec, err := corpus.ParseSpec(d)
		if err != nil {
			return nil, err
		}
		bytes += spec.Bytes
	}
	return r.opts.recipe(r.files, bytes)
}

// prepareFolder looks at what the run folder holds: nothing, a run that goes on at a
// checkpoint, a finished run with the same recipe, or what must not be touched.
func (r *run) prepareFolder() (from string, done bool, err error) {
	out := r.opts.Out
	entries, err := os.ReadDir(out)
	if err != nil {
		return "", false, err
	}
	used := false
	for _, e := range entries {
		used = used || e.Name() != lockFile
	}
	_, err = os.Stat(filepath.Join(out, MetricsFile))
	isRun := err == nil
	resume := r.opts.ResumeFromCheckpoint
	if resume != "auto" && resume != "none" && resume != "" {
		return resume, false, nil
	}
	if !used {
		return "", false, nil
	}
	if r.opts.Force {
		return "", false, r.clearFolder(isRun)
	}
	if !isRun || resume != "auto" {
		return "", false, hint.Errorf("give another place, or --force to replace it", "%s: %w", out, atomic.ErrExists)
	}
	if rec, err := readRecord(out); err == nil {
		if err := sameRecipe(out, rec.Recipe, r.recipe); err != nil {
			return "", false, err
		}
		if rec.Result.Ended != endedStop {
			return "", true, nil
		}
	}
	for _, dir := range checkpoints(out) {
		s, err := readState(dir)
		if err != nil {
			r.log.Warn("checkpoint is not complete, taking the one before", "error", err)
			continue
		}
		return dir, false, sameRecipe(dir, s.Recipe, r.recipe)
	}
	return "", false, nil
}

// clearFolder removes what an earlier run left, but nothing that is not a run's or a model's.
func (r *run) clearFolder(isRun bool) error {
	out := r.opts.Out
	if !isRun {
		// The guard of outputs everywhere: only folders that look like results are replaced.
		d, err := atomic.NewDir(out, true)
		if err != nil {
			return err
		}
		d.Abort()
	}
	for _, name := range []string{checkpointsDir, MetricsFile, saveFile, stopFile} {
		if err := os.RemoveAll(filepath.Join(out, name)); err != nil {
			return err
		}
	}
	return removeResult(out)
}

// readRecord reads lep.json of a folder that a finished run left.
func readRecord(dir string) (*record, error) {
	path := filepath.Join(dir, manifestFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	rec := &record{}
	if err := json.Unmarshal(data, rec); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if rec.Command != command || rec.Result == nil {
		return nil, fmt.Errorf("%s: not of a training", path)
	}
	return rec, nil
}

func finished(dir string) (*Result, error) {
	rec, err := readRecord(dir)
	if err != nil {
		return nil, err
	}
	rec.Result.Already = true
	return rec.Result, nil
}

// openData finds out what the data is and reads the held-out part.
func (r *run) openData(ctx context.Context) (err error) {
	r.crew = newCrew(r.opts.threads())
	r.onClose(func() error { r.crew.stop(); return nil })
	if r.shards == nil {
		if r.enc, err = newEncoder(ctx, r.opts, r.opts.Data, r.tok, r.cfg.VocabSize, r.cfg.MaxPositionEmbeddings); err != nil {
			return err
		}
	}
	if len(r.opts.EvalData) == 0 {
		return nil
	}
	enc, err := newEncoder(ctx, r.opts, r.opts.EvalData, r.tok, r.cfg.VocabSize, r.cfg.MaxPositionEmbeddings)
	if err != nil {
		return fmt.Errorf("eval_data: %w", err)
	}
	r.eval, err = newEvaluation(ctx, r.opts, enc, r.crew)
	return err
}

// stand finds out where the run stands: at its beginning or at a checkpoint.
func (r *run) stand(ctx context.Context, from string) error {
	if from == "" {
		return r.planSteps(ctx)
	}
	s, err := readState(from)
	if err != nil {
		return err
	}
	if err := sameRecipe(from, s.Recipe, r.recipe); err != nil {
		return err
	}
	r.state, r.resumed, r.before = *s, s.Step, s.Seconds
	return nil
}

// start loads the model and, from a checkpoint, all that a run knows.
func (r *run) start(ctx context.Context, from string) (err error) {
	if err := r.stand(ctx, from); err != nil {
		return err
	}
	if r.blas, err = r.opts.OpenBLAS(); err != nil {
		return err
	}
	m, err := model.New(r.cfg, r.files, model.Options{BLAS: r.blas, Threads: r.opts.threads(), Trainable: r.plan.trainable,
		LoRA: r.plan.lora, Recompute: r.memory.Recompute})
	if err != nil {
		return fmt.Errorf("%s: %w", r.files.Dir(), err)
	}
	r.onClose(func() error { m.Close(); return nil })
	r.trained = func() []trainedTensor { return ownWeights(m) }
	if err := r.plan.startAdapter(m.Trained(), r.opts.Seed); err != nil {
		return err
	}
	r.trainer = newTrainer(m, r.opts, r.state.Steps, r.plan.rows)
	r.onClose(func() error { r.trainer.Close(); return nil })
	r.elements, r.flops = r.trainer.opt.elements(), r.trainer.FLOPs(r.opts.SequenceLen)
	var position *feedState
	if from != "" {
		if err := loadState(from, &r.state, r.trainer, true); err != nil {
			return err
		}
		position = &r.state.Feed
	}
	if r.feed, err = openFeed(ctx, r.opts, r.enc, r.crew, r.log, position); err != nil {
		return err
	}
	r.onClose(func() error { r.feed.close(); return nil })
	return r.openRecords()
}

// openRecords opens the metrics and writes down the settings.
func (r *run) openRecords() (err error) {
	if r.metrics, err = openMetrics(r.opts.Out, r.resumed, r.opts.TensorBoard); err != nil {
		return err
	}
	r.onClose(r.metrics.close)
	text, err := yaml.Marshal(r.opts)
	if err != nil {
		return err
	}
	return atomic.WriteFile(filepath.Join(r.opts.Out, recipeFile), text, true)
}

// planSteps counts the rows of an epoch where the length of the run depends on it.
func (r *run) planSteps(ctx context.Context) (err error) {
	r.state = state{Lep: r.opts.Version, Recipe: r.recipe, Steps: r.opts.MaxSteps, RowsPerEpoch: r.opts.CountedRows}
	if r.opts.MaxSteps > 0 {
		return nil
	}
	if r.shards != nil {
		r.state.RowsPerEpoch = int(r.shards.Blocks)
	}
	if r.state.RowsPerEpoch == 0 {
		if r.state.RowsPerEpoch, err = countRows(ctx, r.opts, r.enc, r.crew, r.log); err != nil {
			return err
		}
	}
	r.state.Steps = int(math.Ceil(r.opts.NumEpochs * float64(r.state.RowsPerEpoch) / float64(r.opts.rowsPerStep())))
	return nil
}

func (o *Options) rowsPerStep() int { return o.PerDeviceBatchSize * o.GradientAccumulationSteps }

// asked reports whether a file such as RUN/save was made, and removes it.
func (r *run) asked(name string) bool {
	err := os.Remove(filepath.Join(r.opts.Out, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Warn("cannot remove", "file", name, "error", err)
	}
	return err == nil
}
