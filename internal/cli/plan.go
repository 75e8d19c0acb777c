package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lep/checkpoint"
	"lep/internal/hint"
	"lep/model"
	"lep/recipe"
	"lep/train"
	"lep/train/plan"
)

// planFlags are what is planned for.
type planFlags struct {
	gpus, model, stage string
	set                []string
	vocab              int
	opts               plan.Options
}

// planned is a plan with what it is for.
type planned struct {
	Stage string `json:"stage,omitempty"` // of a recipe
	*plan.Plan
}

func (a *app) planCmd() *cobra.Command {
	p := planFlags{opts: plan.Options{Train: train.DefaultOptions()}}
	var kinds []string
	for _, g := range plan.GPUs() {
		kinds = append(kinds, g.Name)
	}
	cmd := &cobra.Command{
		Use:   "plan RECIPE|--model DIR --gpus 8xH100",
		Short: "Foretell memory, speed, hours and cost of training on GPUs",
		Long: `Foretell what a training takes on GPUs with the torch backend: memory of each by part, tokens per second, hours and cost, whether it
fits and what to change if it does not. The shape comes from a recipe's model, or from --model: a folder, a hub id in the cache, or a
config.json. Nothing is loaded and no GPU is needed. Figures are estimates; docs/on-gpus.md has the formulas and what they were held to.

GPUs: ` + strings.Join(kinds, ", ") + `. 8xH100,nodes=2 are eight on each of two machines. Exit status 3 if something does not fit.`,
		Example: `  lep plan --model meta-llama/Meta-Llama-3-8B --gpus 8xH100 --tokens 9e9 --vocab-size 149801
  lep plan --model ./llama3-extended --gpus 4090 --train lora --sequence-len 2048 --gradient-checkpointing
  lep plan llama3-8b-ru --gpus 8xA100,nodes=2`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 0) == (p.model == "") {
				return usagef("give either a recipe or --model")
			}
			var err error
			if p.opts.Cluster, err = plan.ParseCluster(p.gpus); err != nil {
				return usageError{err}
			}
			list, err := a.plans(cmd.Context(), args, &p)
			if err != nil {
				return err
			}
			return a.printPlans(list)
		},
	}
	f, t := cmd.Flags(), &p.opts.Train
	f.StringVar(&p.gpus, "gpus", "", "what to train on: 8xH100, 8xH100,nodes=2")
	f.StringVar(&p.model, "model", "", "model: folder, hub id or config.json")
	f.StringVar(&p.stage, "stage", "", "of a recipe, this stage alone")
	f.StringArrayVar(&p.set, "set", nil, "change a value of the recipe: train.max_steps=10 (may be repeated)")
	f.IntVar(&p.vocab, "vocab-size", 0, "rows of the embeddings, if other than the model's")
	f.Float64Var(&p.opts.Tokens, "tokens", 0, "tokens to train on in all: 9e9")
	f.Float64Var(&p.opts.Price, "price", 0, "dollars for a GPU and hour (0: about what clouds ask)")
	f.StringVar((*string)(&t.Train), "train", string(t.Train), "embeddings, new_rows, all or lora")
	f.IntVar(&t.SequenceLen, "sequence-len", 4096, "tokens of a row")
	f.IntVar(&t.PerDeviceBatchSize, "per-device-batch-size", 0, "rows of a pass, of all GPUs together (0: one for each)")
	f.IntVar(&t.GradientAccumulationSteps, "gradient-accumulation-steps", 1, "passes of a step")
	f.IntVar(&t.LoRAR, "lora-r", t.LoRAR, "rank of low-rank terms")
	f.StringSliceVar(&t.LoRATargetModules, "lora-target-modules", t.LoRATargetModules, "linears that get one")
	f.StringSliceVar(&t.ModulesToSave, "modules-to-save", nil, "modules trained whole beside them: embed_tokens,lm_head")
	f.StringVar((*string)(&t.Optimizer), "optimizer", string(t.Optimizer), "adamw or sgd")
	f.BoolVar(&t.GradientCheckpointing, "gradient-checkpointing", false, "compute activations twice to save memory")
	f.BoolVar(&t.Torch.Compile, "compile", false, "torch.compile of the layers")
	cobra.CheckErr(cmd.MarkFlagRequired("gpus"))
	return cmd
}

