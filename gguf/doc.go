// Package gguf reads and writes GGUF, the file format of llama.cpp and Ollama: a header of typed
// fields, a table of tensors, and the tensors themselves, aligned.
//
// [Open] reads a header and checks all of it before it believes any length; a [Writer] is told fields
// and tensors and then streams the file; [AppendRow] encodes numbers in an element type.
//
//	w := gguf.NewWriter("llama")
//	err := w.Set("llama.block_count", uint32(32))
//	err = w.Add("output_norm.weight", gguf.F32, []int{4096}, writeNorm)
//	size, err := w.WriteTo(file)
//
// The format is that of ggml's docs/gguf.md, version 3, little-endian.
package gguf
