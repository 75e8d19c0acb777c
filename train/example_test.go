package train_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"lep/internal/pocket"
	"lep/train"
)

// Embeddings and head of the bundled base model are trained on three lines of text.
func Example() {
	dir, err := os.MkdirTemp("", "lep-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	family, err := pocket.Unpack(context.Background(), dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	text := filepath.Join(dir, "text.txt")
	if err := os.WriteFile(text, []byte("В лесу родилась ёлочка,\nв лесу она росла,\nзимой и летом стройная, зелёная была.\n"), 0o644); err != nil {
		fmt.Println(err)
		return
	}
	opts := train.DefaultOptions()
	opts.Model, opts.Data, opts.Out = family.Base, []string{text}, filepath.Join(dir, "donor")
	opts.MaxSteps, opts.SequenceLen, opts.PerDeviceBatchSize, opts.LearningRate = 8, 64, 2, 5e-3
	opts.EvalData = opts.Data
	r, err := train.Run(context.Background(), opts)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d steps, bits per byte fell: %t\n", r.Steps, r.After.BitsPerByte < r.Before.BitsPerByte)
	// Output: 8 steps, bits per byte fell: true
}
