package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lep/calibrate"
)

func (a *app) calibrateCmd() *cobra.Command {
	opts := calibrate.DefaultOptions()
	var refusals string
	var skipBad bool
	cmd := &cobra.Command{
		Use:   "calibrate --model DIR|--api URL --prompts F --out F",
		Short: "Make a model's own answers into training data",
		Long: `Put instructions to a model and keep its answers as conversations to train on (self-calibration): the adapted model is
tuned on what the original instruct model says itself, so that it keeps its manner without its maker's data.

Prompts are lines of .txt files, or JSON rows with prompt, text, messages, conversations or instruction; also .gz and .zst, files, folders,
globs. Of a conversation the user's messages are taken, and each is answered anew. Prompts that stand twice are asked once.

Answers are filtered: empty ones, those cut off by --max-new-tokens, repetitions, refusals, near-duplicates, and by choice length and language.
Every reason is counted; --rejected F keeps what was refused. Each line of the output says which model gave the answer and how it was sampled.

The same command goes on where it was stopped (answers are kept in OUT.journal until all are there).`,
		Example: `  lep calibrate --model meta-llama/Meta-Llama-3-8B-Instruct --prompts instructions.jsonl --out answers.jsonl
  lep calibrate --api http://127.0.0.1:8080/v1 --prompts ru.jsonl --prompts en.jsonl --same-language --temperature 0.7 --out answers.jsonl
  lep train --model ./adapted --data answers.jsonl --task sft --train lora --out ./adapter`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.Engine.Threads, opts.Engine.BLAS, opts.Seed, opts.Force, opts.Key = a.threads, a.blas, uint64(a.seed), a.force, os.Getenv("OPENAI_API_KEY")
			if refusals != "" {
				phrases, err := readPhrases(refusals)
				if err != nil {
					return err
				}
				opts.Filters.Refusals = append(opts.Filters.Refusals, phrases...)
			}
			if skipBad {
				opts.Text.MaxBadRows = -1
			}
			if err := opts.Validate(); err != nil {
				return usageError{err}
			}
			return a.calibrate(cmd.Context(), opts)
		},
	}
	f := cmd.Flags()
	bindCalibration(f, &opts)
	f.StringVar(&refusals, "refusals", "", "file with further phrases of refusals, one a line")
	f.BoolVar(&skipBad, "skip-bad", false, "skip and count all bad rows of the prompts")
	for _, name := range []string{"prompts", "out"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
	return cmd
}

