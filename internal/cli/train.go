package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lep/train"
	"lep/train/torch"
)

// trainingFlags are flags that do not set a field of train.Options directly.
type trainingFlags struct {
	noShuffle, noPack, noMask, noBOS, noEOS, skipBad, lastNotBest bool
	memory                                                        string
	preview                                                       int
}

func (a *app) trainCmd() *cobra.Command {
	opts := train.DefaultOptions()
	var flags trainingFlags
	var tasks taskFlags
	cmd := &cobra.Command{
		Use:   "train --model DIR --data F --out DIR",
		Short: "Train embeddings, all parameters or low-rank terms on texts or conversations",
		Long: `Train a model: embeddings and head (the donor of the method), all parameters, or low-rank terms (LoRA).

Data are texts (.txt, .jsonl, .csv, .parquet, also .gz and .zst; files, folders, globs, weights such as ru.jsonl.zst=0.7), for
--task sft conversations (messages, conversations, instruction, prompt and completion), rows {"input_ids": […], "labels": […]}, or a
folder of shards that lep tokenize made.

The folder given by --out holds metrics.jsonl and checkpoints while the training runs and the model (or PEFT adapter) at its end. The
same command again goes on at the newest checkpoint, or does nothing if the training is finished. Ctrl-C finishes the step and writes a checkpoint;
touch OUT/save writes one and goes on; touch OUT/stop ends with the weights there are.

--eval-tasks scores the weights on tasks of lep eval as they are trained; the scores stand in metrics.jsonl and in TensorBoard.

--backend torch does the same training on PyTorch (FSDP2), on GPUs or processors, of one machine or several: docs/on-gpus.md. Arguments behind --
go to torchrun.`,
		Example: `  lep train --model ./llama3-extended --data 'ru/*.jsonl.zst=0.7' --data 'en/*.jsonl.zst=0.3' --learning-rate 2e-4 --out ./donor
  lep train --model ./instruct --data chats.jsonl --task sft --train lora --lora-r 16 --out ./adapter
  lep train --model ./llama3-extended --data 'ru/*.jsonl.zst' --out ./donor --backend torch --nproc 8
  lep train --model ./base --data texts.txt --eval-every 500 --eval-tasks parus,rcb --eval-tasks-data ./darumeru --eval-limit 50 --out ./donor
  lep train --model ./base --data texts.txt --preview 3 --out ./none`,
		Args: torchrunArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.apply(&opts); err != nil {
				return err
			}
			if err := applyTorch(cmd.Flags(), &opts, args); err != nil {
				return err
			}
			opts.Threads, opts.BLAS, opts.Seed, opts.Force, opts.Version = a.threads, a.blas, uint64(a.seed), a.force, Version
			var err error
			if opts.ScoreTasks, err = a.scorer(&tasks, opts); err != nil {
				return err
			}
			if err := opts.Validate(); err != nil {
				return usageError{err}
			}
			if flags.preview > 0 {
				return a.previewTraining(cmd.Context(), opts, flags.preview)
			}
			return a.train(cmd.Context(), opts)
		},
	}
	bindTraining(cmd.Flags(), &opts)
	bindTorch(cmd.Flags(), &opts)
	flags.bind(cmd.Flags())
	tasks.bind(cmd.Flags(), &opts)
	for _, name := range []string{"model", "data", "out"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
	addAliases(cmd.Flags())
	return cmd
}

