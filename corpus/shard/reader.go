package shard

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"lep/corpus"
	"lep/internal/hint"
)

// Reader reads blocks by their number. It may be used by one goroutine at a time.
type Reader struct {
	dir   string
	m     *Manifest
	first []int64 // number of each file's first block
	files []*os.File
	buf   []byte
}

// Open opens the shards of a folder and checks the files' sizes; Verify checks their digests.
func Open(dir string) (*Reader, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	r := &Reader{dir: dir, m: m}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var blocks int64
	for _, s := range m.Shards {
		f, err := root.Open(s.Name)
		if err != nil {
			r.Close()
			return nil, err
		}
		r.files = append(r.files, f)
		r.first = append(r.first, blocks)
		blocks += s.Blocks
		info, err := f.Stat()
		if err != nil {
			r.Close()
			return nil, err
		}
		if want := m.size(s.Blocks); info.Size() != want {
			r.Close()
			return nil, fmt.Errorf("%s: %d bytes, want %d for %d blocks", filepath.Join(dir, s.Name), info.Size(), want, s.Blocks)
		}
	}
	return r, nil
}

// Manifest returns what shards.json says.
func (r *Reader) Manifest() *Manifest { return r.m }

// Close closes the files.
func (r *Reader) Close() error {
	var first error
	for _, f := range r.files {
		first = cmp.Or(first, f.Close())
	}
	r.files = nil
	return first
}

// Verify compares every file with its digest.
func (r *Reader) Verify(ctx context.Context) error {
	for i, s := range r.m.Shards {
		if err := ctx.Err(); err != nil {
			return err
		}
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(r.files[i], 0, r.m.size(s.Blocks))); err != nil {
			return err
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != s.SHA256 {
			return hint.Errorf("the file was changed or damaged on its way: copy it again, or make the shards anew",
				"%s: SHA-256 is %s, want %s (%s)", filepath.Join(r.dir, s.Name), got, s.SHA256, ManifestFile)
		}
	}
	return nil
}

// Block reads block i, from 0 in stored order. It owns its memory. The file and number stand
// in Source and Line.
func (r *Reader) Block(i int64) (corpus.Block, error) {
	if i < 0 || i >= r.m.Blocks {
		return corpus.Block{}, fmt.Errorf("%s: block %d of %d", r.dir, i, r.m.Blocks)
	}
	k := sort.Search(len(r.first), func(k int) bool { return r.first[k] > i }) - 1
	row, rows := i-r.first[k], r.m.Shards[k].Blocks
	b := corpus.Block{Source: filepath.Join(r.dir, r.m.Shards[k].Name), Line: int(row) + 1}
	err := r.read(k, row, rows, &b)
	if err != nil {
		err = fmt.Errorf("%s: block %d: %w", b.Source, row, err)
	}
	return b, err
}

func (r *Reader) read(k int, row, rows int64, b *corpus.Block) error {
	size := int64(r.m.BlockSize)
	token, labels, documents := r.m.layout()
	var start int64
	part := func(element int64) ([]byte, error) {
		n := size * element
		r.buf = slices.Grow(r.buf[:0], int(n))[:n]
		_, err := r.files[k].ReadAt(r.buf, start+row*n)
		start += rows * n
		return r.buf, err
	}
	data, err := part(token)
	if err != nil {
		return err
	}
	b.IDs = make([]int32, size)
	for i := range b.IDs {
		if token == 2 {
			b.IDs[i] = int32(binary.LittleEndian.Uint16(data[2*i:]))
		} else {
			b.IDs[i] = int32(binary.LittleEndian.Uint32(data[4*i:]))
		}
		if b.IDs[i] < 0 || int(b.IDs[i]) >= r.m.VocabSize {
			return fmt.Errorf("token %d has id %d, vocab_size is %d", i, uint32(b.IDs[i]), r.m.VocabSize)
		}
	}
	if labels > 0 {
		if data, err = part(labels); err != nil {
			return err
		}
		b.Labels = make([]int32, size)
		for i := range b.Labels {
			l := int32(binary.LittleEndian.Uint32(data[4*i:]))
			if l != corpus.NoLabel && (l < 0 || int(l) >= r.m.VocabSize) {
				return fmt.Errorf("token %d has label %d, vocab_size is %d", i, l, r.m.VocabSize)
			}
			b.Labels[i] = l
		}
	}
	if documents == 0 {
		b.Starts = []int32{0}
		return nil
	}
	if data, err = part(documents); err != nil {
		return err
	}
	return divide(b, data)
}

// divide finds the documents of a block in their numbers, and cuts the padding off.
func divide(b *corpus.Block, numbers []byte) error {
	last, used := -1, len(b.IDs)
	for i := range b.IDs {
		d := int(binary.LittleEndian.Uint16(numbers[2*i:]))
		switch {
		case d == padding:
			used = min(used, i)
		case used < i || d != last && d != last+1:
			return fmt.Errorf("token %d is of document %d, behind one of %d", i, d, last)
		case d == last+1:
			b.Starts = append(b.Starts, int32(i))
			last = d
		}
	}
	if used == 0 {
		return fmt.Errorf("no token, only padding")
	}
	b.IDs = b.IDs[:used]
	if b.Labels != nil {
		b.Labels = b.Labels[:used]
	}
	return nil
}

// Permutation returns the order of n blocks in an epoch (from 0): the stable order by
// splitmix64(key + i·0x9E3779B97F4A7C15), key = seed xor splitmix64(epoch), as unsigned numbers.
// It is easily computed anywhere, and needs 16 bytes a block.
func Permutation(n int64, seed, epoch uint64) []int64 {
	key := seed ^ splitmix64(epoch)
	type place struct {
		hash  uint64
		index int64
	}
	places := make([]place, n)
	for i := range places {
		places[i] = place{splitmix64(key + uint64(i)*golden), int64(i)}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.index, b.index)) })
	order := make([]int64, n)
	for i, p := range places {
		order[i] = p.index
	}
	return order
}

const golden = 0x9E3779B97F4A7C15

// splitmix64 is the finalizer of Steele, Lea & Flood 2014 (as in Vigna's splitmix64.c).
func splitmix64(x uint64) uint64 {
	x += golden
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
