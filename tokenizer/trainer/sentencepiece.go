package trainer

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"lep/internal/hint"
	"lep/tokenizer"
)

// SentencePieceOptions are the settings of TrainSentencePiece, with the names and
// the meaning of SentencePiece's own flags.
type SentencePieceOptions struct {
	ModelType tokenizer.ModelType `yaml:"model_type"` // BPE or Unigram
	// VocabSize counts everything: unknown, control and user-defined symbols, byte
	// pieces, learned pieces.
	VocabSize int `yaml:"vocab_size"`

	CharacterCoverage float64 `yaml:"character_coverage"` // share of the characters that get a piece
	RequiredChars     string  `yaml:"required_chars"`     // characters that get one in any case
	ByteFallback      bool    `yaml:"byte_fallback"`      // 256 byte pieces for all others

	SplitByUnicodeScript      bool `yaml:"split_by_unicode_script"`
	SplitByNumber             bool `yaml:"split_by_number"`
	SplitByWhitespace         bool `yaml:"split_by_whitespace"`
	SplitDigits               bool `yaml:"split_digits"`
	TreatWhitespaceAsSuffix   bool `yaml:"treat_whitespace_as_suffix"`
	AllowWhitespaceOnlyPieces bool `yaml:"allow_whitespace_only_pieces"`
	MaxPieceLength            int  `yaml:"max_piece_length"`    // characters
	MaxSentenceLength         int  `yaml:"max_sentence_length"` // bytes; longer lines are left out

	NormalizationRuleName  string `yaml:"normalization_rule_name"` // nmt_nfkc, nmt_nfkc_cf, nfkc, nfkc_cf, identity
	AddDummyPrefix         bool   `yaml:"add_dummy_prefix"`
	RemoveExtraWhitespaces bool   `yaml:"remove_extra_whitespaces"`

	UnkID int `yaml:"unk_id"` // ids of the four symbols; -1 for none, but unk must be
	BOSID int `yaml:"bos_id"`
	EOSID int `yaml:"eos_id"`
	PADID int `yaml:"pad_id"`
	// ControlSymbols are never produced from text; UserDefinedSymbols always are one
	// piece.
	ControlSymbols     []string `yaml:"control_symbols"`
	UserDefinedSymbols []string `yaml:"user_defined_symbols"`

	// Unigram only.
	SeedSize         int     `yaml:"seed_sentencepiece_size"`
	ShrinkingFactor  float64 `yaml:"shrinking_factor"`
	NumSubIterations int     `yaml:"num_sub_iterations"`

	// AllowSmaller accepts fewer pieces than VocabSize where the corpus yields no
	// more (SentencePiece's hard_vocab_limit=false).
	AllowSmaller bool `yaml:"allow_smaller"`
	// Threads is the number of goroutines, 0 for one a processor. The result does
	// not depend on it.
	Threads int `yaml:"threads"`
	// Progress, if not nil, is called now and then, from one goroutine at a time.
	Progress func(Progress) `yaml:"-"`
}

// DefaultSentencePieceOptions returns SentencePiece's defaults for a vocabulary of
// 32,000.
func DefaultSentencePieceOptions(model tokenizer.ModelType) SentencePieceOptions {
	return SentencePieceOptions{
		ModelType: model, VocabSize: 32000, CharacterCoverage: 0.9995,
		SplitByUnicodeScript: true, SplitByNumber: true, SplitByWhitespace: true,
		MaxPieceLength: 16, MaxSentenceLength: 4192,
		NormalizationRuleName: "nmt_nfkc", AddDummyPrefix: true, RemoveExtraWhitespaces: true,
		UnkID: 0, BOSID: 1, EOSID: 2, PADID: -1,
		SeedSize: 1000000, ShrinkingFactor: 0.75, NumSubIterations: 2,
	}
}

// Validate checks ranges, which are SentencePiece's.
func (o SentencePieceOptions) Validate() error {
	for _, c := range []struct {
		name      string
		got       float64
		low, high float64
	}{
		{"vocab_size", float64(o.VocabSize), 1, 1 << 26},
		{"character_coverage", o.CharacterCoverage, 0.9, 1},
		{"max_piece_length", float64(o.MaxPieceLength), 1, 512},
		{"max_sentence_length", float64(o.MaxSentenceLength), 10, 1 << 30},
		{"seed_sentencepiece_size", float64(o.SeedSize), 1000, 5000000},
		{"shrinking_factor", o.ShrinkingFactor, 0.5, 0.95},
		{"num_sub_iterations", float64(o.NumSubIterations), 1, 10},
	} {
		if !(c.got >= c.low && c.got <= c.high) {
			return fmt.Errorf("trainer: %s is %v, want %v to %v", c.name, c.got, c.low, c.high)
		}
	}
	if o.ModelType != tokenizer.BPE && o.ModelType != tokenizer.Unigram {
		return fmt.Errorf("trainer: model_type is %q, want %s or %s", o.ModelType, tokenizer.BPE, tokenizer.Unigram)
	}
	return nil
}

