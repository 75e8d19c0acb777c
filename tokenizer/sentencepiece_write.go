package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"lep/tokenizer/charsmap"
)

// SentencePieceModel writes the definition as a SentencePiece .model. What was read
// from one and not changed is written back byte for byte, fields unknown to this
// package included. A definition that came from elsewhere must say what SentencePiece can
// say, and the error names what it cannot: the normalizer of the Llama layout (or
// only its Replace), ids without gaps, and for BPE merges that follow from scores.
func (d *Definition) SentencePieceModel() ([]byte, error) {
	if d.SentencePiece == nil {
		native, err := d.toSentencePiece()
		if err != nil {
			return nil, fmt.Errorf("sentencepiece: not expressible: %w", err)
		}
		d = native
	}
	data, err := d.appendModel()
	if err != nil {
		return nil, fmt.Errorf("sentencepiece: %w", err)
	}
	if _, err := ReadSentencePiece(data); err != nil {
		return nil, fmt.Errorf("sentencepiece: what was written does not read back: %w", err)
	}
	return data, nil
}

func (d *Definition) appendModel() ([]byte, error) {
	m, sp := &d.Model, d.SentencePiece
	if m.Type == BPE && m.Merges != nil {
		if err := followFromScores(m); err != nil {
			return nil, err
		}
	}
	if len(sp.Charsmap) > 0 {
		if _, err := charsmap.Read(sp.Charsmap); err != nil {
			return nil, err
		}
	}
	var out []byte
	for i, p := range m.Pieces {
		if p.ID != int32(i) {
			return nil, fmt.Errorf("ids have a gap: piece %d has id %d", i, p.ID)
		}
		msg, err := appendPiece(nil, p, sp.typesNormal)
		if err != nil {
			return nil, fmt.Errorf("piece %d: %w", i, err)
		}
		msg = append(msg, sp.pieceRest[p.ID]...)
		out = protowire.AppendTag(out, modelPieces, protowire.BytesType)
		out = protowire.AppendBytes(out, msg)
	}
	out = protowire.AppendTag(out, modelTrainerSpec, protowire.BytesType)
	out = protowire.AppendBytes(out, d.trainerSpec())
	out = protowire.AppendTag(out, modelNormalizerSpec, protowire.BytesType)
	out = protowire.AppendBytes(out, sp.writeNormalizerSpec())
	return append(out, sp.rest...), nil
}

func appendPiece(msg []byte, p Piece, typesNormal bool) ([]byte, error) {
	score := float32(p.Score)
	switch {
	case p.Text == "":
		return nil, errors.New("empty")
	case len(p.Text) > maxPieceBytes:
		return nil, fmt.Errorf("%d bytes, at most %d", len(p.Text), maxPieceBytes)
	case math.IsNaN(float64(score)) || math.IsInf(float64(score), 0):
		return nil, fmt.Errorf("%q: score %v is not finite in float32", p.Text, p.Score)
	}
	typ := 0
	for i, k := range spKinds {
		if k == p.Kind && i > 0 {
			typ = i
		}
	}
	if typ == 0 {
		return nil, fmt.Errorf("%q: kind %d has no counterpart", p.Text, p.Kind)
	}
	msg = protowire.AppendTag(msg, pieceText, protowire.BytesType)
	msg = protowire.AppendString(msg, p.Text)
	msg = protowire.AppendTag(msg, pieceScore, protowire.Fixed32Type)
	msg = protowire.AppendFixed32(msg, math.Float32bits(score))
	if p.Kind != Text || typesNormal { // the default may be left out
		msg = protowire.AppendTag(msg, pieceType, protowire.VarintType)
		msg = protowire.AppendVarint(msg, uint64(typ))
	}
	return msg, nil
}

