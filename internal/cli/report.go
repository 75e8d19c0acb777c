package cli

import (
	"bytes"

	"github.com/spf13/cobra"

	"lep/eval"
	"lep/eval/darumeru"
	"lep/internal/atomic"
	"lep/report"
)

func (a *app) reportCmd() *cobra.Command {
	opts := report.DefaultOptions()
	var out, title string
	var userTasks []string
	cmd := &cobra.Command{
		Use:   "report PATH... --out FILE",
		Short: "Make one HTML page of runs, evaluations, trainings and propagations",
		Long: `Make one HTML page of what folders hold: of lep run, lep eval, lep train and lep propagate, in any mix, or of folders of such
folders. The page needs nothing else: it opens offline, on a phone and in print.

Evaluations give the table of tasks, groups and total with intervals, the differences from a reference model on the same samples, and a
browser of the samples (run lep eval with --log-samples to see the prompts too). Trainings give curves, propagations the quality of
the fitted maps. --json prints the collected results in place of a page.`,
		Example: `  lep report eval/llama3 eval/llama3-ru --out report.html
  lep report runs/pocket donor ./llama3-ru-instruct --out report.html --reference llama3`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			opts.Tasks, opts.Seed = darumeru.Tasks(), a.seed
			for _, path := range userTasks {
				t, err := eval.ReadTask(path)
				if err != nil {
					return usageError{err}
				}
				opts.Tasks = append(opts.Tasks, t)
			}
			if out == "" && !a.json {
				return usagef("no file to write: give --out, or --json to print the results")
			}
			run, err := report.Open(cmd.Context(), paths, opts)
			if err != nil {
				return err
			}
			if title != "" {
				run.Title = title
			}
			if out != "" {
				if err := a.writeReport(out, run); err != nil {
					return err
				}
			}
			if a.json {
				return a.printJSON(run)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "HTML file to write")
	f.StringVar(&title, "title", "", "heading of the page")
	f.StringVar(&opts.Reference, "reference", "", "name of the model that others are held against (default: the original instruct model, or the first)")
	f.IntVar(&opts.SamplesPerTask, "samples", opts.SamplesPerTask, "most samples of a task in the page")
	f.StringSliceVar(&userTasks, "task-file", nil, "YAML file of a task of your own, so that its samples are graded")
	return cmd
}

// writeReport writes the page of a run.
func (a *app) writeReport(path string, run *report.Run) error {
	var b bytes.Buffer
	if err := report.Write(&b, run); err != nil {
		return err
	}
	if err := atomic.WriteFile(path, b.Bytes(), a.force); err != nil {
		return err
	}
	a.notef("written: %s", path)
	return nil
}