// bindRows binds what says how data becomes rows of tokens.
func bindRows(f *pflag.FlagSet, o *train.Options) {
	f.StringArrayVar(&o.Data, "data", nil, "files, folder or glob, with a weight: PATH=0.7 (may be repeated)")
	f.StringVar((*string)(&o.Task), "task", string(o.Task), "pretrain (texts) or sft (conversations)")
	f.IntVar(&o.SequenceLen, "sequence-len", o.SequenceLen, "tokens of a row (0: the model's context, at most 1024)")
	f.StringVar((*string)(&o.BlockStart), "block-start", string(o.BlockStart), "rows begin at a line, a document or any token")
	f.StringVar(&o.Text.TextField, "text-field", o.Text.TextField, "field or column with the text")
	f.BoolVar(&o.Text.WholeFile, "whole-file", false, "a .txt file is one text, not one a line")
	f.IntVar(&o.Text.MaxBadRows, "max-bad-rows", o.Text.MaxBadRows, "bad rows to skip before stopping")
	f.BoolVar(&o.Text.ReplaceInvalid, "replace-invalid", false, "replace bytes that are no UTF-8")
}

func bindTraining(f *pflag.FlagSet, o *train.Options) {
	bindRows(f, o)
	f.StringVar(&o.Model, "model", "", "model folder or hub id")
	f.StringVar(&o.Out, "out", "", "folder of the run and of its result")
	f.StringVar((*string)(&o.Train), "train", string(o.Train), "embeddings, new_rows, all or lora")
	f.StringVar(&o.Layers, "layers", "", "layers to train besides embeddings, or to limit all and lora to: 0-3,30-31")
	f.IntVar(&o.FreezeRowsBelow, "freeze-rows-below", 0, "leave the embeddings of tokens with lower ids as they are")
	f.IntVar(&o.LoRAR, "lora-r", o.LoRAR, "rank of low-rank terms")
	f.Float64Var(&o.LoRAAlpha, "lora-alpha", o.LoRAAlpha, "their scale is alpha/r")
	f.StringSliceVar(&o.LoRATargetModules, "lora-target-modules", o.LoRATargetModules, "linears that get one")
	f.StringSliceVar(&o.ModulesToSave, "modules-to-save", nil, "modules trained whole beside them: embed_tokens,lm_head")
	f.BoolVar(&o.UseRSLoRA, "use-rslora", false, "their scale is alpha/sqrt(r)")
	f.StringVar(&o.Adapter, "adapter", "", "PEFT adapter whose training goes on")
	f.IntVar(&o.ShuffleTokens, "shuffle-tokens", o.ShuffleTokens, "rows are shuffled among so many tokens")
	f.IntVar(&o.PerDeviceBatchSize, "per-device-batch-size", o.PerDeviceBatchSize, "rows of a pass")
	f.IntVar(&o.GradientAccumulationSteps, "gradient-accumulation-steps", o.GradientAccumulationSteps, "passes of a step")
	f.IntVar(&o.MaxSteps, "max-steps", o.MaxSteps, "steps (0: --num-epochs decides)")
	f.Float64Var(&o.NumEpochs, "num-epochs", o.NumEpochs, "passes over the data")
	f.StringVar((*string)(&o.Optimizer), "optimizer", string(o.Optimizer), "adamw, sgd, or muon for the matrices of layers with adamw for the rest")
	f.Float64Var(&o.LearningRate, "learning-rate", o.LearningRate, "peak learning rate")
	f.Float64Var(&o.EmbeddingLR, "embedding-lr", 0, "that of embed_tokens and lm_head (0: the same)")
	f.StringVar((*string)(&o.LRSchedulerType), "lr-scheduler-type", string(o.LRSchedulerType), "cosine, linear, constant or wsd")
	f.IntVar(&o.WarmupSteps, "warmup-steps", 0, "steps until the peak (0: --warmup-ratio)")
	f.Float64Var(&o.WarmupRatio, "warmup-ratio", o.WarmupRatio, "share of the steps until the peak")
	f.Float64Var(&o.DecayRatio, "decay-ratio", o.DecayRatio, "wsd: share of the steps that decay")
	f.Float64Var(&o.MinLRRatio, "min-lr-ratio", 0, "lowest learning rate behind the peak, as a share of it")
	f.Float64Var(&o.WeightDecay, "weight-decay", o.WeightDecay, "decay of matrices, apart from the gradient")
	f.Float64Var(&o.AdamBeta1, "adam-beta1", o.AdamBeta1, "decay of the first moment")
	f.Float64Var(&o.AdamBeta2, "adam-beta2", o.AdamBeta2, "decay of the second moment")
	f.Float64Var(&o.AdamEpsilon, "adam-epsilon", o.AdamEpsilon, "added to the root of the second moment")
	f.Float64Var(&o.Momentum, "momentum", 0, "of sgd")
	f.Float64Var(&o.MuonMomentum, "muon-momentum", o.MuonMomentum, "of muon")
	f.Float64Var(&o.MaxGradNorm, "max-grad-norm", o.MaxGradNorm, "gradients are clipped to this norm (0: not)")
	f.StringArrayVar(&o.EvalData, "eval-data", nil, "held-out data (may be repeated)")
	f.IntVar(&o.EvalSteps, "eval-steps", 0, "score it every so many steps (0: before and after)")
	f.IntVar(&o.MaxEvalTokens, "max-eval-tokens", o.MaxEvalTokens, "of the held-out data, use the first tokens (0: all)")
	f.IntVar(&o.EarlyStoppingPatience, "early-stopping-patience", 0, "end after so many scores without a better one (0: never)")
	f.IntVar(&o.LoggingSteps, "logging-steps", o.LoggingSteps, "steps of a line in metrics.jsonl")
	f.IntVar(&o.SaveSteps, "save-steps", 0, "checkpoint every so many steps")
	f.Float64Var(&o.SaveMinutes, "save-minutes", o.SaveMinutes, "checkpoint every so many minutes")
	f.IntVar(&o.SaveTotalLimit, "save-total-limit", o.SaveTotalLimit, "checkpoints to keep")
	f.StringVar(&o.ResumeFromCheckpoint, "resume-from-checkpoint", o.ResumeFromCheckpoint, "auto (the newest in --out), none, or a folder")
	f.BoolVar(&o.TensorBoard, "tensorboard", false, "also write TensorBoard event files")
	f.StringVar(&o.OutputDType, "output-dtype", "", "F32, BF16 or F16 (default: as the model)")
	f.StringVar((*string)(&o.Precision), "precision", string(o.Precision), "of the large products: float32, or bf16 where the processor has it")
	f.BoolVar(&o.GradientCheckpointing, "gradient-checkpointing", false, "compute activations twice to save memory")
}

