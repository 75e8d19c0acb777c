package tokenizer

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"lep/internal/hint"
)

// folderFiles are the tokenizer files of a folder; the first that is there counts.
var folderFiles = []string{"tokenizer.json", "tekken.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tokenizer.tiktoken"}

// Open opens a tokenizer: a model folder (with its configs), a tokenizer.json, a
// SentencePiece .model, a tiktoken rank file or a tekken.json.
func Open(path string) (*Tokenizer, error) {
	d, file, err := openDefinition(path)
	if err != nil {
		return nil, err
	}
	t, err := New(d)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	dir := path
	if file == path {
		dir = filepath.Dir(path)
	}
	if t.config, err = ReadConfig(dir); err != nil {
		return nil, err
	}
	t.cleanUp = t.config.cleansUp(d.Model.Type)
	return t, nil
}

// OpenDefinition is Open without compiling.
func OpenDefinition(path string) (*Definition, error) {
	d, _, err := openDefinition(path)
	return d, err
}

func openDefinition(path string) (d *Definition, file string, err error) {
	if file, err = tokenizerFile(path); err != nil {
		return nil, "", err
	}
	data, err := readFile(file, maxTokenizerFile)
	if err != nil {
		return nil, "", err
	}
	if d, err = readAny(data); err != nil {
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	return d, file, nil
}

// tokenizerFile returns path itself or, for a folder, the tokenizer in it.
func tokenizerFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return path, nil
	}
	for _, name := range folderFiles {
		file := filepath.Join(path, name)
		if info, err := os.Stat(file); err == nil && !info.IsDir() {
			return file, nil
		}
	}
	return "", hint.Errorf("give a folder with "+strings.Join(folderFiles, ", ")+", or such a file", "%s: no tokenizer in the folder", path)
}

// readAny reads a tokenizer of any kind, which its content tells.
func readAny(data []byte) (*Definition, error) {
	text := bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), " \t\r\n")
	switch {
	case len(data) == 0:
		return nil, fmt.Errorf("the file is empty")
	case bytes.HasPrefix(text, []byte("{")):
		return readObjectFile(data)
	case isTiktoken(data):
		return readRankFile(data)
	}
	return ReadSentencePiece(data)
}

// readObjectFile reads a tekken.json or a tokenizer.json, which both are one object.
func readObjectFile(data []byte) (*Definition, error) {
	if isTekken(data) {
		return readTekken(data)
	}
	return ReadJSON(data)
}
