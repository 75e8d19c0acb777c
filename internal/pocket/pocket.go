// Package pocket holds the bundled model family: a base and an instruct model of
// 2.8 million parameters, four vocabularies for Russian with a donor for each, held-out
// texts and questions. They write no sense, but their weights, losses and two abilities (copying a
// text, naming its first word) are real, so that every step of the method can be tried
// offline in seconds.
//
//	family, err := pocket.Unpack(ctx, dir)
//	model, err := checkpoint.Open(family.Instruct)
package pocket

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"lep/checkpoint"
)

//go:embed data
var data embed.FS

// Vocabularies names the donors, one for each scenario of the paper.
var Vocabularies = []string{"bpe", "unigram", "extension", "optimization"}

// Family names the folders that Unpack wrote.
type Family struct {
	Base, Instruct string
	Donors         map[string]string // by vocabulary
}

// Unpack writes the family below dir, which must exist: base, instruct and donors/NAME,
// each a model folder as transformers writes it.
func Unpack(ctx context.Context, dir string) (*Family, error) {
	f := &Family{Base: filepath.Join(dir, "base"), Instruct: filepath.Join(dir, "instruct"), Donors: map[string]string{}}
	for name, out := range map[string]string{"base": f.Base, "instruct": f.Instruct} {
		if err := writeSide(out, name, "base"); err != nil {
			return nil, err
		}
		weights, err := read(name + ".safetensors")
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(out, "model.safetensors"), weights, 0o644); err != nil {
			return nil, err
		}
	}
	base, err := checkpoint.Open(f.Base)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	for _, name := range Vocabularies {
		out := filepath.Join(dir, "donors", name)
		f.Donors[name] = out
		if err := writeSide(out, "donor-"+name, name); err != nil {
			return nil, err
		}
		if err := joinDonor(ctx, base, name, out); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// writeSide writes what lies beside the weights.
func writeSide(out, model, tokenizer string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	card, _, _ := strings.Cut(model, "-") // donors share one
	for file, packed := range map[string]string{
		"README.md":              card + ".README.md",
		"config.json":            model + ".config.json",
		"generation_config.json": model + ".generation_config.json",
		"tokenizer_config.json":  model + ".tokenizer_config.json",
		"tokenizer.json":         "tokenizer-" + tokenizer + ".json",
	} {
		content, err := read(packed)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, file), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// joinDonor writes the base's layers with the donor's two matrices.
func joinDonor(ctx context.Context, base *checkpoint.Model, name, out string) error {
	packed, err := read("donor-" + name + ".safetensors")
	if err != nil {
		return err
	}
	temp := filepath.Join(out, "embeddings.safetensors")
	if err := os.WriteFile(temp, packed, 0o644); err != nil {
		return err
	}
	defer os.Remove(temp)
	own, err := checkpoint.OpenFile(temp)
	if err != nil {
		return err
	}
	defer own.Close()
	w := checkpoint.NewWriter(out, checkpoint.DefaultWriterOptions())
	for _, tensor := range base.Names() {
		var from checkpoint.Source = base
		if own.Has(tensor) {
			from = own
		}
		if err := w.Copy(from, tensor); err != nil {
			return err
		}
	}
	_, err = w.Write(ctx)
	return err
}

// read returns a file of data, decompressed where it is packed.
func read(name string) ([]byte, error) {
	if raw, err := data.ReadFile("data/" + name); err == nil {
		return raw, nil
	}
	packed, err := data.ReadFile("data/" + name + ".zst")
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return z.DecodeAll(packed, nil)
}

// Heldout returns the held-out texts of a language, "ru" or "en", in pieces of up to 480
// characters: the texts that the family's published figures were measured on.
func Heldout(language string) ([]string, error) {
	var out []string
	err := lines(language+".heldout.jsonl", func(line []byte) error {
		var doc struct{ Text string }
		if err := json.Unmarshal(line, &doc); err != nil {
			return err
		}
		for runes := []rune(doc.Text); len(runes) > 0; {
			n := min(480, len(runes))
			out = append(out, string(runes[:n]))
			runes = runes[n:]
		}
		return nil
	})
	return out, err
}

// Question is an instruction with the answer that counts as right.
type Question struct {
	Task, Language, Prompt, Answer string
}

// Questions returns the held-out questions of a task ("copy", "first", "last", "choice",
// "contains", "continue") and language, 100 of each.
func Questions(task, language string) ([]Question, error) {
	var out []Question
	err := lines("questions.jsonl", func(line []byte) error {
		var row struct {
			Task     string
			Lang     string
			Messages []struct{ Content string }
		}
		if err := json.Unmarshal(line, &row); err != nil {
			return err
		}
		if row.Task == task && row.Lang == language {
			out = append(out, Question{row.Task, row.Lang, row.Messages[0].Content, strings.TrimSpace(row.Messages[1].Content)})
		}
		return nil
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("no questions of task %q in language %q", task, language)
	}
	return out, err
}

func lines(name string, fn func([]byte) error) error {
	raw, err := read(name)
	if err != nil {
		return err
	}
	s := bufio.NewScanner(bytes.NewReader(raw))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if err := fn(s.Bytes()); err != nil {
			return err
		}
	}
	return s.Err()
}
