package cli

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"lep/corpus"
	"lep/internal/hint"
	"lep/tokenizer"
	"lep/vocab/scenario"
)

// scenarioFlags are those that extend, optimize and replace share.
type scenarioFlags struct {
	base, add, out string
	compat         string
	sample         []string
	extend         scenario.ExtendOptions

	corpus    corpusFlags
	algorithm string
	trainSize int
}

func (s *scenarioFlags) register(cmd *cobra.Command, addName, addHelp string) {
	f := cmd.Flags()
	f.StringVar(&s.base, "base", "", "the model's tokenizer: folder, file or hub id")
	f.StringVar(&s.add, addName, "", addHelp)
	f.StringVar(&s.out, "out", "", "folder to write")
	f.StringArrayVar(&s.sample, "sample", nil, "texts that prove the result (files, globs; may be repeated)")
	s.corpus.register(cmd, "texts to learn from without --"+addName)
	f.StringVar(&s.algorithm, "algorithm", "bpe", "bpe or unigram, without --"+addName)
	f.IntVar(&s.trainSize, "train-size", 32000, "tokens to learn without --"+addName)
	for _, name := range []string{"base", "out"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
}

func (s *scenarioFlags) registerExtension(cmd *cobra.Command) {
	s.extend = scenario.DefaultExtendOptions()
	f := cmd.Flags()
	f.StringVar(&s.compat, "compat", "", `"reference": exactly the pieces and merges of the authors' code`)
	f.IntVar(&s.extend.Size, "size", 0, "most tokens of the whole result, added tokens included (0: no limit)")
	f.StringVar(&s.extend.Words.Only, "only", "", `take only texts that this regular expression matches as a whole, as in '[ \p{Cyrillic}]+'`)
	f.IntVar(&s.extend.Words.MinLetters, "min-letters", 0, "take only texts with this many characters, spaces not counted")
	f.IntVar(&s.extend.Words.TopK, "top-k", 0, "take only the most frequent (0: all)")
	f.BoolVar(&s.extend.KeepDead, "keep-dead", false, "also add tokens that the pre-tokenizer can never produce")
	f.StringVar((*string)(&s.extend.Merges), "merges", string(s.extend.Merges), "merges of a new token: learned, all (every split) or auto (as the base)")
}

func (s *scenarioFlags) checkCompat() error {
	switch s.compat {
	case "":
	case "reference":
		s.extend.Reference = true
	default:
		return usagef("--compat %q: want reference", s.compat)
	}
	return nil
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
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.checkCompat(); err != nil {
				return err
			}
			base, add, err := s.open(cmd.Context(), a, "add")
			if err != nil {
				return err
			}
			r, err := scenario.Extend(base.def, add.def, s.extend)
			if err != nil {
				return err
			}
			return a.finishScenario(cmd.Context(), &s, base, r, map[string]any{"extend": s.extend}, nil)
		},
	}
	s.register(cmd, "add", "vocabulary of the new language: folder, file or hub id")
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
		RunE: func(cmd *cobra.Command, _ []string) error {
			base, with, err := s.open(cmd.Context(), a, "with")
			if err != nil {
				return err
			}
			r, err := scenario.Replace(base.def, with.def)
			if err != nil {
				return err
			}
			return a.finishScenario(cmd.Context(), &s, base, r, nil, nil)
		},
	}
	s.register(cmd, "with", "vocabulary to take: folder, file or hub id")
	return cmd
}

