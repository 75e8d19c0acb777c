package torch

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"lep/internal/hint"
	"lep/train"
)

// Environment is what a Python interpreter offers.
type Environment struct {
	Executable string            `json:"executable"`
	Python     string            `json:"python"`
	Packages   map[string]string `json:"packages"` // versions of torch, transformers, peft, safetensors, numpy where found
	CUDA       string            `json:"cuda,omitempty"`
	NCCL       string            `json:"nccl,omitempty"`
	GPUs       []GPU             `json:"gpus,omitempty"`
	Error      string            `json:"error,omitempty"` // of importing torch
}

// GPU is one of the machine.
type GPU struct {
	Name   string `json:"name"`
	Memory int64  `json:"memory"` // bytes
}

// requirements are the oldest versions that the driver runs with.
var requirements = []struct{ name, version string }{{"torch", "2.6"}, {"transformers", "4.56"}, {"safetensors", "0.4"}, {"numpy", "1.24"}}

const (
	oldestPython = "3.10"
	oldestPEFT   = "0.13"
	installHint  = "pip install 'torch>=2.6' 'transformers>=4.56' peft, and name that interpreter with LEP_PYTHON or --python"
)

//go:embed probe.py
var probe string

// probeTime bounds how long an interpreter may take to import torch: over a network's file system, minutes.
const probeTime = 10 * time.Minute

// Probe asks an interpreter what it offers; empty is python3 or python on the path.
func Probe(ctx context.Context, python string) (*Environment, error) { return ask(ctx, python, true) }

// ask looks for GPUs only if they matter: torch must be imported for it, which takes seconds.
func ask(ctx context.Context, python string, gpus bool) (*Environment, error) {
	path, err := interpreter(python)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	var stderr bytes.Buffer
	args := []string{"-c", probe}
	if gpus {
		args = append(args, "gpus")
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, hint.Errorf(installHint, "%s: %w: %s", path, err, lastLine(stderr.String()))
	}
	env := &Environment{}
	if err := json.Unmarshal(out, env); err != nil {
		return nil, hint.Errorf(installHint, "%s: is no Python 3: it prints %.80q", path, out)
	}
	return env, nil
}

func interpreter(python string) (string, error) {
	names := []string{"python3", "python"}
	if python != "" {
		names = []string{python}
	}
	var errs []error
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err == nil {
			return path, nil
		}
		errs = append(errs, err)
	}
	return "", hint.Errorf(installHint, "no Python: %w", errors.Join(errs...))
}

// Check refuses an interpreter that the driver does not run with.
func (e *Environment) Check() error { return e.check(false) }

// check also looks for what low-rank terms need.
func (e *Environment) check(lora bool) error {
	if older(e.Python, oldestPython) {
		return hint.Errorf(installHint, "%s: Python is %s, want at least %s", e.Executable, e.Python, oldestPython)
	}
	need := requirements
	if lora {
		need = append(need[:len(need):len(need)], struct{ name, version string }{"peft", oldestPEFT})
	}
	for _, r := range need {
		have := e.Packages[r.name]
		if have == "" {
			return hint.Errorf(installHint, "%s: %s is not installed, want at least %s", e.Executable, r.name, r.version)
		}
		if older(have, r.version) {
			return hint.Errorf(installHint, "%s: %s is %s, want at least %s", e.Executable, r.name, have, r.version)
		}
	}
	if e.Error != "" {
		return hint.Errorf("import torch in this interpreter shows the whole message", "%s: torch %s: %s", e.Executable, e.Packages["torch"], e.Error)
	}
	return nil
}

// device chooses where to compute and how many ranks this machine gets.
func (e *Environment) device(t *train.Torch) (train.Device, int, error) {
	device, n := t.Device, t.NProc
	if device == train.AnyDevice {
		device = train.CPU
		if len(e.GPUs) > 0 {
			device = train.CUDA
		}
	}
	if device == train.CPU {
		return device, max(n, 1), nil
	}
	switch {
	case len(e.GPUs) == 0 && e.CUDA == "":
		return "", 0, hint.Errorf("install a build of torch for your GPUs (pytorch.org), or give --device cpu",
			"no GPU: torch %s of %s is built without CUDA", e.Packages["torch"], e.Executable)
	case len(e.GPUs) == 0:
		return "", 0, hint.Errorf("nvidia-smi shows whether the driver works; CUDA_VISIBLE_DEVICES may hide GPUs; --device cpu does without",
			"no GPU: torch %s of %s is built for CUDA %s and finds none", e.Packages["torch"], e.Executable, e.CUDA)
	case n > len(e.GPUs):
		return "", 0, fmt.Errorf("nproc is %d, this machine has %d GPUs", n, len(e.GPUs))
	case n == 0:
		n = len(e.GPUs)
	}
	return device, n, nil
}

// older compares the numbers of versions such as 2.6.0+cu124.
func older(have, want string) bool {
	a, b := strings.Split(have, "."), strings.Split(want, ".")
	for i := range b {
		if i == len(a) {
			return true
		}
		x, y := leadingNumber(a[i]), leadingNumber(b[i])
		if x != y {
			return x < y
		}
	}
	return false
}

func leadingNumber(s string) int {
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	n, err := strconv.Atoi(s[:end])
	if err != nil {
		return 0
	}
	return n
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
