package train

import (
	"errors"
	"fmt"
)

// Backend names the engine that does the steps.
type Backend string

// The backends.
const (
	Native  Backend = "native" // lep's own, on the processor
	PyTorch Backend = "torch"  // package train/torch
)

// ParseBackend reads a Backend.
func ParseBackend(s string) (Backend, error) { return choice(s, Native, PyTorch) }

// Torch says how a training is started on PyTorch. None of it changes what is trained: a run goes on
// on other machines.
type Torch struct {
	Python       string   `yaml:"python" json:"python"`               // interpreter; empty: python3 on the path
	NProc        int      `yaml:"nproc" json:"nproc"`                 // ranks on this machine; 0: one a GPU, or one
	NNodes       int      `yaml:"nnodes" json:"nnodes"`               // machines
	NodeRank     int      `yaml:"node_rank" json:"node_rank"`         // of this machine; 0 prepares and writes the result
	RdzvEndpoint string   `yaml:"rdzv_endpoint" json:"rdzv_endpoint"` // HOST:PORT where the machines meet
	Device       Device   `yaml:"device" json:"device"`
	Attention    string   `yaml:"attention" json:"attention"` // sdpa, eager or flex
	Compile      bool     `yaml:"compile" json:"compile"`     // torch.compile of the layers
	Args         []string `yaml:"args" json:"args"`           // to torchrun, as they are
}

// Device is where the torch backend computes.
type Device string

// The devices.
const (
	AnyDevice Device = "auto" // GPUs if there are any
	CUDA      Device = "cuda"
	CPU       Device = "cpu"
)

func (t *Torch) validate() error {
	for _, c := range []struct {
		key      string
		got, low int
	}{{"nproc", t.NProc, 0}, {"nnodes", t.NNodes, 1}, {"node_rank", t.NodeRank, 0}} {
		if c.got < c.low || c.got > 1<<16 {
			return fmt.Errorf("torch: %s is %d, want at least %d", c.key, c.got, c.low)
		}
	}
	if _, err := choice(string(t.Device), AnyDevice, CUDA, CPU); err != nil {
		return fmt.Errorf("torch: device: %w", err)
	}
	if _, err := choice(t.Attention, "sdpa", "eager", "flex"); err != nil {
		return fmt.Errorf("torch: attention: %w", err)
	}
	switch {
	case t.NodeRank >= t.NNodes:
		return fmt.Errorf("torch: node_rank is %d, want below nnodes %d", t.NodeRank, t.NNodes)
	case t.NNodes > 1 && t.RdzvEndpoint == "":
		return errors.New("torch: rdzv_endpoint: several machines need HOST:PORT of one of them to meet at")
	}
	return nil
}
