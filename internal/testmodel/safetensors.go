// Package testmodel makes tiny seeded models for tests and reads small safetensors
// files whole. It is used by tests only and trusts what it reads.
package testmodel

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"lep/tensor"
)

// Tensors is a set of tensors by name; it is a model.Source.
type Tensors map[string]tensor.View

// Tensor returns a tensor or an error that names it.
func (s Tensors) Tensor(name string) (tensor.View, error) {
	v, ok := s[name]
	if !ok {
		return tensor.View{}, fmt.Errorf("tensor %q: not in the model", name)
	}
	return v, nil
}

// Float32 returns the values of a tensor; a missing one fails the test.
func (s Tensors) Float32(t testing.TB, name string) []float32 {
	t.Helper()
	v, err := s.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	return v.Float32()
}

// Int32 returns the values of an I64 tensor.
func (s Tensors) Int32(t testing.TB, name string) []int32 {
	t.Helper()
	v, err := s.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	if v.DType != tensor.I64 {
		t.Fatalf("%s: dtype %v, want I64", name, v.DType)
	}
	out := make([]int32, len(v.Data)/8)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint64(v.Data[8*i:]))
	}
	return out
}

// Read reads safetensors files, or all those of folders.
func Read(t testing.TB, paths ...string) Tensors {
	t.Helper()
	all := Tensors{}
	for _, path := range paths {
		files := []string{path}
		if filepath.Ext(path) != ".safetensors" {
			files, _ = filepath.Glob(filepath.Join(path, "*.safetensors"))
			if len(files) == 0 {
				t.Fatalf("%s: no safetensors files", path)
			}
		}
		for _, f := range files {
			readFile(t, all, f)
		}
	}
	return all
}

func readFile(t testing.TB, all Tensors, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(data)
	var header map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for name, raw := range header {
		if name == "__metadata__" {
			continue
		}
		var e struct {
			DType   string
			Shape   []int
			Offsets [2]int `json:"data_offsets"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		d, err := tensor.ParseDType(e.DType)
		if err != nil {
			t.Fatal(err)
		}
		body := data[8+n:]
		all[name] = tensor.View{Name: name, DType: d, Shape: e.Shape, Data: body[e.Offsets[0]:e.Offsets[1]]}
	}
}

// Write writes the tensors as one safetensors file.
func (s Tensors) Write(t testing.TB, path string) {
	t.Helper()
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	names := slices.Sorted(maps.Keys(s))
	at := 0
	for _, name := range names {
		v := s[name]
		header[name] = map[string]any{"dtype": v.DType.String(), "shape": v.Shape, "data_offsets": []int{at, at + len(v.Data)}}
		at += len(v.Data)
	}
	head, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	for len(head)%8 != 0 {
		head = append(head, ' ')
	}
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	out = append(out, head...)
	for _, name := range names {
		out = append(out, s[name].Data...)
	}
	if err := os.WriteFile(path, out, 0o644); err != nil {
		t.Fatal(err)
	}
}
