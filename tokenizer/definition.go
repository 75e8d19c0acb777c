package tokenizer

import "encoding/json"

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
	UnkID        int32 // -1 for none
	// HF options that are carried through: continuing_subword_prefix,
	// end_of_word_suffix, dropout.
	ContinuingSubwordPrefix, EndOfWordSuffix *string
	Dropout                                  *float64

	MergesAsPairs bool // tokenizer.json spelled merges ["a","b"] rather than "a b"
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
}
