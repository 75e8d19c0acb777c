package torch_test

import (
	"context"
	"fmt"

	"lep/train"
	"lep/train/torch"
)

func Example() {
	opts := train.DefaultOptions()
	opts.Model, opts.Data, opts.Out = "./extended", []string{"ru.jsonl.zst"}, "./donor"
	opts.Backend, opts.Torch.NProc = train.PyTorch, 8
	opts.Torch.Python = "python-of-another-machine"
	_, err := torch.Run(context.Background(), opts)
	fmt.Println(err)
	// Output: no Python: exec: "python-of-another-machine": executable file not found in $PATH
}
