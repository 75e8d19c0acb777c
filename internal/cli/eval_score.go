package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lep/eval"
	"lep/eval/darumeru"
	"lep/internal/hint"
)

func (a *app) evalScoreCmd() *cobra.Command {
	var task, predictions string
	cmd := &cobra.Command{
		Use:   "score --task NAME --predictions F",
		Short: "Compute a task's metrics again from saved predictions",
		Long: `Compute a task's metrics from lines {"id", "gold", "prediction", …}: a prediction is a text, an object choice → probability, or a
list of log-probabilities. Further fields by task: subject (MMLU), type, id_task and variant (use), reference_tokens and
predicted_tokens (cp_*); they may stand in "meta" or "args". On a run's samples/TASK.jsonl the figures of its results.json come again.`,
		Example: "  lep eval score --task multiq --predictions eval/llama3-ru/samples/multiq.jsonl --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			tasks, err := evalTasks([]string{task})
			if err != nil {
				return usageError{err}
			}
			if len(tasks) != 1 {
				return usagef("--task %s: want one task", task)
			}
			list, err := eval.ReadSamples(predictions)
			if err != nil {
				return err
			}
			metrics, interval, err := eval.Grade(tasks[0], list, a.seed)
			if err != nil {
				return fmt.Errorf("%s: %w", predictions, err)
			}
			if a.json {
				return a.printJSON(map[string]any{"task": task, "results": metrics, "score": interval, "n-samples": len(list)})
			}
			rows := [][]string{{"METRIC", "VALUE", "STDERR"}}
			for _, name := range tasks[0].Metrics {
				rows = append(rows, []string{name, fmt.Sprintf("%.6f", metrics[name]), fmt.Sprintf("%.6f", metrics[name+"_stderr"])})
			}
			rows = append(rows, []string{"score", fmt.Sprintf("%.6f", interval.Score), fmt.Sprintf("%.6f", interval.Stderr)})
			return a.table(rows)
		},
	}
	f := cmd.Flags()
	f.StringVar(&task, "task", "", "the task's name, or a YAML file")
	f.StringVar(&predictions, "predictions", "", "file of predictions, one JSON object a line")
	cobra.CheckErr(cmd.MarkFlagRequired("task"))
	cobra.CheckErr(cmd.MarkFlagRequired("predictions"))
	return cmd
}

func (a *app) evalMetricCmd() *cobra.Command {
	var name, data string
	cmd := &cobra.Command{
		Use:   "metric --name NAME [--data F]",
		Short: "Compute one metric for each line of a file",
		Long: `Read lines {"prediction", "reference", "args"} and print {"value": …} for each. The metrics are
` + strings.Join(darumeru.MeasureNames(), ", ") + ".",
		Example: `  echo '{"prediction": "река Камышинка", "reference": ["Камышинка"]}' | lep eval metric --name squad_f1 --json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if !slices.Contains(darumeru.MeasureNames(), name) {
				return hint.Wrap(usagef("unknown metric %q", name), "the metrics are "+strings.Join(darumeru.MeasureNames(), ", "))
			}
			return a.readLines(data, 64, func(lines []inputLine) error {
				for _, l := range lines {
					var in struct{ Prediction, Reference, Args json.RawMessage }
					if err := json.Unmarshal(l.text, &in); err != nil {
						return l.fail(err)
					}
					if in.Prediction == nil {
						return l.fail(fmt.Errorf(`no "prediction"`))
					}
					value, err := darumeru.Measure(name, in.Prediction, orEmpty(in.Reference, "null"), orEmpty(in.Args, "{}"))
					if err != nil {
						return l.fail(err)
					}
					if err := a.printJSON(map[string]any{"value": value}); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "the metric")
	f.StringVar(&data, "data", "-", "file of lines, - for standard input")
	cobra.CheckErr(cmd.MarkFlagRequired("name"))
	return cmd
}

func orEmpty(raw json.RawMessage, otherwise string) json.RawMessage {
	if raw == nil {
		return json.RawMessage(otherwise)
	}
	return raw
}

func (a *app) evalCompareCmd() *cobra.Command {
	var show int
	var tasks []string
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Compare two runs on the same samples",
		Long: `Compare two results folders task by task on the samples that both have: the difference of the scores with its 95 % interval by
paired resampling, the share of draws in which B is ahead, and where answers are right or wrong McNemar's exact test. The samples that
differ are listed.`,
		Example: "  lep eval compare eval/llama3 eval/llama3-ru --show 5",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(tasks) == 0 {
				var err error
				if tasks, err = commonTasks(args[0], args[1]); err != nil {
					return err
				}
			}
			selected, err := evalTasks(tasks)
			if err != nil {
				return usageError{err}
			}
			var list []eval.Comparison
			for _, t := range selected {
				sides := make([][]eval.Sample, 2)
				for i, dir := range args {
					if sides[i], err = eval.ReadSamples(filepath.Join(dir, eval.SamplesDir, t.Name+".jsonl")); err != nil {
						return err
					}
				}
				c, err := eval.Compare(t, sides[0], sides[1], a.seed)
				if err != nil {
					return err
				}
				list = append(list, c)
			}
			return a.printComparisons(list, show)
		},
	}
	cmd.Flags().IntVar(&show, "show", 0, "differing samples to show of each task")
	cmd.Flags().StringSliceVar(&tasks, "tasks", nil, "tasks (default: all that both folders have)")
	return cmd
}

// commonTasks are the tasks that both folders have samples of.
func commonTasks(a, b string) ([]string, error) {
	var list []string
	for _, name := range darumeru.Names() {
		if exists(filepath.Join(a, eval.SamplesDir, name+".jsonl")) && exists(filepath.Join(b, eval.SamplesDir, name+".jsonl")) {
			list = append(list, name)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s and %s have samples of no common task", a, b)
	}
	return list, nil
}

func (a *app) printComparisons(list []eval.Comparison, show int) error {
	if a.json {
		for _, c := range list {
			if err := a.printJSON(c); err != nil {
				return err
			}
		}
		return nil
	}
	rows := [][]string{{"TASK", "N", "A", "B", "B-A", "95 %", "B AHEAD", "ONLY A", "ONLY B", "MCNEMAR"}}
	for _, c := range list {
		row := []string{c.Task, fmt.Sprint(c.Samples), fmt.Sprintf("%.4f", c.A), fmt.Sprintf("%.4f", c.B), fmt.Sprintf("%+.4f", c.Difference),
			fmt.Sprintf("%+.4f…%+.4f", c.Low, c.High), fmt.Sprintf("%.1f %%", 100*c.Ahead), "", "", ""}
		if c.McNemar != nil {
			row[7], row[8], row[9] = fmt.Sprint(c.OnlyA), fmt.Sprint(c.OnlyB), fmt.Sprintf("p = %.4f", *c.McNemar)
		}
		rows = append(rows, row)
	}
	if err := a.table(rows); err != nil {
		return err
	}
	for _, c := range list {
		for _, d := range c.Differing[:min(show, len(c.Differing))] {
			if _, err := fmt.Fprintf(a.out, "\n%s %d, gold %s\n  A %s\n  B %s\n", c.Task, d.Index, d.Gold, d.A, d.B); err != nil {
				return err
			}
		}
	}
	return nil
}
