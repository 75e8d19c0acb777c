package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lep/internal/hint"
	"lep/tokenizer"
	"lep/tokenizer/trainer"
	"lep/vocab/scenario"
)

// Style is the kind and format of a trained vocabulary.
type Style string

// The styles.
const (
	ByteLevel     Style = "byte-level"    // merges as Hugging Face learns and writes them
	Tiktoken      Style = "tiktoken"      // the same tokens as ranks, as Llama-3 has them
	SentencePiece Style = "sentencepiece" // pieces with ▁, a .model file
)

// TrainOptions say what vocabulary is trained. What is left open follows Like.
type TrainOptions struct {
	Algorithm string `yaml:"algorithm"` // bpe or unigram
	Style     Style  `yaml:"style"`     // empty: as Like, else byte-level for bpe and sentencepiece for unigram
	Like      string `yaml:"like"`      // a model's tokenizer: folder, file or hub id
	Size      int    `yaml:"size"`      // tokens of the whole result, special tokens included
	Corpus    `yaml:",inline"`

	AllowSmaller  bool     `yaml:"allow_smaller"` // accept fewer tokens where the texts yield no more
	Normalization string   `yaml:"normalization"` // none, nfc or nfkc; SentencePiece: a rule's name
	Special       []string `yaml:"special"`
	BOS           string   `yaml:"bos"` // byte-level: special tokens by role
	EOS           string   `yaml:"eos"`
	PAD           string   `yaml:"pad"`

	// BPE and SP hold the finer settings; sizes, special tokens and the model type in them are
	// filled from those above.
	BPE trainer.BPEOptions           `yaml:"bpe"`
	SP  trainer.SentencePieceOptions `yaml:"sentencepiece"`

	// Given reports the finer settings (by their keys) that Like does not overrule; nil: none.
	Given func(key string) bool `yaml:"-"`

	Version string `yaml:"-"` // of lep, for lep_vocab.json
	Threads int    `yaml:"-"`
	Force   bool   `yaml:"-"` // replace an output that is there
	Hooks   `yaml:"-"`
}

// DefaultTrainOptions returns what the vocabularies of language models have, rather than
// SentencePiece's own defaults: nothing of the text is lost.
func DefaultTrainOptions() TrainOptions {
	sp := trainer.DefaultSentencePieceOptions(tokenizer.Unigram)
	sp.ByteFallback, sp.SplitDigits, sp.AllowWhitespaceOnlyPieces = true, true, true
	sp.NormalizationRuleName, sp.RemoveExtraWhitespaces = "identity", false
	sp.MaxSentenceLength = 1 << 20
	return TrainOptions{Corpus: DefaultCorpus(), BPE: trainer.DefaultBPEOptions(), SP: sp}
}

// Validate reports the first setting that cannot be, before any file is opened.
func (o *TrainOptions) Validate() error {
	if o.Algorithm != "bpe" && o.Algorithm != "unigram" {
		return fmt.Errorf("algorithm %q: want bpe or unigram", o.Algorithm)
	}
	if o.Size < 1 || o.Size > 1<<26 {
		return fmt.Errorf("the size is %d, want 1 to %d", o.Size, 1<<26)
	}
	for i, s := range o.Special {
		if slices.Contains(o.Special[:i], s) {
			return fmt.Errorf("special token %q stands twice", s)
		}
	}
	switch o.Style {
	case ByteLevel, Tiktoken:
		if o.Algorithm == "unigram" {
			return fmt.Errorf("style %s: unigram is trained in style %s only", o.Style, SentencePiece)
		}
	case SentencePiece, "":
	default:
		return fmt.Errorf("style %q: want %s, %s or %s", o.Style, ByteLevel, Tiktoken, SentencePiece)
	}
	if o.BPE.MinFrequency < 0 {
		return fmt.Errorf("min_frequency is %d, want 0 or more", o.BPE.MinFrequency)
	}
	return o.Corpus.Validate()
}

