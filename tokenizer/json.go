package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lep/internal/hint"
)

// ReadJSON reads a Hugging Face tokenizer.json. Errors name the line or the
// component; nothing is mended but what Definition.Notes says.
func ReadJSON(data []byte) (*Definition, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	d := &Definition{}
	c := &cursor{data: data}
	model := modelReader{c: c, m: &d.Model}
	seen := map[string]bool{}
	err := c.object(func(key string) error {
		if seen[key] {
			return c.errorf("key %q stands twice", key)
		}
		seen[key] = true
		switch key {
		case "added_tokens":
			return d.readAddedTokens(c)
		case "model":
			return model.read()
		}
		raw, err := c.raw()
		if err != nil {
			return err
		}
		field := d.component(key)
		switch {
		case key == "version":
			if string(raw) != `"1.0"` {
				return c.errorf("version %s, want \"1.0\"", raw)
			}
		case field == nil:
			d.Extra = append(d.Extra, Field{key, raw})
		case string(raw) != "null":
			*field = raw
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if c.peek() != 0 {
		return nil, c.errorf("text behind the object")
	}
	if !seen["model"] {
		return nil, hint.Errorf("a tokenizer_config.json is no tokenizer: give tokenizer.json or the folder", "no key \"model\": not a tokenizer.json")
	}
	ids, err := model.finish(d)
	if err != nil {
		return nil, err
	}
	return d, d.checkIDs(ids)
}

// component returns where the component tree of a key is kept, nil for other keys.
func (d *Definition) component(key string) *json.RawMessage {
	switch key {
	case "normalizer":
		return &d.Normalizer
	case "pre_tokenizer":
		return &d.PreTokenizer
	case "post_processor":
		return &d.PostProcessor
	case "decoder":
		return &d.Decoder
	case "truncation":
		return &d.Truncation
	case "padding":
		return &d.Padding
	}
	return nil
}

func (d *Definition) readAddedTokens(c *cursor) error {
	if c.null() {
		return nil
	}
	return c.array(func() error {
		raw, err := c.raw()
		if err != nil {
			return err
		}
		var a AddedToken
		if err := json.Unmarshal(raw, &a); err != nil {
			return c.errorf("added token %d: %w", len(d.AddedTokens), err)
		}
		if len(d.AddedTokens) >= maxTokens {
			return c.errorf("more than %d added tokens", maxTokens)
		}
		d.AddedTokens = append(d.AddedTokens, a)
		return nil
	})
}

// modelReader reads the model object, whose keys may stand in any order.
type modelReader struct {
	c          *cursor
	m          *Model
	typ        string
	unkToken   *string
	unkID      *int32
	mergeTexts [][2]string
	fuseUnk    *bool
}

func (r *modelReader) read() error {
	c, m := r.c, r.m
	seen := map[string]bool{}
	return c.object(func(key string) (err error) {
		if seen[key] {
			return c.errorf("model: key %q stands twice", key)
		}
		seen[key] = true
		switch key {
		case "vocab":
			if c.peek() == '[' {
				return r.readScored()
			}
			return r.readVocab()
		case "merges":
			return r.readMerges()
		}
		if key != "dropout" && c.null() {
			return nil
		}
		switch key {
		case "type":
			r.typ, err = c.str()
		case "unk_token":
			r.unkToken, err = optional(c.str())
		case "unk_id":
			r.unkID, err = optional(c.id())
		case "continuing_subword_prefix":
			m.ContinuingSubwordPrefix, err = optional(c.str())
		case "end_of_word_suffix":
			m.EndOfWordSuffix, err = optional(c.str())
		case "fuse_unk":
			r.fuseUnk, err = optional(c.boolean())
		case "byte_fallback":
			m.ByteFallback, err = c.boolean()
		case "ignore_merges":
			m.IgnoreMerges, err = c.boolean()
		case "dropout":
			if !c.null() {
				m.Dropout, err = optional(c.score())
			}
		default:
			var raw json.RawMessage
			raw, err = c.raw()
			m.Extra = append(m.Extra, Field{key, raw})
		}
		if err != nil {
			return fmt.Errorf("model: key %q: %w", key, err)
		}
		return nil
	})
}

func optional[T any](v T, err error) (*T, error) { return &v, err }

// readVocab reads BPE's {"piece": id}.
func (r *modelReader) readVocab() error {
	return r.c.object(func(piece string) error {
		id, err := r.c.id()
		if err != nil {
			return fmt.Errorf("model: piece %q: %w", piece, err)
		}
		if len(r.m.Pieces) >= maxTokens {
			return r.c.errorf("model: more than %d pieces", maxTokens)
		}
		r.m.Pieces = append(r.m.Pieces, Piece{ID: id, Text: piece})
		return nil
	})
}

// readScored reads Unigram's [["piece", score]].
func (r *modelReader) readScored() error {
	c := r.c
	return c.array(func() error {
		p := Piece{ID: int32(len(r.m.Pieces))}
		if p.ID >= maxTokens {
			return c.errorf("model: more than %d pieces", maxTokens)
		}
		n := 0
		err := c.array(func() (err error) {
			switch n {
			case 0:
				p.Text, err = c.str()
			case 1:
				p.Score, err = c.score()
			default:
				err = c.errorf("want [piece, score]")
			}
			n++
			return err
		})
		if err == nil && n != 2 {
			err = c.errorf("want [piece, score]")
		}
		if err != nil {
			return fmt.Errorf("model: piece %d: %w", p.ID, err)
		}
		r.m.Pieces = append(r.m.Pieces, p)
		return nil
	})
}

// readMerges reads ["a b", …] or [["a", "b"], …].
func (r *modelReader) readMerges() error {
	c := r.c
	if c.null() {
		return nil
	}
	return c.array(func() error {
		if len(r.mergeTexts) >= 4*maxTokens {
			return c.errorf("model: too many merges")
		}
		var pair [2]string
		if c.peek() != '[' {
			s, err := c.str()
			if err != nil {
				return err
			}
			left, right, ok := strings.Cut(s, " ")
			if !ok || left == "" || right == "" || strings.Contains(right, " ") {
				return c.errorf("model: merge %d is %q, want two pieces with a space between", len(r.mergeTexts), s)
			}
			pair = [2]string{left, right}
		} else {
			r.m.MergesAsPairs = true
			n := 0
			err := c.array(func() (err error) {
				if n == 2 {
					return c.errorf("model: merge %d has more than two pieces", len(r.mergeTexts))
				}
				pair[n], err = c.str()
				n++
				return err
			})
			if err == nil && n < 2 {
				err = c.errorf("model: merge %d has %d pieces, want 2", len(r.mergeTexts), n)
			}
			if err != nil {
				return err
			}
		}
		r.mergeTexts = append(r.mergeTexts, pair)
		return nil
	})
}

// finish derives what needs the whole file: the type where old files leave it
// out, merges by ids, the unknown token, kinds of pieces.
func (r *modelReader) finish(d *Definition) (map[string]int32, error) {
	m := r.m
	switch {
	case r.typ == "" && r.mergeTexts != nil:
		r.typ = string(BPE)
	case r.typ == "" && r.unkID != nil:
		r.typ = string(Unigram)
	}
	switch ModelType(r.typ) {
	case BPE:
		m.FuseUnk = r.fuseUnk != nil && *r.fuseUnk
	case Unigram:
		m.FuseUnk = r.fuseUnk == nil || *r.fuseUnk
		if r.mergeTexts != nil {
			return nil, errors.New("model: a Unigram model with merges")
		}
	case "WordPiece", "WordLevel":
		return nil, hint.Errorf("tokenizers of decoder models are BPE or Unigram; BERT-like ones cannot be adapted with lep", "model: type %q is not supported, want BPE or Unigram", r.typ)
	default:
		return nil, fmt.Errorf("model: unknown type %q, want BPE or Unigram", r.typ)
	}
	m.Type = ModelType(r.typ)
	slices.SortStableFunc(m.Pieces, func(a, b Piece) int { return cmp.Compare(a.ID, b.ID) })
	ids, err := pieceIDs(m)
	if err != nil {
		return nil, err
	}
	if m.Dropout != nil && *m.Dropout != 0 {
		d.Notes = append(d.Notes, fmt.Sprintf("model.dropout %g is kept in the file but not applied: encoding is deterministic", *m.Dropout))
	}
	for _, part := range []struct {
		name string
		raw  json.RawMessage
	}{{"truncation", d.Truncation}, {"padding", d.Padding}} {
		if part.raw != nil {
			d.Notes = append(d.Notes, part.name+" is kept in the file but not applied: texts are encoded whole")
		}
	}
	m.UnkID = -1
	switch {
	case r.unkID != nil:
		m.UnkID = *r.unkID
	case r.unkToken != nil:
		id, ok := ids[*r.unkToken]
		for _, a := range d.AddedTokens {
			if !ok && a.Content == *r.unkToken {
				id, ok = a.ID, true
			}
		}
		if !ok {
			return nil, fmt.Errorf("model.unk_token %q is neither in the vocabulary nor an added token", *r.unkToken)
		}
		m.UnkID = id
	}
	for i := range m.Pieces {
		p := &m.Pieces[i]
		if p.ID == m.UnkID {
			p.Kind = Unknown
		} else if _, ok := byteOf(p.Text); ok && m.ByteFallback {
			p.Kind = Byte
		}
	}
	return ids, r.resolveMerges(ids)
}

func (r *modelReader) resolveMerges(ids map[string]int32) error {
	prefix := ""
	if p := r.m.ContinuingSubwordPrefix; p != nil {
		prefix = *p
	}
	r.m.Merges = make([]Merge, 0, len(r.mergeTexts))
	for i, pair := range r.mergeTexts {
		left, ok := ids[pair[0]]
		if !ok {
			return fmt.Errorf("model: merge %d: %q is not in the vocabulary", i, pair[0])
		}
		right, ok := ids[pair[1]]
		if !ok {
			return fmt.Errorf("model: merge %d: %q is not in the vocabulary", i, pair[1])
		}
		joined := pair[0] + strings.TrimPrefix(pair[1], prefix)
		product, ok := ids[joined]
		if !ok {
			return fmt.Errorf("model: merge %d: %q is not in the vocabulary", i, joined)
		}
		r.m.Merges = append(r.m.Merges, Merge{left, right, product})
	}
	return nil
}

// byteOf reads a byte-fallback piece "<0x0A>".
func byteOf(piece string) (byte, bool) {
	if len(piece) != 6 || piece[:3] != "<0x" || piece[5] != '>' {
		return 0, false
	}
	v, err := strconv.ParseUint(piece[3:5], 16, 8)
	return byte(v), err == nil
}

// pieceIDs maps the spelling of every piece to its id and refuses a spelling or
// an id that stands twice.
func pieceIDs(m *Model) (map[string]int32, error) {
	ids := make(map[string]int32, len(m.Pieces))
	for i, p := range m.Pieces {
		if p.ID < 0 || p.ID >= maxTokens {
			return nil, fmt.Errorf("model: piece %q has id %d, want 0 to %d", p.Text, p.ID, maxTokens-1)
		}
		if i > 0 && m.Pieces[i-1].ID >= p.ID {
			if m.Pieces[i-1].ID == p.ID {
				return nil, fmt.Errorf("model: id %d stands twice: %q and %q", p.ID, m.Pieces[i-1].Text, p.Text)
			}
			return nil, fmt.Errorf("model: pieces are not in order of their ids: %d behind %d", p.ID, m.Pieces[i-1].ID)
		}
		if len(p.Text) > maxPiece {
			return nil, fmt.Errorf("model: piece %.40q… has %d bytes, want at most %d", p.Text, len(p.Text), maxPiece)
		}
		ids[p.Text] = p.ID
		if len(ids) != i+1 {
			return nil, fmt.Errorf("model: piece %q stands twice", p.Text)
		}
	}
	return ids, nil
}

// check refuses definitions that contradict themselves.
func (d *Definition) check() error {
	ids, err := pieceIDs(&d.Model)
	if err != nil {
		return err
	}
	return d.checkIDs(ids)
}

// checkIDs is check with the ids of the pieces by their spelling.
func (d *Definition) checkIDs(ids map[string]int32) error {
	byID := make(map[int32]string, len(d.AddedTokens))
	contents := make(map[string]bool, len(d.AddedTokens))
	for _, a := range d.AddedTokens {
		if a.ID < 0 || a.ID >= maxTokens {
			return fmt.Errorf("added token %q: id %d, want 0 to %d", a.Content, a.ID, maxTokens-1)
		}
		if len(a.Content) > maxPiece {
			return fmt.Errorf("added token %.40q… has %d bytes, want at most %d", a.Content, len(a.Content), maxPiece)
		}
		if other, ok := byID[a.ID]; ok {
			return fmt.Errorf("added tokens %q and %q have the same id %d", other, a.Content, a.ID)
		}
		if contents[a.Content] {
			return fmt.Errorf("added token %q stands twice", a.Content)
		}
		if id, ok := ids[a.Content]; ok && id != a.ID {
			return fmt.Errorf("added token %q has id %d, but the vocabulary has it as %d", a.Content, a.ID, id)
		}
		if i, ok := slices.BinarySearchFunc(d.Model.Pieces, a.ID, func(p Piece, id int32) int { return cmp.Compare(p.ID, id) }); ok && d.Model.Pieces[i].Text != a.Content {
			return fmt.Errorf("added token %q has id %d, which the vocabulary gives to %q", a.Content, a.ID, d.Model.Pieces[i].Text)
		}
		byID[a.ID], contents[a.Content] = a.Content, true
	}
	if u := d.Model.UnkID; u >= 0 {
		if _, ok := slices.BinarySearchFunc(d.Model.Pieces, u, func(p Piece, id int32) int { return cmp.Compare(p.ID, id) }); !ok && byID[u] == "" {
			return fmt.Errorf("model: the unknown token's id %d does not exist", u)
		}
	}
	return nil
}
