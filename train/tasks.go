package train

import (
	"context"
	"fmt"

	"lep/model"
)

// TaskScorer scores the weights in training on tasks of a benchmark and returns the scores by
// name. The model is the one that is trained, not a copy: it may be run, not changed, and not
// kept for use between calls.
type TaskScorer func(ctx context.Context, m *model.Model) (map[string]float64, error)

// tasksDue tells whether the step that was done is followed by the tasks; the last step is in any case.
func (r *run) tasksDue() bool {
	every, step := r.opts.EvalTaskSteps, r.state.Step
	return r.opts.ScoreTasks != nil && every > 0 && step%every == 0 && step < r.state.Steps
}

// scoreTasks asks the tasks and notes their scores.
func (r *run) scoreTasks(ctx context.Context) (map[string]float64, error) {
	scores, err := r.opts.ScoreTasks(ctx, r.trainer.Model)
	if err != nil {
		return nil, fmt.Errorf("tasks: %w", err)
	}
	rec := Record{Event: "tasks", Step: r.state.Step, Epoch: r.epoch(), Tokens: r.state.Tokens, Tasks: scores}
	if r.opts.OnStep != nil {
		r.opts.OnStep(Progress{Record: rec, Steps: r.state.Steps})
	}
	return scores, r.metrics.write(rec)
}
