package gguf_test

import (
	"bytes"
	"fmt"
	"io"

	"lep/gguf"
)

// Example writes a file of one tensor and reads it again.
func Example() {
	w := gguf.NewWriter("llama")
	if err := w.Set("llama.block_count", uint32(1)); err != nil {
		fmt.Println(err)
		return
	}
	err := w.Add("output_norm.weight", gguf.F32, []int{2}, func(out io.Writer) error {
		_, err := out.Write(gguf.AppendRow(nil, []float32{1, 0.5}, gguf.F32))
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var file bytes.Buffer
	if _, err := w.WriteTo(&file); err != nil {
		fmt.Println(err)
		return
	}
	f, err := gguf.Read(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(f.Text("general.architecture"), f.Field("llama.block_count"), f.Tensors[0].Name, f.Tensors[0].Type, f.Tensors[0].Shape)
	// Output: llama 1 output_norm.weight F32 [2]
}