func (t *trainingFlags) bindRows(f *pflag.FlagSet) {
	f.BoolVar(&t.noPack, "no-pack", false, "one document or sample a row")
	f.BoolVar(&t.noBOS, "no-bos", false, "no bos in front of a text")
	f.BoolVar(&t.noEOS, "no-eos", false, "no eos behind a text")
	f.BoolVar(&t.skipBad, "skip-bad", false, "skip and count all bad rows")
}

func (t *trainingFlags) bind(f *pflag.FlagSet) {
	t.bindRows(f)
	f.BoolVar(&t.noShuffle, "no-shuffle", false, "keep the order of the data")
	f.BoolVar(&t.noMask, "no-document-mask", false, "let the documents of a row see each other")
	f.BoolVar(&t.lastNotBest, "keep-last", false, "write the last weights, not those with the best score")
	f.StringVar(&t.memory, "memory", "", "memory that may be used: 12GB (default: what is free)")
	f.IntVar(&t.preview, "preview", 0, "print so many rows with tokens and masks, and train nothing")
}

// aliases are other tools' names of flags.
var aliases = map[string]string{
	"lr": "learning-rate", "batch-size": "per-device-batch-size", "per-device-train-batch-size": "per-device-batch-size",
	"epochs": "num-epochs", "num-train-epochs": "num-epochs", "steps": "max-steps", "scheduler": "lr-scheduler-type",
	"lora-rank": "lora-r", "target-modules": "lora-target-modules", "resume": "resume-from-checkpoint",
	"optim": "optimizer", "clip": "max-grad-norm", "block-size": "sequence-len", "seq-len": "sequence-len",
	"nproc-per-node": "nproc",
}

