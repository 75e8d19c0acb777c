package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"lep/corpus"
	"lep/internal/hint"
)

// Why a run ended early.
const (
	endedEarly       = "early stopping"
	endedStop        = "stop file"
	endedInterrupted = "interrupted"
)

// interval sums up the steps since the last line of metrics.
type interval struct {
	loss   float64 // times scored tokens
	scored int
	tokens int
	since  time.Time
}

// train is the loop over steps.
func (r *run) train(ctx context.Context) (*Result, error) {
	r.started = time.Now()
	r.lastSave = r.started
	ended, err := r.begin(ctx)
	if err != nil {
		return r.interrupted(ctx, err, nil)
	}
	asm := &assembler{opts: r.opts}
	since := interval{since: time.Now()}
	var last Step
	for r.trainer.step < r.state.Steps && ended == "" {
		before := r.feed.position()
		if err := ctx.Err(); err != nil {
			return r.interrupted(ctx, err, &before)
		}
		micro, err := asm.take(ctx, r.feed, r.rowsOf(r.trainer.step))
		if err != nil {
			return r.interrupted(ctx, err, &before)
		}
		s, err := r.trainer.Step(micro)
		if err != nil {
			return nil, r.explain(err, asm)
		}
		last = s
		r.state.Step, r.state.Feed = r.trainer.step, r.feed.position()
		r.state.Tokens += int64(asm.tokens)
		since.add(s, asm.tokens)
		if err := r.report(s, &since); err != nil {
			return nil, err
		}
		if ended, err = r.afterStep(ctx); err != nil {
			return r.interrupted(ctx, err, nil)
		}
	}
	return r.finish(ctx, last, ended)
}

// rowsOf is how many rows a step has, from 0: fewer in the last one of a run by epochs.
func (r *run) rowsOf(step int) int {
	n := r.opts.rowsPerStep()
	if r.opts.MaxSteps > 0 {
		return n
	}
	total := int(r.opts.NumEpochs*float64(r.state.RowsPerEpoch) + 0.5)
	return max(1, min(n, total-step*n))
}

func (i *interval) add(s Step, tokens int) {
	i.loss += s.Loss * float64(s.Tokens)
	i.scored += s.Tokens
	i.tokens += tokens
}

// begin scores the held-out data before the first step, or catches up with an evaluation
// that an interruption prevented.
func (r *run) begin(ctx context.Context) (ended string, err error) {
	if r.resumed > 0 {
		if err := r.metrics.write(Record{Event: "resume", Step: r.resumed, Epoch: r.epoch(), Tokens: r.state.Tokens}); err != nil {
			return "", err
		}
		if r.evaluationDue() && r.state.Evaluated != r.state.Step {
			return r.compare(ctx)
		}
		return "", nil
	}
	if r.opts.ScoreTasks != nil {
		if _, err := r.scoreTasks(ctx); err != nil {
			return "", err
		}
	}
	if r.eval == nil {
		return "", nil
	}
	s, err := r.evaluate(ctx)
	r.state.Before = &s
	return "", err
}

// evaluationDue tells whether the step that was done is followed by an evaluation; the last
// step is in any case.
func (r *run) evaluationDue() bool {
	step := r.state.Step
	return r.eval != nil && r.opts.EvalSteps > 0 && step%r.opts.EvalSteps == 0 && step < r.state.Steps
}

// report writes the metrics of a step.
func (r *run) report(s Step, since *interval) error {
	seconds := time.Since(since.since).Seconds()
	loss := since.loss / float64(since.scored)
	rec := Record{Event: "step", Step: s.Number, Epoch: r.epoch(), Tokens: r.state.Tokens, Loss: &loss, LR: &s.LR, GradNorm: &s.GradNorm,
		TokensPerSecond: float64(since.tokens) / seconds, GFLOPS: r.flops * float64(since.tokens) / seconds / 1e9}
	if r.opts.EmbeddingLR > 0 {
		rec.EmbeddingLR = &s.EmbeddingLR
	}
	if r.opts.OnStep != nil {
		r.opts.OnStep(Progress{Record: rec, Steps: r.state.Steps})
	}
	if s.Number%r.opts.LoggingSteps != 0 && s.Number != r.state.Steps {
		return nil
	}
	*since = interval{since: time.Now()}
	return r.metrics.write(rec)
}