// trainerSpec returns the spec as it was read, with what has changed since.
func (d *Definition) trainerSpec() []byte {
	m, sp := &d.Model, d.SentencePiece
	e := specEditor{msg: sp.trainerSpec}
	typ := uint64(typeUnigram)
	if m.Type == BPE {
		typ = typeBPE
	}
	e.varint(trainerModelType, typ, typeUnigram)
	e.varint(trainerVocabSize, uint64(len(m.Pieces)), 8000)
	e.boolean(trainerSuffix, sp.TreatWhitespaceAsSuffix, false)
	e.boolean(trainerByteFallback, m.ByteFallback, false)
	ids := map[string]int32{}
	for _, p := range m.Pieces {
		ids[p.Text] = p.ID
	}
	for _, role := range []struct {
		id    protowire.Number
		piece string
		none  int32
	}{{trainerUnkID, sp.UnkPiece, 0}, {trainerBOSID, sp.BOSPiece, 1}, {trainerEOSID, sp.EOSPiece, 2}, {trainerPADID, sp.PADPiece, -1}} {
		id, ok := ids[role.piece]
		if !ok {
			id = -1
		}
		if role.id == trainerUnkID {
			id = m.UnkID
		}
		e.varint(role.id, uint64(int64(id)), uint64(int64(role.none)))
	}
	standard := DefaultSentencePiece()
	e.text(trainerUnkSurface, sp.UnkSurface, standard.UnkSurface)
	e.text(trainerUnkPiece, sp.UnkPiece, standard.UnkPiece)
	e.text(trainerBOSPiece, sp.BOSPiece, standard.BOSPiece)
	e.text(trainerEOSPiece, sp.EOSPiece, standard.EOSPiece)
	e.text(trainerPADPiece, sp.PADPiece, standard.PADPiece)
	return e.msg
}

func (sp *SentencePiece) writeNormalizerSpec() []byte {
	e := specEditor{msg: sp.normalizerSpec}
	e.text(normalizerName, sp.NormalizerName, "")
	e.text(normalizerCharsmap, string(sp.Charsmap), "")
	e.boolean(normalizerDummyPrefix, sp.AddDummyPrefix, true)
	e.boolean(normalizerExtra, sp.RemoveExtraWhitespaces, true)
	e.boolean(normalizerEscape, sp.EscapeWhitespaces, true)
	return e.msg
}

// specEditor sets fields of a message that was read; a field that already says
// so, or is absent and has that value by default, is left alone.
type specEditor struct{ msg []byte }

func (e *specEditor) varint(num protowire.Number, v, standard uint64) {
	field := protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
	e.set(num, field, v == standard, func(f protoField) bool {
		old, err := f.varint()
		return err == nil && old == v
	})
}

func (e *specEditor) boolean(num protowire.Number, v, standard bool) {
	e.varint(num, protowire.EncodeBool(v), protowire.EncodeBool(standard))
}

func (e *specEditor) text(num protowire.Number, v, standard string) {
	field := protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), v)
	e.set(num, field, v == standard, func(f protoField) bool {
		old, err := f.bytes()
		return err == nil && string(old) == v
	})
}

// set puts field in the place of the first one with its number, or at the end.
func (e *specEditor) set(num protowire.Number, field []byte, standard bool, same func(protoField) bool) {
	var out []byte
	found, kept := false, true
	err := eachField(e.msg, func(f protoField) error {
		switch {
		case f.num != num:
			out = append(out, f.raw...)
		case !found:
			found = true
			kept = same(f)
			out = append(out, field...)
		default: // of a repeated scalar the last counts
			kept = same(f)
		}
		return nil
	})
	switch {
	case err != nil || found && kept || !found && standard: // what was read parses
	case found:
		e.msg = out
	default:
		e.msg = append(bytes.Clone(e.msg), field...)
	}
}

// followFromScores holds merges against those that the scores of the pieces give:
// the same ones, and products in the same order.
func followFromScores(m *Model) error {
	want := mergesByScore(m.Pieces)
	have := make(map[Merge]bool, len(want))
	for _, g := range want {
		have[g] = true
	}
	if len(want) != len(m.Merges) {
		return fmt.Errorf("%d merges, but the pieces make %d", len(m.Merges), len(want))
	}
	score := math.Inf(1)
	for i, g := range m.Merges {
		if !have[g] {
			return fmt.Errorf("merge %d (%d, %d) is not one that the pieces make", i, g.Left, g.Right)
		}
		delete(have, g)
		s := m.Pieces[g.Product].Score
		if s > score {
			return fmt.Errorf("merge %d makes %q, whose score is higher than that of the merge before", i, m.Pieces[g.Product].Text)
		}
		score = s
	}
	return nil
}

