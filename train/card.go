package train

import (
	"fmt"
	"math"
	"path/filepath"

	"lep/checkpoint"
	"lep/modelcard"
)

// card makes README.md of a training's result.
func (r *run) card(result *Result) *modelcard.Card {
	o := r.opts
	base := checkpoint.PublicName(o.Model)
	c := newCard(checkpoint.FolderName(o.Out), base, "finetune", r.files.Dir())
	usage := modelcard.Usage(c.Title, r.tok != nil && r.tok.Config().ChatTemplate != "")
	if o.Train == LoRA {
		c.BaseModelRelation, c.LibraryName = "adapter", "peft"
		usage = modelcard.AdapterUsage(c.Title, base)
	}
	c.Put(usage)
	c.Intro = fmt.Sprintf("`%s`, trained on %d tokens in %d steps (task %s, trained: %s, %d of %d parameters).", base, result.Tokens, result.Steps,
		o.Task, o.Train, result.Trained, r.cfg.NumParameters())
	c.Put(modelcard.Section{Title: "Training", Text: modelcard.Table([]string{"setting", ""},
		[]string{"optimizer", string(o.Optimizer)}, []string{"learning rate", fmt.Sprintf("%g, %s", o.LearningRate, o.LRSchedulerType)},
		[]string{"tokens in a row", fmt.Sprint(o.SequenceLen)}, []string{"rows a step", fmt.Sprint(o.PerDeviceBatchSize * o.GradientAccumulationSteps)},
		[]string{"weight decay", fmt.Sprint(o.WeightDecay)}, []string{"seed", fmt.Sprint(o.Seed)})})
	if before, after := result.Before, result.After; before != nil && after != nil {
		rows := [][]string{{"held-out text", "before", "after"}, {"nats a token", fmt.Sprintf("%.4f", before.Loss), fmt.Sprintf("%.4f", after.Loss)}}
		if !math.IsNaN(after.BitsPerByte) && after.BitsPerByte > 0 {
			rows = append(rows, []string{"bits a byte", fmt.Sprintf("%.4f", before.BitsPerByte), fmt.Sprintf("%.4f", after.BitsPerByte)})
		}
		c.Put(modelcard.Section{Title: modelcard.EvaluationTitle, Text: modelcard.Table(rows...)})
	}
	words := []string{"lep", "train", "--model", base, "--task", string(o.Task), "--train", string(o.Train), "--out", c.Title}
	for _, d := range o.Data {
		words = append(words, "--data", filepath.Base(d))
	}
	c.Put(modelcard.Reproduction(words, "with the settings of `recipe.yaml`. The digests of the inputs are in `lep.json`, the course of the training is in `metrics.jsonl`."))
	return c
}

// newCard is the card of a model that was made from one other, whose license and languages it takes over.
func newCard(title, base, relation, dir string) *modelcard.Card {
	c := &modelcard.Card{BaseModel: []string{base}, BaseModelRelation: relation, LibraryName: "transformers", PipelineTag: "text-generation",
		Tags: []string{"lep"}, Title: title}
	for _, note := range c.Inherit(dir) {
		c.Put(modelcard.Section{Title: "Notes", Text: note})
	}
	return c
}