func bindCalibration(f *pflag.FlagSet, o *calibrate.Options) {
	f.StringVar(&o.Model, "model", "", "instruct model: folder or hub id; with --api the name that the server knows it by")
	f.StringVar(&o.API, "api", "", "address of an OpenAI-compatible server (http://HOST:PORT/v1), asked in place of a folder; the key is OPENAI_API_KEY")
	f.StringArrayVar(&o.Prompts, "prompts", nil, "files, folder or glob with prompts (may be repeated)")
	f.StringVar(&o.Out, "out", "", "file for the conversations (JSON lines)")
	f.StringVar(&o.Rejected, "rejected", "", "file for the conversations that the filters refused, with the reasons")
	f.IntVar(&o.Limit, "limit", 0, "most prompts (0: all)")
	f.StringVar(&o.System, "system", "", "system message of prompts that have none")
	f.IntVar(&o.MaxNewTokens, "max-new-tokens", o.MaxNewTokens, "most tokens of an answer")
	f.Float64Var(&o.Sampling.Temperature, "temperature", 0, "sampling temperature (0: the most likely token always)")
	f.IntVar(&o.Sampling.TopK, "top-k", 0, "sample from the k most likely tokens (0: all)")
	f.Float64Var(&o.Sampling.TopP, "top-p", 0, "sample from the most likely tokens that together have this probability")
	f.Float64Var(&o.Sampling.MinP, "min-p", 0, "sample from tokens with at least this share of the best one's probability")
	f.Float64Var(&o.Sampling.RepetitionPenalty, "repetition-penalty", 0, "divide the logits of tokens that occurred")
	f.IntVar(&o.SamplesPerPrompt, "samples-per-prompt", o.SamplesPerPrompt, "answers to each prompt; needs --temperature")
	f.IntVar(&o.BatchSize, "batch-size", o.BatchSize, "conversations between two saves (model folder)")
	f.IntVar(&o.Engine.Slots, "slots", o.Engine.Slots, "answers written at a time (model folder)")
	f.BoolVar(&o.Engine.Int8, "int8", false, "keep the weights in 8 bits (model folder)")
	precisionFlag(f, &o.Engine.Precision)
	f.IntVar(&o.Concurrency, "concurrency", o.Concurrency, "requests at a time (--api)")
	f.DurationVar(&o.Timeout, "timeout", o.Timeout, "longest time of one try (--api)")
	f.IntVar(&o.Filters.MinChars, "min-chars", o.Filters.MinChars, "shortest answer, in characters")
	f.IntVar(&o.Filters.MaxChars, "max-chars", 0, "longest answer (0: any)")
	f.BoolVar(&o.Filters.KeepCutOff, "keep-cut-off", false, "keep answers that --max-new-tokens cut off")
	f.Float64Var(&o.Filters.MaxRepetition, "max-repetition", o.Filters.MaxRepetition, "largest share of repeated word 4-grams (1: any)")
	f.StringSliceVar(&o.Filters.Languages, "languages", nil, "languages that answers may have: ru,en (none: any)")
	f.BoolVar(&o.Filters.SameLanguage, "same-language", false, "answers must have the language of the prompt")
	f.BoolVar(&o.Filters.KeepRefusals, "keep-refusals", false, "keep answers that decline")
	f.Float64Var(&o.Filters.NearDuplicates, "near-duplicates", o.Filters.NearDuplicates, "drop conversations this much like an earlier one (0: keep all)")
	f.StringVar(&o.Text.TextField, "text-field", o.Text.TextField, "field or column with the prompt, where it is not prompt")
	f.IntVar(&o.Text.MaxBadRows, "max-bad-rows", 0, "bad rows to skip before stopping")
}

// readPhrases reads one phrase a line.
func readPhrases(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var list []string
	s := bufio.NewScanner(file)
	for s.Scan() {
		if phrase := strings.TrimSpace(s.Text()); phrase != "" {
			list = append(list, phrase)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

func (a *app) calibrate(ctx context.Context, opts calibrate.Options) error {
	update, done := a.progress("calibrate", "answers")
	resumed := false
	opts.Progress = func(p calibrate.Progress) {
		if p.Resumed > 0 && !resumed {
			resumed = true
			a.notef("going on behind %s of %s conversations", thousands(int64(p.Resumed)), thousands(int64(p.Total)))
		}
		update(int64(p.Done), int64(p.Total))
	}
	r, err := calibrate.Run(ctx, opts)
	done()
	if err != nil {
		return err
	}
	for _, bad := range r.FirstBad {
		a.notef("bad row skipped: %s", bad)
	}
	if a.json {
		return a.printJSON(r)
	}
	who := r.Asked.Model
	if r.Asked.API != "" {
		who += " at " + r.Asked.API
	}
	rows := [][]string{{"asked", who}, {"prompts", thousands(int64(r.Prompts))}, {"conversations", thousands(int64(r.Conversations))}}
	for _, why := range calibrate.Reasons {
		if n := r.Rejected[why]; n > 0 {
			rows = append(rows, []string{"  " + strings.ReplaceAll(string(why), "_", " "), thousands(int64(n))})
		}
	}
	if r.BadRows > 0 {
		rows = append(rows, []string{"bad rows", thousands(int64(r.BadRows))})
	}
	return a.table(append(rows, []string{"kept", thousands(int64(r.Kept))}, []string{"new tokens", thousands(int64(r.NewTokens))}, []string{"written to", r.Out}))
}
