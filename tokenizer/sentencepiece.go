package tokenizer

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"lep/tokenizer/charsmap"
)

// SentencePiece is what a .model file says beside its pieces: how text is
// normalized, what its symbols are called. New gives a definition that has it
// SentencePiece's own behaviour. It is replaced, never changed in place.
type SentencePiece struct {
	NormalizerName string // "nmt_nfkc", "identity"; only a name: Charsmap decides
	Charsmap       []byte // precompiled; empty for identity

	AddDummyPrefix          bool
	RemoveExtraWhitespaces  bool
	EscapeWhitespaces       bool
	TreatWhitespaceAsSuffix bool

	UnkPiece, BOSPiece, EOSPiece, PADPiece string
	UnkSurface                             string // what an unknown id decodes to

	// What was read and is not named above, to be written back as it was.
	trainerSpec, normalizerSpec, rest []byte
	pieceRest                         map[int32][]byte
	typesNormal                       bool // the file spells type NORMAL out
}

// DefaultSentencePiece returns the settings of SentencePiece's trainer but for the
// normalization: there is none until NormalizerName and Charsmap are set
// (see SentencePieceCharsmap).
func DefaultSentencePiece() *SentencePiece {
	return &SentencePiece{
		NormalizerName: "identity", AddDummyPrefix: true, RemoveExtraWhitespaces: true, EscapeWhitespaces: true,
		UnkPiece: "<unk>", BOSPiece: "<s>", EOSPiece: "</s>", PADPiece: "<pad>", UnkSurface: " \u2047 ",
	}
}

// Numbers of the fields in sentencepiece_model.proto.
const (
	modelPieces, modelTrainerSpec, modelNormalizerSpec = 1, 2, 3

	pieceText, pieceScore, pieceType = 1, 2, 3

	trainerModelType, trainerVocabSize, trainerSuffix, trainerByteFallback = 3, 4, 24, 35
	trainerUnkID, trainerBOSID, trainerEOSID, trainerPADID                 = 40, 41, 42, 43
	trainerUnkSurface                                                      = 44
	trainerUnkPiece, trainerBOSPiece, trainerEOSPiece, trainerPADPiece     = 45, 46, 47, 48

	normalizerName, normalizerCharsmap, normalizerDummyPrefix, normalizerExtra, normalizerEscape = 1, 2, 3, 4, 5
)

const (
	typeUnigram, typeBPE, typeWord, typeChar = 1, 2, 3, 4 // TrainerSpec.ModelType

	maxModelFile  = 1 << 30
	maxPieceBytes = 1024
)

// Kinds by the number of SentencePiece's Type; 0 is none.
var spKinds = []Kind{1: Text, 2: Unknown, 3: Control, 4: UserDefined, 5: Unused, 6: Byte}

// ReadSentencePiece reads a SentencePiece .model of type BPE or Unigram. The
// definition also has the components of its Hugging Face form in the layout of
// Llama and Mistral (see LegacyLayout), merges included; New uses
// the native part. Pieces and control symbols keep their ids; control and unknown
// symbols are added tokens as well.
func ReadSentencePiece(data []byte) (*Definition, error) {
	d, err := readSentencePiece(data)
	if err != nil {
		return nil, fmt.Errorf("sentencepiece: %w", err)
	}
	return d, nil
}

