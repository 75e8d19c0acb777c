package propagate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lep/checkpoint"
	"lep/internal/atomic"
	"lep/internal/orderedjson"
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

// quote spells a string for YAML; JSON strings are YAML strings.
func quote(s string) string {
	raw, err := orderedjson.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(raw)
}

func yamlList(b *strings.Builder, key string, values []string) {
	if len(values) == 0 {
		return
	}
	fmt.Fprintf(b, "%s:\n", key)
	for _, v := range values {
		fmt.Fprintf(b, "- %s\n", quote(v))
	}
}

// licence returns the license lines of a card's head.
func licence(opts *Options, target string) []string {
	if opts.License != "" {
		return []string{"license: " + quote(opts.License)}
	}
	card := filepath.Join(target, "README.md")
	if info, err := os.Stat(card); err != nil || info.Size() > maxCopied || !inside(target, "README.md") {
		return nil
	}
	data, err := os.ReadFile(card)
	if err != nil {
		return nil
	}
	head, ok := strings.CutPrefix(string(data), "---\n")
	if !ok {
		return nil
	}
	head, _, ok = strings.Cut(head, "\n---")
	if !ok {
		return nil
	}
	var out []string
	for _, line := range strings.Split(head, "\n") {
		key, value, _ := strings.Cut(line, ":")
		if value = strings.TrimSpace(value); slices.Contains([]string{"license", "license_name", "license_link"}, key) && value != "" {
			out = append(out, line)
		}
	}
	return out
}

// writeCard writes README.md, a model card.
func writeCard(dir string, r *run, t int, tr *TargetResult, result *Result) error {
	target := r.in.targets[t]
	var b strings.Builder
	b.WriteString("---\n")
	if r.opts.Language != "" {
		yamlList(&b, "language", strings.Split(r.opts.Language, ","))
	}
	for _, line := range licence(r.opts, target.Dir()) {
		b.WriteString(line + "\n")
	}
	yamlList(&b, "base_model", []string{checkpoint.PublicName(tr.Target), checkpoint.PublicName(r.opts.Donor)})
	b.WriteString("base_model_relation: merge\n")
	yamlList(&b, "datasets", r.opts.Datasets)
	b.WriteString("library_name: transformers\npipeline_tag: text-generation\n")
	yamlList(&b, "tags", []string{"lep", "learned-embedding-propagation", "vocabulary-adaptation"})
	b.WriteString("---\n\n")

	name := filepath.Base(tr.Out)
	fmt.Fprintf(&b, "# %s\n\n", name)
	fmt.Fprintf(&b, "`%s` with the vocabulary of `%s`, made by Learned Embedding Propagation (arXiv 2412.21140) from `%s`.\n",
		checkpoint.PublicName(tr.Target), checkpoint.PublicName(r.opts.Donor), checkpoint.PublicName(r.opts.Source))
	layers := "Layers, norms, chat template and generation settings are those of the target, unchanged."
	if r.in.adapter != nil {
		layers = "Layers are those of the target with the donor's adapter merged in; chat template and generation settings are the target's."
	}
	fmt.Fprintf(&b, "%s\n\n## Vocabulary\n\n", layers)
	fmt.Fprintf(&b, "| | tokens |\n|---|---|\n| before | %d |\n| after | %d |\n| in both (same bytes) | %d |\n| of several old tokens | %d |\n\n",
		target.tok.Size(), tr.Tokens, result.Shared, result.Composed)
	if len(tr.Added) > 0 {
		fmt.Fprintf(&b, "Tokens of the target added behind the donor's: %s.\n\n", strings.Join(ticked(tr.Added), ", "))
	}
	b.WriteString("## Projection\n\n| matrix | method | rows fitted | rank | relative residual | held-out R² | held-out cosine |\n|---|---|---|---|---|---|---|\n")
	for _, m := range tr.Modules {
		r2, cos := "", ""
		if m.HeldOut != nil {
			r2, cos = fmt.Sprintf("%.4f", float64(m.HeldOut.R2)), fmt.Sprintf("%.4f", float64(m.HeldOut.Cosine))
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %d of %d | %.4f | %s | %s |\n", m.Module, m.Method, m.Rows, m.Rank, m.Dim, float64(m.RelativeResidual), r2, cos)
	}
	b.WriteString("\n## Checks\n\n| check | passed | seen |\n|---|---|---|\n")
	for _, c := range tr.Checks {
		fmt.Fprintf(&b, "| %s | %t | %s |\n", c.Name, c.OK, strings.NewReplacer("|", "\\|", "\n", " ").Replace(c.Detail))
	}
	if len(tr.Notes) > 0 {
		b.WriteString("\n## Notes\n\n")
		for _, n := range tr.Notes {
			fmt.Fprintf(&b, "- %s\n", strings.ReplaceAll(n, "\n", " "))
		}
	}
	b.WriteString("\nEvery setting, the digests of the inputs and of every tensor are in `lep.json`.\n")
	return atomic.WriteFile(filepath.Join(dir, "README.md"), []byte(b.String()), true)
}

func ticked(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = "`" + strings.ReplaceAll(n, "|", "\\|") + "`"
	}
	return out
}
