package train

import (
	"context"
	"os"
	"path/filepath"

	"lep/checkpoint"
	"lep/internal/atomic"
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
	return r, d.Commit()
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
