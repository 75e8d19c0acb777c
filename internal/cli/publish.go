package cli

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lep/checkpoint"
	"lep/eval"
	"lep/modelcard"
	"lep/propagate"
	"lep/tokenizer"
)

// publishFlags are what is to be written into the folder before it is looked at.
type publishFlags struct {
	repoID                                                      string
	license, licenseName, licenseLink, relation, title, against string
	languages, baseModels, datasets, results                    []string
	tidy, skipCheck                                             bool
}

type publishResult struct {
	Dir     string   `json:"dir"`
	Passed  bool     `json:"passed"`
	Changed []string `json:"changed"` // files that were completed or tidied
	*modelcard.Folder
	Checks  []propagate.Check `json:"checks"` // of lep check
	Command string            `json:"command"`
}

func (a *app) publishCmd() *cobra.Command {
	var p publishFlags
	cmd := &cobra.Command{
		Use:   "publish DIR",
		Short: "Check that a folder can be published, and print the command that uploads it",
		Long: `Look whether a model or adapter folder can go to the hub as it is: files whole and of sane names and sizes, valid JSON, a model card
with all that the hub asks for, no temporary files, keys or paths of this machine; and the acceptance checks of lep check. Nothing is sent
anywhere: the command that uploads it is printed. Exit status 3 if something is amiss.

Flags complete the card: --license, --language, --base-model, --dataset, and the results of lep eval (--results). --tidy writes names in place of
paths of this machine into lep.json, recipe.yaml and the like.`,
		Example: `  lep publish ./llama3-ru-instruct --repo-id me/llama3-ru-instruct --license llama3 --language ru,en --results eval/llama3-ru`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.publish(cmd.Context(), args[0], &p)
			if err != nil {
				return err
			}
			if err := a.printPublishing(r); err != nil {
				return err
			}
			if !r.Passed {
				return errCheck
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.repoID, "repo-id", "", "where it is to go: organisation/name; also names the model in the card's examples")
	f.StringVar(&p.title, "title", "", "title of the card")
	f.StringVar(&p.license, "license", "", "license, by the hub's name of it (apache-2.0, mit, llama3, other)")
	f.StringVar(&p.licenseName, "license-name", "", "its name, with --license other")
	f.StringVar(&p.licenseLink, "license-link", "", "its address, or the file in the folder")
	f.StringSliceVar(&p.languages, "language", nil, "languages: ru,en")
	f.StringSliceVar(&p.baseModels, "base-model", nil, "hub ids of the models it was made from, in place of the card's")
	f.StringVar(&p.relation, "base-model-relation", "", strings.Join(modelcard.Relations, ", "))
	f.StringSliceVar(&p.datasets, "dataset", nil, "data it was trained on, besides the card's")
	f.StringArrayVar(&p.results, "results", nil, "folder of lep eval, whose results go into the card (may be repeated)")
	f.StringVar(&p.against, "against", "", "the instruct model that it was made from, for lep check")
	f.BoolVar(&p.tidy, "tidy", false, "write names in place of paths of this machine")
	f.BoolVar(&p.skipCheck, "skip-check", false, "leave out lep check")
	return cmd
}

func (a *app) publish(ctx context.Context, dir string, p *publishFlags) (*publishResult, error) {
	if p.repoID != "" && !modelcard.IsRepoID(p.repoID) {
		return nil, usagef("--repo-id %q: want organisation/name", p.repoID)
	}
	r := &publishResult{Dir: dir, Changed: []string{}, Checks: []propagate.Check{}}
	changed, err := p.complete(dir)
	if err != nil {
		return nil, err
	}
	if changed {
		r.Changed = append(r.Changed, modelcard.File)
	}
	if checkpoint.IsAdapter(dir) && len(p.baseModels) == 1 {
		changed, err := modelcard.SetBase(dir, p.baseModels[0])
		if err != nil {
			return nil, err
		}
		if changed {
			r.Changed = append(r.Changed, checkpoint.AdapterConfigFile)
		}
	}
	if p.tidy {
		tidied, err := modelcard.Tidy(dir)
		if err != nil {
			return nil, err
		}
		r.Changed = append(r.Changed, tidied...)
	}
	if r.Folder, err = modelcard.CheckFolder(ctx, dir); err != nil {
		return nil, err
	}
	if !p.skipCheck && !checkpoint.IsAdapter(dir) {
		if r.Checks, err = a.checkFolder(ctx, dir, propagate.CheckOptions{Against: p.against}, checkAuto); err != nil {
			return nil, err
		}
	}
	r.Passed = r.Folder.Passed() && propagate.Passed(r.Checks)
	r.Command = uploadCommand(dir, p.repoID, r.Exclude)
	return r, nil
}

// complete writes what the flags say into the card.
func (p *publishFlags) complete(dir string) (bool, error) {
	c, err := modelcard.Read(dir)
	if err != nil {
		return false, err
	}
	if c == nil {
		c = &modelcard.Card{LibraryName: "transformers", PipelineTag: "text-generation", Tags: []string{"lep"}, Title: filepath.Base(filepath.Clean(dir))}
	}
	before := string(c.Bytes())
	for _, f := range []struct {
		to    *string
		value string
	}{{&c.Title, p.title}, {&c.License, p.license}, {&c.LicenseName, p.licenseName}, {&c.LicenseLink, p.licenseLink}, {&c.BaseModelRelation, p.relation}} {
		if f.value != "" {
			*f.to = f.value
		}
	}
	if p.license != "" && p.license != "other" { // what belonged to another license goes
		c.LicenseName, c.LicenseLink = p.licenseName, p.licenseLink
	}
	if len(p.languages) > 0 {
		c.Language = p.languages
	}
	if len(p.baseModels) > 0 {
		c.BaseModel = p.baseModels
	}
	for _, d := range p.datasets {
		if !slices.Contains(c.Datasets, d) {
			c.Datasets = append(c.Datasets, d)
		}
	}
	for _, path := range p.results {
		if err := addResults(c, path); err != nil {
			return false, err
		}
	}
	if p.repoID != "" {
		if err := nameModel(c, dir, p.repoID); err != nil {
			return false, err
		}
	}
	if string(c.Bytes()) == before {
		return false, nil
	}
	return true, c.WriteFile(dir)
}

// nameModel gives the model its hub id in the card's examples.
func nameModel(c *modelcard.Card, dir, repoID string) error {
	tok, err := tokenizer.ReadConfig(dir)
	if err != nil {
		return err
	}
	if checkpoint.IsAdapter(dir) {
		base := "BASE"
		if len(c.BaseModel) > 0 {
			base = c.BaseModel[0]
		}
		c.Put(modelcard.AdapterUsage(repoID, base))
		return nil
	}
	c.Put(modelcard.Usage(repoID, tok.ChatTemplate != ""))
	return nil
}

// addResults puts the scores of an evaluation into the card: into its head for the hub, and as a table.
func addResults(c *modelcard.Card, dir string) error {
	r, err := eval.ReadResult(dir)
	if err != nil {
		return err
	}
	if len(r.Scores) == 0 {
		return fmt.Errorf("%s: no task has a score", dir)
	}
	rows := [][]string{{"task", "score", "95 %", "examples", "questions"}}
	for _, task := range slices.Sorted(maps.Keys(r.Scores)) {
		s := r.Scores[task]
		rows = append(rows, []string{task, fmt.Sprintf("%.4f", s.Score), fmt.Sprintf("%.3f–%.3f", s.Low, s.High), fmt.Sprint(r.Shots[task]), fmt.Sprint(r.Samples[task].Effective)})
	}
	if r.Total != nil && r.Complete {
		rows = append(rows, []string{"total", fmt.Sprintf("%.4f", *r.Total), "", "", ""})
	}
	c.Put(modelcard.Section{Title: modelcard.EvaluationTitle, Text: modelcard.Table(rows...)})
	return c.AddEvaluations(r.Evaluations()...)
}

// uploadCommand is what uploads a folder with the hub's own tool.
func uploadCommand(dir, repoID string, exclude []string) string {
	if repoID == "" {
		repoID = "ORGANISATION/NAME"
	}
	words := []string{"hf", "upload", repoID, dir, "."}
	for _, pattern := range exclude {
		words = append(words, "--exclude", pattern)
	}
	return modelcard.ShellLine(words)
}

func (a *app) printPublishing(r *publishResult) error {
	if a.json {
		return a.printJSON(r)
	}
	if len(r.Changed) > 0 {
		a.notef("written: %s", strings.Join(r.Changed, ", "))
	}
	checks := make([]propagate.Check, 0, len(r.Findings)+len(r.Checks))
	for _, f := range r.Findings {
		checks = append(checks, propagate.Check{Name: f.Name, OK: f.OK, Detail: f.Detail})
	}
	if err := a.printChecks(append(checks, r.Checks...)); err != nil {
		return err
	}
	for _, f := range r.Findings {
		if !f.OK && f.Advice != "" {
			a.notef("hint: %s: %s", f.Name, f.Advice)
		}
	}
	if !r.Passed {
		return nil
	}
	_, err := fmt.Fprintf(a.out, "\nupload it with\n  %s\n", r.Command)
	return err
}
