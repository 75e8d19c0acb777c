package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"lep/internal/hint"
	"lep/vocab/build"
	"lep/vocab/scenario"
)

// scenarioFlags are those that extend, optimize and replace share.
type scenarioFlags struct {
	opts    build.Options
	out     string
	compat  string
	showCut bool
	addName string // of the flag that names the other vocabulary
}

func (s *scenarioFlags) register(cmd *cobra.Command, name scenario.Name, addName, addHelp string) {
	s.addName, s.opts = addName, build.DefaultOptions()
	o := &s.opts
	o.Scenario = name
	f := cmd.Flags()
	f.StringVar(&o.Base, "base", "", "the model's tokenizer: folder, file or hub id")
	f.StringVar(&o.Add, addName, "", addHelp)
	f.StringVar(&s.out, "out", "", "folder to write")
	f.StringArrayVar(&o.HeldOut, "sample", nil, "texts that prove the result (files, globs; may be repeated)")
	registerCorpus(cmd, &o.Corpus, "texts to learn from without --"+addName)
	f.StringVar(&o.Algorithm, "algorithm", o.Algorithm, "bpe or unigram, without --"+addName)
	f.IntVar(&o.TrainSize, "train-size", o.TrainSize, "tokens to learn without --"+addName)
	for _, name := range []string{"base", "out"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
}

func (s *scenarioFlags) registerExtension(cmd *cobra.Command) {
	e := &s.opts.Extend
	f := cmd.Flags()
	f.StringVar(&s.compat, "compat", "", `"reference": exactly the pieces and merges of the authors' code`)
	f.IntVar(&e.Size, "size", 0, "most tokens of the whole result, added tokens included (0: no limit)")
	f.StringVar(&e.Words.Only, "only", "", `take only texts that this regular expression matches as a whole, as in '[ \p{Cyrillic}]+'`)
	f.IntVar(&e.Words.MinLetters, "min-letters", 0, "take only texts with this many characters, spaces not counted")
	f.IntVar(&e.Words.TopK, "top-k", 0, "take only the most frequent (0: all)")
	f.BoolVar(&e.KeepDead, "keep-dead", false, "also add tokens that the pre-tokenizer can never produce")
	f.StringVar((*string)(&e.Merges), "merges", string(e.Merges), "merges of a new token: learned, all (every split) or auto (as the base)")
}

// run checks the flags, makes the vocabulary and prints what came out.
func (s *scenarioFlags) run(cmd *cobra.Command, a *app) error {
	o := &s.opts
	switch s.compat {
	case "":
	case "reference":
		o.Extend.Reference = true
	default:
		return usagef("--compat %q: want reference", s.compat)
	}
	if o.Add == "" && len(o.Files) == 0 {
		return hint.Wrap(usagef("--%s is missing", s.addName), "name a vocabulary, or texts to learn one from: --corpus")
	}
	o.Reading.Seed = uint64(a.seed)
	o.Version, o.Threads, o.Force, o.Hooks = Version, a.threads, a.force, a.hooks()
	if err := o.Validate(); err != nil {
		return usageError{err}
	}
	sum, err := build.Make(cmd.Context(), *o, s.out)
	if err != nil {
		return err
	}
	return a.printScenario(sum, s.showCut)
}

func (a *app) vocabExtendCmd() *cobra.Command {
	var s scenarioFlags
	cmd := &cobra.Command{
		Use:   "extend --base T --add T2|--corpus F --out DIR",
		Short: "Add a language's tokens to a model's own vocabulary",
		Long: `Add a language's tokens to a model's own vocabulary. The new tokens' merges are learned behind the base's own, so that
text without a new token is cut as before; --sample proves it on texts. A base in SentencePiece's or tiktoken's form keeps that
form, whose rare exceptions --sample counts and --merges learned avoids. --compat reference puts the other vocabulary's merges first,
as the published models were made.`,
		Example: `  lep vocab extend --base meta-llama/Meta-Llama-3-8B --corpus 'ru/*.jsonl.zst' --train-size 32000 --out extended
  lep vocab extend --base meta-llama/Meta-Llama-3-8B --add ./russian --out extended --only '[ \p{Cyrillic}]+' --sample 'ru/*.jsonl.zst'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd, a) },
	}
	s.register(cmd, scenario.Extension, "add", "vocabulary of the new language: folder, file or hub id")
	s.registerExtension(cmd)
	return cmd
}

func (a *app) vocabReplaceCmd() *cobra.Command {
	var s scenarioFlags
	cmd := &cobra.Command{
		Use:   "replace --base T --with T2|--corpus F --out DIR",
		Short: "Put a new vocabulary in the place of a model's own",
		Long: `Put a new vocabulary (BPE or Unigram) in the place of a model's own. The model's special tokens, their roles and its chat
template are kept, with new ids.`,
		Example: "  lep vocab replace --base mistralai/Mistral-7B-v0.1 --with ./russian --out replaced",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return s.run(cmd, a) },
	}
	s.register(cmd, scenario.Replacement, "with", "vocabulary to take: folder, file or hub id")
	return cmd
}

func (a *app) vocabOptimizeCmd() *cobra.Command {
	var s scenarioFlags
	cmd := &cobra.Command{
		Use:   "optimize --base T [--add T2] --corpus F --out DIR",
		Short: "Cut what a corpus does not use, then add a language's tokens",
		Long: `Cut what a corpus does not use, then add a language's tokens. Bytes, special tokens, digits and punctuation are never cut.
--cut rank keeps the first pieces of the table instead, as the authors did.`,
		Example: "  lep vocab optimize --base ./llama3 --add ./russian --corpus 'ru/*.jsonl.zst' --corpus en.txt --size 128256 --out optimized",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return s.run(cmd, a) },
	}
	s.register(cmd, scenario.Optimization, "add", "vocabulary of the new language: folder, file or hub id")
	s.registerExtension(cmd)
	f, cut := cmd.Flags(), &s.opts.Cut
	f.Lookup("corpus").Usage = "texts whose tokens are kept, and to learn from without --add: files, folders, globs (may be repeated)"
	f.StringVar((*string)(&cut.Rule), "cut", string(cut.Rule), "usage (what the corpus uses) or rank (the first of the table)")
	f.IntVar(&cut.Keep, "keep-items", 0, "most pieces of the base to keep (0: all that the corpus uses)")
	f.StringArrayVar(&cut.KeepTokens, "keep", nil, "a token's text to keep in any case (may be repeated)")
	f.BoolVar(&s.showCut, "report", false, "show what was cut, by script and by frequency (--json always does)")
	f.BoolVar(&cut.KeepMarks, "keep-marks", cut.KeepMarks, "never cut single digits and punctuation")
	return cmd
}

func (a *app) printScenario(sum *build.Summary, showCut bool) error {
	for _, n := range sum.Notes {
		a.notef("note: %s", n)
	}
	if a.json {
		return a.printJSON(sum)
	}
	rows := [][]string{
		{"tokens", thousands(int64(sum.Size))},
		{"kept of the base", thousands(int64(sum.Kept))},
		{"cut", thousands(int64(sum.Cut))},
		{"new", thousands(int64(sum.New))},
		{"left out", thousands(int64(sum.LeftOut)) + reasons(sum.LeftOutTokens)},
		{"new but not reached alone", thousands(int64(len(sum.Unreachable))) + reasons(sum.Unreachable)},
	}
	if p := sum.Proof; p != nil {
		rows = append(rows,
			[]string{"sample", fmt.Sprintf("%s lines: %s tokens, before %s (%.1f %%)", thousands(int64(p.Lines)), thousands(int64(p.NewTokens)),
				thousands(int64(p.OldTokens)), 100*float64(p.NewTokens)/float64(max(1, p.OldTokens)))},
			[]string{"lines without new tokens cut otherwise", thousands(int64(p.Recut))},
			[]string{"lines that decode otherwise", thousands(int64(p.Broken))})
	}
	if err := a.table(append(rows, []string{"written to", sum.Out})); err != nil || !showCut || sum.Report == nil {
		return err
	}
	return a.printReport(cutPage(sum.Report))
}

// reasons shows the most frequent reason of a list.
func reasons(list []scenario.Unreachable) string {
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf(" (as %q: %s)", list[0].Token, list[0].Reason)
}
