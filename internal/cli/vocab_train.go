package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lep/tokenizer/trainer"
	"lep/vocab/build"
)

// trainFlags are the flags of vocab train.
type trainFlags struct {
	opts build.TrainOptions
	out  string
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
			trainer, err := t.plan(cmd, a)
			if err != nil {
				return err
			}
			sum, err := trainer.Run(cmd.Context(), t.out)
			if err != nil {
				return err
			}
			return a.printTrained(sum, t.opts.Like)
		},
	}
	t.register(cmd)
	return cmd
}

func (t *trainFlags) register(cmd *cobra.Command) {
	o := &t.opts
	*o = build.DefaultTrainOptions()
	f := cmd.Flags()
	f.StringVar(&o.Algorithm, "algorithm", "", "bpe or unigram")
	f.IntVar(&o.Size, "size", 0, "tokens of the whole result, special tokens included")
	f.StringVar(&t.out, "out", "", "folder to write")
	f.StringVar((*string)(&o.Style), "style", "", "byte-level, tiktoken or sentencepiece (default: as --like, else byte-level for bpe, sentencepiece for unigram)")
	f.StringVar(&o.Like, "like", "", "a model's tokenizer to be like: folder, file or hub id")
	registerCorpus(cmd, &o.Corpus, "texts to learn from")
	f.BoolVar(&o.AllowSmaller, "allow-smaller", false, "accept fewer tokens than --size where the texts yield no more")
	f.StringArrayVar(&o.Special, "special", nil, "special token, never produced from text (may be repeated)")
	f.StringVar(&o.Normalization, "normalization", "", "none, nfc or nfkc; for sentencepiece identity, nfkc, nmt_nfkc, nfkc_cf or nmt_nfkc_cf (default: none, identity)")
	f.StringVar(&o.BOS, "bos", "", "byte-level: the special token that begins a text")
	f.StringVar(&o.EOS, "eos", "", "byte-level: the special token that ends a text")
	f.StringVar(&o.PAD, "pad", "", "byte-level: the special token that fills up")

	f.StringVar(&o.BPE.Pattern, "pattern", o.BPE.Pattern, "byte-level: what cuts texts into words: "+strings.Join(trainer.Patterns(), ", ")+" or a regular expression")
	f.Int64Var(&o.BPE.MinFrequency, "min-frequency", 0, "byte-level: least count of a pair to be merged")

	f.BoolVar(&o.SP.ByteFallback, "byte-fallback", o.SP.ByteFallback, "sentencepiece: 256 byte pieces for characters without a piece")
	f.BoolVar(&o.SP.SplitDigits, "split-digits", o.SP.SplitDigits, "sentencepiece: every digit is a piece of its own")
	f.Float64Var(&o.SP.CharacterCoverage, "character-coverage", o.SP.CharacterCoverage, "sentencepiece: share of the characters that get a piece, 0.9 to 1")
	f.StringVar(&o.SP.RequiredChars, "required-chars", "", "sentencepiece: characters that get a piece in any case")
	f.IntVar(&o.SP.MaxPieceLength, "max-piece-length", o.SP.MaxPieceLength, "sentencepiece: most characters of a piece")
	f.IntVar(&o.SP.MaxSentenceLength, "max-sentence-length", o.SP.MaxSentenceLength, "sentencepiece: longer lines (bytes) are left out and counted")
	f.StringArrayVar(&o.SP.UserDefinedSymbols, "user-defined", nil, "sentencepiece: text that is always one piece (may be repeated)")
	f.StringArrayVar(&o.SP.ControlSymbols, "control", nil, "sentencepiece: control symbol, never produced from text (may be repeated)")
	f.BoolVar(&o.SP.SplitByUnicodeScript, "split-by-unicode-script", o.SP.SplitByUnicodeScript, "sentencepiece: no piece holds letters of two scripts")
	f.BoolVar(&o.SP.SplitByNumber, "split-by-number", o.SP.SplitByNumber, "sentencepiece: no piece holds letters and digits")
	f.BoolVar(&o.SP.SplitByWhitespace, "split-by-whitespace", o.SP.SplitByWhitespace, "sentencepiece: no piece holds more than one word")
	f.BoolVar(&o.SP.TreatWhitespaceAsSuffix, "treat-whitespace-as-suffix", false, "sentencepiece: the space belongs to the word before it")
	f.BoolVar(&o.SP.AllowWhitespaceOnlyPieces, "allow-whitespace-only-pieces", o.SP.AllowWhitespaceOnlyPieces, "sentencepiece: runs of spaces may be pieces")
	f.BoolVar(&o.SP.RemoveExtraWhitespaces, "remove-extra-whitespaces", false, "sentencepiece: runs of spaces become one (text is not kept exactly)")
	f.BoolVar(&o.SP.AddDummyPrefix, "add-dummy-prefix", o.SP.AddDummyPrefix, "sentencepiece: put a space in front of every text")
	f.IntVar(&o.SP.UnkID, "unk-id", o.SP.UnkID, "sentencepiece: id of <unk>")
	f.IntVar(&o.SP.BOSID, "bos-id", o.SP.BOSID, "sentencepiece: id of <s>, -1 for none")
	f.IntVar(&o.SP.EOSID, "eos-id", o.SP.EOSID, "sentencepiece: id of </s>, -1 for none")
	f.IntVar(&o.SP.PADID, "pad-id", o.SP.PADID, "sentencepiece: id of <pad>, -1 for none")
	f.IntVar(&o.SP.SeedSize, "seed-sentencepiece-size", o.SP.SeedSize, "unigram: pieces to start from")
	f.Float64Var(&o.SP.ShrinkingFactor, "shrinking-factor", o.SP.ShrinkingFactor, "unigram: share of the pieces that a round of pruning keeps")
	f.IntVar(&o.SP.NumSubIterations, "num-sub-iterations", o.SP.NumSubIterations, "unigram: EM steps in a round")
	for _, name := range []string{"algorithm", "size", "corpus", "out"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
}

// plan checks the flags and takes from the model what they leave open.
func (t *trainFlags) plan(cmd *cobra.Command, a *app) (*build.Trainer, error) {
	o := &t.opts
	o.Algorithm = strings.ToLower(o.Algorithm)
	o.Reading.Seed = uint64(a.seed)
	o.Version, o.Threads, o.Force, o.Hooks = Version, a.threads, a.force, a.hooks()
	o.Given = func(key string) bool { return cmd.Flags().Changed(strings.ReplaceAll(key, "_", "-")) }
	if err := o.Validate(); err != nil {
		return nil, usageError{err}
	}
	trainer, err := build.NewTrainer(*o)
	if err != nil {
		return nil, err
	}
	return trainer, t.checkApplies(cmd, trainer.Style())
}

// checkApplies refuses flags that would have no effect.
func (t *trainFlags) checkApplies(cmd *cobra.Command, style build.Style) error {
	scopes := []struct {
		prefix  string
		applies bool
	}{
		{"byte-level: ", style != build.SentencePiece},
		{"sentencepiece: ", style == build.SentencePiece},
		{"unigram: ", t.opts.Algorithm == "unigram"},
	}
	for _, s := range scopes {
		if s.applies {
			continue
		}
		for _, name := range flagsOf(cmd, s.prefix) {
			if cmd.Flags().Changed(name) {
				return usagef("--%s is for %s, this is --algorithm %s --style %s", name, strings.TrimSuffix(s.prefix, ": "), t.opts.Algorithm, style)
			}
		}
	}
	return nil
}

// flagsOf lists the flags whose help begins with a prefix.
func flagsOf(cmd *cobra.Command, prefix string) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if strings.HasPrefix(f.Usage, prefix) {
			names = append(names, f.Name)
		}
	})
	return names
}

func (a *app) printTrained(sum *build.TrainSummary, like string) error {
	for _, n := range sum.Notes {
		a.notef("note: %s", n)
	}
	if a.json {
		return a.printJSON(sum)
	}
	rows := [][]string{
		{"tokens", thousands(int64(sum.Size))},
		{"texts", fmt.Sprintf("%s (%s bytes, %s different words)", thousands(sum.Texts), thousands(sum.Bytes), thousands(int64(sum.Words)))},
		{"left out as too long", thousands(sum.Skipped)},
		{"bad rows left out", thousands(int64(sum.BadRows))},
		{"not reached alone", thousands(int64(len(sum.Unreachable))) + reasons(sum.Unreachable)},
	}
	if like != "" {
		rows = append(rows, []string{"shared with " + like, thousands(int64(sum.Shared))})
	}
	return a.table(append(rows, []string{"written to", sum.Out}))
}