// TrainSentencePiece trains a SentencePiece model of type BPE or Unigram (Kudo
// 2018) with the algorithms of SentencePiece's own trainers. A text is cut into
// sentences at its LFs. The definition has the native part, so that it can be
// written as a .model file, and the components of its Hugging Face form.
//
// BPE gives SentencePiece's pieces exactly. Unigram differs from it in that sums
// are exact, where SentencePiece adds float32 in an order that depends on its
// threads: scores differ in the fifth digit, and so may the last pieces. Where
// sentences do not begin with a space (no dummy prefix, or spaces as suffixes)
// SentencePiece also takes some seeds from pairs of sentences that follow one
// another. Here the result does not depend on the order of the texts or on Threads.
//
// Errors: an empty corpus, symbols that stand twice or contradict each other, a
// VocabSize below the alphabet or beyond what the corpus yields (see AllowSmaller).
func TrainSentencePiece(ctx context.Context, texts iter.Seq2[string, error], opts SentencePieceOptions) (*Result, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	threads, err := threadCount(opts.Threads)
	if err != nil {
		return nil, err
	}
	opts.Threads = threads
	meta, err := opts.metaPieces()
	if err != nil {
		return nil, err
	}
	sp, err := opts.nativePart()
	if err != nil {
		return nil, err
	}
	c, total, err := readSentences(ctx, texts, opts, meta, sp)
	if err != nil {
		return nil, err
	}
	if len(c.units) == 0 {
		return nil, fmt.Errorf("trainer: no sentence of the corpus can be used (%d texts, %d bytes, %d sentences left out)", total.texts, total.bytes, c.skipped)
	}
	room := opts.VocabSize - len(meta)
	if len(c.required) > room {
		return nil, hint.Errorf("choose a larger size or a lower character coverage",
			"trainer: size %d is smaller than the alphabet: %d characters and %d symbols and byte pieces", opts.VocabSize, len(c.required), len(meta))
	}
	var learned []piece
	if opts.ModelType == tokenizer.BPE {
		learned, err = trainPieceBPE(ctx, c, opts, room)
	} else {
		learned, err = trainUnigram(ctx, c, opts, room)
	}
	if err != nil {
		return nil, err
	}
	found := len(meta) + len(learned)
	if found < opts.VocabSize && !opts.AllowSmaller {
		return nil, tooSmall(found, opts.VocabSize)
	}
	def, err := opts.build(meta, learned, sp)
	if err != nil {
		return nil, err
	}
	return &Result{Definition: def, Texts: total.texts, Bytes: total.bytes, Words: len(c.units), Skipped: c.skipped, Found: found}, nil
}

// piece is a learned piece.
type piece struct {
	text  string
	score float32
}

// metaPiece is a piece with an id that is not learned.
type metaPiece struct {
	id   int
	text string
	kind tokenizer.Kind
}

// metaPieces lays out the symbols as SentencePiece does: the four named ones at
// their ids, the others at the lowest free ids, control before user-defined before
// bytes. The list is in the order of ids.
func (o SentencePieceOptions) metaPieces() ([]metaPiece, error) {
	sp := tokenizer.DefaultSentencePiece()
	byID := map[int]*metaPiece{}
	byText := map[string]*metaPiece{}
	for _, m := range []metaPiece{
		{o.UnkID, sp.UnkPiece, tokenizer.Unknown}, {o.BOSID, sp.BOSPiece, tokenizer.Control},
		{o.EOSID, sp.EOSPiece, tokenizer.Control}, {o.PADID, sp.PADPiece, tokenizer.Control},
	} {
		switch other := byID[m.id]; {
		case m.id < 0 && m.kind == tokenizer.Unknown:
			return nil, fmt.Errorf("trainer: unk_id is %d: %s must have an id", m.id, m.text)
		case m.id < 0:
			continue
		case m.id >= o.VocabSize:
			return nil, fmt.Errorf("trainer: id %d of %s is not below the size %d", m.id, m.text, o.VocabSize)
		case other != nil:
			return nil, fmt.Errorf("trainer: %s and %s both have id %d", other.text, m.text, m.id)
		}
		byID[m.id], byText[m.text] = &m, &m
	}
	next := 0
	declared := map[string]bool{}
	add := func(text string, kind tokenizer.Kind) error {
		switch known := byText[text]; {
		case text == "" || !utf8.ValidString(text):
			return fmt.Errorf("trainer: symbol %q is empty or no UTF-8", text)
		case declared[text]:
			return fmt.Errorf("trainer: symbol %q stands twice", text)
		case text == sp.UnkPiece:
			return fmt.Errorf("trainer: %s cannot be a control or user-defined symbol", text)
		case known != nil:
			known.kind = kind
		default:
			for byID[next] != nil {
				next++
			}
			m := &metaPiece{next, text, kind}
			byID[next], byText[text] = m, m
		}
		declared[text] = true
		return nil
	}
	for _, s := range o.ControlSymbols {
		if err := add(s, tokenizer.Control); err != nil {
			return nil, err
		}
	}
	for _, s := range o.UserDefinedSymbols {
		if err := add(s, tokenizer.UserDefined); err != nil {
			return nil, err
		}
	}
	for b := 0; b < 256 && o.ByteFallback; b++ {
		if err := add(fmt.Sprintf("<0x%02X>", b), tokenizer.Byte); err != nil {
			return nil, err
		}
	}
	var list []metaPiece
	for _, m := range byID {
		list = append(list, *m)
	}
	slices.SortFunc(list, func(a, b metaPiece) int { return a.id - b.id })
	if last := list[len(list)-1].id; last >= o.VocabSize {
		return nil, fmt.Errorf("trainer: size %d is smaller than the %d symbols and byte pieces", o.VocabSize, len(list))
	}
	return list, nil
}

