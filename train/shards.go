package train

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"lep/corpus"
	"lep/corpus/shard"
	"lep/internal/hint"
)

// shardFolder returns the folder of shards that data names, "" if data is files of texts or rows.
// Shards are given alone.
func shardFolder(data []string) (string, error) {
	for _, d := range data {
		found := false
		for _, pattern := range []string{shard.ManifestFile, partPattern} {
			list, err := filepath.Glob(filepath.Join(d, pattern))
			found = found || err == nil && len(list) > 0
		}
		switch {
		case !found:
		case len(data) > 1:
			return "", hint.Errorf("tokenize all of it into one folder: lep tokenize", "data: %s holds shards, which can't be mixed with %d more arguments", d, len(data)-1)
		default:
			return d, nil
		}
	}
	return "", nil
}

// checkShards holds what shards say of themselves against the run's settings and model.
func (r *run) checkShards() (err error) {
	dir, err := shardFolder(r.opts.Data)
	if dir == "" || err != nil {
		return err
	}
	if r.shards, err = shard.ReadManifest(dir); err != nil {
		return err
	}
	m, path := r.shards, filepath.Join(dir, shard.ManifestFile)
	digest, err := tokenizerDigest(r.files.Dir())
	if err != nil {
		return err
	}
	switch {
	case m.Blocks == 0:
		return fmt.Errorf("%s: no block to train on", path)
	case r.opts.SequenceLen != 0 && r.opts.SequenceLen != m.BlockSize:
		return hint.Errorf("leave sequence_len to the shards, or tokenize again", "%s: block_size is %d, sequence_len %d", path, m.BlockSize, r.opts.SequenceLen)
	case m.VocabSize > r.cfg.VocabSize:
		return fmt.Errorf("%s: vocab_size is %d, the model's %d", path, m.VocabSize, r.cfg.VocabSize)
	case digest != "" && m.TokenizerSHA256 != "" && digest != m.TokenizerSHA256:
		return hint.Errorf("tokenize the data with the model's tokenizer: lep tokenize", "%s: made with another tokenizer (SHA-256 %.12s…) than the model's (%.12s…)", path, m.TokenizerSHA256, digest)
	case r.opts.DocumentMask && !m.HasDocuments:
		return fmt.Errorf("%s: has_documents is false, so document_mask can't be true", path)
	}
	r.opts.SequenceLen = m.BlockSize
	return nil
}

// tokenizerDigest identifies a tokenizer by the SHA-256 of its file, a folder's by that of its main
// file, "" if there is none.
func tokenizerDigest(place string) (string, error) {
	files := []string{place}
	if info, err := os.Stat(place); err != nil {
		return "", err
	} else if info.IsDir() {
		files = files[:0]
		for _, name := range []string{"tokenizer.json", "tokenizer.model", "tekken.json"} {
			files = append(files, filepath.Join(place, name))
		}
	}
	for _, name := range files {
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return "", err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return "", err
		}
		return hex.EncodeToString(h.Sum(nil)), nil
	}
	return "", nil
}

// shardFeed delivers the blocks of a folder of shards.
type shardFeed struct {
	r       *shard.Reader
	seed    uint64
	shuffle bool
	state   feedState
	order   []int64 // of the epoch; nil: as stored
}

// newShardFeed opens shards. A run that shuffles takes those that are not bound to their order
// by shard.Permutation of its seed.
func newShardFeed(dir string, o *Options) (*shardFeed, error) {
	r, err := shard.Open(dir)
	if err != nil {
		return nil, err
	}
	return &shardFeed{r: r, seed: o.Seed, shuffle: o.Shuffle && r.Manifest().Order == shard.Shuffle}, nil
}

func (f *shardFeed) begin(epoch int) {
	f.state = feedState{Window: epoch}
	if f.shuffle {
		f.order = shard.Permutation(f.r.Manifest().Blocks, f.seed, uint64(epoch-1))
	}
}

func (f *shardFeed) next(ctx context.Context) (corpus.Block, error) {
	if err := ctx.Err(); err != nil {
		return corpus.Block{}, err
	}
	if f.state.Window == 0 {
		// The digests are checked once, before the first block of a run.
		if err := f.r.Verify(ctx); err != nil {
			return corpus.Block{}, err
		}
		f.begin(1)
	} else if int64(f.state.Delivered) == f.r.Manifest().Blocks {
		f.begin(f.state.Window + 1)
	}
	i := int64(f.state.Delivered)
	if f.order != nil {
		i = f.order[i]
	}
	b, err := f.r.Block(i)
	f.state.Delivered++
	return b, err
}

func (f *shardFeed) skip(_ context.Context, from feedState) error {
	if n := f.r.Manifest().Blocks; int64(from.Delivered) > n {
		return hint.Errorf("the data has changed since: give the data as it was, or start anew (--force)",
			"the checkpoint is behind block %d of an epoch of %d", from.Delivered, n)
	}
	f.begin(from.Window)
	f.state.Delivered = from.Delivered
	return nil
}

func (f *shardFeed) position() feedState { return f.state }

func (f *shardFeed) epochs() int {
	if f.state.Window > 0 && int64(f.state.Delivered) == f.r.Manifest().Blocks {
		return f.state.Window
	}
	return max(0, f.state.Window-1)
}

func (f *shardFeed) cutSamples() int { return 0 }

func (f *shardFeed) close() { f.r.Close() }
