// Package export writes a model folder as one GGUF file for llama.cpp and what is built on it.
//
// [Run] does it: weights under ggml's names and in its order of rows, streamed; hyperparameters;
// vocabulary with types, scores or merges; chat template. What llama.cpp would run otherwise than the
// folder says is refused, or noted where it is at the edge.
//
//	r, err := export.Run(ctx, export.Options{Model: "path/to/model", Out: "model.gguf", Type: "q8_0"})
package export