// addAliases lets flags be given by other tools' names.
func addAliases(f *pflag.FlagSet) {
	for alias, name := range aliases {
		f.VarPF(f.Lookup(name).Value, alias, "", "the same as --"+name).Hidden = true
	}
}

func (t *trainingFlags) apply(o *train.Options) error {
	o.Shuffle, o.SamplePacking, o.DocumentMask = !t.noShuffle, !t.noPack, !t.noMask
	o.AddBOS, o.AddEOS, o.LoadBestModelAtEnd = !t.noBOS, !t.noEOS, !t.lastNotBest
	if t.skipBad {
		o.Text.MaxBadRows = -1
	}
	if t.memory == "" {
		return nil
	}
	n, err := parseSize(t.memory)
	if err != nil {
		return usagef("--memory: %w", err)
	}
	o.Memory = n
	return nil
}

// parseSize reads "12GB", "512M" or a number of bytes.
func parseSize(s string) (int64, error) {
	units := map[string]float64{"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
	word := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(strings.TrimSpace(s)), "B"), "I")
	number := strings.TrimRight(word, "KMGT")
	var x float64
	if _, err := fmt.Sscanf(number, "%g", &x); err != nil || units[word[len(number):]] == 0 || !(x > 0 && x < 1e9) {
		return 0, fmt.Errorf("%q, want a size such as 12GB", s)
	}
	return int64(x * units[word[len(number):]]), nil
}

func (a *app) train(ctx context.Context, opts train.Options) error {
	opts.Log = a.logger()
	b, err := opts.OpenBLAS()
	if err != nil {
		return usageError{err}
	}
	peak, _ := gflops(b)
	line := newTrainLine(a.err, peak)
	opts.OnStep = line.show
	run := train.Run
	if opts.Backend == train.PyTorch {
		run = torch.Run
	}
	r, err := run(ctx, opts)
	line.end()
	if r != nil && errors.Is(err, context.Canceled) {
		a.notef("stopped behind step %d; the same command goes on from there", r.Steps)
	}
	if errors.Is(err, torch.ErrElsewhere) {
		a.notef("%v", err)
		return nil
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(r)
	}
	return a.printTraining(r)
}

func (a *app) printTraining(r *train.Result) error {
	if r.Already {
		a.notef("note: %s holds the result of this training already; --force trains anew", r.Out)
	}
	rows := [][]string{
		{"steps", thousands(int64(r.Steps))}, {"tokens", thousands(r.Tokens)}, {"trained parameters", thousands(int64(r.Trained))},
		{"time", time.Duration(r.Seconds*float64(time.Second)).Round(time.Second).String() + fmt.Sprintf(", %s tokens/s", thousands(int64(r.TokensPerSecond)))},
		{"last loss", fmt.Sprintf("%.4f nats a token", r.Loss)},
	}
	score := func(s *train.Score) string {
		if s.BitsPerByte > 0 {
			return fmt.Sprintf("%.4f bits/byte, %.4f nats a token", s.BitsPerByte, s.Loss)
		}
		return fmt.Sprintf("%.4f nats a token", s.Loss)
	}
	if r.Before != nil {
		rows = append(rows, []string{"held-out before", score(r.Before)})
	}
	if r.After != nil {
		rows = append(rows, []string{"held-out after", score(r.After)})
	}
	if len(r.Tasks) > 0 {
		rows = append(rows, []string{"tasks after", scoreList(r.Tasks)})
	}
	if r.Best != nil {
		rows = append(rows, []string{"best at step", thousands(int64(r.Best.Step))})
	}
	if r.Ended != "" {
		rows = append(rows, []string{"ended early", r.Ended})
	}
	return a.table(append(rows, []string{"written to", r.Out}))
}