func readSentencePiece(data []byte) (*Definition, error) {
	if len(data) > maxModelFile {
		return nil, fmt.Errorf("%d bytes, at most %d", len(data), maxModelFile)
	}
	sp := DefaultSentencePiece()
	sp.NormalizerName = ""
	d := &Definition{SentencePiece: sp}
	hasTrainer := false
	err := eachField(data, func(f protoField) error {
		switch f.num {
		case modelPieces:
			return d.readPiece(f)
		case modelTrainerSpec:
			if hasTrainer {
				return errors.New("trainer_spec stands twice")
			}
			hasTrainer = true
			return d.readTrainerSpec(f)
		case modelNormalizerSpec:
			if sp.normalizerSpec != nil {
				return errors.New("normalizer_spec stands twice")
			}
			return sp.readNormalizerSpec(f)
		}
		sp.rest = append(sp.rest, f.raw...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(d.Model.Pieces) == 0 {
		return nil, errors.New("no pieces")
	}
	if d.Model.Type == "" { // the default of the format
		d.Model.Type = Unigram
	}
	if err := d.checkPieces(); err != nil {
		return nil, err
	}
	if len(sp.Charsmap) > 0 {
		if _, err := charsmap.Read(sp.Charsmap); err != nil {
			return nil, err
		}
	}
	if d.Model.Type == BPE {
		d.Model.Merges = mergesByScore(d.Model.Pieces)
	}
	if err := d.setLayout(LegacyLayout); err != nil {
		return nil, err
	}
	return d, d.check()
}

func (d *Definition) readPiece(f protoField) error {
	m := &d.Model
	id := int32(len(m.Pieces))
	if id >= maxTokens {
		return fmt.Errorf("more than %d pieces", maxTokens)
	}
	msg, err := f.bytes()
	if err != nil {
		return err
	}
	p := Piece{ID: id, Kind: Text}
	var rest []byte
	err = eachField(msg, func(f protoField) (err error) {
		switch f.num {
		case pieceText:
			p.Text, err = f.text()
		case pieceScore:
			var v float32
			v, err = f.float()
			p.Score = float64(v)
		case pieceType:
			var v uint64
			if v, err = f.varint(); err == nil && (v == 0 || v >= uint64(len(spKinds))) {
				err = fmt.Errorf("type %d, want 1 to %d", v, len(spKinds)-1)
			} else if err == nil {
				p.Kind = spKinds[v]
				d.SentencePiece.typesNormal = d.SentencePiece.typesNormal || p.Kind == Text
			}
		default:
			rest = append(rest, f.raw...)
		}
		return err
	})
	switch {
	case err != nil:
	case p.Text == "":
		err = errors.New("empty")
	case strings.IndexByte(p.Text, 0) >= 0:
		err = fmt.Errorf("%q has a NUL", p.Text)
	case len(p.Text) > maxPieceBytes:
		err = fmt.Errorf("%d bytes, at most %d", len(p.Text), maxPieceBytes)
	case math.IsNaN(p.Score) || math.IsInf(p.Score, 0):
		err = fmt.Errorf("%q: score %v is not finite", p.Text, p.Score)
	}
	if err != nil {
		return fmt.Errorf("piece %d: %w", id, err)
	}
	if rest != nil {
		if d.SentencePiece.pieceRest == nil {
			d.SentencePiece.pieceRest = map[int32][]byte{}
		}
		d.SentencePiece.pieceRest[id] = rest
	}
	m.Pieces = append(m.Pieces, p)
	return nil
}

func (d *Definition) readTrainerSpec(f protoField) error {
	sp := d.SentencePiece
	msg, err := f.bytes()
	if err != nil {
		return err
	}
	sp.trainerSpec = bytes.Clone(msg)
	err = eachField(msg, func(f protoField) (err error) {
		switch f.num {
		case trainerModelType:
			var v uint64
			if v, err = f.varint(); err != nil {
				return err
			}
			switch v {
			case typeUnigram:
				d.Model.Type = Unigram
			case typeBPE:
				d.Model.Type = BPE
			case typeWord, typeChar:
				return fmt.Errorf("model_type %s is not supported, want BPE or UNIGRAM", []string{typeWord: "WORD", typeChar: "CHAR"}[v])
			default:
				return fmt.Errorf("model_type %d is unknown", v)
			}
		case trainerSuffix:
			sp.TreatWhitespaceAsSuffix, err = f.boolean()
		case trainerByteFallback:
			d.Model.ByteFallback, err = f.boolean()
		case trainerUnkSurface:
			sp.UnkSurface, err = f.text()
		case trainerUnkPiece:
			sp.UnkPiece, err = f.text()
		case trainerBOSPiece:
			sp.BOSPiece, err = f.text()
		case trainerEOSPiece:
			sp.EOSPiece, err = f.text()
		case trainerPADPiece:
			sp.PADPiece, err = f.text()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("trainer_spec: %w", err)
	}
	return nil
}

func (sp *SentencePiece) readNormalizerSpec(f protoField) error {
	msg, err := f.bytes()
	if err != nil {
		return err
	}
	sp.normalizerSpec = append([]byte{}, msg...)
	err = eachField(msg, func(f protoField) (err error) {
		switch f.num {
		case normalizerName:
			sp.NormalizerName, err = f.text()
		case normalizerCharsmap:
			var b []byte
			b, err = f.bytes()
			sp.Charsmap = bytes.Clone(b)
		case normalizerDummyPrefix:
			sp.AddDummyPrefix, err = f.boolean()
		case normalizerExtra:
			sp.RemoveExtraWhitespaces, err = f.boolean()
		case normalizerEscape:
			sp.EscapeWhitespaces, err = f.boolean()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("normalizer_spec: %w", err)
	}
	return nil
}

// checkPieces finds the unknown symbol, of which there is exactly one, and holds
// byte pieces against byte_fallback.
func (d *Definition) checkPieces() error {
	m := &d.Model
	m.UnkID, m.FuseUnk = -1, true
	seen := make(map[string]int32, len(m.Pieces))
	var haveByte [256]bool
	for _, p := range m.Pieces {
		if other, ok := seen[p.Text]; ok {
			return fmt.Errorf("pieces %d and %d are both %q", other, p.ID, p.Text)
		}
		seen[p.Text] = p.ID
		switch p.Kind {
		case Unknown:
			if m.UnkID >= 0 {
				return fmt.Errorf("pieces %d and %d are both of type UNKNOWN", m.UnkID, p.ID)
			}
			m.UnkID = p.ID
		case Byte:
			b, ok := byteOf(p.Text)
			if !ok || p.Text != bytePiece(b) {
				return fmt.Errorf("piece %d: %q is of type BYTE, want <0x00> to <0xFF>", p.ID, p.Text)
			}
			haveByte[b] = true
		}
	}
	if m.UnkID < 0 {
		return errors.New("no piece of type UNKNOWN")
	}
	if missing := slices.Index(haveByte[:], false); m.ByteFallback && missing >= 0 {
		return fmt.Errorf("byte_fallback is set, but piece %q is missing", bytePiece(byte(missing)))
	}
	return nil
}

func bytePiece(b byte) string { return fmt.Sprintf("<0x%02X>", b) }

// bosID returns the id of the piece that begins a text, -1 if there is none.
func (sp *SentencePiece) bosID(m *Model) int32 {
	for _, p := range m.Pieces {
		if p.Kind == Control && p.Text == sp.BOSPiece {
			return p.ID
		}
	}
	return -1
}

// protoField is a field of a protobuf message: its number, its wire type, its
// value without the tag, and all of it.
type protoField struct {
	num        protowire.Number
	typ        protowire.Type
	value, raw []byte
}

// eachField walks over a message. Errors name the offset in it.
func eachField(msg []byte, fn func(protoField) error) error {
	for at := 0; at < len(msg); {
		num, typ, n := protowire.ConsumeTag(msg[at:])
		if n < 0 {
			return fmt.Errorf("offset %d: tag: %w", at, protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(num, typ, msg[at+n:])
		if size < 0 {
			return fmt.Errorf("offset %d: field %d: %w", at, num, protowire.ParseError(size))
		}
		end := at + n + size
		if err := fn(protoField{num, typ, msg[at+n : end], msg[at:end]}); err != nil {
			return err
		}
		at = end
	}
	return nil
}

func (f protoField) want(t protowire.Type) error {
	if f.typ != t {
		return fmt.Errorf("field %d: wire type %d, want %d", f.num, f.typ, t)
	}
	return nil
}

func (f protoField) bytes() ([]byte, error) {
	if err := f.want(protowire.BytesType); err != nil {
		return nil, err
	}
	b, _ := protowire.ConsumeBytes(f.value)
	return b, nil
}

func (f protoField) text() (string, error) {
	b, err := f.bytes()
	if err == nil && !utf8.Valid(b) {
		err = fmt.Errorf("field %d: %q is not UTF-8", f.num, b)
	}
	return string(b), err
}

func (f protoField) varint() (uint64, error) {
	if err := f.want(protowire.VarintType); err != nil {
		return 0, err
	}
	v, _ := protowire.ConsumeVarint(f.value)
	return v, nil
}

func (f protoField) boolean() (bool, error) {
	v, err := f.varint()
	return v != 0, err
}

func (f protoField) float() (float32, error) {
	if err := f.want(protowire.Fixed32Type); err != nil {
		return 0, err
	}
	v, _ := protowire.ConsumeFixed32(f.value)
	return math.Float32frombits(v), nil
}
