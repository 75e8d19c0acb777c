package export

import (
	"fmt"
	"slices"
	"strings"

	"lep/internal/hint"
	"lep/model"
	"lep/tokenizer"
)

// Token types of GGUF (llama.cpp's llama_token_type).
const (
	typeNormal int32 = 1 + iota
	typeUnknown
	typeControl
	typeUserDefined
	typeUnused
	typeByte
)

// vocabulary is the tokenizer as GGUF has it.
type vocabulary struct {
	model  string // tokenizer.ggml.model
	pre    string // tokenizer.ggml.pre
	nfc    bool
	tokens []string
	types  []int32
	scores []float32 // SentencePiece only
	merges []string  // byte-level BPE only
	prefix *bool     // add_space_prefix, where the model's default must not count
}

// vocabulary sets the fields of the tokenizer.
func (e *exporter) vocabulary() error {
	d := e.tok.Definition()
	var v *vocabulary
	var err error
	switch {
	case d.Model.Type == tokenizer.Unigram:
		v, err = e.unigram(d)
	case e.tok.ByteLevel():
		v, err = e.byteLevel(d)
	default:
		v, err = e.sentencePiece(d)
	}
	if err == nil {
		err = e.fill(v)
	}
	if err != nil {
		return fmt.Errorf("tokenizer: %w", err)
	}
	e.out.Tokenizer, e.out.Pre = v.model, v.pre
	e.set("tokenizer.ggml.model", v.model)
	e.set("tokenizer.ggml.pre", v.pre)
	e.set("tokenizer.ggml.tokens", v.tokens)
	e.set("tokenizer.ggml.token_type", v.types)
	if v.scores != nil {
		e.set("tokenizer.ggml.scores", v.scores)
	}
	if v.merges != nil {
		e.set("tokenizer.ggml.merges", v.merges)
	}
	if v.nfc {
		e.set("tokenizer.ggml.normalizer.nfc", true)
		e.notef("the normalizer NFC needs a llama.cpp that reads tokenizer.ggml.normalizer.nfc; others leave decomposed characters as they are")
	}
	if v.prefix != nil {
		e.set("tokenizer.ggml.add_space_prefix", *v.prefix)
	}
	if err := e.roles(); err != nil {
		return fmt.Errorf("tokenizer: %w", err)
	}
	e.templates()
	return nil
}

// place puts a token where its id is.
func (v *vocabulary) place(id int32, text string, typ int32) {
	for int(id) >= len(v.tokens) {
		v.tokens, v.types = append(v.tokens, ""), append(v.types, 0)
	}
	v.tokens[id], v.types[id] = text, typ
}

// added places the added tokens: they are cut out of a text before the model sees it.
func (v *vocabulary) added(d *tokenizer.Definition, e *exporter) {
	odd := 0
	for _, a := range d.AddedTokens {
		typ := typeUserDefined
		switch {
		case int(a.ID) < len(v.types) && v.types[a.ID] == typeUnknown:
			typ = typeUnknown
		case a.Special:
			typ = typeControl
		}
		v.place(a.ID, a.Content, typ)
		if a.LStrip || a.RStrip || a.SingleWord {
			odd++
		}
	}
	if odd > 0 {
		e.notef("%d added tokens have lstrip, rstrip or single_word, which llama.cpp does not know: blanks around them are tokens of their own", odd)
	}
}

// fill makes a token of every row of the embeddings and refuses what llama.cpp cannot load.
func (e *exporter) fill(v *vocabulary) error {
	rows := e.cfg.VocabSize
	e.out.Tokens = len(v.tokens)
	if len(v.tokens) > rows {
		return hint.Errorf("the tokenizer was replaced but not the embeddings: run lep embed first",
			"%d tokens, the embeddings have %d rows (config.json vocab_size)", len(v.tokens), rows)
	}
	seen := make(map[string]int, rows)
	for id := range rows {
		if id >= len(v.tokens) || v.types[id] == 0 {
			v.place(int32(id), fmt.Sprintf("[PAD%d]", id), typeUnused)
			e.out.PaddingRows++
		}
		text := v.tokens[id]
		if first, twice := seen[text]; twice {
			return fmt.Errorf("ids %d and %d are both spelled %q, which GGUF cannot tell apart", first, id, text)
		}
		if text == "" {
			return fmt.Errorf("id %d is spelled with nothing", id)
		}
		seen[text] = id
	}
	for v.scores != nil && len(v.scores) < rows {
		v.scores = append(v.scores, 0)
	}
	return nil
}