// toSentencePiece makes the native part of a definition in the Llama layout.
func (d *Definition) toSentencePiece() (*Definition, error) {
	c := d.Clone()
	m := &c.Model
	sp := DefaultSentencePiece()
	sp.RemoveExtraWhitespaces = false
	c.SentencePiece = sp
	var err error
	if sp.AddDummyPrefix, err = d.llamaNormalizer(); err != nil {
		return nil, err
	}
	if !isNull(d.PreTokenizer) {
		return nil, errors.New("there is a pre-tokenizer")
	}
	if m.UnkID < 0 {
		return nil, errors.New("there is no unknown token")
	}
	if m.ContinuingSubwordPrefix != nil && *m.ContinuingSubwordPrefix != "" || m.EndOfWordSuffix != nil && *m.EndOfWordSuffix != "" {
		return nil, errors.New("the model has a subword prefix or suffix")
	}
	if err := c.addedToPieces(); err != nil {
		return nil, err
	}
	sp.UnkPiece = m.Pieces[m.UnkID].Text
	if post, err := compilePostProcessor(d.PostProcessor); err == nil && post != nil && len(post.prefix) == 1 {
		sp.BOSPiece = m.Pieces[post.prefix[0]].Text
	}
	if m.Type == BPE {
		if err := c.scoresFromMerges(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// llamaNormalizer reports whether a normalizer is the Llama layout's, with or
// without the prefix.
func (d *Definition) llamaNormalizer() (prefix bool, err error) {
	n, err := compileNormalizer(d.Normalizer)
	if err != nil {
		return false, err
	}
	seq, ok := n.(sequenceNormalizer)
	if !ok && n != nil {
		seq = sequenceNormalizer{n}
	}
	if len(seq) > 0 && seq[0] == normalizer(prependNormalizer(spaceSymbol)) {
		prefix = true
		seq = seq[1:]
	}
	if len(seq) != 1 || seq[0] != normalizer(replaceNormalizer{" ", spaceSymbol}) {
		return false, errors.New("the normalizer is not that of the Llama layout")
	}
	return prefix, nil
}

// addedToPieces gives added tokens their kinds; those behind the table become pieces.
func (d *Definition) addedToPieces() error {
	m := &d.Model
	for i, p := range m.Pieces {
		if p.ID != int32(i) {
			return fmt.Errorf("ids have a gap before %d", p.ID)
		}
	}
	for _, a := range d.AddedTokens {
		kind := Control
		switch {
		case a.ID == m.UnkID:
			kind = Unknown
		case !a.Special:
			kind = UserDefined
		}
		switch {
		case int(a.ID) < len(m.Pieces):
			m.Pieces[a.ID].Kind = kind
		case int(a.ID) == len(m.Pieces):
			m.Pieces = append(m.Pieces, Piece{ID: a.ID, Text: a.Content, Kind: kind})
		default:
			return fmt.Errorf("ids have a gap before %d", a.ID)
		}
	}
	return nil
}

// scoresFromMerges gives the products of merges falling scores in the order of
// their ranks and checks that SentencePiece would merge alike.
func (d *Definition) scoresFromMerges() error {
	m := &d.Model
	const unset = math.MaxInt32
	rank := make([]int32, len(m.Pieces))
	for i := range rank {
		rank[i] = unset
	}
	next := int32(0)
	last := int32(-1)
	for i, g := range m.Merges {
		if g.Product != last {
			if rank[g.Product] != unset {
				return fmt.Errorf("merge %d makes %q again after merges of others", i, m.Pieces[g.Product].Text)
			}
			rank[g.Product], last = next, g.Product
			next++
		}
	}
	for i := range m.Pieces {
		p := &m.Pieces[i]
		switch {
		case rank[i] != unset:
			p.Score = -float64(rank[i])
		case p.Kind == Text: // characters come behind the merges
			p.Score = -float64(next)
			next++
		default:
			p.Score = 0
		}
	}
	if next > 1<<24 {
		return fmt.Errorf("%d scores, which float32 cannot tell apart", next)
	}
	if err := followFromScores(m); err != nil {
		return err
	}
	if !m.IgnoreMerges {
		return nil
	}
	plain := *m
	plain.IgnoreMerges = false
	b, err := newBPE(&plain)
	if err != nil {
		return err
	}
	for _, p := range m.Pieces {
		if ids := b.append(nil, p.Text); p.Kind == Text && (len(ids) != 1 || ids[0] != p.ID) {
			return fmt.Errorf("merges do not reach %q, which only ignore_merges finds", p.Text)
		}
	}
	return nil
}