// epoch is how much of the data was seen, in passes.
func (r *run) epoch() float64 {
	if n := r.state.RowsPerEpoch; n > 0 {
		return float64(r.state.Step*r.opts.rowsPerStep()) / float64(n)
	}
	if r.feed == nil {
		return 0
	}
	return float64(r.feed.epochs())
}

// afterStep evaluates, saves and looks at what was asked for meanwhile.
func (r *run) afterStep(ctx context.Context) (ended string, err error) {
	step := r.state.Step
	stop := r.asked(stopFile)
	if r.evaluationDue() {
		if ended, err = r.compare(ctx); err != nil {
			return "", err
		}
	}
	if r.tasksDue() {
		if _, err := r.scoreTasks(ctx); err != nil {
			return "", err
		}
	}
	if stop {
		ended = endedStop
	}
	now := time.Now()
	due := r.opts.SaveSteps > 0 && step%r.opts.SaveSteps == 0 && step < r.state.Steps ||
		r.opts.SaveMinutes > 0 && now.Sub(r.lastSave).Minutes() >= r.opts.SaveMinutes ||
		!r.saveAgain.IsZero() && now.After(r.saveAgain)
	if r.asked(saveFile) || due || stop {
		r.save(ctx)
	}
	return ended, nil
}

// retryAfter is how long a run waits before it tries a checkpoint again.
const retryAfter = time.Minute

// save writes a checkpoint. Training goes on if that cannot be done, and tries again.
func (r *run) save(ctx context.Context) {
	start := time.Now()
	r.lastSave, r.saveAgain = start, time.Time{}
	r.state.Seconds = r.before + start.Sub(r.started).Seconds()
	dir := filepath.Join(r.opts.Out, checkpointsDir, stepName(r.state.Step))
	err := saveState(context.WithoutCancel(ctx), dir, &r.state, r.trainer, true, r.saveFS)
	if err == nil {
		err = prune(r.opts.Out, r.opts.SaveTotalLimit)
	}
	rec := Record{Event: "checkpoint", Step: r.state.Step, Epoch: r.epoch(), Tokens: r.state.Tokens}
	if err != nil {
		r.saveAgain = start.Add(retryAfter)
		r.log.Warn("checkpoint not written, training goes on and tries again", "step", r.state.Step, "error", err, "hint", hint.Of(err))
		rec.Note = "not written: " + err.Error()
	} else {
		r.log.Info("checkpoint", "step", r.state.Step, "folder", dir, "seconds", time.Since(start).Seconds())
	}
	if err := r.metrics.write(rec); err != nil {
		r.log.Warn("metrics not written", "error", err)
	}
}

// evaluate scores the held-out data and notes it.
func (r *run) evaluate(ctx context.Context) (Score, error) {
	s, err := r.eval.score(ctx, r.trainer.Model, r.opts)
	if err != nil {
		return s, err
	}
	rec := Record{Event: "eval", Step: r.state.Step, Epoch: r.epoch(), Tokens: r.state.Tokens, EvalLoss: &s.Loss}
	if s.BitsPerByte > 0 {
		rec.BitsPerByte = &s.BitsPerByte
	}
	if r.opts.OnStep != nil {
		r.opts.OnStep(Progress{Record: rec, Steps: r.state.Steps})
	}
	return s, r.metrics.write(rec)
}

// compare evaluates and keeps the weights if they are the best so far.
func (r *run) compare(ctx context.Context) (ended string, err error) {
	s, err := r.evaluate(ctx)
	if err != nil {
		return "", err
	}
	r.state.Evaluated = r.state.Step
	if r.state.Best != nil && !(s.value() < r.state.Best.value()) {
		if r.state.Waited++; r.opts.EarlyStoppingPatience > 0 && r.state.Waited >= r.opts.EarlyStoppingPatience {
			return endedEarly, nil
		}
		return "", nil
	}
	r.state.Best, r.state.Waited = &Best{Step: r.state.Step, Score: s}, 0
	if !r.opts.LoadBestModelAtEnd {
		return "", nil
	}
	dir := filepath.Join(r.opts.Out, checkpointsDir, bestDir)
	best := r.state
	if err := saveState(context.WithoutCancel(ctx), dir, &best, r.trainer, false, r.saveFS); err != nil {
		r.log.Warn("the best weights are not kept", "step", r.state.Step, "error", err, "hint", hint.Of(err))
	}
	return "", nil
}

