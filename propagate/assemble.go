package propagate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lep/checkpoint"
	"lep/internal/atomic"
	"lep/internal/orderedjson"
	"lep/tokenizer"
)

// output is a result folder in the making.
type output struct {
	*vocabulary
	dir         *atomic.Dir
	modelConfig *orderedjson.Object
	generation  *orderedjson.Object
	rows        int
	modules     []ModuleResult
	projections []*projection
}

// result settles vocabulary and configs of target t; nothing is written yet.
func (r *run) result(t int) (*output, error) {
	target, donor := r.in.targets[t], r.in.donor
	var v *vocabulary
	var err error
	if r.opts.reference() {
		v, err = referenceVocabulary(donor.tok, target.tok)
	} else {
		v, err = newVocabulary(donor.tok, target.tok, r.opts.KeepShared)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", target.Dir(), err)
	}
	out := &output{vocabulary: v, rows: v.tok.Size()}
	if m := r.opts.PadToMultipleOf; m > 0 {
		out.rows = (out.rows + m - 1) / m * m
	}
	if extra := donor.embed.Rows() - donor.tok.Size(); extra > 0 {
		out.note("%d rows of the donor beyond its %d tokens are padding and left out", extra, donor.tok.Size())
	}
	if f := r.opts.ChatTemplate; f != "" {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("chat_template: %w", err)
		}
		v.config.ChatTemplate = string(data)
	}
	if err := out.configs(target, r.opts.reference()); err != nil {
		return nil, fmt.Errorf("%s: %w", target.Dir(), err)
	}
	return out, nil
}

// configs makes config.json and generation_config.json from the target's: vocab_size
// and every token id in its new number, nothing else.
func (o *output) configs(target *model, reference bool) error {
	o.modelConfig = target.Config().Clone()
	if g := target.GenerationConfig(); g != nil {
		o.generation = g.Clone()
	} else {
		o.generation = orderedjson.New()
		for _, key := range []string{"bos_token_id", "eos_token_id", "pad_token_id"} {
			if raw := target.Config().Raw(key); raw != nil && string(raw) != "null" {
				if err := o.generation.Set(key, raw); err != nil {
					return err
				}
			}
		}
	}
	if err := checkpoint.SetVocabSize(o.modelConfig, o.rows); err != nil {
		return err
	}
	if reference {
		return o.referenceConfigs()
	}
	to := func(old int) (int, bool) {
		id, ok := o.shared[int32(old)]
		return int(id), ok
	}
	for _, c := range []struct {
		name string
		o    *orderedjson.Object
	}{{checkpoint.ConfigFile, o.modelConfig}, {checkpoint.GenerationConfigFile, o.generation}} {
		if err := checkpoint.RemapTokenIDs(c.o, to); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	o.note("eos %s, from the target's %s", o.names("eos_token_id"), checkpoint.GenerationConfigFile)
	return checkpoint.WriteBothSpellings(o.modelConfig)
}

// names spells the ids of a key of the generation config.
func (o *output) names(key string) string {
	var many []int32
	if ok, err := o.generation.Decode(key, &many); !ok || err != nil {
		var one int32
		if ok, err := o.generation.Decode(key, &one); !ok || err != nil {
			return "none"
		}
		many = []int32{one}
	}
	var names []string
	for _, id := range many {
		names = append(names, fmt.Sprintf("%q", o.tok.Token(id)))
	}
	return strings.Join(names, ", ")
}

// referenceConfigs writes the ids of the tokenizer's roles into both configs, one eos
// id, and do_sample, as the authors' code does.
func (o *output) referenceConfigs() error {
	for _, role := range []struct{ key, token string }{
		{"bos_token_id", o.config.BOS}, {"eos_token_id", o.config.EOS}, {"pad_token_id", o.config.PAD},
	} {
		for _, c := range []*orderedjson.Object{o.modelConfig, o.generation} {
			id, ok := o.tok.ID(role.token)
			if !ok {
				c.Delete(role.key)
			} else if err := c.Set(role.key, id); err != nil {
				return err
			}
		}
	}
	return o.generation.Set("do_sample", true)
}

// projection says how a module of target t is written.
func (o *output) projection(r *run, t, mod int, w []float64) *projection {
	target := r.in.targets[t].matrices()[mod]
	p := &projection{blas: r.blas, donor: r.in.donor.matrices()[mod], target: target, dtype: target.DType, w: w,
		reference: r.opts.reference(), tokens: o.tok.Size(), donorRows: r.in.donor.tok.Size(), rows: o.rows, fromTarget: o.fromTarget}
	p.settle()
	return p
}

// write writes the folder of target t, checks it and gives it its name.
func (r *run) write(ctx context.Context, t int, o *output, result *Result) (*TargetResult, error) {
	dir, target := o.dir.Path(), r.in.targets[t]
	written, err := r.writeWeights(ctx, t, o)
	if err != nil {
		return nil, err
	}
	notes, err := tokenizer.WriteFolder(dir, o.tok.Definition(), o.config)
	if err != nil {
		return nil, err
	}
	o.notes = append(o.notes, notes...)
	if err := r.copyNative(dir, o); err != nil {
		return nil, err
	}
	for name, c := range map[string]*orderedjson.Object{checkpoint.ConfigFile: o.modelConfig, checkpoint.GenerationConfigFile: o.generation} {
		if err := writeObject(filepath.Join(dir, name), c); err != nil {
			return nil, err
		}
	}
	if err := writeOldIDs(dir, o.oldIDs(), target.tok.Size()); err != nil {
		return nil, err
	}
	if err := copyLicences(dir, target.Dir()); err != nil {
		return nil, err
	}
	checks, err := CheckFolder(ctx, dir, CheckOptions{Against: target.Dir(), LayersMerged: r.in.adapter != nil && len(r.in.adapter.LayerPart().Modules) > 0,
		TemplateReplaced: r.opts.ChatTemplate != "", OneStop: r.opts.reference()})
	if err != nil {
		return nil, fmt.Errorf("the result cannot be opened again: %w", err)
	}
	if r.opts.Diagnose > 0 {
		if err := r.diagnose(ctx, dir, t, o); err != nil {
			return nil, err
		}
	}
	tr := &TargetResult{Target: r.opts.Targets[t].Model, Out: r.opts.Targets[t].Out, Tokens: o.tok.Size(), Rows: o.rows, Modules: o.modules,
		Special: o.special, Added: o.added, Digests: written.Digests, Checks: checks, Notes: append([]string{}, o.notes...)}
	if err := r.writeRecord(ctx, dir, t, tr, result); err != nil {
		return nil, err
	}
	if err := writeCard(dir, r, t, tr, result); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			tr.Files = append(tr.Files, e.Name())
		}
	}
	if err := o.dir.Commit(); err != nil {
		return nil, err
	}
	return tr, nil
}

