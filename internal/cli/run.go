package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"lep/linalg"
	"lep/recipe"
)

// runFlags are what the command line says beside recipe.Options.
type runFlags struct {
	load                          recipe.LoadOptions
	opts                          recipe.Options
	show                          string
	list, schema, explain, dryRun bool
	memory                        string
}

func (a *app) runCmd() *cobra.Command {
	o := runFlags{opts: recipe.DefaultOptions()}
	cmd := &cobra.Command{
		Use:   "run RECIPE",
		Short: "Run the whole method from a recipe, or go on where it was stopped",
		Long: `Run the whole method from a recipe: vocabularies, first rows, training, propagation, calibration, tuning, evaluation, export, report.
RECIPE is a YAML file or the name of a bundled one (lep run --list); docs/recipes.md tells what it may hold.

Lists in a recipe make a grid, whose common stages run once. What is done is kept in the run folder under a hash of all it follows from:
the same command again goes on where the run was stopped or killed, and does nothing when all is done. Ctrl-C finishes the
step, writes a checkpoint and exits with 130.`,
		Example: `  lep run --list
  lep run pocket --dry-run
  lep run llama3-8b-ru.yaml --set train.max_steps=100 --until train --out runs/short
  lep status runs/short`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.list:
				return a.listRecipes()
			case o.show != "":
				return a.showRecipe(o.show)
			case o.schema:
				return a.printSchema()
			case len(args) == 0:
				return usagef("no recipe: give a file, or the name of a bundled one (lep run --list)")
			}
			return a.runRecipe(cmd.Context(), args[0], &o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.load.Set, "set", nil, "change a value: train.max_steps=10 (may be repeated)")
	f.StringVar(&o.load.RunDir, "out", "", "run folder (default: the recipe's run_dir, else runs/NAME)")
	f.StringVar(&o.opts.Until, "until", "", "stop behind this stage, or kind of stage")
	f.StringVar(&o.opts.From, "from", "", "do this stage, or kind of stage, and what follows from it again")
	f.BoolVar(&o.opts.Accept, "accept", false, "take what was changed by hand as it is")
	f.BoolVar(&o.opts.Redo, "redo", false, "make anew what was changed by hand")
	f.IntVar(&o.opts.Jobs, "jobs", 1, "independent stages to run at a time, as far as memory allows")
	f.IntVar(&o.opts.EvalJobs, "eval-jobs", 0, "evaluations to run at a time, if that is more: quicker with small models (0: as --jobs)")
	f.StringVar(&o.memory, "memory", "", "memory that may be used: 12GB (default: what is free)")
	f.BoolVar(&o.dryRun, "dry-run", false, "show the stages with time, disk and memory foreseen, and do nothing")
	f.BoolVar(&o.explain, "explain", false, "print the recipe with all defaults filled in, and do nothing")
	f.BoolVar(&o.list, "list", false, "list the bundled recipes")
	f.StringVar(&o.show, "show", "", "print a bundled recipe")
	f.BoolVar(&o.schema, "schema", false, "print the JSON Schema of recipes, for editors")
	return cmd
}

func (a *app) listRecipes() error {
	list := recipe.Bundled()
	if a.json {
		return a.printJSON(list)
	}
	for _, name := range list {
		if _, err := fmt.Fprintln(a.out, name); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) showRecipe(name string) error {
	text, err := recipe.Show(name)
	if err != nil {
		return err
	}
	_, err = a.out.Write(text)
	return err
}

func (a *app) runRecipe(ctx context.Context, name string, o *runFlags) error {
	o.load.Getenv = a.recipeEnv(ctx)
	if o.memory != "" {
		n, err := parseSize(o.memory)
		if err != nil {
			return usagef("--memory: %w", err)
		}
		o.opts.Memory = n
	}
	if o.opts.Jobs < 1 || o.opts.EvalJobs < 0 {
		return usagef("--jobs is %d and --eval-jobs %d, want at least 1 and 0", o.opts.Jobs, o.opts.EvalJobs)
	}
	if o.opts.Accept && o.opts.Redo {
		return usagef("--accept and --redo exclude each other")
	}
	r, err := recipe.Load(name, o.load)
	if err != nil {
		return err
	}
	a.prepare(&o.opts)
	if o.explain {
		text, err := recipe.Explain(r)
		if err == nil {
			_, err = a.out.Write(text)
		}
		return err
	}
	if o.dryRun {
		return a.foresee(r, o)
	}
	res, err := a.doRecipe(ctx, r, o.opts)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(res)
	}
	rows := [][]string{{"stages run", fmt.Sprint(res.Ran)}, {"kept from before", fmt.Sprint(res.Kept)}, {"run folder", res.Dir}}
	if res.Report != "" {
		rows = append(rows, []string{"report", res.Report})
	}
	return a.table(rows)
}

