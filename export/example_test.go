package export_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"lep/export"
	"lep/internal/pocket"
)

// Example exports the bundled instruct model.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "export")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	family, err := pocket.Unpack(ctx, dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	opts := export.DefaultOptions()
	opts.Model, opts.Out = family.Instruct, filepath.Join(dir, "instruct.gguf")
	r, err := export.Run(ctx, opts)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Architecture, r.Type, r.Tensors, "tensors,", r.Tokens, "tokens cut by", r.Pre)
	// Output: llama bf16 39 tensors, 3080 tokens cut by dbrx
}
