//go:build ignore

// Pack makes data/ from the runs that made the family and from the texts:
//
//	lep run pocket-train --out TRAINED
//	lep run pocket --out DEMO
//	go run pack.go models TRAINED
//	go run pack.go donors DEMO
//	go run pack.go texts CORPUS
//
// Base and instruct model are TRAINED's last ones; the donors, with their vocabularies, are DEMO's that were trained whole. Of a
// donor only embed_tokens and lm_head are kept: its layers are the base's. Of the held-out texts every sixth document is kept;
// of the training texts so many from the front as trainBytes says, which are in random order. The model cards, *.README.md, the
// base's tokenizer and the questions, which were made from the held-out texts once, are not made anew.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: go run pack.go models|donors|texts DIR")
	}
	switch dir := os.Args[2]; os.Args[1] {
	case "models":
		model("base", filepath.Join(dir, "stages", "train-text", "model"))
		model("instruct", filepath.Join(dir, "stages", "instruct", "model"))
	case "donors":
		for _, v := range []string{"bpe", "unigram", "extension", "optimization"} {
			donor(v, filepath.Join(dir, "stages", "train-"+v+"-all_rows", "model"))
		}
	case "texts":
		for _, lang := range []string{"ru", "en"} {
			pack(lang+".heldout.jsonl", every(6, unzstd(read(dir, lang+".heldout.jsonl.zst"))))
			pack(lang+".train.jsonl", front(trainBytes[lang], unzstd(read(dir, lang+".train.jsonl.zst"))))
		}
	default:
		log.Fatalf("%s: want models, donors or texts", os.Args[1])
	}
}

// model packs a model whose tokenizer is the family's.
func model(name, dir string) {
	pack(name+".safetensors", read(dir, "model.safetensors"))
	sides(name, dir)
}

// donor packs the two matrices of a donor, and its tokenizer.
func donor(name, dir string) {
	pack("donor-"+name+".safetensors", embeddingsOnly(read(dir, "model.safetensors")))
	pack("tokenizer-"+name+".json", read(dir, "tokenizer.json"))
	sides("donor-"+name, dir)
}

// sides keeps the settings beside the weights.
func sides(name, dir string) {
	for _, f := range []string{"config.json", "generation_config.json", "tokenizer_config.json"} {
		keep(name+"."+f, read(dir, f))
	}
}

// embeddingsOnly keeps two tensors of a safetensors file.
func embeddingsOnly(file []byte) []byte {
	type entry struct {
		DType   string    `json:"dtype"`
		Shape   []int     `json:"shape"`
		Offsets [2]uint64 `json:"data_offsets"`
	}
	n := binary.LittleEndian.Uint64(file)
	var header map[string]json.RawMessage
	check(json.Unmarshal(file[8:8+n], &header))
	out := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	var data []byte
	for _, name := range []string{"lm_head.weight", "model.embed_tokens.weight"} {
		var e entry
		check(json.Unmarshal(header[name], &e))
		begin := uint64(len(data))
		data = append(data, file[8+n+e.Offsets[0]:8+n+e.Offsets[1]]...)
		e.Offsets = [2]uint64{begin, uint64(len(data))}
		out[name] = e
	}
	head, err := json.Marshal(out)
	check(err)
	head = append(head, bytes.Repeat([]byte(" "), (8-len(head)%8)%8)...)
	return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head, data)
}

// trainBytes is how much training text is bundled: about 3.3 million characters of Russian and 6 of English.
var trainBytes = map[string]int{"ru": 6_000_000, "en": 6_000_000}

// front keeps the first lines, about n bytes together.
func front(n int, jsonl []byte) []byte {
	if n >= len(jsonl) {
		return jsonl
	}
	return jsonl[:n+bytes.IndexByte(jsonl[n:], '\n')+1]
}

func every(n int, jsonl []byte) []byte {
	var out []byte
	for i, line := range bytes.SplitAfter(jsonl, []byte("\n")) {
		if i%n == 0 {
			out = append(out, line...)
		}
	}
	return out
}

func read(parts ...string) []byte {
	b, err := os.ReadFile(filepath.Join(parts...))
	check(err)
	return b
}

func unzstd(b []byte) []byte {
	d, err := zstd.NewReader(nil)
	check(err)
	out, err := d.DecodeAll(b, nil)
	check(err)
	return out
}

func pack(name string, b []byte) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	check(err)
	keep(name+".zst", e.EncodeAll(b, nil))
}

func keep(name string, b []byte) { check(os.WriteFile(filepath.Join("data", name), b, 0o644)) }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
