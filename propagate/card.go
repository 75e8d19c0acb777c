package propagate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"lep/checkpoint"
	"lep/internal/atomic"
	"lep/internal/orderedjson"
	"lep/modelcard"
)

// record is lep.json: what was done to make the folder.
type record struct {
	Lep     string                       `json:"lep"`
	Command string                       `json:"command"`
	Options *Options                     `json:"options"`
	Inputs  map[string]map[string]string `json:"inputs"` // role → tensor or file → SHA-256
	Result  Result                       `json:"result"`
}

// writeRecord writes lep.json: every setting with its default filled in, digests of
// the inputs' embeddings and of every tensor of the result, and the figures.
func (r *run) writeRecord(ctx context.Context, dir string, t int, tr *TargetResult, result *Result) error {
	rec := record{Lep: r.opts.Version, Command: "propagate", Options: r.opts, Inputs: map[string]map[string]string{}, Result: *result}
	rec.Result.Targets = []TargetResult{*tr}
	for _, m := range []*model{r.in.source, r.in.donor, r.in.targets[t]} {
		names := []string{m.embed.Name}
		if !m.tied && m.Has(m.head.Name) {
			names = append(names, m.head.Name)
		}
		d, err := m.Digests(ctx, names...)
		if err != nil {
			return err
		}
		rec.Inputs[m.role] = d
	}
	data, err := orderedjson.Marshal(rec)
	if err != nil {
		return fmt.Errorf("lep.json: %w", err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		return fmt.Errorf("lep.json: %w", err)
	}
	b.WriteByte('\n')
	return atomic.WriteFile(filepath.Join(dir, "lep.json"), b.Bytes(), true)
}

// writeCard writes README.md, a model card.
func writeCard(dir string, r *run, t int, tr *TargetResult, result *Result) error {
	target, donor, source := r.in.targets[t], checkpoint.PublicName(r.opts.Donor), checkpoint.PublicName(r.opts.Source)
	c := &modelcard.Card{License: r.opts.License, BaseModel: []string{checkpoint.PublicName(tr.Target), donor}, BaseModelRelation: "merge",
		Datasets: r.opts.Datasets, LibraryName: "transformers", PipelineTag: "text-generation",
		Tags: []string{"lep", "learned-embedding-propagation", "vocabulary-adaptation"}, Title: checkpoint.FolderName(tr.Out)}
	if r.opts.Language != "" {
		c.Language = strings.Split(r.opts.Language, ",")
	}
	inputs := []string{target.Dir()}
	if _, err := os.Stat(r.opts.Donor); err == nil {
		inputs = append(inputs, r.opts.Donor) // its languages; an adapter's folder too
	}
	tr.Notes = append(tr.Notes, c.Inherit(inputs...)...)

	layers := "Layers, norms, chat template and generation settings are those of the target, unchanged."
	if r.in.adapter != nil {
		layers = "Layers are those of the target with the donor's adapter merged in; chat template and generation settings are the target's."
	}
	c.Intro = fmt.Sprintf("`%s` with the vocabulary of `%s`, made by Learned Embedding Propagation (arXiv 2412.21140) from `%s`.\n%s", c.BaseModel[0], donor, source, layers)
	c.Put(modelcard.Usage(c.Title, target.tok.Config().ChatTemplate != ""))
	c.Put(vocabularySection(target.tok.Size(), tr, result))
	c.Put(projectionSection(tr))
	c.Put(checksSection(tr))
	if len(tr.Notes) > 0 {
		var b strings.Builder
		for _, n := range tr.Notes {
			fmt.Fprintf(&b, "- %s\n", strings.ReplaceAll(n, "\n", " "))
		}
		c.Put(modelcard.Section{Title: "Notes", Text: b.String()})
	}
	words := []string{"lep", "propagate", "--source", source, "--target", c.BaseModel[0], "--donor", donor, "--method", string(r.opts.Method), "--out", c.Title}
	if r.opts.KeepShared {
		words = append(words, "--keep-shared")
	}
	if r.opts.Compat != "" {
		words = append(words, "--compat", r.opts.Compat)
	}
	c.Put(modelcard.Reproduction(words, "Every setting, the digests of the inputs and of every tensor are in `lep.json`."))
	return c.WriteFile(dir)
}

func vocabularySection(before int, tr *TargetResult, result *Result) modelcard.Section {
	text := modelcard.Table([]string{"", "tokens"}, []string{"before", fmt.Sprint(before)}, []string{"after", fmt.Sprint(tr.Tokens)},
		[]string{"in both (same bytes)", fmt.Sprint(result.Shared)}, []string{"of several old tokens", fmt.Sprint(result.Composed)})
	if len(tr.Added) > 0 {
		text += "\nTokens of the target added behind the donor's: " + modelcard.Ticked(tr.Added...) + "."
	}
	return modelcard.Section{Title: "Vocabulary", Text: text}
}

func projectionSection(tr *TargetResult) modelcard.Section {
	rows := [][]string{{"matrix", "method", "rows fitted", "rank", "relative residual", "held-out R²", "held-out cosine"}}
	for _, m := range tr.Modules {
		row := []string{m.Module, string(m.Method), fmt.Sprint(m.Rows), fmt.Sprintf("%d of %d", m.Rank, m.Dim), fmt.Sprintf("%.4f", float64(m.RelativeResidual)), "", ""}
		if m.HeldOut != nil {
			row[5], row[6] = fmt.Sprintf("%.4f", float64(m.HeldOut.R2)), fmt.Sprintf("%.4f", float64(m.HeldOut.Cosine))
		}
		rows = append(rows, row)
	}
	return modelcard.Section{Title: "Projection", Text: modelcard.Table(rows...)}
}

func checksSection(tr *TargetResult) modelcard.Section {
	rows := [][]string{{"check", "passed", "seen"}}
	for _, c := range tr.Checks {
		rows = append(rows, []string{c.Name, fmt.Sprint(c.OK), c.Detail})
	}
	return modelcard.Section{Title: "Checks", Text: modelcard.Table(rows...)}
}
