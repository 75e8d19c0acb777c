package tokenizer

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// spEncoder encodes and decodes as SentencePiece does with a .model file.
type spEncoder struct {
	norm  *spNormalizer
	texts []string // by id
	kinds []Kind
	bytes [256]int32 // byte pieces by byte
	unk   int32

	byteFallback bool
	unkSurface   string
	stripFirst   bool // decoding drops the space that encoding put in front
	stripAll     bool // and every other one at the start
	segment      spModel
	unigram      *spUnigram          // segment, if it is one
	words        bool                // text may be encoded word by word
	space        [utf8.RuneSelf]bool // characters that become one space
	pool         sync.Pool
}

// spModel cuts normalized text into pieces.
type spModel interface {
	// tokens leaves the pieces of text in w.tokens, unknown characters one by one with an
	// id below 0.
	tokens(w *spWorker, text string)
}

// spWorker is the memory that encoding a text needs.
type spWorker struct {
	text   []byte
	where  []int32
	tokens []token
	merge  mergeState
	best   []spNode
	cache  wordCache
	entry  []int32
	// Unigram: the score of the text so far, and what it was before the last call of
	// tokens.
	score, before float32
}

func newSPEncoder(d *Definition) (*spEncoder, error) {
	sp, m := d.SentencePiece, &d.Model
	z, err := newSPNormalizer(d)
	if err != nil {
		return nil, err
	}
	e := &spEncoder{
		norm: z, unk: m.UnkID, byteFallback: m.ByteFallback, unkSurface: sp.UnkSurface,
		stripFirst: sp.AddDummyPrefix || sp.RemoveExtraWhitespaces, stripAll: sp.RemoveExtraWhitespaces,
	}
	e.pool.New = func() any { return new(spWorker) }
	for _, p := range m.Pieces {
		e.texts = append(e.texts, p.Text)
		e.kinds = append(e.kinds, p.Kind)
		if p.Kind == Byte {
			b, _ := byteOf(p.Text)
			e.bytes[b] = p.ID
		}
	}
	if m.Type == BPE {
		e.segment, err = newSPBPE(m, z.defined)
	} else {
		e.unigram, err = newSPUnigram(m)
		e.segment = e.unigram
	}
	if err != nil {
		return nil, err
	}
	e.findWords(d)
	return e, nil
}

// appendIDs implements nativeEncoder.
func (e *spEncoder) appendIDs(dst []int32, text string) []int32 {
	w := e.pool.Get().(*spWorker)
	if e.words && text != "" {
		dst = e.appendWords(dst, w, text)
	} else {
		dst = e.appendWhole(dst, w, text)
	}
	e.pool.Put(w)
	return dst
}

// appendWhole encodes a text without cutting it.
func (e *spEncoder) appendWhole(dst []int32, w *spWorker, text string) []int32 {
	w.score = 0
	w.text = e.norm.append(w.text[:0], text, nil)
	return e.appendNormalized(dst, w, string(w.text))
}

// appendNormalized encodes text that has passed the normalizer, from w.score on.
func (e *spEncoder) appendNormalized(dst []int32, w *spWorker, text string) []int32 {
	e.segment.tokens(w, text)
	afterUnknown := false
	for _, k := range w.tokens {
		if k.id >= 0 {
			dst = append(dst, k.id)
			afterUnknown = k.id == e.unk
			continue
		}
		if e.byteFallback {
			for i := k.start; i < k.end; i++ {
				dst = append(dst, e.bytes[text[i]])
			}
		} else if !afterUnknown {
			dst = append(dst, e.unk)
		}
		afterUnknown = true
	}
	return dst
}

// appendTokens implements nativeEncoder. The offsets of a normalized character are
// those of the characters it came from; of a character that became bytes, the last
// byte has them and those before are empty.
func (e *spEncoder) appendTokens(dst []token, pieces []string, text string) ([]token, []string) {
	w := e.pool.Get().(*spWorker)
	defer e.pool.Put(w)
	w.where = w.where[:0]
	w.text = e.norm.append(w.text[:0], text, &w.where)
	n := string(w.text)
	w.score = 0
	e.segment.tokens(w, n)
	afterUnknown := false
	for _, k := range w.tokens {
		start, end := w.where[k.start], w.where[k.end]
		switch {
		case k.id >= 0:
			dst = append(dst, token{k.id, start, end})
			pieces = append(pieces, e.texts[k.id])
		case e.byteFallback:
			for i := k.start; i < k.end; i++ {
				dst = append(dst, token{e.bytes[n[i]], start, start})
				pieces = append(pieces, e.texts[e.bytes[n[i]]])
			}
			dst[len(dst)-1].end = end
		case afterUnknown:
			dst[len(dst)-1].end = end
		default:
			dst = append(dst, token{e.unk, start, end})
			pieces = append(pieces, e.texts[e.unk])
		}
		afterUnknown = k.id < 0 || k.id == e.unk
	}
	return dst, pieces
}

// decode implements nativeEncoder. Control symbols decode to nothing either way.
func (e *spEncoder) decode(ids []int32, skipSpecial bool) string {
	var out strings.Builder
	var bytes []byte
	flush := func() {
		for len(bytes) > 0 {
			_, size := utf8.DecodeRune(bytes)
			if size == 1 && bytes[0] >= utf8.RuneSelf {
				out.WriteString("\uFFFD")
			} else {
				out.Write(bytes[:size])
			}
			bytes = bytes[size:]
		}
	}
	first, stripped := true, false
	for _, id := range ids {
		if id < 0 || int(id) >= len(e.texts) {
			continue
		}
		piece := e.texts[id]
		if e.kinds[id] == Byte {
			b, _ := byteOf(piece)
			bytes = append(bytes, b)
			continue
		}
		flush()
		if stripped || out.Len() > 0 {
			first = false
		}
		stripped = false
		switch e.kinds[id] {
		case Control:
		case Unknown:
			out.WriteString(e.unkSurface)
		default:
			if first && e.stripFirst {
				rest := strings.TrimPrefix(piece, spaceSymbol)
				stripped = rest != piece && !e.stripAll
				piece = rest
			}
			out.WriteString(strings.ReplaceAll(piece, spaceSymbol, " "))
		}
	}
	flush()
	return out.String()
}
