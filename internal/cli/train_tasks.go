package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"lep/checkpoint"
	"lep/eval"
	"lep/eval/darumeru"
	"lep/infer"
	"lep/model"
	"lep/tokenizer"
	"lep/train"
)

// taskFlags say on which tasks the weights in training are scored.
type taskFlags struct {
	tasks, include, data []string
	opts                 eval.Options
	noTemplate           bool
}

func (t *taskFlags) bind(f *pflag.FlagSet, o *train.Options) {
	t.opts = eval.DefaultOptions()
	f.StringSliceVar(&t.tasks, "eval-tasks", nil, "score the weights on these tasks of lep eval before, during and after the training")
	f.IntVar(&o.EvalTaskSteps, "eval-every", 0, "on --eval-tasks, every so many steps (0: before and after)")
	f.StringArrayVar(&t.data, "eval-tasks-data", nil, "folder with the tasks' data (may be repeated)")
	f.StringArrayVar(&t.include, "include-path", nil, "folder with tasks of your own, which --eval-tasks then knows by name")
	f.IntVar(&t.opts.Limit, "eval-limit", 0, "most records of each task (0: all)")
	f.IntVar(&t.opts.NumFewshot, "eval-num-fewshot", t.opts.NumFewshot, "examples in front of each question (-1: 0 with a chat template, else 5)")
	f.BoolVar(&t.noTemplate, "eval-no-chat-template", false, "ask in plain text, as base models are asked")
}

// scorer returns what scores the weights in training, nil without tasks.
func (a *app) scorer(t *taskFlags, o train.Options) (train.TaskScorer, error) {
	if len(t.tasks) == 0 {
		if o.EvalTaskSteps > 0 {
			return nil, usagef("--eval-every: there are no --eval-tasks")
		}
		return nil, nil
	}
	if err := t.opts.Validate(); err != nil {
		return nil, usageError{err}
	}
	own, err := ownTasks(t.include)
	if err != nil {
		return nil, err
	}
	tasks, err := evalTasks(t.tasks, own...)
	if err != nil {
		return nil, usageError{err}
	}
	if t.opts.Data, err = evalData(t.data); err != nil {
		return nil, err
	}
	t.opts.Seed, t.opts.Wording, t.opts.Warn = a.seed, darumeru.DefaultWording(), a.notef
	var m eval.Model
	var engine *infer.Engine
	return func(ctx context.Context, weights *model.Model) (map[string]float64, error) {
		if m == nil {
			if engine, err = a.trainingEngine(o.Model, weights); err != nil {
				return nil, err
			}
			if m, err = eval.NewNative(engine, eval.NativeOptions{Name: o.Model, NoChatTemplate: t.noTemplate}); err != nil {
				return nil, err
			}
		}
		engine.Forget() // what it computed with the weights of steps before
		r, err := eval.Run(ctx, m, tasks, t.opts)
		if err != nil {
			return nil, err
		}
		for _, task := range tasks {
			if why, failed := r.Failed[task.Name]; failed {
				return nil, fmt.Errorf("%s: %s", task.Name, why)
			}
		}
		scores := map[string]float64{}
		for name, s := range r.Scores {
			scores[name] = s.Score
		}
		maps.Copy(scores, r.Groups)
		return scores, nil
	}, nil
}

// trainingEngine runs the model in training with the tokenizer of the folder it came from.
func (a *app) trainingEngine(folder string, weights *model.Model) (*infer.Engine, error) {
	files, err := checkpoint.Open(folder)
	if err != nil {
		return nil, err
	}
	defer files.Close()
	config, err := json.Marshal(files.Config())
	if err != nil {
		return nil, err
	}
	cfg, err := model.ParseConfig(config)
	if err != nil {
		return nil, err
	}
	gen, err := infer.ReadGeneration(cfg, files)
	if err != nil {
		return nil, err
	}
	tok, err := tokenizer.Open(files.Dir())
	if err != nil {
		return nil, err
	}
	return infer.New(weights, tok, gen, a.inferOptions()), nil
}

// scoreList writes scores in the order of their names.
func scoreList(scores map[string]float64) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(scores)) {
		list = append(list, fmt.Sprintf("%s %.4f", name, scores[name]))
	}
	return strings.Join(list, ", ")
}