// prepare fills in what the global flags and the environment say.
func (a *app) prepare(o *recipe.Options) {
	o.Threads, o.BLAS, o.Version, o.Key, o.Python = a.threads, a.blas, Version, os.Getenv("OPENAI_API_KEY"), os.Getenv("LEP_PYTHON")
	o.OnEvent = a.showEvent
	o.Progress = func(stage, what, unit string) (func(done, total int64), func()) {
		return a.progress(stage+": "+what, unit)
	}
}

// doRecipe runs a recipe, or goes on with it.
func (a *app) doRecipe(ctx context.Context, r *recipe.Recipe, o recipe.Options) (*recipe.Result, error) {
	run, err := recipe.Open(r, o)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	res, err := run.Run(ctx)
	if err != nil && ctx.Err() != nil {
		a.notef("stopped; the same command goes on from here")
	}
	return res, err
}

// foresee prints what a run would do and take.
func (a *app) foresee(r *recipe.Recipe, o *runFlags) error {
	b, err := linalg.Open(o.opts.BLAS, o.opts.Threads)
	if err != nil {
		return usageError{err}
	}
	o.opts.GFLOPS, _ = gflops(b)
	list, err := recipe.Foresee(r, o.opts)
	if list == nil {
		return err
	}
	if a.json {
		if printErr := a.printJSON(list); printErr != nil {
			return printErr
		}
		return err
	}
	rows := [][]string{{"stage", "", "time", "memory", "disk"}}
	var seconds float64
	var disk int64
	for _, f := range list {
		state := string(f.State)
		switch f.State {
		case recipe.Done:
			state = "is done"
		case recipe.Waiting:
			state = ""
		}
		if f.Why != "" {
			state += ": " + f.Why
		}
		seconds, disk = seconds+f.Seconds, disk+f.Disk
		rows = append(rows, []string{f.Stage, state, about(f.Seconds), sizeOr(f.Memory), sizeOr(f.Disk)})
	}
	rows = append(rows, []string{"all", "", about(seconds), "", sizeOr(disk)})
	if printErr := a.table(rows); printErr != nil {
		return printErr
	}
	a.notef("estimates; evaluation and answers are not in the time")
	return err
}

// about is a time in the precision that an estimate has.
func about(seconds float64) string {
	switch {
	case seconds <= 0:
		return ""
	case seconds < 60:
		return fmt.Sprintf("%.0f s", max(1, seconds))
	case seconds < 3600:
		return fmt.Sprintf("%.0f min", seconds/60)
	case seconds < 48*3600:
		return fmt.Sprintf("%.1f h", seconds/3600)
	}
	return fmt.Sprintf("%.0f days", seconds/86400)
}

func sizeOr(n int64) string {
	if n <= 0 {
		return ""
	}
	return byteSize(n)
}

// showEvent tells of a stage's beginning and end.
func (a *app) showEvent(e recipe.Event) {
	switch e.Event {
	case "start", "resume":
		line := fmt.Sprintf("[%d/%d] %s", e.Number, e.Count, e.Stage)
		if e.Event == "resume" {
			line += ", going on from before"
		}
		if e.Note != "" {
			line += " (" + e.Note + ")"
		}
		a.notef("%s", line)
	case "note":
		a.notef("note: %s: %s", e.Stage, strings.TrimSpace(e.Note))
	case "done":
		a.notef("      %s done, %.1f s", e.Stage, e.Seconds)
	}
}

func (a *app) printSchema() error { return a.printJSON(recipe.Schema()) }
