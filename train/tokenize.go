package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"lep/corpus"
	"lep/corpus/shard"
	"lep/internal/atomic"
	"lep/internal/orderedjson"
	"lep/tokenizer"
)

// TokenizeProgress is how far a tokenization has come.
type TokenizeProgress struct {
	Read, Total int64 // bytes on disk
	Tokens      int64
}

// Tokenized is the result of Tokenize.
type Tokenized struct {
	*shard.Manifest
	Out       string `json:"out"`
	Documents int64  `json:"documents"`         // of this part
	BadRows   int    `json:"bad_rows"`          // rows of this part that were left out
	Missing   []int  `json:"missing,omitempty"` // numbers of the parts that are not there yet
	Resumed   bool   `json:"resumed"`
}

// partPattern matches the records of parts in a folder of shards.
const partPattern = "part-*-of-*.json"

// partRecord is what a part of the work has done, written after each of its files.
type partRecord struct {
	Recipe    map[string]json.RawMessage `json:"recipe"`
	Manifest  shard.Manifest             `json:"manifest"`
	Position  *corpus.Position           `json:"position"`
	Seen      int64                      `json:"seen"`      // documents read, of all parts
	Documents int64                      `json:"documents"` // of this part
	BadRows   int                        `json:"bad_rows"`
	Done      bool                       `json:"done"`
}

// fileFilled leaves room in a file for the tokens of one more chunk of chunkBytes.
const fileFilled = 0.7

// tokenization is one part of the work.
type tokenization struct {
	opts        *Options
	part, parts int
	path        string // of the record
	rec         partRecord
	enc         *encoder
	crew        *crew
	reader      *corpus.Reader
	packer      *corpus.Packer
	w           *shard.Writer
	chunk       int     // bytes of text encoded at a time
	filled      float64 // share of a file after which it ends behind the next chunk
	err         error   // of the packer's Emit
	log         *slog.Logger
}

// Tokenize turns opts.Data into a folder of shards at opts.Out with the tokenizer in the folder opts.Model,
// packed as a training with opts would pack it (sequence_len tokens a block, 0: 1024); readers shuffle the
// blocks. Of parts processes, on as many machines as one likes, each takes the documents whose number
// leaves the rest part-1; the one that ends last writes shards.json. A process that was stopped goes on
// behind its last whole file. progress may be nil.
func Tokenize(ctx context.Context, opts Options, part, parts int, progress func(TokenizeProgress)) (*Tokenized, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if parts < 1 || parts > 9999 || part < 1 || part > parts {
		return nil, fmt.Errorf("part %d of %d, want 1/1 to 9999/9999", part, parts)
	}
	if opts.SequenceLen == 0 {
		opts.SequenceLen = 1024
	}
	t := &tokenization{opts: &opts, part: part, parts: parts, log: opts.Log, chunk: chunkBytes, filled: fileFilled}
	return t.do(ctx, progress)
}

// do is the work, by one process at a time.
func (t *tokenization) do(ctx context.Context, progress func(TokenizeProgress)) (*Tokenized, error) {
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(t.opts.Out, 0o755); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("part-%04d-of-%04d", t.part, t.parts)
	lock := flock.New(filepath.Join(t.opts.Out, "."+name+".lock"))
	if ok, err := lock.TryLock(); err != nil {
		return nil, err
	} else if !ok {
		return nil, fmt.Errorf("%s: another process is at %s", t.opts.Out, name)
	}
	defer func() {
		lock.Close()
		os.Remove(lock.Path())
	}()
	t.path = filepath.Join(t.opts.Out, name+".json")
	if err := t.open(ctx); err != nil {
		return nil, err
	}
	defer t.crew.stop()
	defer t.w.Abort()
	resumed := t.rec.Seen > 0
	if !t.rec.Done {
		if err := t.run(ctx, progress); err != nil {
			return nil, err
		}
	}
	res, err := t.finish()
	if res != nil {
		res.Resumed = resumed
	}
	return res, err
}

// open reads the tokenizer and what an earlier process has done.
func (t *tokenization) open(ctx context.Context) error {
	o := t.opts
	tok, err := tokenizer.Open(o.Model)
	if err != nil {
		return err
	}
	if t.enc, err = newEncoder(ctx, o, o.Data, tok, tok.Size(), o.SequenceLen); err != nil {
		return err
	}
	digest, err := tokenizerDigest(o.Model)
	if err != nil {
		return err
	}
	settings := shard.Settings{BlockSize: o.SequenceLen, VocabSize: tok.Size(), TokenizerSHA256: digest,
		HasLabels: t.enc.rows || o.BlockStart != corpus.Anywhere, HasDocuments: true, Order: shard.Shuffle}
	recipe, err := t.recipe(settings)
	if err != nil {
		return err
	}
	if err := t.resume(recipe); err != nil {
		return err
	}
	prefix := "shard"
	if t.parts > 1 {
		prefix = fmt.Sprintf("shard-%04d-of-%04d", t.part, t.parts)
	}
	if t.rec.Recipe == nil {
		t.rec = partRecord{Recipe: recipe}
		t.w, err = shard.Create(o.Out, prefix, settings)
	} else {
		t.w, err = shard.Continue(o.Out, prefix, t.rec.Manifest)
	}
	if err != nil {
		return err
	}
	text := o.Text
	text.RawJSON, text.Start = t.enc.rows, t.rec.Position
	if t.reader, err = corpus.Open(o.Data, text); err != nil {
		return err
	}
	t.crew = newCrew(o.threads())
	t.packer = &corpus.Packer{Size: o.SequenceLen, Start: o.BlockStart, Emit: func(b corpus.Block) {
		if t.err == nil {
			t.err = t.w.Add(b)
		}
	}}
	return nil
}