// trainLine shows how a training goes: one line that is written over on a terminal, one every
// ten seconds elsewhere.
type trainLine struct {
	out      io.Writer
	terminal bool
	peak     float64 // GFLOPS of a large product
	last     time.Time
	start    time.Time
	first    int // step at which the program began
	open     bool
}

func newTrainLine(out io.Writer, peak float64) *trainLine {
	return &trainLine{out: out, terminal: isTerminal(out), peak: peak, first: -1}
}

func (l *trainLine) show(p train.Progress) {
	if p.Event == "eval" {
		what := fmt.Sprintf("%.4f nats a token", *p.EvalLoss)
		if p.BitsPerByte != nil {
			what = fmt.Sprintf("%.4f bits/byte", *p.BitsPerByte)
		}
		l.end()
		fmt.Fprintf(l.out, "step %d/%d: held-out %s\n", p.Step, p.Steps, what)
		return
	}
	if p.Event == "tasks" {
		l.end()
		fmt.Fprintf(l.out, "step %d/%d: %s\n", p.Step, p.Steps, scoreList(p.Tasks))
		return
	}
	now := time.Now()
	if l.first < 0 {
		l.first, l.start = p.Step, now
	}
	every := 10 * time.Second
	if l.terminal {
		every = 200 * time.Millisecond
	}
	if now.Sub(l.last) < every {
		return
	}
	l.last = now
	text := fmt.Sprintf("step %d/%d  loss %.4f  lr %.2e  norm %.2f  %s tokens/s", p.Step, p.Steps, *p.Loss, *p.LR, *p.GradNorm, thousands(int64(p.TokensPerSecond)))
	if l.peak > 0 {
		text += fmt.Sprintf("  %.0f %% of %.0f GFLOPS", 100*p.GFLOPS/l.peak, l.peak)
	}
	if done := p.Step - l.first; done > 0 {
		left := now.Sub(l.start) * time.Duration(p.Steps-p.Step) / time.Duration(done)
		text += fmt.Sprintf("  %s left", left.Round(time.Second))
	}
	if l.terminal {
		fmt.Fprintf(l.out, "\r%s\x1b[K", text)
		l.open = true
		return
	}
	fmt.Fprintln(l.out, text)
}

// end finishes a line that is being written over.
func (l *trainLine) end() {
	if l.open {
		fmt.Fprintln(l.out)
		l.open = false
	}
}

// previewTraining prints rows: a document a line, its tokens between bars, those without loss in parentheses.
func (a *app) previewTraining(ctx context.Context, opts train.Options, n int) error {
	samples, err := train.Preview(ctx, opts, n)
	if err != nil {
		return err
	}
	for i, s := range samples {
		if a.json {
			if err := a.printJSON(s); err != nil {
				return err
			}
			continue
		}
		learned := 0
		for _, l := range s.Labels {
			if l != noLabel {
				learned++
			}
		}
		fmt.Fprintf(a.out, "row %d: %d tokens, %d with loss, %d documents, from %s:%d\n", i+1, len(s.IDs), learned, len(s.Starts), filepath.Base(s.Source), s.Line)
		if _, err := fmt.Fprintln(a.out, previewTokens(s)); err != nil {
			return err
		}
	}
	return nil
}

const noLabel = -100

func previewTokens(s train.Sample) string {
	var b strings.Builder
	starts := s.Starts
	for i, id := range s.IDs {
		if len(starts) > 0 && int(starts[0]) == i {
			starts = starts[1:]
			if i > 0 {
				b.WriteString("\n")
			}
			b.WriteString("  ")
		}
		word := fmt.Sprint(id)
		if s.Tokens != nil {
			word = strings.NewReplacer("\n", "⏎", "\r", "␍", "\t", "⇥").Replace(s.Tokens[i])
		}
		if s.Labels[i] == noLabel {
			word = "(" + word + ")"
		}
		b.WriteString(word)
		if s.Tokens == nil || i+1 < len(s.IDs) {
			b.WriteString("|")
		}
	}
	return b.String()
}
