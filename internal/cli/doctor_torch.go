package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"lep/train/torch"
)

// torchInfo is what lep train --backend torch would find.
type torchInfo struct {
	*torch.Environment
	Usable bool   `json:"usable"`
	Detail string `json:"detail,omitempty"` // why it is not
}

func probeTorch(ctx context.Context) torchInfo {
	env, err := torch.Probe(ctx, os.Getenv("LEP_PYTHON"))
	if err == nil {
		err = env.Check()
	}
	info := torchInfo{Environment: env, Usable: err == nil}
	if err != nil {
		info.Detail = err.Error()
	}
	return info
}

// rows are lines of a table.
func (t torchInfo) rows() [][]string {
	rows := [][]string{{"lep train --backend torch", ""}}
	if !t.Usable {
		rows = append(rows, []string{"not usable", t.Detail})
	}
	if t.Environment == nil {
		return rows
	}
	rows = append(rows, []string{"python", t.Python + ", " + t.Executable})
	for _, name := range []string{"torch", "transformers", "peft"} {
		version := t.Packages[name]
		if version == "" {
			version = "not installed"
		}
		rows = append(rows, []string{name, version})
	}
	gpus := "none"
	if len(t.GPUs) > 0 {
		var list []string
		for _, g := range t.GPUs {
			list = append(list, fmt.Sprintf("%s (%.0f GB)", g.Name, float64(g.Memory)/1e9))
		}
		gpus = strings.Join(list, ", ")
	}
	return append(rows, []string{"GPUs", gpus}, []string{"CUDA, NCCL", orDash(t.CUDA) + ", " + orDash(t.NCCL)})
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
