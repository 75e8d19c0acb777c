package shard

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"lep/internal/hint"
)

// ManifestFile describes a folder of shards.
const ManifestFile = "shards.json"

const (
	format  = "lep-token-shards"
	version = 1
	padding = math.MaxUint16 // of documents
	// maxBlock bounds a block's tokens.
	maxBlock = 1 << 20
)

// Order says in which order readers take the blocks.
type Order string

// The orders.
const (
	Stored  Order = "stored"  // as they lie: a run's own blocks, in the order of its steps
	Shuffle Order = "shuffle" // by Permutation, anew in each epoch
)

// Settings are what all blocks of a folder have in common.
type Settings struct {
	BlockSize       int    `json:"block_size"` // tokens of a block, padding included
	VocabSize       int    `json:"vocab_size"` // ids are below it
	TokenizerSHA256 string `json:"tokenizer_sha256"`
	HasLabels       bool   `json:"has_labels"`
	HasDocuments    bool   `json:"has_documents"`
	Order           Order  `json:"order"`
}

// Manifest is shards.json.
type Manifest struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Settings
	DType  string `json:"dtype"`  // of tokens: uint16, or uint32 for vocabularies above 65,536
	Blocks int64  `json:"blocks"` // of all files
	Tokens int64  `json:"tokens"` // without padding
	Bytes  int64  `json:"bytes"`  // of the texts that were tokenized
	Shards []File `json:"shards"`
	// Source identifies what the shards were made of, as the maker chooses.
	Source json.RawMessage `json:"source,omitempty"`
}

// File is one of the folder's files.
type File struct {
	Name   string `json:"file"`
	Blocks int64  `json:"blocks"`
	SHA256 string `json:"sha256"`
}

func (s *Settings) dtype() string {
	if s.VocabSize <= 1<<16 {
		return "uint16"
	}
	return "uint32"
}

// layout gives the bytes of a token, and of a block's parts.
func (s *Settings) layout() (token, labels, documents int64) {
	token = 4
	if s.VocabSize <= 1<<16 {
		token = 2
	}
	if s.HasLabels {
		labels = 4
	}
	if s.HasDocuments {
		documents = 2
	}
	return token, labels, documents
}

// size returns the bytes of a file of n blocks.
func (s *Settings) size(n int64) int64 {
	token, labels, documents := s.layout()
	return n * int64(s.BlockSize) * (token + labels + documents)
}

func (s *Settings) validate() error {
	switch {
	case s.BlockSize < 2 || s.BlockSize > maxBlock:
		return fmt.Errorf("block_size is %d, want 2 to %d", s.BlockSize, maxBlock)
	case s.VocabSize < 1 || s.VocabSize > math.MaxInt32:
		return fmt.Errorf("vocab_size is %d, want 1 to %d", s.VocabSize, math.MaxInt32)
	case s.Order != Stored && s.Order != Shuffle:
		return fmt.Errorf("order is %q, want %q or %q", s.Order, Stored, Shuffle)
	}
	return nil
}

// ReadManifest reads and checks shards.json of a folder. It does not read the shards.
func ReadManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, hint.Wrap(err, "the folder holds no finished shards: run lep tokenize on it again, it goes on where it stopped")
	} else if err != nil {
		return nil, err
	}
	m, err := parseManifest(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func parseManifest(data []byte) (*Manifest, error) {
	m := &Manifest{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, err
	}
	if m.Format != format || m.Version != version {
		return nil, fmt.Errorf("format is %q version %d, want %q version %d", m.Format, m.Version, format, version)
	}
	if err := m.validate(); err != nil {
		return nil, err
	}
	if m.DType != m.dtype() {
		return nil, fmt.Errorf("dtype is %q, want %q for vocab_size %d", m.DType, m.dtype(), m.VocabSize)
	}
	var blocks int64
	names := map[string]bool{}
	for i, f := range m.Shards {
		digest, err := hex.DecodeString(f.SHA256)
		switch {
		case f.Name == "" || filepath.Base(f.Name) != f.Name || f.Name == "." || f.Name == ".." || names[f.Name]:
			return nil, fmt.Errorf("shards[%d].file: %q, want a plain name, once", i, f.Name)
		case f.Blocks < 1 || f.Blocks > math.MaxInt64/(maxBlock*10):
			return nil, fmt.Errorf("shards[%d].blocks is %d", i, f.Blocks)
		case err != nil || len(digest) != 32:
			return nil, fmt.Errorf("shards[%d].sha256: %q, want 64 hexadecimal digits", i, f.SHA256)
		}
		names[f.Name] = true
		if blocks += f.Blocks; blocks > math.MaxInt64/maxBlock {
			return nil, fmt.Errorf("shards: more than %d blocks", int64(math.MaxInt64/maxBlock))
		}
	}
	if blocks != m.Blocks {
		return nil, fmt.Errorf("blocks is %d, the shards have %d", m.Blocks, blocks)
	}
	if most := m.Blocks * int64(m.BlockSize); m.Tokens < 0 || m.Tokens > most {
		return nil, fmt.Errorf("tokens is %d, want 0 to %d", m.Tokens, most)
	}
	return m, nil
}
