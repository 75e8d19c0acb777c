// Package checkpoint owns model folders as Hugging Face writes them: config.json,
// safetensors files with their index, LoRA adapters, and the hub cache they lie
// in. It reads by mapping, writes by streaming, copies untouched tensors byte for
// byte, and knows no architecture beyond the names of the embedding matrices.
//
// [Open] opens a folder or a model of the hub cache as a [Model]; [OpenFile] opens
// one safetensors file; a [Writer] writes a folder's weights; [OpenAdapter] and
// [Merge] join a LoRA adapter to its base:
//
//	m, err := checkpoint.Open("meta-llama/Llama-3.1-8B")
//	if err != nil { … }
//	defer m.Close()
//	w := checkpoint.NewWriter("out", checkpoint.DefaultWriterOptions())
//	for _, name := range m.Names() {
//		if err := w.Copy(m, name); err != nil { … }
//	}
//	written, err := w.Write(ctx)
//
// Everything that comes from a file is checked before memory is allocated for it.
package checkpoint
