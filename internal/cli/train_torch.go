package cli

import (
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lep/train"
)

func bindTorch(f *pflag.FlagSet, o *train.Options) {
	t := &o.Torch
	f.StringVar((*string)(&o.Backend), "backend", string(o.Backend), "native (lep's own engine) or torch")
	f.IntVar(&t.NProc, "nproc", 0, "torch: ranks on this machine (0: one a GPU, or one)")
	f.IntVar(&t.NNodes, "nnodes", t.NNodes, "torch: machines")
	f.IntVar(&t.NodeRank, "node-rank", 0, "torch: number of this machine, from 0 (default: SLURM_NODEID)")
	f.StringVar(&t.RdzvEndpoint, "rdzv-endpoint", "", "torch: HOST:PORT where the machines meet")
	f.StringVar((*string)(&t.Device), "device", string(t.Device), "torch: auto, cuda or cpu")
	f.StringVar(&t.Python, "python", "", "torch: interpreter (default: LEP_PYTHON, or python3 on the path)")
	f.StringVar(&t.Attention, "attention", t.Attention, "torch: sdpa, eager or flex")
	f.BoolVar(&t.Compile, "compile", false, "torch: torch.compile the layers")
}

// torchrunArgs lets arguments stand behind -- only.
func torchrunArgs(cmd *cobra.Command, args []string) error {
	if n := cmd.ArgsLenAtDash(); len(args) > 0 && n != 0 {
		return cobra.NoArgs(cmd, args)
	}
	return nil
}

// applyTorch adds to the flags of the torch backend what the environment says, and torchrun's arguments.
func applyTorch(f *pflag.FlagSet, o *train.Options, args []string) error {
	if o.Backend != train.PyTorch {
		for _, name := range []string{"nproc", "nnodes", "node-rank", "rdzv-endpoint", "device", "python", "attention", "compile"} {
			if f.Changed(name) {
				return usagef("--%s is for --backend torch", name)
			}
		}
		if len(args) > 0 {
			return usagef("arguments behind -- are for torchrun: --backend torch")
		}
		return nil
	}
	o.Torch.Args = args
	if o.Torch.Python == "" {
		o.Torch.Python = os.Getenv("LEP_PYTHON")
	}
	if node := os.Getenv("SLURM_NODEID"); node != "" && o.Torch.NNodes > 1 && !f.Changed("node-rank") {
		n, err := strconv.Atoi(node)
		if err != nil {
			return usagef("SLURM_NODEID is %q, want a number: give --node-rank", node)
		}
		o.Torch.NodeRank = n
	}
	return nil
}
