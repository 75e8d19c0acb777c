package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"lep/tokenizer"
	"lep/vocab/build"
	"lep/vocab/scenario"
	"lep/vocab/stats"
)

type sweepFlags struct {
	train   trainFlags
	trainer *build.Trainer
	sizes   []int
	base    string
	heldOut build.Corpus
	opts    stats.SweepOptions
	html    string
}

func (a *app) vocabSweepCmd() *cobra.Command {
	s := sweepFlags{opts: stats.DefaultSweepOptions()}
	cmd := &cobra.Command{
		Use:   "sweep --algorithm bpe|unigram --sizes N,N,… --corpus F",
		Short: "Find the size from which on a larger vocabulary gains little",
		Long: `Find the size from which on a larger vocabulary gains little. Vocabularies of all sizes are trained on --corpus and measured
on --held-out (or on the same texts, which flatters the large ones): characters per token, parameters of the embeddings for --hidden,
and an estimate of how much faster text is generated than with --base (or the smallest size). --body, the number of the model's
other parameters, makes a larger head cost what it does. BPE is trained once, its smaller vocabularies are parts of the largest.

It flattens at the smallest size from which on each doubling adds less than --flat of characters per token.`,
		Example: "  lep vocab sweep --algorithm bpe --sizes 8000,16000,32000,64000,128000 --corpus ru.train.jsonl.zst --held-out ru.heldout.jsonl.zst --base mistralai/Mistral-7B-v0.1 --hidden 4096 --body 7e9 --html sweep.html",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.plan(cmd, a); err != nil {
				return err
			}
			return a.vocabSweep(cmd.Context(), &s)
		},
	}
	s.train.register(cmd)
	f := cmd.Flags()
	for _, name := range []string{"size", "out", "like", "special", "bos", "eos", "pad", "control", "allow-smaller"} {
		delete(f.Lookup(name).Annotations, cobra.BashCompOneRequiredFlag)
		f.Lookup(name).Hidden = true
	}
	f.IntSliceVar(&s.sizes, "sizes", nil, "sizes of the vocabularies, with commas")
	f.StringVar(&s.base, "base", "", "a model's tokenizer to compare with: folder, file or hub id")
	f.StringArrayVar(&s.heldOut.Files, "held-out", nil, "texts to measure on that were not learned from (may be repeated)")
	f.IntVar(&s.opts.Hidden, "hidden", 0, "hidden_size of the model, for the parameters of its embeddings")
	f.BoolVar(&s.opts.Tied, "tied", false, "the model's embeddings and head are one matrix")
	f.Float64Var(&s.opts.Body, "body", 0, "parameters of the model without embeddings and head, as 7e9")
	f.Float64Var(&s.opts.Flat, "flat", s.opts.Flat, "gain by a doubling below which it counts as flat")
	f.StringVar(&s.html, "html", "", "also write a page that opens offline")
	cobra.CheckErr(cmd.MarkFlagRequired("sizes"))
	return cmd
}

func (s *sweepFlags) plan(cmd *cobra.Command, a *app) error {
	for _, name := range []string{"size", "out", "like", "special", "bos", "eos", "pad", "control", "allow-smaller"} {
		if cmd.Flags().Changed(name) {
			return usagef("--%s does not belong to a sweep, which only measures", name)
		}
	}
	if len(s.sizes) > 64 {
		return usagef("--sizes has %d entries, want at most 64", len(s.sizes))
	}
	slices.Sort(s.sizes)
	if twice := len(slices.Compact(slices.Clone(s.sizes))); twice != len(s.sizes) {
		return usagef("--sizes: a size stands twice")
	}
	s.train.opts.Size = s.sizes[len(s.sizes)-1]
	s.opts.Threads = max(1, a.threads)
	if err := s.opts.Validate(); err != nil {
		return usageError{err}
	}
	var err error
	if s.trainer, err = s.train.plan(cmd, a); err != nil {
		return err
	}
	if least := s.sizes[0]; least < 256 && s.trainer.Style() != build.SentencePiece {
		return usagef("--sizes: %d is smaller than the alphabet of 256 bytes", least)
	}
	files := s.heldOut.Files
	s.heldOut = s.train.opts.Corpus
	if len(files) > 0 {
		s.heldOut.Files = files
		s.heldOut.Reading.Sample = 1
	}
	return nil
}

func (a *app) vocabSweep(ctx context.Context, s *sweepFlags) error {
	var base *stats.Candidate
	if s.base != "" {
		tok, err := build.OpenTokenizer(s.base)
		if err != nil {
			return err
		}
		base = &stats.Candidate{Name: s.base, Tok: tok}
	}
	candidates, err := trainSizes(ctx, s)
	if err != nil {
		return err
	}
	texts, err := a.openCorpus(ctx, &s.heldOut, "measure")
	if err != nil {
		return err
	}
	sweep, err := stats.NewSweep(ctx, candidates, base, texts.All(), s.opts)
	if err != nil {
		return err
	}
	page := sweep.Page("Vocabularies by size")
	if err := a.writePage(s.html, page); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(sweep)
	}
	return a.printReport(page)
}

// trainSizes trains all sizes: BPE once, at the largest; Unigram each, because its smaller
// vocabularies are no parts of the larger.
func trainSizes(ctx context.Context, s *sweepFlags) ([]stats.Candidate, error) {
	var largest *tokenizer.Definition
	var list []stats.Candidate
	for _, size := range slices.Backward(s.sizes) {
		d := largest
		if d == nil || s.train.opts.Algorithm != "bpe" {
			r, _, err := s.trainer.Learn(ctx, fmt.Sprintf("train %d: read", size), size)
			if err != nil {
				return nil, err
			}
			d, largest = r.Definition, r.Definition
		} else {
			var err error
			if d, err = scenario.Truncate(largest, size); err != nil {
				return nil, err
			}
		}
		tok, err := tokenizer.New(d)
		if err != nil {
			return nil, err
		}
		list = append(list, stats.Candidate{Name: thousands(int64(size)), Tok: tok})
	}
	slices.Reverse(list)
	return list, nil
}
