package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lep/internal/hint"
	"lep/tokenizer"
	"lep/tokenizer/trainer"
	"lep/vocab/scenario"
)

// Styles of a trained vocabulary.
const (
	styleByteLevel     = "byte-level"    // merges as Hugging Face learns and writes them
	styleTiktoken      = "tiktoken"      // the same tokens as ranks, as Llama-3 has them
	styleSentencePiece = "sentencepiece" // pieces with ▁, a .model file
)

// trainFlags are the flags of vocab train; trainFlags.plan completes them.
type trainFlags struct {
	algorithm, style, like, out string

	size          int
	corpus        corpusFlags
	normalization string
	special       []string
	bos, eos, pad string

	allowSmaller bool
	bpe          trainer.BPEOptions
	sp           trainer.SentencePieceOptions

	model *openedVocabulary // of --like
}

func (a *app) vocabTrainCmd() *cobra.Command {
	var t trainFlags
	cmd := &cobra.Command{
		Use:   "train --algorithm bpe|unigram --size N --corpus F --out DIR",
		Short: "Train a new vocabulary from texts",
		Long: `Train a new vocabulary from texts of any size: only their distinct words are kept in memory.

--style byte-level learns merges over bytes as Hugging Face's trainer does (the default for bpe), tiktoken the same in the form of
Llama-3, sentencepiece a SentencePiece model (the only one for unigram). --like takes the style, the pattern or normalization,
the special tokens, roles and chat template from a model's tokenizer, so that the result can take its place.

The result depends on the texts and options, not on the order of the texts or on --threads.`,
		Example: `  lep vocab train --algorithm bpe --size 32000 --corpus 'ru/*.jsonl.zst=0.9' --corpus en.txt=0.1 --out russian
  lep vocab train --algorithm bpe --size 128256 --corpus ru.parquet --like meta-llama/Meta-Llama-3-8B --out llama3-russian
  lep vocab train --algorithm unigram --size 32000 --corpus ru.txt --character-coverage 0.9999 --out russian-unigram`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := t.plan(cmd); err != nil {
				return err
			}
			return a.trainVocabulary(cmd.Context(), &t)
		},
	}
	t.register(cmd)
	return cmd
}

// setDefaults is what the flags begin with.
func (t *trainFlags) setDefaults() {
	t.bpe = trainer.DefaultBPEOptions()
	t.sp = trainer.DefaultSentencePieceOptions(tokenizer.Unigram)
	// What the vocabularies of language models have, rather than SentencePiece's own
	// defaults: nothing of the text is lost.
	t.sp.ByteFallback, t.sp.SplitDigits, t.sp.AllowWhitespaceOnlyPieces = true, true, true
	t.sp.NormalizationRuleName, t.sp.RemoveExtraWhitespaces = "identity", false
	t.sp.MaxSentenceLength = 1 << 20
}