func (a *app) vocabOptimizeCmd() *cobra.Command {
	var s scenarioFlags
	var showCut bool
	cut := scenario.DefaultCutOptions()
	cmd := &cobra.Command{
		Use:   "optimize --base T [--add T2] --corpus F --out DIR",
		Short: "Cut what a corpus does not use, then add a language's tokens",
		Long: `Cut what a corpus does not use, then add a language's tokens. Bytes, special tokens, digits and punctuation are never cut.
--cut rank keeps the first pieces of the table instead, as the authors did.`,
		Example: "  lep vocab optimize --base ./llama3 --add ./russian --corpus 'ru/*.jsonl.zst' --corpus en.txt --size 128256 --out optimized",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.checkCompat(); err != nil {
				return err
			}
			base, add, err := s.open(cmd.Context(), a, "add")
			if err != nil {
				return err
			}
			texts, err := s.corpus.open(cmd.Context(), a, "cut")
			if err != nil {
				return err
			}
			if cut.Rule == scenario.ByUsage && texts == nil {
				return usagef("--cut usage needs --corpus")
			}
			cutBase, report, err := scenario.Cut(base.def, texts.stream(), cut)
			if err != nil {
				return err
			}
			a.noteBad(texts)
			r, err := scenario.Extend(cutBase.Definition, add.def, s.extend)
			if err != nil {
				return err
			}
			r.After(cutBase, base.def)
			tok, err := tokenizer.New(base.def)
			if err != nil {
				return err
			}
			details := detailCut(tok, report)
			options := map[string]any{"cut": cut, "extend": s.extend}
			if err := a.finishScenario(cmd.Context(), &s, base, r, options, details); err != nil || !showCut || a.json {
				return err
			}
			return a.printReport(details.page())
		},
	}
	s.register(cmd, "add", "vocabulary of the new language: folder, file or hub id")
	s.registerExtension(cmd)
	f := cmd.Flags()
	f.Lookup("corpus").Usage = "texts whose tokens are kept, and to learn from without --add: files, folders, globs (may be repeated)"
	f.StringVar((*string)(&cut.Rule), "cut", string(cut.Rule), "usage (what the corpus uses) or rank (the first of the table)")
	f.IntVar(&cut.Keep, "keep-items", 0, "most pieces of the base to keep (0: all that the corpus uses)")
	f.StringArrayVar(&cut.KeepTokens, "keep", nil, "a token's text to keep in any case (may be repeated)")
	f.BoolVar(&showCut, "report", false, "show what was cut, by script and by frequency (--json always does)")
	f.BoolVar(&cut.KeepMarks, "keep-marks", cut.KeepMarks, "never cut single digits and punctuation")
	return cmd
}

// openedVocabulary is a definition with its folder's config.
type openedVocabulary struct {
	path   string
	def    *tokenizer.Definition
	config *tokenizer.Config
}

// open opens the base and the other vocabulary, or learns the other one from the corpus in
// the base's style.
func (s *scenarioFlags) open(ctx context.Context, a *app, name string) (base, add *openedVocabulary, err error) {
	if base, err = openVocabulary(s.base); err != nil {
		return nil, nil, err
	}
	switch {
	case s.add != "":
		add, err = openVocabulary(s.add)
	case len(s.corpus.files) > 0:
		add, err = s.learn(ctx, a, base)
	default:
		err = hint.Wrap(usagef("--%s is missing", name), "name a vocabulary, or texts to learn one from: --corpus")
	}
	if err != nil {
		return nil, nil, err
	}
	if name == "add" {
		add.def.SentencePiece = nil // its tokens are taken in their HF form
	}
	return base, add, nil
}

// learn trains the other vocabulary in the style of the base, without its special tokens.
func (s *scenarioFlags) learn(ctx context.Context, a *app, base *openedVocabulary) (*openedVocabulary, error) {
	t := trainFlags{algorithm: s.algorithm, like: s.base, model: &openedVocabulary{path: base.path, def: base.def.Clone(), config: base.config}}
	t.setDefaults()
	t.model.def.AddedTokens = nil
	t.size, t.allowSmaller = s.trainSize, true
	if err := t.complete(func(string) bool { return false }); err != nil {
		return nil, err
	}
	texts, err := s.corpus.open(ctx, a, "learn: read")
	if err != nil {
		return nil, err
	}
	r, err := t.train(ctx, a, texts)
	if err != nil {
		return nil, err
	}
	a.noteBad(texts)
	return &openedVocabulary{path: s.corpus.files[0], def: r.Definition, config: base.config}, nil
}

// openVocabulary opens a tokenizer for editing. A folder with a tokenizer.model beside
// its tokenizer.json keeps the native part, so that the result can be written in both forms.
func openVocabulary(path string) (*openedVocabulary, error) {
	t, err := openTokenizer(path)
	if err != nil {
		return nil, err
	}
	v := &openedVocabulary{path: path, def: t.Definition().Clone(), config: t.Config()}
	raw, err := os.ReadFile(filepath.Join(path, "tokenizer.model"))
	if err != nil || v.def.SentencePiece != nil {
		return v, nil
	}
	native, err := tokenizer.ReadSentencePiece(raw)
	if err != nil || native.Model.Type != v.def.Model.Type || len(native.Model.Pieces) != len(v.def.Model.Pieces) {
		return v, nil // another format (tiktoken), or another tokenizer: tokenizer.json is the authority
	}
	for i, p := range native.Model.Pieces {
		if q := v.def.Model.Pieces[i]; p.ID != q.ID || p.Text != q.Text {
			return v, nil
		}
	}
	v.def.Model.Pieces, v.def.SentencePiece = native.Model.Pieces, native.SentencePiece
	return v, nil
}

type scenarioSummary struct {
	Out         string                 `json:"out"`
	Scenario    scenario.Name          `json:"scenario"`
	Size        int                    `json:"size"`
	Kept        int                    `json:"kept"`
	Cut         int                    `json:"cut"`
	New         int                    `json:"new"`
	LeftOut     int                    `json:"left_out"`
	Unreachable []scenario.Unreachable `json:"unreachable"`
	Report      *cutDetails            `json:"cut_report,omitempty"`
	Proof       *scenario.Proof        `json:"proof,omitempty"`
	Notes       []string               `json:"notes"`
}

