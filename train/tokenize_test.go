package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lep/corpus"
	"lep/corpus/shard"
	"lep/internal/golden"
)

// numbered writes n documents with their number in front and returns them.
func numbered(t *testing.T, n int) (path string, texts []string) {
	t.Helper()
	var b bytes.Buffer
	for i := range n {
		text := fmt.Sprintf("%d. ", i) + strings.Repeat("Мороз и солнце; день чудесный!\nThe sun is out. ", 1+i%4)
		texts = append(texts, text)
		row, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(row, '\n'))
	}
	path = filepath.Join(t.TempDir(), "texts.jsonl")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, texts
}

func tokenizeOptions(t *testing.T, data, out string) Options {
	t.Helper()
	o := DefaultOptions()
	o.Model, o.Data, o.Out, o.SequenceLen = golden.Shared(t, "reference", "pocket", "pocket-base"), []string{data}, out, 64
	return o
}

// documents reads shards and returns what their documents say, sorted; parts of one document that
// went on in the next block are joined.
func documents(t *testing.T, dir string, o Options) []string {
	t.Helper()
	r, err := shard.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Verify(context.Background()); err != nil {
		t.Fatal(err)
	}
	run := newRun(&o)
	defer run.close()
	if err := run.openModel(); err != nil {
		t.Fatal(err)
	}
	var out []string
	for i := range r.Manifest().Blocks {
		b, err := r.Block(i)
		if err != nil {
			t.Fatal(err)
		}
		for k, start := range b.Starts {
			end := int32(len(b.IDs))
			if k+1 < len(b.Starts) {
				end = b.Starts[k+1]
			}
			ids := b.IDs[start:end]
			begins := b.Labels[start] != corpus.NoLabel && run.tok.Decode(ids[:1]) == "<|begin_of_text|>"
			for len(ids) > 0 && b.Labels[start] == corpus.NoLabel {
				ids, start = ids[1:], start+1 // the context that the block before ended with
			}
			text := run.tok.Decode(ids)
			if begins {
				out = append(out, text)
			} else {
				out[len(out)-1] += text
			}
		}
	}
	slices.Sort(out)
	return out
}

func TestTokenizeKeepsEveryDocument(t *testing.T) {
	path, texts := numbered(t, 40)
	var want []string
	for _, text := range texts {
		want = append(want, "<|begin_of_text|>"+text+"<|end_of_text|>")
	}
	slices.Sort(want)
	for _, parts := range []int{1, 3} {
		dir := t.TempDir()
		o := tokenizeOptions(t, path, dir)
		for part := 1; part <= parts; part++ {
			res, err := Tokenize(context.Background(), o, part, parts, nil)
			if err != nil {
				t.Fatal(err)
			}
			if missing := parts - part; len(res.Missing) != missing {
				t.Errorf("%d parts of %d are missing, want %d", len(res.Missing), parts, missing)
			}
		}
		if got := documents(t, dir, o); !slices.Equal(got, want) {
			t.Errorf("%d parts: %d documents came back as %d, or otherwise; first %q, want %q", parts, len(want), len(got), got[0], want[0])
		}
	}
}

// TestTokenizeGoesOn stops the work after each file, and wants the files of a run that was not stopped.
func TestTokenizeGoesOn(t *testing.T) {
	path, _ := numbered(t, 60)
	work := func(dir string, ctx context.Context, progress func(TokenizeProgress)) (*Tokenized, error) {
		o := tokenizeOptions(t, path, dir)
		tk := &tokenization{opts: &o, part: 1, parts: 1, chunk: 1000, filled: 0}
		return tk.do(ctx, progress)
	}
	straight, stopped := t.TempDir(), t.TempDir()
	want, err := work(straight, context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got *Tokenized
	stops := 0
	for {
		ctx, cancel := context.WithCancel(context.Background())
		got, err = work(stopped, ctx, func(TokenizeProgress) { cancel() })
		cancel()
		if err == nil {
			break
		}
		if stops++; !errors.Is(err, context.Canceled) || stops > 50 {
			t.Fatal(err)
		}
	}
	if stops < 5 || !got.Resumed {
		t.Errorf("the work was stopped %d times, resumed: %v", stops, got.Resumed)
	}
	if !slices.Equal(got.Shards, want.Shards) || got.Bytes != want.Bytes || got.Tokens != want.Tokens {
		t.Errorf("a stopped run made\n%v\nwant\n%v", got.Manifest, want.Manifest)
	}
	other := tokenizeOptions(t, path, stopped)
	other.SequenceLen = 32
	if _, err := Tokenize(context.Background(), other, 1, 1, nil); err == nil || !strings.Contains(err.Error(), "settings is") {
		t.Errorf("other settings: error is %v", err)
	}
}

// trainShort trains the base's embeddings for six steps and returns the losses.
func trainShort(t *testing.T, o Options) []float64 {
	t.Helper()
	o.Out, o.PerDeviceBatchSize, o.MaxSteps, o.LearningRate = t.TempDir(), 2, 6, 1e-3
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	records, err := ReadMetrics(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	var losses []float64
	for _, r := range records {
		if r.Event == "step" {
			losses = append(losses, *r.Loss)
		}
	}
	return losses
}

func TestShardFeedResumes(t *testing.T) {
	path, _ := numbered(t, 60)
	dir := t.TempDir()
	o := tokenizeOptions(t, path, dir)
	m, err := Tokenize(context.Background(), o, 1, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	take := func(f feed, n int) (firsts []int32) {
		for range n {
			b, err := f.next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			firsts = append(firsts, b.IDs...)
		}
		return firsts
	}
	o.Data = []string{dir}
	open := func(from *feedState) feed {
		f, err := openFeed(context.Background(), &o, nil, nil, nil, from)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.close)
		return f
	}
	epoch := int(m.Blocks)
	f := open(nil)
	first := take(f, epoch)
	if f.epochs() != 1 {
		t.Errorf("%d epochs after all blocks, want 1", f.epochs())
	}
	take(f, 3)
	at := f.position()
	want := take(f, epoch)
	if got := take(open(&at), epoch); !slices.Equal(got, want) {
		t.Error("a resumed feed gives other blocks")
	}
	if again := take(open(nil), epoch); !slices.Equal(again, first) {
		t.Error("the same seed gives another order")
	}
	o.Shuffle = false
	if slices.Equal(take(open(nil), epoch), first) {
		t.Error("blocks were not shuffled")
	}
}

func TestShardsOfAnotherModel(t *testing.T) {
	path, _ := numbered(t, 10)
	dir := t.TempDir()
	o := tokenizeOptions(t, path, dir)
	if _, err := Tokenize(context.Background(), o, 1, 1, nil); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"another tokenizer", func(o *Options) { o.Model = golden.Shared(t, "reference", "pocket", "donors", "bpe") }, "made with another tokenizer"},
		{"another block size", func(o *Options) { o.SequenceLen = 32 }, "block_size is 64, sequence_len 32"},
		{"mixed with texts", func(o *Options) { o.Data = append(o.Data, path) }, "can't be mixed with 1 more"},
		{"unfinished", func(o *Options) { os.Remove(filepath.Join(dir, shard.ManifestFile)) }, "shards.json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := o
			p.Data, p.Out = []string{dir}, t.TempDir()
			tt.change(&p)
			if _, err := Run(context.Background(), p); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}
