package trainer

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"lep/internal/hint"
	"lep/tokenizer"
)

// BPEOptions are the settings of TrainBPE.
type BPEOptions struct {
	// Size is the size of the vocabulary: special tokens, 256 bytes, merged tokens.
	Size int `yaml:"size"`
	// Pattern cuts texts into words: gpt2, llama3, qwen2, o200k, or a regular
	// expression in the dialect of tokenizer.json.
	Pattern string `yaml:"pattern"`
	// Normalizer is the normalizer of tokenizer.json to apply before, nil for none.
	Normalizer json.RawMessage `yaml:"-"`
	// MinFrequency is the least count of a pair to be merged.
	MinFrequency int64 `yaml:"min_frequency"`
	// Special are special tokens; they get the first ids, in this order.
	Special []string `yaml:"special"`
	// AllowSmaller accepts fewer tokens than Size where the corpus yields no more.
	AllowSmaller bool `yaml:"allow_smaller"`
	// Threads is the number of goroutines that count words, 0 for one a processor.
	// The result does not depend on it.
	Threads int `yaml:"threads"`
	// Progress, if not nil, is called now and then, from one goroutine at a time.
	Progress func(Progress) `yaml:"-"`
}

// DefaultBPEOptions trains 32,000 tokens with Llama-3's pattern.
func DefaultBPEOptions() BPEOptions { return BPEOptions{Size: 32000, Pattern: "llama3"} }

// patterns are the split patterns by name, as tokenizer.json spells them.
var patterns = map[string]string{
	"gpt2":   `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
	"llama3": `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	"qwen2":  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	"o200k": `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|` +
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|` +
		`\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
}

// Patterns lists the names that BPEOptions.Pattern knows.
func Patterns() []string { return []string{"gpt2", "llama3", "qwen2", "o200k"} }

// Result is a trained tokenizer and what it was made of.
type Result struct {
	Definition *tokenizer.Definition
	Texts      int64 // texts read
	Bytes      int64 // of text
	Words      int   // distinct words
	// Skipped counts what was left out: for BPE words over 64 KiB, for SentencePiece
	// sentences over MaxSentenceLength or with its reserved character ▅.
	Skipped int64
	Found   int // size of the vocabulary
}

