package build

import (
	"os"
	"path/filepath"

	"lep/checkpoint"
	"lep/tokenizer"
)

// Vocabulary is a definition with its folder's config, opened for editing.
type Vocabulary struct {
	Path       string // as it was given
	Definition *tokenizer.Definition
	Config     *tokenizer.Config
}

// OpenTokenizer opens a folder, a hub id or a tokenizer file.
func OpenTokenizer(path string) (*tokenizer.Tokenizer, error) {
	if _, err := os.Stat(path); err != nil {
		dir, resolveErr := checkpoint.Resolve(path)
		if resolveErr != nil {
			return nil, resolveErr
		}
		path = dir
	}
	return tokenizer.Open(path)
}

// Open opens a tokenizer for editing. A folder with a tokenizer.model beside its
// tokenizer.json keeps the native part, so that the result can be written in both forms.
func Open(path string) (*Vocabulary, error) {
	t, err := OpenTokenizer(path)
	if err != nil {
		return nil, err
	}
	v := &Vocabulary{Path: path, Definition: t.Definition().Clone(), Config: t.Config()}
	raw, err := os.ReadFile(filepath.Join(path, "tokenizer.model"))
	if err != nil || v.Definition.SentencePiece != nil {
		return v, nil
	}
	own := &v.Definition.Model
	native, err := tokenizer.ReadSentencePiece(raw)
	if err != nil || native.Model.Type != own.Type || len(native.Model.Pieces) != len(own.Pieces) {
		return v, nil // another format (tiktoken), or another tokenizer: tokenizer.json is the authority
	}
	for i, p := range native.Model.Pieces {
		if q := own.Pieces[i]; p.ID != q.ID || p.Text != q.Text {
			return v, nil
		}
	}
	own.Pieces, v.Definition.SentencePiece = native.Model.Pieces, native.SentencePiece
	return v, nil
}