func (a *app) plans(ctx context.Context, args []string, p *planFlags) ([]planned, error) {
	if p.model != "" {
		cfg, err := readShape(p.model)
		if err != nil {
			return nil, err
		}
		if p.vocab > 0 {
			cfg.VocabSize = p.vocab
		}
		if p.opts.Train.PerDeviceBatchSize == 0 {
			p.opts.Train.PerDeviceBatchSize = p.opts.Cluster.Ranks()
		}
		one, err := plan.Foresee(cfg, p.opts)
		return []planned{{Plan: one}}, err
	}
	r, err := recipe.Load(args[0], recipe.LoadOptions{Set: p.set, Getenv: os.LookupEnv})
	if err != nil {
		return nil, err
	}
	trainings, err := recipe.Trainings(r, recipe.DefaultOptions())
	if err != nil {
		return nil, err
	}
	var list []planned
	for _, t := range trainings {
		if p.stage != "" && t.Stage != p.stage {
			continue
		}
		o := p.opts
		if o.Train = t.Options; o.Tokens == 0 {
			o.Tokens = t.Tokens
		}
		one, err := plan.Foresee(t.Config, o)
		if err != nil {
			return nil, fmt.Errorf("stage %s: %w", t.Stage, err)
		}
		list = append(list, planned{t.Stage, one})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no stage trains anything%s", args[0], map[bool]string{true: " or is called " + p.stage}[p.stage != ""])
	}
	return list, nil
}

// readShape reads a model's config, which is all that a plan needs of it.
func readShape(path string) (*model.Config, error) {
	file := path
	if filepath.Ext(path) != ".json" {
		dir, err := checkpoint.Resolve(path)
		if err != nil {
			return nil, err
		}
		file = filepath.Join(dir, checkpoint.ConfigFile)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	cfg, err := model.ParseConfig(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return cfg, nil
}

func (a *app) printPlans(list []planned) error {
	short := false
	for i, p := range list {
		short = short || !p.Fits
		if a.json {
			continue
		}
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		if err := a.printPlan(p); err != nil {
			return err
		}
	}
	if a.json {
		if err := a.printJSON(map[string]any{"plans": list, "fits": !short}); err != nil {
			return err
		}
	}
	if short {
		return hint.Wrap(errPlan, "the lines that begin with ! say what to change")
	}
	return nil
}

// errPlan ends a plan that cannot be: exit status 3, as for a check.
var errPlan = fmt.Errorf("%w: it does not fit", errCheck)

func (a *app) printPlan(p planned) error {
	if p.Stage != "" {
		fmt.Fprintf(a.out, "stage %s\n", p.Stage)
	}
	gb := func(n int64) string { return fmt.Sprintf("%.1f GB", float64(n)/1e9) }
	how := fmt.Sprintf("%d rows of %s tokens a GPU, %d passes a step", p.RowsPerGPU, thousands(int64(p.SequenceLen)), p.Passes)
	if p.Recompute {
		how += ", activations computed twice"
	}
	rows := [][]string{
		{"on", p.Cluster.String()},
		{"trained", fmt.Sprintf("%s: %s of %s parameters", p.Set, thousands(p.Trained), thousands(p.Parameters))},
		{"step", fmt.Sprintf("%s; %s tokens in %.2f s", how, thousands(int64(p.TokensPerStep)), p.StepSeconds)},
		{"memory of a GPU", fmt.Sprintf("%s of %s", gb(p.Total), gb(p.Usable))},
	}
	for _, part := range p.Memory {
		rows = append(rows, []string{"  " + part.Name, gb(part.Bytes)})
	}
	fits := "yes"
	if !p.Fits {
		fits = "NO"
	}
	rows = append(rows, []string{"fits", fits},
		[]string{"speed", fmt.Sprintf("%s tokens/s, %s a GPU, %.0f %% MFU", thousands(int64(p.TokensPerSecond)), thousands(int64(p.PerGPU)), 100*p.MFU)})
	if p.Tokens > 0 {
		rows = append(rows, []string{"time", fmt.Sprintf("%s for %s tokens", time.Duration(p.Hours*float64(time.Hour)).Round(time.Minute), thousands(int64(p.Tokens)))},
			[]string{"cost", fmt.Sprintf("$%.0f at $%.2f a GPU and hour", p.Cost, p.Price)})
	}
	for _, advice := range p.Advice {
		rows = append(rows, []string{"!", advice})
	}
	return a.table(rows)
}
