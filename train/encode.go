package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"lep/chat"
	"lep/corpus"
	"lep/internal/hint"
	"lep/tokenizer"
)

// encoder turns documents into ids.
type encoder struct {
	tok      *tokenizer.Tokenizer // nil: rows of ids only
	template *chat.Template       // nil if there is none
	special  map[string]string
	rows     bool // documents are JSON rows
	task     Task
	vocab    int
	context  int
	packed   bool
	bos, eos []int32 // one or none
	front    []int32 // of a text that is scored: bos, or else eos
	endsLine []bool  // by id
}

// sample is an encoded document; labels nil means that every token is learned.
type sample struct {
	ids, labels []int32
	text        string // a text's, or the rendered conversation
}

var errNoTokenizer = errors.New("the model has no tokenizer, so only rows of input_ids can be read")

// newEncoder finds out what the data is.
func newEncoder(ctx context.Context, o *Options, data []string, tok *tokenizer.Tokenizer, vocab, context int) (*encoder, error) {
	e := &encoder{tok: tok, task: o.Task, vocab: vocab, context: context, packed: o.SamplePacking}
	ids, err := holdsIDs(ctx, data, o.Text)
	if err != nil {
		return nil, err
	}
	e.rows = o.Task == SFT || ids
	if tok == nil {
		if !ids {
			return nil, errNoTokenizer
		}
		return e, nil
	}
	if tok.Size() > vocab {
		return nil, hint.Errorf("give the embeddings rows for the new tokens first: lep embed",
			"the tokenizer has %d tokens, the model's embeddings %d rows (config.json vocab_size)", tok.Size(), vocab)
	}
	c := tok.Config()
	if e.bos, err = special(tok, "bos_token", c.BOS); err != nil {
		return nil, err
	}
	if e.eos, err = special(tok, "eos_token", c.EOS); err != nil {
		return nil, err
	}
	if e.front = e.bos; len(e.front) == 0 {
		e.front = e.eos
	}
	if !o.AddBOS {
		e.bos = nil
	}
	if !o.AddEOS {
		e.eos = nil
	}
	e.endsLine = make([]bool, tok.Size())
	for id := range e.endsLine {
		b, _ := tok.Bytes(int32(id))
		e.endsLine[id] = len(b) > 0 && b[len(b)-1] == '\n'
	}
	if o.Task == SFT {
		e.special = chat.Special(c)
		if c.ChatTemplate != "" {
			e.template, err = chat.Parse(c.ChatTemplate)
		}
	}
	return e, err
}

// special returns the id of a role's token, none if the tokenizer has no such role.
func special(tok *tokenizer.Tokenizer, role, token string) ([]int32, error) {
	if token == "" {
		return nil, nil
	}
	id, ok := tok.ID(token)
	if !ok {
		return nil, fmt.Errorf("tokenizer_config.json: %s: %q is not in the vocabulary", role, token)
	}
	return []int32{id}, nil
}

// holdsIDs tells whether the files hold rows that are tokenized already, by the first row of each.
func holdsIDs(ctx context.Context, data []string, text corpus.Options) (bool, error) {
	text.RawJSON, text.MaxBadRows, text.Start = true, -1, nil
	yes := 0
	for _, d := range data {
		r, err := corpus.Open([]string{d}, text)
		if err != nil {
			return false, err
		}
		for doc, err := range r.Documents(ctx) {
			if err != nil {
				return false, err
			}
			var row struct {
				InputIDs json.RawMessage `json:"input_ids"`
			}
			if strings.Contains(doc.Source, ".json") && json.Unmarshal([]byte(doc.Text), &row) == nil && row.InputIDs != nil {
				yes++
			}
			break
		}
	}
	if yes > 0 && yes < len(data) {
		return false, fmt.Errorf("data: %d of %d arguments hold input_ids, the others do not: give one kind at a time", yes, len(data))
	}
	return yes > 0, nil
}

// trainingDay is the date that templates are told, so that a run does not depend on the day:
// the one that Llama 3's template writes without a clock.
var trainingDay = time.Date(2024, 7, 26, 0, 0, 0, 0, time.UTC)

// encodeAll encodes documents in parallel; each has a sample or an error.
func (e *encoder) encodeAll(ctx context.Context, docs []corpus.Doc, c *crew, threads int) ([]sample, []error) {
	out, errs := make([]sample, len(docs)), make([]error, len(docs))
	if e.rows {
		c.run(len(docs), func(i int) {
			if ctx.Err() == nil {
				out[i], errs[i] = e.row(docs[i])
			}
		})
		return out, errs
	}
	texts := make([]string, len(docs))
	for i, d := range docs {
		texts[i] = d.Text
	}
	for i, ids := range e.tok.EncodeAll(ctx, texts, threads) {
		out[i] = sample{ids: slices.Concat(e.bos, ids, e.eos), text: texts[i]}
	}
	return out, errs
}

// row encodes a JSON row.
func (e *encoder) row(doc corpus.Doc) (sample, error) {
	place := fmt.Sprintf("%s:%d", doc.Source, doc.Line)
	r, err := chat.ReadRow([]byte(doc.Text), place)
	if err != nil {
		return sample{}, err
	}
	switch {
	case r.Layout != chat.Tokenized && e.task == Pretrain:
		return sample{}, hint.Errorf("conversations are for task: sft", "%s: row of layout %q among rows of input_ids", place, r.Layout)
	case r.Layout != chat.Tokenized && e.tok == nil:
		return sample{}, fmt.Errorf("%s: %w", place, errNoTokenizer)
	}
	enc, err := r.Encode(e.tok, e.template, chat.Options{Special: e.special, Now: trainingDay})
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w", place, err)
	}
	if len(enc.IDs) > e.context && r.Layout == chat.Tokenized && !e.packed {
		return sample{}, fmt.Errorf("%s: row of %d ids is longer than the model's context of %d", place, len(enc.IDs), e.context)
	}
	for i, id := range enc.IDs {
		if l := enc.Labels[i]; id < 0 || int(id) >= e.vocab || l != corpus.NoLabel && (l < 0 || int(l) >= e.vocab) {
			return sample{}, hint.Errorf("the data was made with another tokenizer than the model's",
				"%s: token %d: id %d with label %d, want ids below vocab_size %d", place, i, id, l, e.vocab)
		}
	}
	return sample{ids: enc.IDs, labels: enc.Labels, text: enc.Text}, nil
}
