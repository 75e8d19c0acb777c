package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lep/internal/pocket"
	"lep/recipe"
	"lep/report"
)

// demo is the work of one lep demo: a bundled recipe, run on the bundled models.
type demo struct {
	a     *app
	quick bool
	dir   string
}

func (a *app) demoCmd() *cobra.Command {
	d := &demo{a: a}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Try the whole method offline on the bundled models, in minutes",
		Long: `Try the whole method offline on the bundled models: vocabularies for Russian are made in four ways, a donor is trained for each, every donor is
propagated into the instruct model by every method, and one setting goes on to self-calibration and instruction tuning. All models are measured
on held-out texts and questions. It is lep run pocket (with --quick: lep run pocket-quick) in a folder of its own: the models, the figures and the
report stay there, and the same command with the same --out goes on where it was stopped.`,
		Example: "  lep demo --quick\n  lep demo --out ./lep-demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if d.dir == "" {
				temp, err := os.MkdirTemp("", "lep-demo-")
				if err != nil {
					return err
				}
				d.dir = temp
			}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&d.quick, "quick", false, "bundled donors for two vocabularies, no training, few texts: half a minute")
	cmd.Flags().StringVar(&d.dir, "out", "", "folder for the models, figures and report (default: a new temporary folder)")
	return cmd
}

func (d *demo) run(ctx context.Context) error {
	bundle := filepath.Join(d.dir, "bundle")
	if _, err := os.Stat(bundle); err != nil {
		d.a.notef("unpacking the bundled models to %s", bundle)
		if err := d.a.writeDir(bundle, func(temp string) error {
			_, err := pocket.Materialize(ctx, temp)
			return err
		}); err != nil {
			return err
		}
	}
	name := "pocket"
	if d.quick {
		name = "pocket-quick"
	}
	r, err := recipe.Load(name, recipe.LoadOptions{RunDir: filepath.Join(d.dir, name), Getenv: func(key string) (string, bool) {
		return bundle, key == pocketVariable
	}})
	if err != nil {
		return err
	}
	opts := recipe.DefaultOptions()
	d.a.prepare(&opts)
	opts.EvalJobs = opts.Threads
	res, err := d.a.doRecipe(ctx, r, opts)
	if err != nil {
		return err
	}
	if d.a.json {
		return d.a.printJSON(res)
	}
	found, err := report.Open(ctx, []string{res.Dir}, report.DefaultOptions())
	if err != nil {
		return err
	}
	return d.print(found, res)
}

// print shows the table that tells the story, and says what its columns are.
func (d *demo) print(found *report.Run, res *recipe.Result) error {
	rows := [][]string{{"vocabulary", "model", "bits/byte ru", "en", "chars/token ru", "chars/s ru", "tasks ru", "tasks en"}}
	for _, m := range byVocabulary(found.Models) {
		ru, en := m.Languages["ru"], m.Languages["en"]
		vocabulary := m.Vocabulary
		if vocabulary == "" {
			vocabulary = "old"
		}
		rows = append(rows, []string{vocabulary, modelLabel(m), decimals(ru.BitsPerByte, 3), decimals(en.BitsPerByte, 3),
			decimals(ru.CharactersPerToken, 2), decimals(ru.CharactersPerSecond, 0), percent(taskMean(m, "-ru")), percent(taskMean(m, "-en"))})
	}
	if err := d.a.table(rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(d.a.out, `
source: the base model.  target: the instruct model made from it.  donor: the base with a new Russian vocabulary, embeddings trained.
Below each donor: instruct models with its vocabulary, by the method named%s.
Fewer bits per byte are better. Tasks: right answers to simple instructions, mean of %s. %.0f s.

Report: %s
Models: %s
`, map[bool]string{false: "; tuned: then on the instruct model's own answers; instructed: then on right answers"}[d.quick],
		strings.Join(taskKinds(found), ", "), res.Seconds, res.Report, res.Dir)
	return err
}

// byVocabulary puts models with one vocabulary together, in the order in which vocabularies come.
func byVocabulary(models []report.Model) []*report.Model {
	place := map[string]int{}
	var out []*report.Model
	for i := range models {
		m := &models[i]
		if _, ok := place[m.Vocabulary]; !ok {
			place[m.Vocabulary] = len(place)
		}
		out = append(out, m)
	}
	slices.SortStableFunc(out, func(a, b *report.Model) int { return place[a.Vocabulary] - place[b.Vocabulary] })
	return out
}

// modelLabel is what tells a model apart from others with its vocabulary.
func modelLabel(m *report.Model) string {
	switch {
	case m.Step != "":
		return m.Step
	case m.Role == "result" || m.Role == "control":
		return m.Method
	}
	return strings.TrimSpace(m.Role + " " + m.Method)
}

// taskMean is the mean score of the tasks with an ending, nil without any.
func taskMean(m *report.Model, suffix string) *report.Figure {
	sum, n := 0.0, 0
	for name, f := range m.Tasks {
		if strings.HasSuffix(name, suffix) {
			sum, n = sum+float64(f.Value), n+1
		}
	}
	if n == 0 {
		return nil
	}
	return report.Plain(sum / float64(n))
}

// taskKinds lists the tasks without their languages.
func taskKinds(found *report.Run) []string {
	var out []string
	for _, t := range found.Tasks {
		if kind, ok := strings.CutSuffix(t.Name, "-ru"); ok {
			out = append(out, kind)
		}
	}
	return out
}

func decimals(f *report.Figure, n int) string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("%.*f", n, float64(f.Value))
}

func percent(f *report.Figure) string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("%.0f %%", 100*float64(f.Value))
}
