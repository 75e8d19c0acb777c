package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lep/checkpoint"
	"lep/tensor"
	"lep/tokenizer"
)

type tensorInfo struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	Bytes int    `json:"bytes"`
}

type modelInfo struct {
	Path          string           `json:"path"`
	ModelType     string           `json:"model_type,omitempty"`
	Architectures []string         `json:"architectures,omitempty"`
	HiddenSize    int              `json:"hidden_size,omitempty"`
	Layers        int              `json:"num_hidden_layers,omitempty"`
	VocabSize     int              `json:"vocab_size,omitempty"`
	Tied          bool             `json:"tie_word_embeddings"`
	Parameters    int64            `json:"parameters"`
	Bytes         int64            `json:"bytes"`
	DTypes        map[string]int64 `json:"parameters_by_dtype"`
	Files         []string         `json:"files"`
	Notes         []string         `json:"notes,omitempty"`
	Tensors       []tensorInfo     `json:"tensors"`
}

type tokenizerInfo struct {
	Path        string   `json:"path"`
	Model       string   `json:"model"`
	Size        int      `json:"size"`
	Pieces      int      `json:"pieces"`
	Merges      int      `json:"merges"`
	AddedTokens int      `json:"added_tokens"`
	ByteLevel   bool     `json:"byte_level"`
	BOS         string   `json:"bos_token,omitempty"`
	EOS         string   `json:"eos_token,omitempty"`
	UNK         string   `json:"unk_token,omitempty"`
	PAD         string   `json:"pad_token,omitempty"`
	Template    bool     `json:"chat_template"`
	Notes       []string `json:"notes,omitempty"`
}

type inspection struct {
	Model     *modelInfo     `json:"model,omitempty"`
	Tokenizer *tokenizerInfo `json:"tokenizer,omitempty"`
	GGUF      *ggufInfo      `json:"gguf,omitempty"`
}

func (a *app) inspectCmd() *cobra.Command {
	var tensors bool
	cmd := &cobra.Command{
		Use:   "inspect PATH",
		Short: "Show what a model folder, a safetensors, GGUF or tokenizer file holds",
		Long: `Show what a model folder, a safetensors, GGUF or tokenizer file holds: sizes, dtypes, tensors, special tokens.
Every header is read and checked; weights are not.`,
		Example: "  lep inspect meta-llama/Llama-3.1-8B\n  lep inspect out/model.safetensors --tensors",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := inspect(args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(r)
			}
			return a.printInspection(r, tensors)
		},
	}
	cmd.Flags().BoolVar(&tensors, "tensors", false, "list every tensor")
	return cmd
}

// inspect looks at what path is: one weight file, one tokenizer file, or a
// folder (or hub id) with a model, a tokenizer or both.
func inspect(path string) (inspection, error) {
	var r inspection
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		if filepath.Ext(path) == ".safetensors" {
			f, err := checkpoint.OpenFile(path)
			if err != nil {
				return r, err
			}
			defer f.Close()
			r.Model = &modelInfo{Path: path, Files: []string{filepath.Base(path)}}
			return r, r.Model.addTensors(f.Names(), f.Tensor)
		}
		if filepath.Ext(path) == ".gguf" {
			r.GGUF, err = inspectGGUF(path)
			return r, err
		}
		t, err := inspectTokenizer(path)
		r.Tokenizer = t
		return r, err
	}
	dir, err := checkpoint.Resolve(path)
	if err != nil {
		return r, err
	}
	if exists(filepath.Join(dir, checkpoint.ConfigFile)) {
		if r.Model, err = inspectModel(dir); err != nil {
			return r, err
		}
	}
	r.Tokenizer, err = inspectTokenizer(dir)
	if err != nil && r.Model != nil && errors.Is(err, fs.ErrNotExist) {
		err = nil // a model without a tokenizer is all right
	}
	return r, err
}