// finishScenario proves a result on the sample, writes the folder and prints what came out.
func (a *app) finishScenario(ctx context.Context, s *scenarioFlags, base *openedVocabulary, r *scenario.Result, options map[string]any, report *cutDetails) error {
	sum := scenarioSummary{
		Out: s.out, Scenario: r.Scenario, Size: len(r.OldIDs), Kept: r.Kept, Cut: r.Cut, New: r.New,
		LeftOut: len(r.LeftOut), Unreachable: notNil(r.Unreachable), Report: report,
	}
	texts, err := a.corpusTexts(ctx, s.sample, "prove")
	if err != nil {
		return err
	}
	if texts != nil {
		if sum.Proof, err = scenario.Prove(base.def, r, texts); err != nil {
			return err
		}
	}
	recipe, err := s.record(options)
	if err != nil {
		return err
	}
	side, err := r.JSON(base.def, recipe, sum.Proof)
	if err != nil {
		return err
	}
	err = a.writeDir(s.out, func(dir string) (err error) {
		sum.Notes, err = writeVocabulary(dir, r.Definition, r.Config(base.config), rankFile(base.path), side)
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range sum.Notes {
		a.notef("note: %s", n)
	}
	if sum.Proof != nil && sum.Proof.Recut > 0 && r.Scenario != scenario.Replacement && s.extend.Merges == scenario.AutoMerges && !s.extend.Reference {
		a.notef("note: the base's native format joins tokens however they were cut; --merges learned keeps text without new tokens as it was, in tokenizer.json alone")
	}
	sum.Notes = notNil(sum.Notes)
	if a.json {
		return a.printJSON(sum)
	}
	return a.printScenario(sum, r)
}

// record is the whole recipe of a scenario, for lep_vocab.json: options are those of its steps.
func (s *scenarioFlags) record(options map[string]any) (map[string]any, error) {
	out := map[string]any{"lep": Version, "base": s.base, "sample": notNil(s.sample)}
	if s.add != "" {
		out["add"] = s.add
	} else {
		out["algorithm"], out["train_size"] = s.algorithm, s.trainSize
	}
	if len(s.corpus.files) > 0 {
		out["corpus"] = s.corpus.files
		options = maps.Clone(options)
		if options == nil {
			options = map[string]any{}
		}
		options["reading"] = s.corpus.opts
	}
	for name, o := range options {
		raw, err := asJSON(o)
		if err != nil {
			return nil, err
		}
		out[name] = raw
	}
	return out, nil
}

func (a *app) printScenario(sum scenarioSummary, r *scenario.Result) error {
	rows := [][]string{
		{"tokens", thousands(int64(sum.Size))},
		{"kept of the base", thousands(int64(sum.Kept))},
		{"cut", thousands(int64(sum.Cut))},
		{"new", thousands(int64(sum.New))},
		{"left out", thousands(int64(sum.LeftOut)) + reasons(r.LeftOut)},
		{"new but not reached alone", thousands(int64(len(sum.Unreachable))) + reasons(r.Unreachable)},
	}
	if p := sum.Proof; p != nil {
		rows = append(rows,
			[]string{"sample", fmt.Sprintf("%s lines: %s tokens, before %s (%.1f %%)", thousands(int64(p.Lines)), thousands(int64(p.NewTokens)),
				thousands(int64(p.OldTokens)), 100*float64(p.NewTokens)/float64(max(1, p.OldTokens)))},
			[]string{"lines without new tokens cut otherwise", thousands(int64(p.Recut))},
			[]string{"lines that decode otherwise", thousands(int64(p.Broken))})
	}
	rows = append(rows, []string{"written to", sum.Out})
	return a.table(rows)
}

// reasons shows the most frequent reason of a list.
func reasons(list []scenario.Unreachable) string {
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf(" (as %q: %s)", list[0].Token, list[0].Reason)
}

// corpusTexts opens a corpus and shows progress while it is read; nil without files.
func (a *app) corpusTexts(ctx context.Context, specs []string, what string) (iter.Seq2[string, error], error) {
	if len(specs) == 0 {
		return nil, nil
	}
	opts := corpus.DefaultOptions()
	opts.Seed = uint64(a.seed)
	r, err := corpus.Open(specs, opts)
	if err != nil {
		return nil, err
	}
	return func(yield func(string, error) bool) {
		update, done := a.progress(what, "B")
		defer done()
		for text, err := range r.Texts(ctx) {
			p := r.Progress()
			update(p.Read, p.Total)
			if !yield(text, err) {
				return
			}
		}
	}, nil
}