// build makes the definition: meta pieces at their ids, learned ones in between.
func (o SentencePieceOptions) build(meta []metaPiece, learned []piece, sp *tokenizer.SentencePiece) (*tokenizer.Definition, error) {
	def := &tokenizer.Definition{SentencePiece: sp}
	def.Model = tokenizer.Model{Type: o.ModelType, ByteFallback: o.ByteFallback, UnkID: int32(o.UnkID)}
	texts := map[string]bool{}
	for _, m := range meta {
		texts[m.text] = true
	}
	for id := int32(0); len(meta)+len(learned) > 0; id++ {
		p := tokenizer.Piece{ID: id}
		switch {
		case len(meta) > 0 && meta[0].id == int(id):
			p.Text, p.Kind = meta[0].text, meta[0].kind
			meta = meta[1:]
		case len(learned) == 0: // ids of meta pieces beyond the learned ones: close the gap
			p.Text, p.Kind = meta[0].text, meta[0].kind
			meta = meta[1:]
		default:
			p.Text, p.Score = learned[0].text, float64(learned[0].score)
			learned = learned[1:]
			if texts[p.Text] {
				return nil, fmt.Errorf("trainer: symbol %q is also a piece of the corpus", p.Text)
			}
		}
		def.Model.Pieces = append(def.Model.Pieces, p)
	}
	data, err := def.SentencePieceModel()
	if err != nil {
		return nil, err
	}
	return tokenizer.ReadSentencePiece(data)
}

// validator decides which strings may be pieces.
type validator struct {
	opts   SentencePieceOptions
	script map[rune]int16 // of the characters of the corpus
}

const (
	space    = '▁' // U+2581 stands for a space
	reserved = '▅' // U+2585 stands for characters without a piece
	// boundaryTab stands where a symbol was cut out of the text.
	boundaryTab = '\t'

	anyScript int16 = -1
)

// valid is SentencePiece's IsValidSentencePiece: a piece is within one script,
// has a space in front only (behind with TreatWhitespaceAsSuffix) and is not too
// long.
func (v *validator) valid(s []rune) bool {
	o := &v.opts
	if len(s) == 0 || len(s) > o.MaxPieceLength {
		return false
	}
	onlySpaces := !slices.ContainsFunc(s, func(r rune) bool { return r != space })
	before := anyScript
	for i, r := range s {
		switch r {
		case reserved, 0, boundaryTab, ' ':
			return false
		case space:
			if o.AllowWhitespaceOnlyPieces && onlySpaces {
				continue
			}
			inner := i > 0
			if o.TreatWhitespaceAsSuffix {
				inner = i < len(s)-1
			}
			first, last := i == 0, i == len(s)-1
			if o.SplitByWhitespace && inner || !o.SplitByWhitespace && inner && (o.TreatWhitespaceAsSuffix && first || !o.TreatWhitespaceAsSuffix && last) {
				return false
			}
			continue
		}
		script := v.scriptOf(r)
		if script == inheritedScript {
			script = before
		}
		if isDigit(r) {
			if !o.SplitByNumber {
				script = anyScript
			}
			if o.SplitDigits && len(s) > 1 {
				return false
			}
		}
		if o.SplitByUnicodeScript && script != anyScript && before != anyScript && script != before {
			return false
		}
		before = script
	}
	return true
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' || r >= '０' && r <= '９' }

func (v *validator) scriptOf(r rune) int16 {
	s, ok := v.script[r]
	if !ok {
		s = scriptOf(r)
		v.script[r] = s
	}
	return s
}

// pieceOrder sorts by falling score, then by text.
func pieceOrder(a, b piece) int {
	switch {
	case a.score > b.score:
		return -1
	case a.score < b.score:
		return 1
	}
	return strings.Compare(a.text, b.text)
}
