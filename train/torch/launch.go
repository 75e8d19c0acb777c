package torch

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"lep/train"
)

// launch is torchrun and the ranks of this machine.
type launch struct {
	python string
	job    string // job.json
	driver string // folder that holds lep_torch
	logs   string
	device train.Device
	nproc  int
	torch  *train.Torch
}

// joinSeconds is how long machines wait for each other.
const joinSeconds = 24 * 60 * 60

// args are torchrun's.
func (l *launch) args() []string {
	t := l.torch
	args := []string{"-m", "torch.distributed.run", fmt.Sprintf("--nnodes=%d", t.NNodes), fmt.Sprintf("--nproc-per-node=%d", l.nproc),
		"--max-restarts=0", "--log-dir=" + l.logs, "--redirects=3"}
	if t.NNodes == 1 && t.RdzvEndpoint == "" {
		args = append(args, "--standalone", "--local-addr=localhost")
	} else {
		args = append(args, "--rdzv-backend=c10d", "--rdzv-id=lep", "--rdzv-endpoint="+t.RdzvEndpoint,
			fmt.Sprintf("--rdzv-conf=join_timeout=%d", joinSeconds))
	}
	args = append(args, t.Args...)
	return append(args, "-m", driverPackage, l.job, string(l.device))
}

// defaults are for ranks whose user does not say otherwise: threads that wait actively for each other make a step a hundred
// times slower on a processor that has other work too.
var defaults = []string{"OMP_WAIT_POLICY=passive"}

// environment adds to what the ranks inherit. They find the driver because they start in its folder.
var environment = []string{"PYTHONSAFEPATH=", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1", "TOKENIZERS_PARALLELISM=false",
	"HF_HUB_OFFLINE=1", "TRANSFORMERS_VERBOSITY=error"}

// stopTime is how long ranks have to write a checkpoint and end once torchrun was told to.
const stopTime = 5 * time.Minute

// run starts torchrun and waits for its end; what it printed is in the file torchrun.log. Its processes are a group of
// their own: Ctrl-C reaches them only through lep, which asks them to write a checkpoint. If lep is
// killed, the system tells torchrun to end, and torchrun its ranks.
func (l *launch) run(ctx context.Context) error {
	if err := os.RemoveAll(l.logs); err != nil {
		return err
	}
	if err := os.MkdirAll(l.logs, 0o755); err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(l.logs, "torchrun.log"))
	if err != nil {
		return err
	}
	defer out.Close()
	done := make(chan error, 1)
	go func() {
		// The system tells a child of its parent's end when the thread ends that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		done <- l.start(ctx, out)
	}()
	return <-done
}

func (l *launch) start(ctx context.Context, out io.Writer) error {
	cmd := exec.CommandContext(ctx, l.python, l.args()...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = l.driver, out, out
	cmd.Env = slices.Concat(defaults, cmd.Environ(), environment)
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return terminate(cmd.Process) }
	cmd.WaitDelay = stopTime
	return cmd.Run()
}

// command shows what is run, for logs.
func (l *launch) command() string { return l.python + " " + strings.Join(l.args(), " ") }
