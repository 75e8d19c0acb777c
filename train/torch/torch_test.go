package torch

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lep/internal/hint"
	"lep/train"
)

func TestOlder(t *testing.T) {
	for _, tt := range []struct {
		have, want string
		older      bool
	}{
		{"2.6.0", "2.6", false}, {"2.15.0+cu132", "2.6", false}, {"2.5.1", "2.6", true}, {"3", "2.6", false}, {"2", "2.6", true},
		{"2.6a0+git1", "2.6", false}, {"", "2.6", true},
	} {
		if got := older(tt.have, tt.want); got != tt.older {
			t.Errorf("older(%q, %q) is %v", tt.have, tt.want, got)
		}
	}
}

// script writes a program that stands for an interpreter.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python3")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

const good = `{"executable": "/opt/python", "python": "3.12.1", "packages": {"torch": "2.7.1", "transformers": "4.57.0", "safetensors": "0.6", "numpy": "2.1"}`

func TestInterpretersThatDoNot(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"no torch", `echo '{"executable": "/opt/python", "python": "3.12.1", "packages": {}}'`, "/opt/python: torch is not installed, want at least 2.6"},
		{"old torch", `echo '` + strings.Replace(good, "2.7.1", "2.5.1", 1) + `}'`, "/opt/python: torch is 2.5.1, want at least 2.6"},
		{"old Python", `echo '` + strings.Replace(good, "3.12.1", "3.9.2", 1) + `}'`, "/opt/python: Python is 3.9.2, want at least 3.10"},
		{"no peft", `echo '` + good + `}'`, "/opt/python: peft is not installed, want at least 0.13"},
		{"broken torch", `echo '` + strings.Replace(good, `"numpy"`, `"peft": "0.17", "numpy"`, 1) + `, "error": "ImportError: libcudart.so.12"}'`,
			"/opt/python: torch 2.7.1: ImportError: libcudart.so.12"},
		{"no Python", `echo hello`, "is no Python 3: it prints \"hello\\n\""},
		{"exit status", "echo oh >&2; exit 7", "exit status 7: oh"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env, err := Probe(context.Background(), script(t, tt.body))
			if err == nil {
				err = env.check(true)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || hint.Of(err) == "" {
				t.Errorf("error is %v with hint %q, want %q and a hint", err, hint.Of(err), tt.want)
			}
		})
	}
	if _, err := Probe(context.Background(), filepath.Join(t.TempDir(), "nothing")); err == nil || !strings.Contains(err.Error(), "no Python: ") {
		t.Errorf("error is %v", err)
	}
}

func TestDevice(t *testing.T) {
	none := Environment{Packages: map[string]string{"torch": "2.7"}}
	built := Environment{Packages: none.Packages, CUDA: "12.6"}
	four := Environment{Packages: none.Packages, CUDA: "12.6", GPUs: make([]GPU, 4)}
	for _, tt := range []struct {
		name   string
		env    Environment
		device train.Device
		n      int
		want   train.Device
		ranks  int
		err    string
	}{
		{"GPUs by themselves", four, train.AnyDevice, 0, train.CUDA, 4, ""},
		{"some GPUs", four, train.CUDA, 2, train.CUDA, 2, ""},
		{"processor by choice", four, train.CPU, 0, train.CPU, 1, ""},
		{"processor by need", built, train.AnyDevice, 2, train.CPU, 2, ""},
		{"too many", four, train.AnyDevice, 8, "", 0, "nproc is 8, this machine has 4 GPUs"},
		{"no GPU", built, train.CUDA, 0, "", 0, "is built for CUDA 12.6 and finds none"},
		{"no CUDA", none, train.CUDA, 0, "", 0, "is built without CUDA"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			device, ranks, err := tt.env.device(&train.Torch{Device: tt.device, NProc: tt.n})
			switch {
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("error is %v, want %q", err, tt.err)
			case tt.err == "" && (err != nil || device != tt.want || ranks != tt.ranks):
				t.Errorf("%v with %d ranks, %v; want %v with %d", device, ranks, err, tt.want, tt.ranks)
			}
		})
	}
}

