package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"lep/internal/orderedjson"
)

// JSON writes the definition as tokenizer.json in HF's own order of keys and
// layout. Merges keep the form they were read in.
func (d *Definition) JSON() ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	o := orderedjson.New()
	w := objectWriter{o: o}
	w.set("version", "1.0")
	w.raw("truncation", d.Truncation)
	w.raw("padding", d.Padding)
	added := d.AddedTokens
	if added == nil {
		added = []AddedToken{}
	}
	w.set("added_tokens", added)
	w.raw("normalizer", d.Normalizer)
	w.raw("pre_tokenizer", d.PreTokenizer)
	w.raw("post_processor", d.PostProcessor)
	w.raw("decoder", d.Decoder)
	model, err := d.modelJSON()
	if err != nil {
		return nil, err
	}
	w.raw("model", model)
	for _, f := range d.Extra {
		w.raw(f.Key, f.Value)
	}
	if w.err != nil {
		return nil, w.err
	}
	return o.Indent()
}

// objectWriter sets keys until the first error.
type objectWriter struct {
	o   *orderedjson.Object
	err error
}

func (w *objectWriter) set(key string, v any) {
	if w.err == nil {
		w.err = w.o.Set(key, v)
	}
}

func (w *objectWriter) raw(key string, v json.RawMessage) {
	if v == nil {
		v = json.RawMessage("null")
	}
	if !json.Valid(v) && w.err == nil {
		w.err = fmt.Errorf("key %q: invalid JSON", key)
	}
	w.set(key, v)
}

func (d *Definition) modelJSON() (json.RawMessage, error) {
	m := &d.Model
	texts := make(map[int32]string, len(m.Pieces))
	for _, p := range m.Pieces {
		texts[p.ID] = p.Text
	}
	o := orderedjson.New()
	w := objectWriter{o: o}
	w.set("type", m.Type)
	switch m.Type {
	case Unigram:
		w.set("unk_id", nil)
		if m.UnkID >= 0 {
			w.set("unk_id", m.UnkID)
		}
		vocab, err := scoredJSON(m)
		if err != nil {
			return nil, err
		}
		w.raw("vocab", vocab)
		w.set("byte_fallback", m.ByteFallback)
		if !m.FuseUnk {
			w.set("fuse_unk", false)
		}
	case BPE:
		w.set("dropout", m.Dropout)
		w.set("unk_token", nil)
		if m.UnkID >= 0 {
			unk, ok := texts[m.UnkID]
			for _, a := range d.AddedTokens {
				if !ok && a.ID == m.UnkID {
					unk = a.Content
				}
			}
			w.set("unk_token", unk)
		}
		w.set("continuing_subword_prefix", m.ContinuingSubwordPrefix)
		w.set("end_of_word_suffix", m.EndOfWordSuffix)
		w.set("fuse_unk", m.FuseUnk)
		w.set("byte_fallback", m.ByteFallback)
		w.set("ignore_merges", m.IgnoreMerges)
		w.raw("vocab", vocabJSON(m))
		merges, err := mergesJSON(m, texts)
		if err != nil {
			return nil, err
		}
		w.raw("merges", merges)
	default:
		return nil, fmt.Errorf("model: unknown type %q, want BPE or Unigram", m.Type)
	}
	for _, f := range m.Extra {
		w.raw(f.Key, f.Value)
	}
	if w.err != nil {
		return nil, fmt.Errorf("model: %w", w.err)
	}
	return o.MarshalJSON()
}

func vocabJSON(m *Model) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, p := range m.Pieces {
		if i > 0 {
			b.WriteByte(',')
		}
		writeString(&b, p.Text)
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(int(p.ID)))
	}
	b.WriteByte('}')
	return b.Bytes()
}

func scoredJSON(m *Model) (json.RawMessage, error) {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, p := range m.Pieces {
		if int(p.ID) != i {
			return nil, fmt.Errorf("model: a Unigram vocabulary in tokenizer.json cannot have gaps: no piece has id %d", i)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('[')
		writeString(&b, p.Text)
		b.WriteByte(',')
		s, err := scoreText(p.Score)
		if err != nil {
			return nil, fmt.Errorf("model: piece %q: %w", p.Text, err)
		}
		b.WriteString(s)
		b.WriteByte(']')
	}
	b.WriteByte(']')
	return b.Bytes(), nil
}

// scoreText spells v so that [cursor.score], which is not exact, reads it back as
// v: the shortest spelling, else one with 17 or 16 digits whose last digits are moved.
// Where none does it is the shortest, which reads as a neighbour of v in float64:
// SentencePiece's scores are float32, so nothing that was learned is lost.
func scoreText(v float64) (string, error) {
	reads := func(s string) bool {
		got, err := (&cursor{data: []byte(s)}).score()
		return err == nil && got == v
	}
	s := strconv.FormatFloat(v, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	if reads(s) {
		return s, nil
	}
	long := strconv.FormatFloat(v, 'e', 16, 64)
	digits, exponent, _ := strings.Cut(long, "e")
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	n, err := strconv.ParseInt(strings.Replace(digits, ".", "", 1), 10, 64)
	e, err2 := strconv.Atoi(exponent)
	if err != nil || err2 != nil {
		return "", fmt.Errorf("score %g is not finite", v)
	}
	for _, k := range []int{16, 15} { // digits behind the first
		for d := int64(0); d < 64; d++ {
			for _, m := range []int64{n + d, n - d} {
				if spelled := fmt.Sprintf("%s%de%d", sign, m, e-k); reads(spelled) {
					return spelled, nil
				}
			}
		}
		n /= 10
	}
	return s, nil
}

func mergesJSON(m *Model, texts map[int32]string) (json.RawMessage, error) {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, g := range m.Merges {
		left, ok := texts[g.Left]
		right, ok2 := texts[g.Right]
		if !ok || !ok2 {
			return nil, fmt.Errorf("model: merge %d: no piece has id %d or %d", i, g.Left, g.Right)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		if m.MergesAsPairs {
			b.WriteByte('[')
			writeString(&b, left)
			b.WriteByte(',')
			writeString(&b, right)
			b.WriteByte(']')
			continue
		}
		if strings.Contains(left+right, " ") {
			return nil, fmt.Errorf("model: merge %d: %q + %q has a space in a piece, which only merges as pairs can spell", i, left, right)
		}
		writeString(&b, left+" "+right)
	}
	b.WriteByte(']')
	return b.Bytes(), nil
}

// writeString writes s as JSON with no more escapes than JSON needs.
func writeString(b *bytes.Buffer, s string) {
	const hex = "0123456789abcdef"
	b.WriteByte('"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b.WriteString(s[start:i])
		start = i + 1
		switch c {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			b.WriteString(`\u00`)
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	b.WriteString(s[start:])
	b.WriteByte('"')
}