// Trainer trains vocabularies with completed settings.
type Trainer struct {
	opts  TrainOptions
	model *Vocabulary // of Like, nil without
}

// NewTrainer checks the settings and completes them from the model's tokenizer.
func NewTrainer(opts TrainOptions) (*Trainer, error) {
	opts.Algorithm = strings.ToLower(opts.Algorithm)
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	var model *Vocabulary
	if opts.Like != "" {
		var err error
		if model, err = Open(opts.Like); err != nil {
			return nil, err
		}
	}
	return newTrainer(opts, model)
}

func newTrainer(opts TrainOptions, model *Vocabulary) (*Trainer, error) {
	t := &Trainer{opts: opts, model: model}
	t.opts.Special = slices.Clone(opts.Special)
	t.opts.SP.ControlSymbols = slices.Clone(opts.SP.ControlSymbols)
	t.chooseStyle()
	if model != nil {
		if err := t.takeFromModel(); err != nil {
			return nil, err
		}
	}
	if t.opts.Style == SentencePiece {
		return t, t.planSentencePiece()
	}
	return t, t.planByteLevel()
}

// Style is the one chosen.
func (t *Trainer) Style() Style { return t.opts.Style }

func (t *Trainer) chooseStyle() {
	if t.opts.Style != "" {
		return
	}
	t.opts.Style = ByteLevel
	switch {
	case t.opts.Algorithm == "unigram":
		t.opts.Style = SentencePiece
	case t.model == nil:
	case scenario.IsRanked(t.model.Definition):
		t.opts.Style = Tiktoken
	case t.model.Definition.SentencePiece != nil || t.model.Definition.Model.ByteFallback || t.model.Definition.Model.Type == tokenizer.Unigram:
		t.opts.Style = SentencePiece
	}
}

// planByteLevel checks and completes the options of byte-level BPE.
func (t *Trainer) planByteLevel() error {
	o := &t.opts
	switch o.Normalization {
	case "", "none":
	case "nfc", "nfkc":
		o.BPE.Normalizer = fmt.Appendf(nil, `{"type":%q}`, strings.ToUpper(o.Normalization))
	default:
		return fmt.Errorf("normalization %q: want none, nfc or nfkc with style %s", o.Normalization, o.Style)
	}
	for _, role := range []string{o.BOS, o.EOS, o.PAD} {
		if role != "" && !slices.Contains(o.Special, role) {
			o.Special = append(o.Special, role)
		}
	}
	if t.model != nil { // it brings these itself
		o.Special = slices.DeleteFunc(o.Special, func(s string) bool {
			return slices.ContainsFunc(t.model.Definition.AddedTokens, func(a tokenizer.AddedToken) bool { return a.Content == s })
		})
	}
	behind := t.addedBehind()
	o.BPE.Size, o.BPE.AllowSmaller = o.Size, o.AllowSmaller
	if o.Style == Tiktoken || t.model != nil {
		o.BPE.Size -= behind + len(o.Special)
	} else {
		o.BPE.Special = o.Special
	}
	if need := 256 + behind + len(o.Special); o.Size < need {
		return hint.Errorf("choose a larger size", "size %d is smaller than the alphabet: 256 bytes and %d special tokens", o.Size, need-256)
	}
	return nil
}

// planSentencePiece checks and completes the options of SentencePiece training.
func (t *Trainer) planSentencePiece() error {
	o := &t.opts
	o.SP.ModelType = tokenizer.BPE
	if o.Algorithm == "unigram" {
		o.SP.ModelType = tokenizer.Unigram
	}
	if o.Normalization != "" {
		o.SP.NormalizationRuleName = o.Normalization
	}
	if _, err := tokenizer.SentencePieceCharsmap(o.SP.NormalizationRuleName); err != nil {
		return fmt.Errorf("normalization: %w", err)
	}
	o.SP.ControlSymbols = append(o.SP.ControlSymbols, o.Special...)
	o.SP.AllowSmaller = o.AllowSmaller
	o.SP.VocabSize = o.Size - t.addedBehind()
	if o.SP.VocabSize < 1 {
		return hint.Errorf("choose a larger size", "size %d is smaller than the %d special tokens of %s", o.Size, t.addedBehind(), o.Like)
	}
	return o.SP.Validate()
}

