package tokenizer

import (
	"fmt"
	"slices"
	"sync"
)

// Tokenizer is a compiled [Definition]. It is safe for concurrent use.
type Tokenizer struct {
	def    *Definition
	config *Config

	tokens    []string         // spelling by id, "" for none
	decoded   []string         // what the decoder is given by id: normalized added tokens as the normalizer spells them
	kinds     []Kind           // by id
	special   []bool           // by id: an added token with the flag special
	pieces    map[string]int32 // by spelling, without added tokens
	added     map[string]int32 // added tokens by content
	byteLevel bool

	raw, afterNormalizer *addedSet // added tokens that are searched before and after normalizing
	normalizer           normalizer
	pre                  []preTokenizer
	model                model
	feedBytes            bool       // pieces of text go to the model as bytes, not in the byte alphabet
	trackFirst           bool       // what comes first in the text can only be known with alignment
	words                *words     // the short way, or nil
	beforeWords          normalizer // of the normalizer, what comes before the short way
	post                 *postProcessor
	decoders             []decoder
	native               nativeEncoder

	cleanUp bool

	pieceBytes func() *byteTable
	idle       struct {
		sync.Mutex
		workers []*worker
	}
}

// model is a subword model.
type model interface {
	// tokenize appends the pieces of a word that is not empty. With raw, its bytes stand
	// for letters of the byte alphabet.
	tokenize(dst []token, word string, raw bool) []token
}

// nativeEncoder is SentencePiece's own encoder, which differs from that of the HF
// form of the same model.
type nativeEncoder interface {
	// appendIDs encodes text.
	appendIDs(dst []int32, text string) []int32
	// appendTokens encodes text; start and end of each token are bytes of text, and
	// pieces are the tokens' spellings (unknown ones show the text they cover).
	appendTokens(dst []token, pieces []string, text string) ([]token, []string)
	// decode turns ids into text; ids that no piece has are left out.
	decode(ids []int32, skipSpecial bool) string
}

// New compiles a definition, which must not be changed afterwards. Errors name the
// component that is unknown or contradicts itself.
func New(d *Definition) (*Tokenizer, error) {
	ids, err := pieceIDs(&d.Model)
	if err == nil {
		err = d.checkIDs(ids)
	}
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{def: d, config: newConfig(), pieces: ids}
	t.index()
	if t.normalizer, err = compileNormalizer(d.Normalizer); err != nil {
		return nil, err
	}
	if t.pre, err = compilePreTokenizer(d.PreTokenizer); err != nil {
		return nil, err
	}
	if t.post, err = compilePostProcessor(d.PostProcessor); err != nil {
		return nil, err
	}
	if err := t.post.check(len(t.tokens)); err != nil {
		return nil, err
	}
	if t.decoders, err = compileDecoder(d.Decoder); err != nil {
		return nil, err
	}
	if t.model, err = newModel(&d.Model, ids); err != nil {
		return nil, err
	}
	t.arrangeBytes()
	t.compileAdded()
	t.words, t.beforeWords = t.findWords()
	if d.SentencePiece != nil {
		if t.native, err = newSPEncoder(d); err != nil {
			return nil, err
		}
	}
	t.pieceBytes = sync.OnceValue(t.buildByteTable)
	return t, nil
}

func newModel(m *Model, ids map[string]int32) (model, error) {
	switch m.Type {
	case BPE:
		return newBPEOf(m, ids)
	case Unigram:
		return newUnigram(m, ids)
	}
	return nil, fmt.Errorf("model: unknown type %q, want BPE or Unigram", m.Type)
}

// index fills the tables by id and by spelling.
func (t *Tokenizer) index() {
	d := t.def
	n := d.size()
	t.tokens, t.kinds, t.special = make([]string, n), make([]Kind, n), make([]bool, n)
	for i := range t.kinds {
		t.kinds[i] = Missing
	}
	t.added = make(map[string]int32, len(d.AddedTokens))
	for _, p := range d.Model.Pieces {
		t.tokens[p.ID], t.kinds[p.ID] = p.Text, p.Kind
	}
	for _, a := range d.AddedTokens {
		t.tokens[a.ID], t.kinds[a.ID], t.special[a.ID] = a.Content, Special, a.Special
		t.added[a.Content] = a.ID
	}
}

// arrangeBytes decides who spells bytes as letters: where ByteLevel is the last
// pre-tokenizer of a BPE model, nobody does, and the model takes the bytes.
func (t *Tokenizer) arrangeBytes() {
	for i, stage := range t.pre {
		b, ok := stage.(byteLevelSplit)
		if !ok {
			continue
		}
		t.byteLevel = true
		bpe, isBPE := t.model.(*bpe)
		if i == len(t.pre)-1 && isBPE && bpe.takesBytes() {
			t.feedBytes = true
			continue
		}
		b.spell = true
		t.pre[i] = b
	}
	if _, ok := t.normalizer.(byteNormalizer); ok {
		t.byteLevel = true
	}
	for _, d := range t.decoders {
		if _, ok := d.(byteLevelDecoder); ok {
			t.byteLevel = true
		}
	}
	for _, stage := range t.pre {
		if m, ok := stage.(metaspace); ok && m.scheme == prependFirst && t.normalizer != nil {
			t.trackFirst = true
		}
	}
}

// compileAdded builds the two sets of added tokens. Those that are matched after
// normalizing are searched as the normalizer spells them.
func (t *Tokenizer) compileAdded() {
	var raw, normal []AddedToken
	for _, a := range t.def.AddedTokens {
		if a.Normalized {
			normal = append(normal, a)
		} else {
			raw = append(raw, a)
		}
	}
	t.decoded = t.tokens
	if len(normal) > 0 && t.normalizer != nil {
		t.decoded = slices.Clone(t.tokens)
		for _, a := range normal {
			n := newNormalized(a.Content, 0, false)
			t.normalizer.normalize(n)
			t.decoded[a.ID] = n.text
		}
	}
	t.raw = newAddedSet(raw, func(a AddedToken) string { return a.Content })
	t.afterNormalizer = newAddedSet(normal, func(a AddedToken) string { return t.decoded[a.ID] })
}

// Definition returns what the tokenizer was made of; it is shared and must not be
// changed.
func (t *Tokenizer) Definition() *Definition { return t.def }

// Config returns tokenizer_config.json and special_tokens_map.json of the folder
// that the tokenizer was opened from; empty if there is none.
func (t *Tokenizer) Config() *Config { return t.config }

// Size returns 1 + the highest id, added tokens included.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// Token returns the spelling of a piece or added token in the file, "" if no token
// has the id.
func (t *Tokenizer) Token(id int32) string {
	if id < 0 || int(id) >= len(t.tokens) {
		return ""
	}
	return t.tokens[id]
}

// ID returns the id of a token by its spelling in the file.
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.added[token]; ok {
		return id, true
	}
	id, ok := t.pieces[token]
	return id, ok
}

// Kind says what an id stands for, Missing if nothing.
func (t *Tokenizer) Kind(id int32) Kind {
	if id < 0 || int(id) >= len(t.kinds) {
		return Missing
	}
	return t.kinds[id]
}

// ByteLevel reports whether pieces are spelled in the byte alphabet ("Ġмир" is
// "ĠÐ¼Ð¸ÑĢ" then).
func (t *Tokenizer) ByteLevel() bool { return t.byteLevel }
