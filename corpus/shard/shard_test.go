package shard

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lep/corpus"
)

// blocks have what pretraining, padding and tuning make.
var blocks = []corpus.Block{
	{IDs: []int32{1, 2, 3, 4}, Starts: []int32{0}},
	{IDs: []int32{5, 6, 7, 8}, Starts: []int32{0, 1, 3}, Context: 1},
	{IDs: []int32{9, 10}, Starts: []int32{0, 1}, Labels: []int32{corpus.NoLabel, 10}},
}

func write(t *testing.T, s Settings, list []corpus.Block) string {
	t.Helper()
	dir := t.TempDir()
	w, err := Create(dir, "shard", s)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for _, b := range list {
		if err := w.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := Finish(dir, nil, w.Manifest()); err != nil {
		t.Fatal(err)
	}
	return dir
}

var settings = Settings{BlockSize: 4, VocabSize: 100, HasLabels: true, HasDocuments: true, Order: Stored}

func TestBlocksComeBack(t *testing.T) {
	for _, vocab := range []int{100, 1 << 16, 1<<16 + 1} {
		s := settings
		s.VocabSize = vocab
		dir := write(t, s, blocks)
		r, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if err := r.Verify(context.Background()); err != nil {
			t.Error(err)
		}
		if m := r.Manifest(); m.Blocks != 3 || m.Tokens != 10 {
			t.Errorf("manifest has %d blocks of %d tokens, want 3 of 10", m.Blocks, m.Tokens)
		}
		for i, want := range blocks {
			got, err := r.Block(int64(i))
			if err != nil {
				t.Fatal(err)
			}
			labels := make([]int32, len(want.IDs))
			for j := range labels {
				labels[j] = label(want, j)
			}
			if !slices.Equal(got.IDs, want.IDs) || !slices.Equal(got.Labels, labels) || !slices.Equal(got.Starts, want.Starts) {
				t.Errorf("vocab_size %d: block %d is %v, want %v with labels %v", vocab, i, got, want, labels)
			}
		}
		if _, err := r.Block(3); err == nil {
			t.Error("block 3 of 3 was read")
		}
	}
}

// TestManyFiles writes more blocks than a file holds and goes on behind finished files.
func TestManyFiles(t *testing.T) {
	dir := t.TempDir()
	s := Settings{BlockSize: 4, VocabSize: 1 << 17, Order: Shuffle}
	w, err := Create(dir, "part", s)
	if err != nil {
		t.Fatal(err)
	}
	w.limit = 3
	next := int32(0)
	add := func(n int) {
		for range n {
			if err := w.Add(corpus.Block{IDs: []int32{next, next, next, next}, Starts: []int32{0}}); err != nil {
				t.Fatal(err)
			}
			next++
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	add(5)
	if w, err = Continue(dir, "part", w.Manifest()); err != nil {
		t.Fatal(err)
	}
	w.limit = 3
	add(4)
	m, err := Finish(dir, nil, w.Manifest())
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	for _, f := range m.Shards {
		sizes = append(sizes, f.Blocks)
	}
	if want := []int64{3, 2, 3, 1}; !slices.Equal(sizes, want) {
		t.Errorf("files of %v blocks, want %v", sizes, want)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range int64(9) {
		if b, err := r.Block(i); err != nil || b.IDs[0] != int32(i) {
			t.Errorf("block %d: %v, %v", i, b.IDs, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".shard-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestAddRefuses(t *testing.T) {
	plain := Settings{BlockSize: 4, VocabSize: 100, Order: Stored}
	for _, tt := range []struct {
		s    Settings
		b    corpus.Block
		want string
	}{
		{settings, corpus.Block{IDs: []int32{100}, Source: "a.txt", Line: 7}, "a.txt:7: block of 1 tokens: token 0 has id 100, vocab_size is 100"},
		{settings, corpus.Block{IDs: make([]int32, 5)}, "want 1 to 4"},
		{plain, corpus.Block{IDs: make([]int32, 3)}, "needs padding"},
		{plain, corpus.Block{IDs: make([]int32, 4), Context: 1}, "has labels"},
	} {
		w, err := Create(t.TempDir(), "shard", tt.s)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(tt.b); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error is %v, want %q", err, tt.want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	edit := func(old, new string) func(string) error {
		return func(dir string) error {
			path := filepath.Join(dir, ManifestFile)
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, []byte(strings.Replace(string(data), old, new, 1)), 0o644)
		}
	}
	for name, tt := range map[string]struct {
		change func(dir string) error
		want   string
	}{
		"not finished": {func(dir string) error { return os.Remove(filepath.Join(dir, ManifestFile)) }, "shards.json"},
		"cut file":     {func(dir string) error { return os.Truncate(filepath.Join(dir, "shard-00000.bin"), 95) }, "95 bytes, want 96 for 3 blocks"},
		"other place":  {edit("shard-00000.bin", "../shard-00000.bin"), "want a plain name"},
		"count":        {edit(`"blocks": 3,`, `"blocks": 4,`), "blocks is 4, the shards have 3"},
		"version":      {edit(`"version": 1`, `"version": 2`), "version 2, want"},
		"unknown key":  {edit(`"version"`, `"versoin"`), "versoin"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, settings, blocks)
			if err := tt.change(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}

func TestVerifyNamesTheDamagedFile(t *testing.T) {
	dir := write(t, settings, blocks)
	path := filepath.Join(dir, "shard-00000.bin")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[3] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Verify(context.Background()); err == nil || !strings.Contains(err.Error(), "shard-00000.bin: SHA-256 is ") {
		t.Errorf("error is %v", err)
	}
}

// TestPermutation holds the order against numbers computed by the formula of its comment in Python.
func TestPermutation(t *testing.T) {
	for _, tt := range []struct {
		seed, epoch uint64
		want        []int64
	}{
		{1, 0, []int64{0, 5, 2, 7, 3, 6, 1, 4}},
		{1, 1, []int64{7, 3, 6, 5, 1, 0, 2, 4}},
		{1 << 63, 7, []int64{3, 5, 0, 7, 1, 2, 4, 6}},
	} {
		if got := Permutation(8, tt.seed, tt.epoch); !slices.Equal(got, tt.want) {
			t.Errorf("Permutation(8, %d, %d) is %v, want %v", tt.seed, tt.epoch, got, tt.want)
		}
	}
}

func FuzzManifest(f *testing.F) {
	dir := f.TempDir()
	w, err := Create(dir, "shard", settings)
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range blocks {
		if err := w.Add(b); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		f.Fatal(err)
	}
	if _, err := Finish(dir, nil, w.Manifest()); err != nil {
		f.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "shard-00000.bin"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(manifest, data)
	f.Fuzz(func(t *testing.T, manifest, data []byte) {
		dir := t.TempDir()
		for name, content := range map[string][]byte{ManifestFile: manifest, "shard-00000.bin": data} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Open(dir)
		if err != nil {
			return
		}
		defer r.Close()
		for i := range r.Manifest().Blocks {
			b, err := r.Block(i)
			if err != nil {
				continue
			}
			if len(b.IDs) == 0 || len(b.IDs) > r.Manifest().BlockSize || b.Labels != nil && len(b.Labels) != len(b.IDs) || len(b.Starts) == 0 {
				t.Errorf("block %d: %v", i, b)
			}
		}
	})
}