// Learn reads the corpus and trains the piece table; size replaces the planned size of the
// table unless it is 0. It also returns how many bad rows were left out.
func (t *Trainer) Learn(ctx context.Context, what string, size int) (*trainer.Result, int, error) {
	texts, err := t.opts.Corpus.Open(ctx, what, t.opts.Hooks)
	if err != nil {
		return nil, 0, err
	}
	if texts == nil {
		return nil, 0, errors.New("corpus: no texts to learn from")
	}
	update, done := t.opts.trainingProgress()
	defer done()
	var r *trainer.Result
	if t.opts.Style == SentencePiece {
		sp := t.opts.SP
		if sp.Threads, sp.Progress = t.opts.Threads, update; size > 0 {
			sp.VocabSize = size
		}
		r, err = trainer.TrainSentencePiece(ctx, texts.All(), sp)
	} else {
		bpe := t.opts.BPE
		if bpe.Threads, bpe.Progress = t.opts.Threads, update; size > 0 {
			bpe.Size = size
		}
		if r, err = trainer.TrainBPE(ctx, texts.All(), bpe); err == nil && t.opts.Style == Tiktoken {
			r.Definition, err = scenario.Ranked(r.Definition)
		}
	}
	if err != nil {
		return nil, 0, err
	}
	return r, texts.WarnBad(), nil
}

// trainingProgress shows a trainer's stages one after another. Reading the texts is shown by
// the corpus itself.
func (h Hooks) trainingProgress() (update func(trainer.Progress), done func()) {
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
			show, end = h.progress("train: "+p.Stage, what[p.Stage])
		}
		show(p.Done, p.Total)
	}, func() { end() }
}

// TrainSummary is what a training came to.
type TrainSummary struct {
	Out         string                 `json:"out"`
	Algorithm   string                 `json:"algorithm"`
	Style       Style                  `json:"style"`
	Size        int                    `json:"size"`
	Texts       int64                  `json:"texts"`
	Bytes       int64                  `json:"bytes"`
	Words       int                    `json:"distinct_words"`
	Skipped     int64                  `json:"skipped"`
	BadRows     int                    `json:"bad_rows"`
	Shared      int                    `json:"shared_with_model"`
	Unreachable []scenario.Unreachable `json:"unreachable"`
	Notes       []string               `json:"notes"`
}

// Run trains a vocabulary and writes its folder.
func (t *Trainer) Run(ctx context.Context, out string) (*TrainSummary, error) {
	o := &t.opts
	trained, bad, err := t.Learn(ctx, "train: read", 0)
	if err != nil {
		return nil, err
	}
	sum := &TrainSummary{
		Out: out, Algorithm: o.Algorithm, Style: o.Style, Texts: trained.Texts, Bytes: trained.Bytes,
		Words: trained.Words, Skipped: trained.Skipped, BadRows: bad,
	}
	r, base, config, err := t.result(trained.Definition)
	if err != nil {
		return nil, err
	}
	if r.Unreachable, err = r.FindUnreachable(); err != nil {
		return nil, err
	}
	sum.Size, sum.Shared, sum.Unreachable = len(r.OldIDs), r.Kept, notNil(r.Unreachable)
	options, err := t.record(sum)
	if err != nil {
		return nil, err
	}
	side, err := r.JSON(base, options, nil)
	if err != nil {
		return nil, err
	}
	notes, err := writeFolder(out, o.Force, r.Definition, config, t.ranks(), side)
	sum.Notes = notNil(notes)
	return sum, err
}