// interrupted ends a run that was told to: a checkpoint behind the last whole step. Other
// errors are returned as they are.
func (r *run) interrupted(ctx context.Context, err error, position *feedState) (*Result, error) {
	if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
		return nil, err
	}
	if position != nil {
		r.state.Feed = *position
	}
	if r.state.Step > r.resumed {
		r.save(ctx)
	}
	res := r.result(endedInterrupted)
	if werr := r.metrics.write(Record{Event: "stop", Step: r.state.Step, Epoch: r.epoch(), Tokens: r.state.Tokens, Note: endedInterrupted}); werr != nil {
		return res, errors.Join(err, werr)
	}
	return res, err
}

// explain adds to an error of a step which rows it was about and what is kept.
func (r *run) explain(err error, asm *assembler) error {
	var bad *BadLossError
	if !errors.As(err, &bad) {
		return err
	}
	rows := asm.rows
	where := "its"
	if bad.Micro >= 0 {
		rows, where = asm.micro(bad.Micro), fmt.Sprintf("micro-batch %d of its", bad.Micro+1)
	}
	kept := "there is no checkpoint yet"
	if list := checkpoints(r.opts.Out); len(list) > 0 {
		kept = "the last good checkpoint is " + list[0]
	}
	return hint.Errorf("a lower learning_rate or more warm-up keeps most trainings from this; "+kept, "%w (%s rows, from %s)", bad, where, placesOf(rows))
}

func placesOf(rows []corpus.Block) string {
	if len(rows) == 0 {
		return "nowhere"
	}
	first, last := rows[0], rows[len(rows)-1]
	if len(rows) == 1 {
		return fmt.Sprintf("%s:%d", first.Source, first.Line)
	}
	return fmt.Sprintf("%s:%d to %s:%d", first.Source, first.Line, last.Source, last.Line)
}

// finish scores the final weights, takes the best, and writes the result.
func (r *run) finish(ctx context.Context, last Step, ended string) (*Result, error) {
	res := r.result(ended)
	res.Loss = last.Loss
	if r.eval != nil {
		s, err := r.evaluate(ctx)
		if err != nil {
			return r.interrupted(ctx, err, nil)
		}
		res.After = &s
		if err := r.takeBest(res); err != nil {
			return nil, err
		}
	}
	if r.opts.ScoreTasks != nil {
		scores, err := r.scoreTasks(ctx)
		if err != nil {
			return r.interrupted(ctx, err, nil)
		}
		res.Tasks = scores
	}
	if n := r.feed.cutSamples(); n > 0 {
		r.log.Warn("samples longer than sequence_len were cut", "samples", n)
	}
	if err := r.publish(context.WithoutCancel(ctx), res); err != nil {
		return nil, err
	}
	return res, r.metrics.write(Record{Event: "stop", Step: r.state.Step, Epoch: r.epoch(), Tokens: r.state.Tokens, Note: ended})
}

// takeBest replaces the last weights by those of the best evaluation.
func (r *run) takeBest(res *Result) error {
	b := r.state.Best
	if b == nil || !r.opts.LoadBestModelAtEnd || !(b.value() < res.After.value()) {
		res.Best = &Best{Step: r.state.Step, Score: *res.After}
		return nil
	}
	dir := filepath.Join(r.opts.Out, checkpointsDir, bestDir)
	s, err := readState(dir)
	if err == nil && s.Step != b.Step {
		err = fmt.Errorf("%s: holds step %d, want %d", dir, s.Step, b.Step)
	}
	if err == nil {
		err = loadState(dir, s, r.trainer, false)
	}
	if err != nil {
		return fmt.Errorf("the best weights: %w", err)
	}
	res.Best, res.After = b, &b.Score
	return nil
}

func (r *run) result(ended string) *Result {
	seconds := r.before + time.Since(r.started).Seconds()
	return &Result{Out: r.opts.Out, Steps: r.state.Step, Epochs: r.epoch(), Tokens: r.state.Tokens, Trained: r.elements,
		Before: r.state.Before, Seconds: seconds, TokensPerSecond: float64(r.state.Tokens) / seconds, Memory: r.memory, Resumed: r.resumed, Ended: ended}
}
