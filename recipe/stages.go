package recipe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"lep/calibrate"
	"lep/checkpoint"
	"lep/export"
	"lep/linalg"
	"lep/propagate"
	"lep/train"
	"lep/train/torch"
	"lep/vocab/build"
)

// work does a stage and returns what its record keeps.
func (r *Run) work(ctx context.Context, s *Stage) (any, error) {
	switch o := s.options.(type) {
	case build.Options:
		o.Threads, o.Version, o.Force = r.threads(s), r.opts.Version, true
		o.Hooks = build.Hooks{Warn: r.warn(s), Progress: func(what, unit string) (func(done, total int64), func()) {
			return r.progress(s, what, unit)
		}}
		return build.Make(ctx, o, s.Out())
	case propagate.EmbedOptions:
		return r.embed(ctx, s, o)
	case Train:
		return r.train(ctx, s, o)
	case propagate.Options:
		return r.propagateInto(ctx, s, o)
	case Calibrate:
		return r.answer(ctx, s, o)
	case export.Options:
		o.Threads, o.Force = r.threads(s), true
		return export.Run(ctx, o)
	case Eval:
		return r.evaluate(ctx, s, o)
	case Report:
		return r.report(ctx, s)
	}
	panic(fmt.Sprintf("recipe: stage %s has options of type %T", s.Name, s.options))
}

// jobs is how many stages may run at a time while this one does.
func (r *Run) jobs(s *Stage) int {
	if s.Kind == KindEval {
		return max(1, r.opts.Jobs, r.opts.EvalJobs)
	}
	return max(1, r.opts.Jobs)
}

// threads is a stage's share of them.
func (r *Run) threads(s *Stage) int { return max(1, r.opts.Threads/r.jobs(s)) }

func (r *Run) warn(s *Stage) func(format string, args ...any) {
	return func(format string, args ...any) {
		note := fmt.Sprintf(format, args...)
		// An event that cannot be written is no reason to end the stage: its record will fail too.
		_ = r.events.add(Event{Event: "note", Stage: s.Name, Note: note})
	}
}

func (r *Run) progress(s *Stage, what, unit string) (update func(done, total int64), done func()) {
	if r.opts.Progress == nil {
		return func(int64, int64) {}, func() {}
	}
	return r.opts.Progress(s.Name, what, unit)
}

func (r *Run) embed(ctx context.Context, s *Stage, o propagate.EmbedOptions) (any, error) {
	o.Force, o.Version = true, r.opts.Version
	res, err := propagate.Embed(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, n := range res.Notes {
		r.warn(s)("%s", n)
	}
	return res, failedChecks(res.Checks)
}

// failedChecks is an error that names the checks not passed, nil without any.
func failedChecks(checks []propagate.Check) error {
	var failed []string
	for _, c := range checks {
		if !c.OK {
			failed = append(failed, c.Name+" ("+c.Detail+")")
		}
	}
	if failed == nil {
		return nil
	}
	return fmt.Errorf("checks not passed: %s", strings.Join(failed, "; "))
}

func (r *Run) propagateInto(ctx context.Context, s *Stage, o propagate.Options) (any, error) {
	blas, err := linalg.Open(r.opts.BLAS, r.threads(s))
	if err != nil {
		return nil, err
	}
	o.BLAS, o.Threads, o.Version, o.Force = blas, r.threads(s), r.opts.Version, true
	res, err := propagate.Run(ctx, o)
	if err != nil {
		return nil, err
	}
	t := res.Targets[0]
	for _, n := range append(res.Notes, t.Notes...) {
		r.warn(s)("%s", n)
	}
	return res, failedChecks(t.Checks)
}

// train trains a model; an adapter is merged, so that what comes out is a model.
func (r *Run) train(ctx context.Context, s *Stage, o Train) (*train.Result, error) {
	if o.Options.Train != train.LoRA {
		return r.steps(ctx, s, o.Options)
	}
	o.Out = filepath.Join(s.dir, "adapter")
	res, err := r.steps(ctx, s, o.Options)
	if err != nil {
		return nil, err
	}
	merge := checkpoint.DefaultMergeOptions()
	merge.AlphaScale = o.AlphaScale
	_, err = train.Merge(ctx, o.Model, o.Out, s.Out(), merge, true)
	return res, err
}

// steps does the steps of a training; what an earlier attempt left is gone on with.
func (r *Run) steps(ctx context.Context, s *Stage, o train.Options) (*train.Result, error) {
	o.Threads, o.BLAS, o.Version, o.Memory = r.threads(s), r.opts.BLAS, r.opts.Version, r.opts.Memory
	o.Log = slog.New(noteHandler{warn: r.warn(s)})
	update, done := r.progress(s, "train", "steps")
	defer done()
	o.OnStep = func(p train.Progress) {
		if p.Event == "step" {
			update(int64(p.Step), int64(p.Steps))
		}
	}
	do := train.Run
	if o.Backend == train.PyTorch {
		do = torch.Run
		if o.Torch.Python == "" {
			o.Torch.Python = r.opts.Python
		}
	}
	res, err := do(ctx, o)
	if err != nil {
		return nil, err
	}
	if res.Ended == "interrupted" {
		return nil, context.Canceled
	}
	return res, nil
}

// noteHandler makes warnings of a log notes; the rest stands in the stage's own files.
type noteHandler struct {
	warn func(format string, args ...any)
}

func (noteHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (h noteHandler) Handle(_ context.Context, rec slog.Record) error {
	text := rec.Message
	rec.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	h.warn("%s", text)
	return nil
}
func (h noteHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h noteHandler) WithGroup(string) slog.Handler      { return h }

func (r *Run) answer(ctx context.Context, s *Stage, o Calibrate) (any, error) {
	o.Engine.Threads, o.Engine.BLAS, o.Key = r.threads(s), r.opts.BLAS, r.opts.Key
	if exists(o.Out) { // the answers were complete, but their record was not written
		if err := errors.Join(os.Remove(o.Out), removeIfThere(o.Rejected)); err != nil {
			return nil, err
		}
	}
	update, done := r.progress(s, "answer", "conversations")
	defer done()
	o.Progress = func(p calibrate.Progress) { update(int64(p.Done), int64(p.Total)) }
	res, err := calibrate.Run(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	return res, nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
