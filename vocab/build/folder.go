package build

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/goccy/go-yaml"

	"lep/internal/atomic"
	"lep/tokenizer"
)

// rankFile says where a tokenizer keeps its ranks in tiktoken's format, relative to its folder,
// "" if it has none.
func rankFile(path string) string {
	isRanks := func(path string) bool {
		f, err := os.Open(path)
		if err != nil {
			return false
		}
		defer f.Close()
		var head [3]byte // "IQ== 0" is the first line of Llama-3's, "\n" a tag of SentencePiece's
		n, _ := f.Read(head[:])
		return n == len(head) && !bytes.ContainsAny(head[:], "\x00\x0a{")
	}
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	if !info.IsDir() {
		if filepath.Ext(path) != ".json" && isRanks(path) {
			return "tokenizer.tiktoken"
		}
		return ""
	}
	for _, name := range []string{"tokenizer.model", filepath.Join("original", "tokenizer.model"), "tokenizer.tiktoken"} {
		if isRanks(filepath.Join(path, name)) {
			return name
		}
	}
	return ""
}

// writeFolder writes a vocabulary folder whole or not at all: the files of Hugging Face, the
// SentencePiece model if the definition has one, ranks if the base had them (ranks names the
// file), and lep_vocab.json. It returns what could not be written, with the reason.
func writeFolder(out string, force bool, d *tokenizer.Definition, c *tokenizer.Config, ranks string, side []byte) ([]string, error) {
	dir, err := atomic.NewDir(out, force)
	if err != nil {
		return nil, err
	}
	defer dir.Abort()
	notes, err := writeFiles(dir.Path(), d, c, ranks, side)
	if err != nil {
		return nil, err
	}
	return notes, dir.Commit()
}

func writeFiles(dir string, d *tokenizer.Definition, c *tokenizer.Config, ranks string, side []byte) ([]string, error) {
	files := map[string][]byte{tokenizer.OldIDsFile: side}
	var notes []string
	if d.SentencePiece != nil {
		native, err := withAddedPieces(d).SentencePieceModel()
		if err != nil {
			notes = append(notes, fmt.Sprintf("tokenizer.model is not written: %v", err))
		} else {
			files["tokenizer.model"] = native
		}
		d = d.Clone()
		d.SentencePiece = nil
	}
	if ranks != "" && files[ranks] == nil {
		data, err := d.Tiktoken()
		if err != nil {
			notes = append(notes, fmt.Sprintf("the base's %s is not written: %v", ranks, err))
		} else {
			files[ranks] = data
		}
	}
	more, err := tokenizer.WriteFolder(dir, d, c)
	if err != nil {
		return nil, err
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return nil, err
		}
		if err := atomic.WriteFile(path, data, true); err != nil {
			return nil, err
		}
	}
	return append(notes, more...), nil
}

// withAddedPieces gives the added tokens that follow the table a piece each, so that a
// SentencePiece model has as many pieces as the vocabulary has tokens.
func withAddedPieces(d *tokenizer.Definition) *tokenizer.Definition {
	d = d.Clone()
	have := map[int32]bool{}
	for _, p := range d.Model.Pieces {
		have[p.ID] = true
	}
	added := slices.Clone(d.AddedTokens)
	slices.SortFunc(added, func(a, b tokenizer.AddedToken) int { return cmp.Compare(a.ID, b.ID) })
	for _, a := range added {
		if have[a.ID] {
			continue
		}
		kind := tokenizer.UserDefined
		if a.Special {
			kind = tokenizer.Control
		}
		d.Model.Pieces = append(d.Model.Pieces, tokenizer.Piece{ID: a.ID, Text: a.Content, Kind: kind})
	}
	return d
}

// asJSON spells options with their YAML keys.
func asJSON(options any) (json.RawMessage, error) {
	raw, err := yaml.MarshalWithOptions(options, yaml.JSON())
	return bytes.TrimSpace(raw), err
}

// notNil makes a missing list an empty one, so that JSON has [] and not null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