// TrainBPE trains a byte-level BPE tokenizer by the rules of Hugging Face's
// BpeTrainer: the next merge is the pair with the highest count, among equals the
// one with the smallest ids; merges run left to right; a merge that spells an
// existing token takes its id. The merges are the same as from
//
//	BpeTrainer(vocab_size, special_tokens, initial_alphabet=ByteLevel.alphabet())
//
// on the same texts; mind that HF's train([file]) takes each line with its LF as a
// text. The result does not depend on the order of the texts or on Threads.
//
// Errors: an empty corpus, a Size below the alphabet or beyond what the corpus
// yields (see AllowSmaller), special tokens that stand twice or spell a byte.
func TrainBPE(ctx context.Context, texts iter.Seq2[string, error], opts BPEOptions) (*Result, error) {
	threads, err := threadCount(opts.Threads)
	if err != nil {
		return nil, err
	}
	def, err := opts.definition()
	if err != nil {
		return nil, err
	}
	splitter, err := opts.splitter(def)
	if err != nil {
		return nil, err
	}
	var skipped atomic.Int64
	counts, total, err := countWords(ctx, texts, threads, opts.Progress, func(add func([]byte, int64)) func(string) {
		var buf []byte
		return func(text string) {
			for _, w := range splitter.PreTokenize(text) {
				if len(w) > maxWordBytes {
					skipped.Add(1)
					continue
				}
				buf = append(buf[:0], w...)
				add(buf, 1)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	t := &byteTrainer{opts: opts, base: int32(len(opts.Special))}
	words, err := t.load(counts)
	if err != nil {
		return nil, err
	}
	if err := t.train(ctx); err != nil {
		return nil, err
	}
	found := len(t.tokens)
	if found < opts.Size && !opts.AllowSmaller {
		return nil, tooSmall(found, opts.Size)
	}
	t.fill(def)
	return &Result{Definition: def, Texts: total.texts, Bytes: total.bytes, Words: words, Skipped: skipped.Load(), Found: found}, nil
}

func tooSmall(found, size int) error {
	return hint.Errorf(fmt.Sprintf("use more text, or size %d, or accept fewer: --allow-smaller", found),
		"trainer: the corpus yields %d tokens, want %d", found, size)
}

// definition checks the options and returns the tokenizer without its merges.
func (o BPEOptions) definition() (*tokenizer.Definition, error) {
	if need := 256 + len(o.Special); o.Size < need {
		return nil, fmt.Errorf("trainer: size %d is smaller than the alphabet: 256 bytes and %d special tokens", o.Size, len(o.Special))
	}
	if o.Size > 1<<26 {
		return nil, fmt.Errorf("trainer: size is %d, want at most %d", o.Size, 1<<26)
	}
	if o.Pattern == "" {
		return nil, hint.Errorf("known names: "+strings.Join(Patterns(), ", "), "trainer: no split pattern")
	}
	def := &tokenizer.Definition{Normalizer: o.Normalizer, Model: tokenizer.Model{Type: tokenizer.BPE, UnkID: -1, MergesAsPairs: true}}
	pieces := make([]tokenizer.Piece, 0, 256+len(o.Special))
	seen := map[string]bool{}
	for i, s := range o.Special {
		switch {
		case s == "":
			return nil, fmt.Errorf("trainer: special token %d is empty", i)
		case seen[s]:
			return nil, fmt.Errorf("trainer: special token %q stands twice", s)
		}
		seen[s] = true
		def.AddedTokens = append(def.AddedTokens, tokenizer.AddedToken{ID: int32(i), Content: s, Special: true})
		pieces = append(pieces, tokenizer.Piece{ID: int32(i), Text: s})
	}
	for i, b := range alphabet() {
		letter := string(byteLetter(b))
		if seen[letter] {
			return nil, fmt.Errorf("trainer: special token %q is the letter of byte 0x%02x", letter, b)
		}
		pieces = append(pieces, tokenizer.Piece{ID: int32(len(o.Special) + i), Text: letter})
	}
	def.Model.Pieces = pieces

	split, err := o.split()
	if err != nil {
		return nil, err
	}
	def.PreTokenizer = byteLevel(false, true)
	if o.Pattern != "gpt2" {
		def.PreTokenizer = fmt.Appendf(nil, `{"type":"Sequence","pretokenizers":[%s,%s]}`, split, byteLevel(false, false))
	}
	def.Decoder = byteLevel(true, true)
	return def, nil
}

func byteLevel(prefix, regex bool) json.RawMessage {
	return fmt.Appendf(nil, `{"type":"ByteLevel","add_prefix_space":%t,"trim_offsets":true,"use_regex":%t}`, prefix, regex)
}

// split is the pre-tokenizer that cuts at the pattern.
func (o BPEOptions) split() (json.RawMessage, error) {
	regex := o.Pattern
	if known, ok := patterns[o.Pattern]; ok {
		regex = known
	}
	if !utf8.ValidString(regex) {
		return nil, fmt.Errorf("trainer: pattern %q is no UTF-8", regex)
	}
	var quoted strings.Builder
	e := json.NewEncoder(&quoted)
	e.SetEscapeHTML(false)
	if err := e.Encode(regex); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"type":"Split","pattern":{"Regex":%s},"behavior":"Isolated","invert":false}`, strings.TrimSpace(quoted.String())), nil
}

// splitter returns a tokenizer that cuts texts into words of plain bytes: that of
// def without the step that spells them in the byte alphabet.
func (o BPEOptions) splitter(def *tokenizer.Definition) (*tokenizer.Tokenizer, error) {
	split, err := o.split()
	if err != nil {
		return nil, err
	}
	t, err := tokenizer.New(&tokenizer.Definition{Normalizer: def.Normalizer, PreTokenizer: split, Model: def.Model})
	if err != nil {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	return t, nil
}

// byteLetter is the letter of a byte in GPT-2's alphabet.
func byteLetter(b byte) rune {
	switch {
	case b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE:
		return rune(b)
	case b <= ' ':
		return 0x100 + rune(b)
	case b <= 0xA0:
		return 0x100 + 33 + rune(b-0x7F)
	}
	return 0x143
}

// letterBytes returns the bytes that a text of letters spells; false if it has
// others.
func letterBytes(s string) ([]byte, bool) {
	bytes := make([]byte, 0, len(s))
	for _, r := range s {
		b := slices.IndexFunc(alphabet(), func(b byte) bool { return byteLetter(b) == r })
		if b < 0 {
			return nil, false
		}
		bytes = append(bytes, alphabet()[b])
	}
	return bytes, true
}

// alphabet returns the bytes in the order of their letters, which is the order of
// their ids.
func alphabet() []byte {
	list := make([]byte, 256)
	for i := range list {
		list[i] = byte(i)
	}
	slices.SortFunc(list, func(a, b byte) int { return cmp.Compare(byteLetter(a), byteLetter(b)) })
	return list
}

// byteTrainer holds one training.
type byteTrainer struct {
	opts   BPEOptions
	base   int32    // id of the first byte
	tokens []string // by id, as bytes; special tokens as they are
	ids    map[string]int32
	merges []tokenizer.Merge
	m      merger
}

// load turns counted words into symbols; it returns the number of words.
func (t *byteTrainer) load(counts *wordCounts) (int, error) {
	t.ids = make(map[string]int32, t.opts.Size)
	for i, s := range t.opts.Special {
		// A merge that spells a special token takes its id, as in HF's trainer.
		if b, ok := letterBytes(s); ok {
			s = string(b)
			t.ids[s] = int32(i)
		}
		t.tokens = append(t.tokens, s)
	}
	var idOf [256]int32
	for i, b := range alphabet() {
		idOf[b] = t.base + int32(i)
		t.tokens = append(t.tokens, string([]byte{b}))
		t.ids[string([]byte{b})] = idOf[b]
	}
	words := counts.sorted()
	var symbols []int32
	for _, w := range words {
		symbols = symbols[:0]
		for _, b := range w.text {
			symbols = append(symbols, idOf[b])
		}
		if err := t.m.addWord(symbols, w.count); err != nil {
			return 0, err
		}
	}
	return len(words), nil
}

func (t *byteTrainer) train(ctx context.Context) error {
	t.m.begin(func(p pair) uint64 { return uint64(p) }, nil)
	ranks := map[pair]int{} // of each merge in merges; a repeated one moves to the end
	for len(t.tokens) < t.opts.Size {
		c, ok := t.m.next()
		if !ok || c.count < t.opts.MinFrequency {
			break
		}
		left, right := c.pair.split()
		text := t.tokens[left] + t.tokens[right]
		id, known := t.ids[text]
		if !known {
			id = int32(len(t.tokens))
			t.tokens = append(t.tokens, text)
			t.ids[text] = id
		}
		if before, again := ranks[c.pair]; again {
			t.merges[before].Product = -1
		}
		ranks[c.pair] = len(t.merges)
		t.merges = append(t.merges, tokenizer.Merge{Left: left, Right: right, Product: id})
		t.m.merge(c, id)
		if len(t.merges)%256 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			report(t.opts.Progress, Progress{"merge", int64(len(t.tokens)), int64(t.opts.Size)})
		}
	}
	return nil
}

// fill writes tokens and merges into the definition.
func (t *byteTrainer) fill(def *tokenizer.Definition) {
	var letters []rune
	for id := len(def.Model.Pieces); id < len(t.tokens); id++ {
		letters = letters[:0]
		for _, b := range []byte(t.tokens[id]) {
			letters = append(letters, byteLetter(b))
		}
		def.Model.Pieces = append(def.Model.Pieces, tokenizer.Piece{ID: int32(id), Text: string(letters)})
	}
	def.Model.Merges = slices.DeleteFunc(t.merges, func(m tokenizer.Merge) bool { return m.Product < 0 })
}