// TestDriverIsWhole holds the digest of the embedded files against the one that the driver computes of itself.
func TestDriverIsWhole(t *testing.T) {
	python, err := interpreter("")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	if err := writeDriver(dir); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-B", "-c", "from lep_torch import job; print(job.digest(), job.VERSION)")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Skipf("%v: %s", err, out) // older than 3.10
	}
	if got := strings.TrimSpace(string(out)); got != driverDigest()+" 1" {
		t.Errorf("the driver says %s, the binary %s", got, driverDigest())
	}
}

const torchrunReport = `W0101 noise
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
lep_torch FAILED
------------------------------------------------------------
Failures:
[1]:
  time      : 2026-11-22_02:21:45
  host      : localhost
  rank      : 1 (local_rank: 1)
  exitcode  : 1 (pid: 2464)
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-22_02:21:43
  host      : localhost
  rank      : 5 (local_rank: 1)
  exitcode  : CODE (pid: 2463)
  error_file: <N/A>
============================================================
`

func TestFailure(t *testing.T) {
	const nccl = "DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:94, unhandled system error\nmore"
	for _, tt := range []struct {
		name, report string
		notes        []note
		want, advice string
	}{
		{"killed", strings.Replace(torchrunReport, "CODE", "-9", 1), []note{{0, 2, "RuntimeError: Connection closed by peer", "trace"}},
			"rank 5 was ended by signal 9 (killed); its log: LOGS/run/attempt_0/1/stderr.log", "the same command goes on"},
		{"root cause", strings.Replace(torchrunReport, "CODE", "1", 1), []note{{0, 1, "RuntimeError: Connection closed by peer", "trace"}, {5, 2, "OutOfMemoryError: CUDA out of memory.", "trace"}},
			"rank 5: OutOfMemoryError: CUDA out of memory.; its log: LOGS/run/attempt_0/1/stderr.log", "--gradient-checkpointing"},
		{"NCCL", "", []note{{3, 2, "second", "trace"}, {1, 1, nccl, "trace"}}, "rank 1: DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:94, unhandled system error; its log: ", "NCCL_DEBUG=INFO"},
		{"refused", "", []note{{0, 1, "tokens/a.bin: SHA-256 is 1, want 2", ""}}, "torch: tokens/a.bin: SHA-256 is 1, want 2", ""},
		{"nothing known", "first\ntorchrun: error: unrecognized arguments: --x\n", nil, "LOGS/torchrun.log: torchrun: error: unrecognized arguments: --x", "all that torchrun printed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			work := t.TempDir()
			logs := filepath.Join(work, "logs")
			if err := os.MkdirAll(filepath.Join(logs, "run", "attempt_0", "1"), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(logs, "run", "attempt_0", "1", "stderr.log"), "")
			write(t, filepath.Join(logs, "torchrun.log"), tt.report)
			for _, n := range tt.notes {
				data, err := json.Marshal(n)
				if err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(work, "failed-"+string(rune('0'+n.Rank))+".json"), string(data))
			}
			err := failure(work, logs, context.DeadlineExceeded)
			if want := strings.ReplaceAll(tt.want, "LOGS", logs); !strings.Contains(err.Error(), want) || !strings.Contains(hint.Of(err), tt.advice) {
				t.Errorf("error is %v\nhint: %s\nwant %q with %q", err, hint.Of(err), want, tt.advice)
			}
		})
	}
}

// TestRelay reads events as they are written, half lines included.
func TestRelay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	var steps []int
	r := &relay{path: path, note: func(rec train.Record) error { steps = append(steps, rec.Step); return nil }}
	for i, text := range []string{"", `{"event":"step","st`, "ep\":1}\n{\"step\":2}\n{", "\"step\":3}\n"} {
		if text != "" {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(text); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
		if err := r.read(); err != nil {
			t.Fatalf("piece %d: %v", i, err)
		}
	}
	if len(steps) != 3 || steps[2] != 3 {
		t.Errorf("steps %v, want 1 to 3", steps)
	}
	write(t, path, "no JSON\n")
	if err := (&relay{path: path}).read(); err == nil || !strings.Contains(err.Error(), "events.jsonl: ") {
		t.Errorf("error is %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