// byteLevel makes the vocabulary of a byte-level BPE.
func (e *exporter) byteLevel(d *tokenizer.Definition) (*vocabulary, error) {
	v := &vocabulary{model: "gpt2"}
	var err error
	if v.nfc, err = normalizesNFC(d.Normalizer); err != nil {
		return nil, err
	}
	if v.pre, err = preTokenizer(d); err != nil {
		return nil, err
	}
	text := map[int32]string{}
	for _, p := range d.Model.Pieces {
		v.place(p.ID, p.Text, typeNormal)
		text[p.ID] = p.Text
	}
	for i, m := range d.Model.Merges {
		left, right := text[m.Left], text[m.Right]
		if strings.Contains(left+right, " ") {
			return nil, fmt.Errorf("merge %d has a blank in %q or %q, which the form \"a b\" cannot say", i, left, right)
		}
		v.merges = append(v.merges, left+" "+right)
	}
	v.added(d, e)
	return v, nil
}

// roles sets the special ids, and which of them stand around a text.
func (e *exporter) roles() error {
	stops, err := e.stops()
	if err != nil {
		return err
	}
	c := e.tok.Config()
	set := func(key, token string) {
		if id, ok := e.tok.ID(token); ok && token != "" {
			e.set("tokenizer.ggml."+key, uint32(id))
		}
	}
	set("bos_token_id", c.BOS)
	set("unknown_token_id", c.UNK)
	set("padding_token_id", c.PAD)
	for i, key := range []string{"eos_token_id", "eot_token_id", "eom_token_id"} {
		if i < len(stops) {
			e.set("tokenizer.ggml."+key, uint32(stops[i]))
		}
	}
	if len(stops) > 3 {
		e.notef("GGUF has room for three ids that end an answer; left out: %v", stops[3:])
	}
	return e.around(c.BOS, stops)
}

// stops lists the ids that end an answer, the tokenizer's eos_token first.
func (e *exporter) stops() ([]int32, error) {
	ids := e.cfg.EOSTokenID
	if g := e.files.GenerationConfig(); g != nil {
		var own model.TokenIDs
		if _, err := g.Decode("eos_token_id", &own); err != nil {
			return nil, fmt.Errorf("generation_config.json: %w", err)
		}
		if own != nil {
			ids = own
		}
	}
	ids = slices.Clone(ids)
	for _, id := range ids {
		if id < 0 || int(id) >= e.cfg.VocabSize {
			return nil, fmt.Errorf("eos_token_id %d is not below vocab_size %d", id, e.cfg.VocabSize)
		}
	}
	eos, ok := e.tok.ID(e.tok.Config().EOS)
	if !ok {
		return ids, nil
	}
	if i := slices.Index(ids, eos); i >= 0 {
		ids = slices.Delete(ids, i, i+1)
	}
	return slices.Insert(ids, 0, eos), nil
}

// around says whether bos and eos are put around a text, by doing it.
func (e *exporter) around(bos string, stops []int32) error {
	const probe = "a"
	plain, special := e.tok.Encode(probe), e.tok.EncodeSpecial(probe)
	at := 0
	for at+len(plain) <= len(special) && !slices.Equal(special[at:at+len(plain)], plain) {
		at++
	}
	if at+len(plain) > len(special) {
		return fmt.Errorf("special tokens change the ids of the text between them: %v, alone %v", special, plain)
	}
	before, behind := special[:at], special[at+len(plain):]
	id, hasBOS := e.tok.ID(bos)
	addBOS := hasBOS && len(before) == 1 && before[0] == id
	addEOS := len(stops) > 0 && len(behind) == 1 && behind[0] == stops[0]
	if len(before) > 0 && !addBOS || len(behind) > 0 && !addEOS {
		e.notef("the tokenizer puts %v before and %v behind a text; GGUF can say only bos_token_id before and eos_token_id behind", before, behind)
	}
	e.set("tokenizer.ggml.add_bos_token", addBOS)
	e.set("tokenizer.ggml.add_eos_token", addEOS)
	return nil
}

// templates sets the chat templates.
func (e *exporter) templates() {
	c := e.tok.Config()
	if c.ChatTemplate != "" {
		e.set("tokenizer.chat_template", c.ChatTemplate)
	}
	var names []string
	for _, t := range c.Templates {
		names = append(names, t.Name)
		e.set("tokenizer.chat_template."+t.Name, t.Template)
	}
	if names != nil {
		e.set("tokenizer.chat_templates", names)
	}
}