func (t *trainFlags) register(cmd *cobra.Command) {
	t.setDefaults()
	f := cmd.Flags()
	f.StringVar(&t.algorithm, "algorithm", "", "bpe or unigram")
	f.IntVar(&t.size, "size", 0, "tokens of the whole result, special tokens included")
	f.StringVar(&t.out, "out", "", "folder to write")
	f.StringVar(&t.style, "style", "", "byte-level, tiktoken or sentencepiece (default: as --like, else byte-level for bpe, sentencepiece for unigram)")
	f.StringVar(&t.like, "like", "", "a model's tokenizer to be like: folder, file or hub id")
	t.corpus.register(cmd, "texts to learn from")
	f.BoolVar(&t.allowSmaller, "allow-smaller", false, "accept fewer tokens than --size where the texts yield no more")
	f.StringArrayVar(&t.special, "special", nil, "special token, never produced from text (may be repeated)")
	f.StringVar(&t.normalization, "normalization", "", "none, nfc or nfkc; for sentencepiece identity, nfkc, nmt_nfkc, nfkc_cf or nmt_nfkc_cf (default: none, identity)")
	f.StringVar(&t.bos, "bos", "", "byte-level: the special token that begins a text")
	f.StringVar(&t.eos, "eos", "", "byte-level: the special token that ends a text")
	f.StringVar(&t.pad, "pad", "", "byte-level: the special token that fills up")

	f.StringVar(&t.bpe.Pattern, "pattern", t.bpe.Pattern, "byte-level: what cuts texts into words: "+strings.Join(trainer.Patterns(), ", ")+" or a regular expression")
	f.Int64Var(&t.bpe.MinFrequency, "min-frequency", 0, "byte-level: least count of a pair to be merged")

	f.BoolVar(&t.sp.ByteFallback, "byte-fallback", t.sp.ByteFallback, "sentencepiece: 256 byte pieces for characters without a piece")
	f.BoolVar(&t.sp.SplitDigits, "split-digits", t.sp.SplitDigits, "sentencepiece: every digit is a piece of its own")
	f.Float64Var(&t.sp.CharacterCoverage, "character-coverage", t.sp.CharacterCoverage, "sentencepiece: share of the characters that get a piece, 0.9 to 1")
	f.StringVar(&t.sp.RequiredChars, "required-chars", "", "sentencepiece: characters that get a piece in any case")
	f.IntVar(&t.sp.MaxPieceLength, "max-piece-length", t.sp.MaxPieceLength, "sentencepiece: most characters of a piece")
	f.IntVar(&t.sp.MaxSentenceLength, "max-sentence-length", t.sp.MaxSentenceLength, "sentencepiece: longer lines (bytes) are left out and counted")
	f.StringArrayVar(&t.sp.UserDefinedSymbols, "user-defined", nil, "sentencepiece: text that is always one piece (may be repeated)")
	f.StringArrayVar(&t.sp.ControlSymbols, "control", nil, "sentencepiece: control symbol, never produced from text (may be repeated)")
	f.BoolVar(&t.sp.SplitByUnicodeScript, "split-by-unicode-script", t.sp.SplitByUnicodeScript, "sentencepiece: no piece holds letters of two scripts")
	f.BoolVar(&t.sp.SplitByNumber, "split-by-number", t.sp.SplitByNumber, "sentencepiece: no piece holds letters and digits")
	f.BoolVar(&t.sp.SplitByWhitespace, "split-by-whitespace", t.sp.SplitByWhitespace, "sentencepiece: no piece holds more than one word")
	f.BoolVar(&t.sp.TreatWhitespaceAsSuffix, "treat-whitespace-as-suffix", false, "sentencepiece: the space belongs to the word before it")
	f.BoolVar(&t.sp.AllowWhitespaceOnlyPieces, "allow-whitespace-only-pieces", t.sp.AllowWhitespaceOnlyPieces, "sentencepiece: runs of spaces may be pieces")
	f.BoolVar(&t.sp.RemoveExtraWhitespaces, "remove-extra-whitespaces", false, "sentencepiece: runs of spaces become one (text is not kept exactly)")
	f.BoolVar(&t.sp.AddDummyPrefix, "add-dummy-prefix", t.sp.AddDummyPrefix, "sentencepiece: put a space in front of every text")
	f.IntVar(&t.sp.UnkID, "unk-id", t.sp.UnkID, "sentencepiece: id of <unk>")
	f.IntVar(&t.sp.BOSID, "bos-id", t.sp.BOSID, "sentencepiece: id of <s>, -1 for none")
	f.IntVar(&t.sp.EOSID, "eos-id", t.sp.EOSID, "sentencepiece: id of </s>, -1 for none")
	f.IntVar(&t.sp.PADID, "pad-id", t.sp.PADID, "sentencepiece: id of <pad>, -1 for none")
	f.IntVar(&t.sp.SeedSize, "seed-sentencepiece-size", t.sp.SeedSize, "unigram: pieces to start from")
	f.Float64Var(&t.sp.ShrinkingFactor, "shrinking-factor", t.sp.ShrinkingFactor, "unigram: share of the pieces that a round of pruning keeps")
	f.IntVar(&t.sp.NumSubIterations, "num-sub-iterations", t.sp.NumSubIterations, "unigram: EM steps in a round")
	for _, name := range []string{"algorithm", "size", "corpus", "out"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
}

// plan checks the flags and takes from the model what they leave open.
func (t *trainFlags) plan(cmd *cobra.Command) error {
	if t.like != "" {
		var err error
		if t.model, err = openVocabulary(t.like); err != nil {
			return err
		}
	}
	if err := t.checkCommon(); err != nil {
		return err
	}
	if err := t.chooseStyle(); err != nil {
		return err
	}
	if err := t.checkApplies(cmd); err != nil {
		return err
	}
	return t.finishPlan(cmd.Flags().Changed)
}

// complete is plan without flags of its own.
func (t *trainFlags) complete(changed func(flag string) bool) error {
	if err := t.checkCommon(); err != nil {
		return err
	}
	if err := t.chooseStyle(); err != nil {
		return err
	}
	return t.finishPlan(changed)
}

func (t *trainFlags) checkCommon() error {
	t.algorithm = strings.ToLower(t.algorithm)
	if t.algorithm != "bpe" && t.algorithm != "unigram" {
		return usagef("--algorithm %q: want bpe or unigram", t.algorithm)
	}
	if t.size < 1 || t.size > 1<<26 {
		return usagef("the size is %d, want 1 to %d", t.size, 1<<26)
	}
	for i, s := range t.special {
		if slices.Contains(t.special[:i], s) {
			return usagef("--special %q stands twice", s)
		}
	}
	return nil
}

func (t *trainFlags) finishPlan(changed func(flag string) bool) error {
	if t.model != nil {
		if err := t.takeFromModel(changed); err != nil {
			return err
		}
	}
	if t.style == styleSentencePiece {
		return t.planSentencePiece()
	}
	return t.planByteLevel()
}

func (t *trainFlags) chooseStyle() error {
	switch t.style {
	case styleByteLevel, styleTiktoken:
		if t.algorithm == "unigram" {
			return usagef("--style %s: unigram is trained in style %s only", t.style, styleSentencePiece)
		}
	case styleSentencePiece:
	case "":
		t.style = styleByteLevel
		switch {
		case t.algorithm == "unigram":
			t.style = styleSentencePiece
		case t.model == nil:
		case scenario.IsRanked(t.model.def):
			t.style = styleTiktoken
		case t.model.def.SentencePiece != nil || t.model.def.Model.ByteFallback || t.model.def.Model.Type == tokenizer.Unigram:
			t.style = styleSentencePiece
		}
	default:
		return usagef("--style %q: want %s, %s or %s", t.style, styleByteLevel, styleTiktoken, styleSentencePiece)
	}
	return nil
}

// checkApplies refuses flags that would have no effect.
func (t *trainFlags) checkApplies(cmd *cobra.Command) error {
	scopes := []struct {
		prefix  string
		applies bool
	}{
		{"byte-level: ", t.style != styleSentencePiece},
		{"sentencepiece: ", t.style == styleSentencePiece},
		{"unigram: ", t.algorithm == "unigram"},
	}
	for _, s := range scopes {
		if s.applies {
			continue
		}
		for _, name := range flagsOf(cmd, s.prefix) {
			if cmd.Flags().Changed(name) {
				return usagef("--%s is for %s, this is --algorithm %s --style %s", name, strings.TrimSuffix(s.prefix, ": "), t.algorithm, t.style)
			}
		}
	}
	return nil
}

// planByteLevel checks and completes the options of byte-level BPE.
func (t *trainFlags) planByteLevel() error {
	if t.bpe.MinFrequency < 0 {
		return usagef("--min-frequency is %d, want 0 or more", t.bpe.MinFrequency)
	}
	switch t.normalization {
	case "", "none":
	case "nfc", "nfkc":
		t.bpe.Normalizer = fmt.Appendf(nil, `{"type":%q}`, strings.ToUpper(t.normalization))
	default:
		return usagef("--normalization %q: want none, nfc or nfkc with --style %s", t.normalization, t.style)
	}
	for _, role := range []string{t.bos, t.eos, t.pad} {
		if role != "" && !slices.Contains(t.special, role) {
			t.special = append(t.special, role)
		}
	}
	if t.model != nil { // it brings these itself
		t.special = slices.DeleteFunc(t.special, func(s string) bool {
			return slices.ContainsFunc(t.model.def.AddedTokens, func(a tokenizer.AddedToken) bool { return a.Content == s })
		})
	}
	behind := t.addedBehind()
	t.bpe.Size, t.bpe.AllowSmaller = t.size, t.allowSmaller
	if t.style == styleTiktoken || t.model != nil {
		t.bpe.Size -= behind + len(t.special)
	} else {
		t.bpe.Special = t.special
	}
	if need := 256 + behind + len(t.special); t.size < need {
		return hint.Errorf("choose a larger --size", "--size %d is smaller than the alphabet: 256 bytes and %d special tokens", t.size, need-256)
	}
	return nil
}

// planSentencePiece checks and completes the options of SentencePiece training.
func (t *trainFlags) planSentencePiece() error {
	t.sp.ModelType = tokenizer.BPE
	if t.algorithm == "unigram" {
		t.sp.ModelType = tokenizer.Unigram
	}
	if t.normalization != "" {
		t.sp.NormalizationRuleName = t.normalization
	}
	if _, err := tokenizer.SentencePieceCharsmap(t.sp.NormalizationRuleName); err != nil {
		return usagef("--normalization: %w", err)
	}
	t.sp.ControlSymbols = append(t.sp.ControlSymbols, t.special...)
	t.sp.AllowSmaller = t.allowSmaller
	t.sp.VocabSize = t.size - t.addedBehind()
	if t.sp.VocabSize < 1 {
		return hint.Errorf("choose a larger --size", "--size %d is smaller than the %d special tokens of %s", t.size, t.addedBehind(), t.like)
	}
	if err := t.sp.Validate(); err != nil {
		return usageError{err}
	}
	return nil
}

// train runs the trainer that the plan says.
func (t *trainFlags) train(ctx context.Context, a *app, texts *openedCorpus) (*trainer.Result, error) {
	update, done := a.trainingProgress()
	defer done()
	if t.style == styleSentencePiece {
		t.sp.Threads, t.sp.Progress = a.threads, update
		return trainer.TrainSentencePiece(ctx, texts.texts, t.sp)
	}
	t.bpe.Threads, t.bpe.Progress = a.threads, update
	r, err := trainer.TrainBPE(ctx, texts.texts, t.bpe)
	if err == nil && t.style == styleTiktoken {
		r.Definition, err = scenario.Ranked(r.Definition)
	}
	return r, err
}

// trainingProgress shows a trainer's stages one after another. Reading the texts is shown by
// the corpus itself.
func (a *app) trainingProgress() (update func(trainer.Progress), done func()) {
	what := map[string]string{"merge": "merges", "seed": "seed pieces", "em": "pieces left"}
	stage := ""
	show, end := func(int64, int64) {}, func() {}
	return func(p trainer.Progress) {
		if what[p.Stage] == "" {
			return
		}
		if p.Stage != stage {
			end()
			stage = p.Stage
			show, end = a.progress("train: "+p.Stage, what[p.Stage])
		}
		show(p.Done, p.Total)
	}, func() { end() }
}
