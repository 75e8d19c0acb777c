package trainer

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"lep/internal/hint"
)

// Progress tells how far a training has come. The stages are
//
//	count  Done bytes of text have been read; Total is 0, the corpus knows it
//	merge  Done of Total merges are learned (BPE)
//	seed   the seed pieces are searched (Unigram); Total bounds them
//	em     Done pieces are left, and fall towards Total (Unigram)
type Progress struct {
	Stage       string
	Done, Total int64
}

// wordTable counts byte strings: open addressing over an arena of the strings.
type wordTable struct {
	slots   []uint32 // 1 + index in entries, 0 for free
	entries []wordEntry
	arena   []byte
}

type wordEntry struct {
	count int64
	off   uint32
	len   uint32
	hash  uint32
}

func (t *wordTable) word(e *wordEntry) []byte { return t.arena[e.off : e.off+e.len] }

func (t *wordTable) add(word []byte, hash uint32, n int64) {
	if 4*len(t.entries) >= 3*len(t.slots) {
		t.grow()
	}
	mask := uint32(len(t.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		k := t.slots[i]
		if k == 0 {
			t.entries = append(t.entries, wordEntry{n, uint32(len(t.arena)), uint32(len(word)), hash})
			t.arena = append(t.arena, word...)
			t.slots[i] = uint32(len(t.entries))
			return
		}
		if e := &t.entries[k-1]; e.hash == hash && string(t.word(e)) == string(word) {
			e.count += n
			return
		}
	}
}

func (t *wordTable) grow() {
	t.slots = make([]uint32, max(1024, 2*len(t.slots)))
	mask := uint32(len(t.slots) - 1)
	for k := range t.entries {
		i := t.entries[k].hash & mask
		for t.slots[i] != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = uint32(k + 1)
	}
}

func (t *wordTable) reset() {
	clear(t.slots)
	t.entries = t.entries[:0]
	t.arena = t.arena[:0]
}

// wordCounts counts words from any number of goroutines, each with its own
// counter. Memory grows with the distinct words, not with the goroutines.
type wordCounts struct {
	seed   maphash.Seed
	shards [64]struct {
		sync.Mutex
		wordTable
	}
}

// counter is one goroutine's part: a small table that takes the frequent words,
// and is emptied into the shards when it is full.
type counter struct {
	all   *wordCounts
	local wordTable
}

const (
	localWords = 1 << 15
	localBytes = 1 << 20
	// maxWordBytes bounds one word of byte-level BPE: every merge inside a word costs
	// its whole length.
	maxWordBytes = 64 << 10
)

func (c *counter) add(word []byte, n int64) {
	c.local.add(word, uint32(maphash.Bytes(c.all.seed, word)), n)
	if len(c.local.entries) > localWords || len(c.local.arena) > localBytes {
		c.flush()
	}
}

func (c *counter) flush() {
	for i := range c.local.entries {
		e := &c.local.entries[i]
		s := &c.all.shards[e.hash>>26]
		s.Lock()
		s.add(c.local.word(e), e.hash, e.count)
		s.Unlock()
	}
	c.local.reset()
}

// word is a distinct word and how often it occurs.
type word struct {
	text  []byte
	count int64
}

// sorted empties the counts into a list in the order of the bytes, which
// depends on the texts alone.
func (w *wordCounts) sorted() []word {
	n := 0
	for i := range w.shards {
		n += len(w.shards[i].entries)
	}
	list := make([]word, 0, n)
	for i := range w.shards {
		s := &w.shards[i]
		for k := range s.entries {
			list = append(list, word{s.word(&s.entries[k]), s.entries[k].count})
		}
		s.entries, s.slots = nil, nil
	}
	slices.SortFunc(list, func(a, b word) int { return bytes.Compare(a.text, b.text) })
	return list
}

// source is what the texts came to.
type source struct {
	texts, bytes int64
}

const batchBytes = 64 << 10

// countWords streams the texts through the function that newSplit makes for each
// goroutine, which passes the words of a text to add.
func countWords(ctx context.Context, texts iter.Seq2[string, error], threads int, progress func(Progress),
	newSplit func(add func(word []byte, n int64)) func(text string),
) (*wordCounts, source, error) {
	counts := &wordCounts{seed: maphash.MakeSeed()}
	var total source
	var done atomic.Int64
	batches := make(chan []string, threads)
	var wg sync.WaitGroup
	for range threads {
		wg.Go(func() {
			c := &counter{all: counts}
			split := newSplit(c.add)
			for batch := range batches {
				for _, text := range batch {
					split(text)
					done.Add(int64(len(text)))
				}
			}
			c.flush()
		})
	}
	var err error
	var batch []string
	held := 0
	for text, e := range texts {
		if err = e; err == nil {
			err = ctx.Err()
		}
		if err != nil {
			break
		}
		total.texts++
		total.bytes += int64(len(text))
		batch = append(batch, text)
		if held += len(text); held >= batchBytes {
			batches <- batch
			batch, held = nil, 0
			report(progress, Progress{Stage: "count", Done: done.Load()})
		}
	}
	if err == nil && len(batch) > 0 {
		batches <- batch
	}
	close(batches)
	wg.Wait()
	if err == nil && total.bytes == 0 {
		err = hint.Errorf("check the paths and the text field", "trainer: the corpus is empty (%d texts, 0 bytes)", total.texts)
	}
	return counts, total, err
}

func report(progress func(Progress), p Progress) {
	if progress != nil {
		progress(p)
	}
}

// threadCount is n, or one for each processor if n is 0.
func threadCount(n int) (int, error) {
	switch {
	case n == 0:
		return runtime.GOMAXPROCS(0), nil
	case n < 0 || n > 1024:
		return 0, fmt.Errorf("trainer: threads is %d, want 0 to 1024", n)
	}
	return n, nil
}