// writeWeights streams the new matrices and copies all else byte for byte; with an
// adapter, its part for the layers is merged on the way.
func (r *run) writeWeights(ctx context.Context, t int, o *output) (checkpoint.Written, error) {
	target := r.in.targets[t]
	opts := checkpoint.DefaultWriterOptions()
	opts.MaxShardSize, opts.Digests = r.opts.ShardSize, true
	w := checkpoint.NewWriter(o.dir.Path(), opts)
	add := func(name string) error { return w.Copy(target, name) }
	if a := r.in.adapter; a != nil {
		merged, err := checkpoint.Merge(target.Model, a.LayerPart(), r.opts.merge())
		if err != nil {
			return checkpoint.Written{}, err
		}
		add = func(name string) error { return merged.Add(w, name) }
	}
	head, err := target.HeadName()
	if err != nil {
		return checkpoint.Written{}, err
	}
	for _, name := range target.Names() {
		mod := slices.Index([]string{target.embed.Name, head}, name)
		switch {
		case mod == 1 && target.tied:
			continue // a copy of the input matrix under the head's name
		case mod >= 0:
			p := o.projections[mod]
			p.progress = newProgress(r.opts.logger(), "projecting "+moduleNames[mod], p.rows)
			err = w.Add(name, p.dtype, []int{p.rows, p.donor.Cols()}, func(out io.Writer) error { return p.write(ctx, out) })
		default:
			err = add(name)
		}
		if err != nil {
			return checkpoint.Written{}, err
		}
	}
	return w.Write(ctx)
}

// copyNative keeps the donor's tokenizer.model while it still says the same as
// tokenizer.json, and says so if it does not.
func (r *run) copyNative(dir string, o *output) error {
	const name = "tokenizer.model"
	from := filepath.Join(r.in.donor.tokDir, name)
	if _, err := os.Stat(from); err != nil {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
		return nil
	}
	if len(o.added) > 0 {
		o.note("the donor's %s is left out: it lacks %d tokens of the result, and some programs prefer it to tokenizer.json", name, len(o.added))
		return nil
	}
	native, err := tokenizer.Open(from)
	if err != nil || !samePieces(native, o.tok) {
		o.note("the donor's %s is left out: its pieces are not those of tokenizer.json", name)
		return nil
	}
	return copyFile(filepath.Join(dir, name), from)
}

func samePieces(a, b *tokenizer.Tokenizer) bool {
	if a.Size() != b.Size() {
		return false
	}
	for id := range int32(a.Size()) {
		if a.Token(id) != b.Token(id) {
			return false
		}
	}
	return true
}

// copyLicences copies the target's licence texts, which its derivatives must carry.
func copyLicences(dir, from string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		upper := strings.ToUpper(e.Name())
		if !strings.HasPrefix(upper, "LICENSE") && !strings.HasPrefix(upper, "NOTICE") && !strings.HasPrefix(upper, "USE_POLICY") {
			continue
		}
		if !inside(from, e.Name()) {
			continue // a link out of the folder could be any file of the user
		}
		if err := copyFile(filepath.Join(dir, e.Name()), filepath.Join(from, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// inside reports whether a file of a model folder lies in it when links are followed,
// or in the blobs of the hub cache that the folder is a snapshot in.
func inside(dir, name string) bool {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	file, err := filepath.EvalSymlinks(filepath.Join(root, name))
	if err != nil {
		return false
	}
	within := func(dir string) bool {
		rel, err := filepath.Rel(dir, file)
		return err == nil && filepath.IsLocal(rel)
	}
	snapshots := filepath.Dir(root)
	return within(root) || filepath.Base(snapshots) == "snapshots" && within(filepath.Join(filepath.Dir(snapshots), "blobs"))
}

// maxCopied bounds the small files that are copied along.
const maxCopied = 64 << 20

func copyFile(to, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > maxCopied {
		return nil
	}
	data, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return atomic.WriteFile(to, data, true)
}

func writeObject(path string, o *orderedjson.Object) error {
	data, err := o.Indent()
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return atomic.WriteFile(path, data, true)
}