// record is the whole recipe of a training, for lep_vocab.json.
func (t *Trainer) record(sum *TrainSummary) (any, error) {
	o := &t.opts
	var options any = o.BPE
	if o.Style == SentencePiece {
		options = o.SP
	}
	settings, err := asJSON(options)
	if err != nil {
		return nil, err
	}
	texts, err := asJSON(o.Reading)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"lep": o.Version, "algorithm": o.Algorithm, "style": o.Style, "like": o.Like, "corpus": o.Files,
		"seed": o.Reading.Seed, "trainer": settings, "reading": texts, "texts": sum.Texts, "bytes": sum.Bytes, "distinct_words": sum.Words,
		"skipped": sum.Skipped, "bad_rows": sum.BadRows,
	}, nil
}

// result turns the trained definition into what is written.
func (t *Trainer) result(d *tokenizer.Definition) (r *scenario.Result, base *tokenizer.Definition, c *tokenizer.Config, err error) {
	o := &t.opts
	if d.SentencePiece != nil && (len(d.SentencePiece.Charsmap) > 0 || d.SentencePiece.RemoveExtraWhitespaces) {
		hf, err := d.HF(tokenizer.ModernLayout)
		if err != nil {
			return nil, nil, nil, err
		}
		hf.SentencePiece = d.SentencePiece
		d = hf
	}
	if o.Style == SentencePiece {
		r = scenario.New(d, nil)
	} else {
		r = scenario.New(d, o.Special)
	}
	if t.model != nil {
		if r, err = scenario.Replace(t.model.Definition, r.Definition); err != nil {
			return nil, nil, nil, err
		}
		r.Scenario = scenario.Training
		return r, t.model.Definition, r.Config(t.model.Config), nil
	}
	if o.BOS != "" {
		r.Definition.PostProcessor = beginWith(r.Definition, o.BOS)
	}
	compiled, err := tokenizer.New(r.Definition)
	if err != nil {
		return nil, nil, nil, err
	}
	c = compiled.Config().Clone()
	c.BOS, c.EOS, c.PAD = o.BOS, o.EOS, o.PAD
	if sp := d.SentencePiece; sp != nil {
		c.UNK = sp.UnkPiece
		for _, role := range []struct {
			id    int
			piece string
			dst   *string
		}{{o.SP.BOSID, sp.BOSPiece, &c.BOS}, {o.SP.EOSID, sp.EOSPiece, &c.EOS}, {o.SP.PADID, sp.PADPiece, &c.PAD}} {
			if role.id >= 0 {
				*role.dst = role.piece
			}
		}
	}
	return r, &tokenizer.Definition{}, c, nil
}

// beginWith is the post-processor that puts a special token in front of a text.
func beginWith(d *tokenizer.Definition, token string) json.RawMessage {
	id := int32(0)
	for _, a := range d.AddedTokens {
		if a.Content == token {
			id = a.ID
		}
	}
	name, _ := json.Marshal(token) // a string always marshals
	item := fmt.Sprintf(`{"SpecialToken":{"id":%s,"type_id":%%d}},{"Sequence":{"id":"%%s","type_id":%%d}}`, name)
	first, second := fmt.Sprintf(item, 0, "A", 0), fmt.Sprintf(item, 1, "B", 1)
	return fmt.Appendf(nil, `{"type":"TemplateProcessing","single":[%s],"pair":[%s,%s],"special_tokens":{%s:{"id":%s,"ids":[%d],"tokens":[%s]}}}`,
		first, first, second, name, name, id, name)
}

// ranks names the file for tiktoken's format.
func (t *Trainer) ranks() string {
	if t.opts.Style != Tiktoken {
		return ""
	}
	if t.model != nil {
		if name := rankFile(t.model.Path); name != "" {
			return name
		}
	}
	return "tokenizer.tiktoken"
}
