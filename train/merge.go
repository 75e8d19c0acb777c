package train

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"lep/checkpoint"
	"lep/internal/atomic"
	"lep/modelcard"
	"lep/tokenizer"
)

// MergeResult is what a merge came to.
type MergeResult struct {
	Out     string   `json:"out"`
	Changed []string `json:"changed"` // tensors
	Copied  int      `json:"copied"`  // tensors, byte for byte
	Bytes   int64    `json:"bytes"`
}

// Merge writes a model with an adapter merged into it, as a whole model folder. Tensors that the
// adapter does not touch are copied byte for byte.
func Merge(ctx context.Context, base, adapter, out string, opts checkpoint.MergeOptions, force bool) (*MergeResult, error) {
	m, err := checkpoint.Open(base)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	ad, err := checkpoint.OpenAdapter(adapter)
	if err != nil {
		return nil, err
	}
	defer ad.Close()
	merged, err := checkpoint.Merge(m, ad, opts)
	if err != nil {
		return nil, err
	}
	d, err := atomic.NewDir(out, force)
	if err != nil {
		return nil, err
	}
	defer d.Abort()
	r := &MergeResult{Out: out}
	if err := r.write(ctx, m, merged, d.Path()); err != nil {
		return nil, err
	}
	if err := r.describe(ctx, m, ad, adapter, opts, d.Path()); err != nil {
		return nil, err
	}
	return r, d.Commit()
}

// mergeRecord is lep.json of a merged model.
type mergeRecord struct {
	Lep     string                       `json:"lep"`
	Command string                       `json:"command"`
	Options checkpoint.MergeOptions      `json:"options"`
	Inputs  map[string]map[string]string `json:"inputs"` // model → file → SHA-256; adapter → fingerprint
	Result  *MergeResult                 `json:"result"`
}

// describe writes the card and lep.json.
func (r *MergeResult) describe(ctx context.Context, base *checkpoint.Model, ad *checkpoint.Adapter, adapter string, opts checkpoint.MergeOptions, dir string) error {
	from, term := checkpoint.PublicName(base.Dir()), checkpoint.PublicName(adapter)
	c := newCard(checkpoint.FolderName(r.Out), from, "finetune", base.Dir())
	tok, err := tokenizer.ReadConfig(base.Dir())
	if err != nil {
		return err
	}
	c.Intro = fmt.Sprintf("`%s` with the adapter `%s` merged into its weights: %d tensors changed, %d copied byte for byte.", from, term, len(r.Changed), r.Copied)
	c.Put(modelcard.Usage(c.Title, tok.ChatTemplate != ""))
	c.Put(modelcard.Reproduction([]string{"lep", "merge", "--model", from, "--adapter", term, "--out", c.Title},
		fmt.Sprintf("W + scale·B·A, with lora_alpha %g of rank %d divided by %g. The digests of the inputs are in `lep.json`.", ad.Config.LoraAlpha, ad.Config.R, opts.AlphaScale)))
	if err := c.WriteFile(dir); err != nil {
		return err
	}
	record := mergeRecord{Lep: opts.Version, Command: "merge", Options: opts, Inputs: map[string]map[string]string{}, Result: r}
	if record.Inputs["model"], err = base.FileDigests(ctx, "tokenizer.json"); err != nil {
		return err
	}
	terms, err := checkpoint.Resolve(adapter)
	if err != nil {
		return err
	}
	sum, err := checkpoint.Fingerprint(terms)
	if err != nil {
		return err
	}
	record.Inputs["adapter"] = map[string]string{"fingerprint": sum}
	return writeIndented(filepath.Join(dir, manifestFile), record)
}

func (r *MergeResult) write(ctx context.Context, base *checkpoint.Model, merged *checkpoint.Merged, dir string) error {
	w := checkpoint.NewWriter(dir, checkpoint.DefaultWriterOptions())
	for _, name := range merged.Names() {
		if merged.Changes(name) {
			r.Changed = append(r.Changed, name)
		} else {
			r.Copied++
		}
		if err := merged.Add(w, name); err != nil {
			return err
		}
	}
	written, err := w.Write(ctx)
	if err != nil {
		return err
	}
	r.Bytes = written.TotalSize
	if err := CopyModelFiles(base.Dir(), dir); err != nil {
		return err
	}
	config := merged.Config().Clone()
	if err := checkpoint.WriteBothSpellings(config); err != nil {
		return err
	}
	text, err := config.Indent()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, checkpoint.ConfigFile), text, 0o644); err != nil {
		return err
	}
	done, err := checkpoint.Open(dir)
	if err != nil {
		return err
	}
	defer done.Close()
	return done.CheckFinite(ctx, r.Changed...)
}
