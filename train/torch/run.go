package torch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"lep/internal/hint"
	"lep/train"
)

// Files and folders in OUT/torch.
const (
	workDir       = "torch"
	jobFile       = "job.json"
	tokensDir     = "tokens"
	heldOutDir    = "held-out"
	startBase     = "start"
	eventsFile    = "events.jsonl"
	finalFile     = "final.json"
	interruptFile = "interrupt"
	logsDir       = "logs"
)

// ErrElsewhere is returned on machines other than the first when their ranks are done: the first one writes the result.
var ErrElsewhere = errors.New("the ranks of this machine are done; the machine with node_rank 0 writes the result")

// Run trains as opts say, like train.Run: it goes on at the newest checkpoint, and when ctx is done its ranks finish
// the step and write one. On several machines each calls Run with its own NodeRank; OUT must be on a file system that all see.
func Run(ctx context.Context, opts train.Options) (*train.Result, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Threads == 0 {
		opts.Threads = runtime.GOMAXPROCS(0)
	}
	env, err := ask(ctx, opts.Torch.Python, opts.Torch.Device != train.CPU)
	if err != nil {
		return nil, err
	}
	if err := env.check(opts.Train == train.LoRA); err != nil {
		return nil, err
	}
	device, nproc, err := env.device(&opts.Torch)
	if err != nil {
		return nil, err
	}
	if ranks := nproc * opts.Torch.NNodes; opts.PerDeviceBatchSize < ranks {
		return nil, hint.Errorf("a pass has per_device_batch_size rows, whatever the number of ranks: raise it and lower gradient_accumulation_steps",
			"torch: per_device_batch_size is %d, want at least a row for each of %d ranks", opts.PerDeviceBatchSize, ranks)
	}
	out, err := filepath.Abs(opts.Out)
	if err != nil {
		return nil, err
	}
	work := filepath.Join(out, workDir)
	l := &launch{python: env.Executable, job: filepath.Join(work, jobFile), driver: work, device: device, nproc: nproc, torch: &opts.Torch,
		logs: filepath.Join(work, logsDir, fmt.Sprintf("node-%d", opts.Torch.NodeRank))}
	opts.Log.Info("torch", "version", env.Packages["torch"], "device", string(device), "ranks", nproc*opts.Torch.NNodes, "nccl", env.NCCL)
	if opts.Torch.NodeRank > 0 {
		return nil, follow(ctx, l, work)
	}
	return lead(ctx, opts, l, work)
}

// lead prepares the job, starts the ranks of this machine, and writes the result.
func lead(ctx context.Context, opts train.Options, l *launch, work string) (*train.Result, error) {
	t, finished, err := train.OpenJob(ctx, opts)
	if finished != nil || err != nil {
		return finished, err
	}
	defer t.Close()
	if err := prepare(ctx, t, l, work); err != nil {
		return nil, err
	}
	opts.Log.Debug("starting", "command", l.command())
	runErr := relayed(ctx, t, l, work)
	outcome, err := readOutcome(filepath.Join(work, finalFile))
	if errors.Is(err, os.ErrNotExist) {
		if runErr == nil {
			runErr = errors.New("it ended without a result")
		}
		return nil, failure(work, l.logs, runErr)
	} else if err != nil {
		return nil, err
	}
	res, err := t.Finish(ctx, *outcome)
	if err != nil {
		return nil, err
	}
	if outcome.Weights != "" {
		return res, cleanUp(work)
	}
	if err := ctx.Err(); err != nil {
		return res, err
	}
	return res, hint.Errorf("the same command goes on from there", "torch: the ranks were told to stop behind step %d", res.Steps)
}

// prepare writes all that the ranks need.
func prepare(ctx context.Context, t *train.Job, l *launch, work string) error {
	tokens, heldOut := filepath.Join(work, tokensDir), filepath.Join(work, heldOutDir)
	if err := clearWork(work); err != nil {
		return err
	}
	for _, dir := range []string{tokens, heldOut} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	j, err := newJob(t, l.device, l.nproc)
	if err != nil {
		return err
	}
	j.Tokens = tokens
	if j.EpochSteps, err = t.WriteBlocks(ctx, tokens); err != nil {
		return err
	}
	if there, err := t.WriteHeldOut(heldOut); err != nil {
		return err
	} else if there {
		j.EvalTokens = heldOut
	}
	if there, err := t.WriteStart(ctx, work, startBase); err != nil {
		return err
	} else if there {
		j.Start = filepath.Join(work, startBase+".safetensors")
	}
	return j.write(t, work)
}

// clearWork removes what an earlier attempt left, but neither rows nor logs.
func clearWork(work string) error {
	entries, err := os.ReadDir(work)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == tokensDir || e.Name() == logsDir {
			continue
		}
		if err := os.RemoveAll(filepath.Join(work, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// cleanUp leaves of a finished run what tells how it went: the job and the logs.
func cleanUp(work string) error {
	entries, err := os.ReadDir(work)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == jobFile || e.Name() == logsDir {
			continue
		}
		if err := os.RemoveAll(filepath.Join(work, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// relayed runs the ranks and hands their events on. When ctx is done it asks them to write a checkpoint and end.
func relayed(ctx context.Context, t *train.Job, l *launch, work string) error {
	stop := context.AfterFunc(ctx, func() { askToEnd(work) })
	defer stop()
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	r := &relay{path: filepath.Join(work, eventsFile), note: t.Note}
	ended, relayErr := make(chan struct{}), make(chan error, 1)
	go func() {
		err := r.run(ended)
		if err != nil {
			cancel() // nobody would hear of its progress
		}
		relayErr <- err
	}()
	err := l.run(running)
	close(ended)
	if err2 := <-relayErr; err2 != nil {
		return err2
	}
	return err
}

// askToEnd makes the file that the first rank looks for between steps.
func askToEnd(work string) {
	if f, err := os.Create(filepath.Join(work, interruptFile)); err == nil {
		f.Close()
	}
}

// follow starts the ranks of a machine other than the first. They wait for those of the first, which writes the job.
func follow(ctx context.Context, l *launch, work string) error {
	dir, err := os.MkdirTemp("", "lep-torch-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := writeDriver(dir); err != nil {
		return err
	}
	l.driver = dir
	stop := context.AfterFunc(ctx, func() { askToEnd(work) })
	defer stop()
	if err := l.run(context.WithoutCancel(ctx)); err != nil {
		return failure(work, l.logs, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return ErrElsewhere
}

func readOutcome(path string) (*train.Outcome, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	o := &train.Outcome{}
	if err := json.Unmarshal(data, o); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}