func inspectModel(dir string) (*modelInfo, error) {
	m, err := checkpoint.Open(dir)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	dims, err := checkpoint.ReadDimensions(m.Config())
	if err != nil {
		return nil, err
	}
	info := &modelInfo{
		Path: dir, ModelType: m.Config().Text("model_type"), HiddenSize: dims.HiddenSize,
		Layers: dims.NumHiddenLayers, VocabSize: dims.VocabSize, Files: m.Files(), Notes: m.Notes,
	}
	if _, err := m.Config().Decode("architectures", &info.Architectures); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, checkpoint.ConfigFile), err)
	}
	if info.Tied, err = m.Tied(); err != nil {
		info.Notes = append(info.Notes, err.Error())
	}
	return info, info.addTensors(m.Names(), m.Tensor)
}

func (info *modelInfo) addTensors(names []string, get func(string) (tensor.View, error)) error {
	info.DTypes = map[string]int64{}
	for _, name := range names {
		v, err := get(name)
		if err != nil {
			return err
		}
		n := int64(v.Rows()) * int64(v.Cols())
		info.Parameters += n
		info.Bytes += int64(len(v.Data))
		info.DTypes[v.DType.String()] += n
		info.Tensors = append(info.Tensors, tensorInfo{name, v.DType.String(), v.Shape, len(v.Data)})
	}
	return nil
}

func inspectTokenizer(path string) (*tokenizerInfo, error) {
	t, err := tokenizer.Open(path)
	if err != nil {
		return nil, err
	}
	d, c := t.Definition(), t.Config()
	return &tokenizerInfo{
		Path: path, Model: string(d.Model.Type), Size: t.Size(), Pieces: len(d.Model.Pieces), Merges: len(d.Model.Merges),
		AddedTokens: len(d.AddedTokens), ByteLevel: t.ByteLevel(), BOS: c.BOS, EOS: c.EOS, UNK: c.UNK, PAD: c.PAD,
		Template: c.ChatTemplate != "", Notes: d.Notes,
	}, nil
}

func (a *app) printInspection(r inspection, tensors bool) error {
	if r.GGUF != nil {
		return a.printGGUF(r.GGUF, tensors)
	}
	var rows [][]string
	add := func(name, value string) {
		if value != "" && value != "0" {
			rows = append(rows, []string{name, value})
		}
	}
	if m := r.Model; m != nil {
		add("model", m.Path)
		add("architecture", strings.Join(m.Architectures, " "))
		add("model_type", m.ModelType)
		add("hidden_size", strconv.Itoa(m.HiddenSize))
		add("num_hidden_layers", strconv.Itoa(m.Layers))
		add("vocab_size", strconv.Itoa(m.VocabSize))
		add("tie_word_embeddings", strconv.FormatBool(m.Tied))
		add("parameters", fmt.Sprintf("%s in %s", thousands(m.Parameters), byteSize(m.Bytes)))
		for d, n := range m.DTypes {
			add("  of "+d, thousands(n))
		}
		add("files", strings.Join(m.Files, " "))
		for _, n := range m.Notes {
			add("note", n)
		}
	}
	if t := r.Tokenizer; t != nil {
		add("tokenizer", t.Path)
		add("algorithm", t.Model+map[bool]string{true: ", byte-level"}[t.ByteLevel])
		add("size", fmt.Sprintf("%s ids: %s pieces, %s added tokens", thousands(int64(t.Size)), thousands(int64(t.Pieces)), thousands(int64(t.AddedTokens))))
		add("merges", thousands(int64(t.Merges)))
		add("bos_token", t.BOS)
		add("eos_token", t.EOS)
		add("unk_token", t.UNK)
		add("pad_token", t.PAD)
		add("chat_template", strconv.FormatBool(t.Template))
		for _, n := range t.Notes {
			add("note", n)
		}
	}
	if tensors && r.Model != nil {
		for _, t := range r.Model.Tensors {
			rows = append(rows, []string{t.Name, t.DType + " " + fmt.Sprint(t.Shape)})
		}
	}
	return a.table(rows)
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	var groups []string
	for len(s) > 3 {
		groups = append(groups, s[len(s)-3:])
		s = s[:len(s)-3]
	}
	groups = append(groups, s)
	slices.Reverse(groups)
	return strings.Join(groups, ",")
}

// byteSize writes a number of bytes as people read it: 1.5 GB.
func byteSize(n int64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if float64(n) >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
