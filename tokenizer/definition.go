package tokenizer

import (
	"encoding/json"
	"slices"
)

// maxTokens bounds token ids: the tables of a tokenizer are as long as its
// highest id, and a file must not choose how much memory that is.
const maxTokens = 1 << 20

// maxPiece bounds the bytes of one piece; the longest in use have a few hundred.
const maxPiece = 1 << 16

// Kind says what a piece of the model's table stands for.
type Kind uint8

const (
	Text        Kind = iota // a piece of text, spelled in the model's alphabet
	Byte                    // a byte-fallback piece "<0x0A>": one raw byte
	Unknown                 // SentencePiece <unk>; HF's unk_token
	Control                 // SentencePiece control symbol such as <s>: never produced from text
	UserDefined             // SentencePiece user-defined symbol: always cut out whole
	Unused                  // SentencePiece unused slot
	Special                 // an added token (HF), special or not: outside the model's table
	Missing                 // no piece has this id (a gap, or padding)
)

// Piece is an entry of the model's own table (added tokens are not in it).
type Piece struct {
	ID    int32
	Text  string  // as the file spells it: "Ġмир" in the byte alphabet, "▁мир", "<0x0A>"
	Score float64 // log-probability or SentencePiece score; 0 for HF BPE
	Kind  Kind
}

// Merge is a BPE merge by ids: Left then Right become Product. Merges stand in
// order of their rank.
type Merge struct{ Left, Right, Product int32 }

// ModelType names the subword algorithm.
type ModelType string

const (
	BPE     ModelType = "BPE"
	Unigram ModelType = "Unigram"
)

// Model is the subword model of a tokenizer.
type Model struct {
	Type   ModelType
	Pieces []Piece // ascending ids; gaps are allowed
	Merges []Merge // BPE only

	ByteFallback bool
	FuseUnk      bool
	IgnoreMerges bool
	UnkID        int32 // piece or added token for what has no piece; -1 for none
	// HF options that are carried through: continuing_subword_prefix,
	// end_of_word_suffix, dropout.
	ContinuingSubwordPrefix, EndOfWordSuffix *string
	Dropout                                  *float64

	MergesAsPairs bool // tokenizer.json spelled merges ["a","b"] rather than "a b"

	Extra []Field // keys of tokenizer.json's model that are not named above
}

// Field is a key of a JSON object and its value as the file spells it.
type Field struct {
	Key   string
	Value json.RawMessage
}

// AddedToken is a token that is cut out of the text before the model sees it
// (HF's added_tokens). Fields are as in tokenizer.json.
type AddedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// Definition is everything a tokenizer file says, editable and writable again.
// The component trees (normalizer and so on) are kept as the JSON that was
// read, nil for null, so that they are written back exactly. A definition read from a
// SentencePiece or tiktoken file has the component trees of the HF form of
// it where there is one, and keeps its native part beside them.
type Definition struct {
	AddedTokens   []AddedToken
	Normalizer    json.RawMessage
	PreTokenizer  json.RawMessage
	PostProcessor json.RawMessage
	Decoder       json.RawMessage
	Truncation    json.RawMessage
	Padding       json.RawMessage
	Model         Model

	// SentencePiece is set if the definition was read from a .model file: New then
	// builds SentencePiece's own behaviour (its normalizer, float32 scores, user-defined
	// pieces), which differs from that of the HF form.
	SentencePiece *SentencePiece

	Extra []Field // keys of tokenizer.json that are not named above
	// Notes says in words what the file asks for and this package does not do
	// (dropout) or reads otherwise than it stands.
	Notes []string
}

// Clone returns a copy that can be edited apart. JSON values are shared: they
// are replaced, never changed in place.
func (d *Definition) Clone() *Definition {
	c := *d
	c.AddedTokens = slices.Clone(d.AddedTokens)
	c.Model.Pieces = slices.Clone(d.Model.Pieces)
	c.Model.Merges = slices.Clone(d.Model.Merges)
	c.Model.Extra = slices.Clone(d.Model.Extra)
	c.Extra = slices.Clone(d.Extra)
	c.Notes = slices.Clone(d.Notes)
	return &c
}

// size returns 1 + the highest id, added tokens included.
func (d *Definition) size() int {
	n := 0
	for _, p := range d.Model.Pieces {
		n = max(n, int(p.ID)+1)
	}
	for _, a := range d.AddedTokens {
		n = max(n, int(a.ID)+1)
	}
	return n
}
