package checkpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Of every sampleStride bytes of a weight file sampleBlock are read: weights that were trained
// differ everywhere, and reading all of a large model would take longer than its first answers.
const (
	sampleBlock  = 64 << 10
	sampleStride = 16 << 20
)

// Fingerprint tells the contents of model folders apart in less than a second: SHA-256, in hex, over
// configs and tokenizers whole and over samples of the weights. It is no proof that weights are
// unchanged; [Model.FileDigests] is.
func Fingerprint(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if e.IsDir() || !slices.Contains([]string{".json", ".jinja", ".model", ".tiktoken", ".safetensors"}, ext) {
			continue
		}
		if err := addFile(h, filepath.Join(dir, e.Name()), ext == ".safetensors"); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func addFile(h io.Writer, path string, sampled bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%s\n", filepath.Base(path))
	if err := binary.Write(h, binary.LittleEndian, info.Size()); err != nil {
		return err
	}
	if !sampled || info.Size() <= sampleStride {
		_, err := io.Copy(h, f)
		return err
	}
	for at := int64(0); at < info.Size(); at += sampleStride {
		if _, err := io.Copy(h, io.NewSectionReader(f, at, sampleBlock)); err != nil {
			return err
		}
	}
	return nil
}
