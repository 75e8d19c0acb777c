package checkpoint_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"lep/checkpoint"
	"lep/tensor"
)

// A model folder is rewritten with a larger matrix; the other tensor is copied
// byte for byte.
func Example() {
	in, out := folder(), folder()
	defer os.RemoveAll(in)
	defer os.RemoveAll(out)
	w := checkpoint.NewWriter(in, checkpoint.DefaultWriterOptions())
	add(w, "model.embed_tokens.weight", 2)
	add(w, "model.norm.weight", 1)
	if _, err := w.Write(context.Background()); err != nil {
		fmt.Println(err)
	}
	config := []byte(`{"model_type": "llama", "vocab_size": 2, "tie_word_embeddings": true}`)
	if err := os.WriteFile(filepath.Join(in, checkpoint.ConfigFile), config, 0o644); err != nil {
		fmt.Println(err)
	}

	m, err := checkpoint.Open(in)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	embed, err := m.EmbedTokens()
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(embed.Name, embed.DType, embed.Shape)

	w = checkpoint.NewWriter(out, checkpoint.DefaultWriterOptions())
	add(w, embed.Name, 5)
	for _, name := range m.LayerNames() {
		if err := w.Copy(m, name); err != nil {
			fmt.Println(err)
		}
	}
	written, err := w.Write(context.Background())
	fmt.Println(written.Files[0].Name, written.TotalSize, "bytes", err)
	// Output:
	// model.embed_tokens.weight BF16 [2 4]
	// model.safetensors 48 bytes <nil>
}

func folder() string {
	dir, err := os.MkdirTemp("", "checkpoint")
	if err != nil {
		panic(err)
	}
	return dir
}

// add announces a BF16 matrix of ones with rows of 4.
func add(w *checkpoint.Writer, name string, rows int) {
	row := make([]byte, 8)
	tensor.Encode32(row, []float32{1, 1, 1, 1}, tensor.BF16)
	err := w.Add(name, tensor.BF16, []int{rows, 4}, func(out io.Writer) error {
		for range rows {
			if _, err := out.Write(row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
}