// recipe is what the parts of one folder have in common.
func (t *tokenization) recipe(s shard.Settings) (map[string]json.RawMessage, error) {
	var bytes int64
	var names []string // without folders, which differ between machines
	for _, d := range t.opts.Data {
		spec, err := corpus.ParseSpec(d)
		if err != nil {
			return nil, err
		}
		bytes += spec.Bytes
		for _, f := range spec.Files {
			names = append(names, filepath.Base(f))
		}
	}
	r := map[string]json.RawMessage{}
	for key, value := range map[string]any{"settings": s, "data": names, "data_bytes": bytes, "task": t.opts.Task, "text": t.opts.Text,
		"sample_packing": t.opts.SamplePacking, "block_start": t.opts.BlockStart, "add_bos": t.opts.AddBOS, "add_eos": t.opts.AddEOS, "parts": t.parts} {
		data, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		r[key] = data
	}
	return r, nil
}

// resume reads the record of an earlier process, and with Force removes it.
func (t *tokenization) resume(recipe map[string]json.RawMessage) error {
	rec, err := readPart(t.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	case t.opts.Force:
		if err := os.Remove(t.path); err != nil {
			return err
		}
	default:
		if err := sameRecipe(t.path, rec.Recipe, recipe); err != nil {
			return err
		}
		t.rec = *rec
		return nil
	}
	if err := os.Remove(filepath.Join(t.opts.Out, shard.ManifestFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func readPart(path string) (*partRecord, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	rec := &partRecord{}
	if err := json.Unmarshal(data, rec); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rec, nil
}

// run encodes the documents that are left.
func (t *tokenization) run(ctx context.Context, progress func(TokenizeProgress)) error {
	next, stop := iter.Pull2(t.reader.Documents(ctx))
	defer stop()
	f := &textFeed{opts: t.opts, enc: t.enc, crew: t.crew, log: t.log, bad: t.rec.BadRows}
	for ended := false; !ended; {
		docs, last, err := t.read(next)
		if err != nil {
			return err
		}
		ended = last
		if err := f.pack(ctx, t.packer, docs); err != nil {
			return err
		}
		if ended || t.w.Filled() > t.filled {
			t.packer.Flush()
		}
		if t.err != nil {
			return t.err
		}
		t.rec.BadRows = f.bad
		if ended || t.w.Filled() > t.filled {
			if err := t.save(ended); err != nil {
				return err
			}
		}
		if progress != nil {
			p := t.reader.Progress()
			progress(TokenizeProgress{Read: p.Read, Total: p.Total, Tokens: t.w.Manifest().Tokens})
		}
	}
	return nil
}

// read returns the part's next documents, some t.chunk bytes of text.
func (t *tokenization) read(next func() (corpus.Doc, error, bool)) (docs []corpus.Doc, ended bool, err error) {
	for size := 0; size < t.chunk; {
		doc, err, ok := next()
		if !ok {
			return docs, true, nil
		}
		if err != nil {
			return nil, false, err
		}
		mine := t.rec.Seen%int64(t.parts) == int64(t.part-1)
		t.rec.Seen++
		if !mine {
			continue
		}
		t.rec.Documents++
		docs = append(docs, doc)
		size += len(doc.Text)
		t.w.CountBytes(int64(len(doc.Text)))
	}
	return docs, false, nil
}

// save ends the file and notes what was done: from here a stopped process goes on.
func (t *tokenization) save(done bool) error {
	if err := t.w.Flush(); err != nil {
		return err
	}
	p := t.reader.Position()
	t.rec.Manifest, t.rec.Position, t.rec.Done = t.w.Manifest(), &p, done
	data, err := orderedjson.Marshal(t.rec)
	if err != nil {
		return err
	}
	return atomic.WriteFile(t.path, append(data, '\n'), true)
}

// finish writes shards.json if all parts are done.
func (t *tokenization) finish() (*Tokenized, error) {
	m := t.w.Manifest()
	res := &Tokenized{Manifest: &m, Out: t.opts.Out, Documents: t.rec.Documents, BadRows: t.rec.BadRows}
	var parts []shard.Manifest
	for i := range t.parts {
		path := filepath.Join(t.opts.Out, fmt.Sprintf("part-%04d-of-%04d.json", i+1, t.parts))
		rec, err := readPart(path)
		if errors.Is(err, os.ErrNotExist) || err == nil && !rec.Done {
			res.Missing = append(res.Missing, i+1)
			continue
		} else if err != nil {
			return nil, err
		}
		if err := sameRecipe(path, rec.Recipe, t.rec.Recipe); err != nil {
			return nil, err
		}
		parts = append(parts, rec.Manifest)
	}
	if len(res.Missing) > 0 {
		return res, nil
	}
	source, err := json.Marshal(t.rec.Recipe)
	if err != nil {
		return nil, err
	}
	if res.Manifest, err = shard.Finish(t.opts.Out, source, parts...); err != nil {
		return nil, err
	}
	if res.Blocks == 0 {
		return nil, fmt.Errorf("data: %s: no row to train on; %d bad rows", strings.Join(t.opts.Data, ", "), t.rec.BadRows)
	}
	return res, nil
}
