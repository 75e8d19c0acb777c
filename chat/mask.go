package chat

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"lep/internal/hint"
	"lep/tokenizer"
)

// NoLabel marks a token that carries no loss, as in PyTorch.
const NoLabel int32 = -100

// Encoded is a conversation as a model sees it in training. IDs, Mask and Labels
// have equal lengths.
type Encoded struct {
	Text string // "" for rows that were tokenized already
	IDs  []int32
	// Mask is true on the tokens that the assistant is to write.
	Mask []bool
	// Labels are the ids where Mask is true and NoLabel elsewhere; they are not
	// shifted: the model's output at t-1 is scored on Labels[t].
	Labels []int32
}

// Learned counts the tokens with a label that some position predicts, which the
// first one never is.
func (e Encoded) Learned() int {
	n := 0
	for _, l := range e.Labels[min(1, len(e.Labels)):] {
		if l != NoLabel {
			n++
		}
	}
	return n
}

func encoded(text string, ids []int32, mask []bool) Encoded {
	e := Encoded{Text: text, IDs: ids, Mask: mask, Labels: make([]int32, len(ids))}
	for i, id := range ids {
		e.Labels[i] = NoLabel
		if mask[i] {
			e.Labels[i] = id
		}
	}
	return e
}

// Encode renders the messages and turns them into ids, without special tokens
// but those that the template writes, and marks the assistant's part as Answers
// finds it. A token counts from the one that holds a part's first character to the
// last one that holds its last. With Special nil the tokenizer's own are taken;
// messages before number learn carry no labels.
func (t *Template) Encode(tok *tokenizer.Tokenizer, o Options, learn int) (Encoded, error) {
	if o.Special == nil {
		o.Special = Special(tok.Config())
	}
	r, err := t.Answers(o, learn, func(text string) int { return specialPrefix(tok, text) })
	if err != nil {
		return Encoded{}, err
	}
	e := tok.EncodeOptions(r.Text, tokenizer.EncodeOptions{Offsets: true})
	return encoded(r.Text, e.IDs, maskTokens(e.Offsets, inRunes(r.Text, r.Generated))), nil
}

// specialPrefix is the length of the longest special token that begins text.
func specialPrefix(tok *tokenizer.Tokenizer, text string) int {
	n := 0
	for _, a := range tok.Definition().AddedTokens {
		if a.Special && len(a.Content) > n && strings.HasPrefix(text, a.Content) {
			n = len(a.Content)
		}
	}
	return n
}

// inRunes turns ranges of bytes, in order, into ranges of code points.
func inRunes(text string, spans []Span) []Span {
	out := make([]Span, len(spans))
	bytes, runes := 0, 0
	to := func(at int) int {
		runes += utf8.RuneCountInString(text[bytes:at])
		bytes = at
		return runes
	}
	for i, s := range spans {
		out[i] = Span{Start: to(s.Start), End: to(s.End)}
	}
	return out
}

// maskTokens says which tokens belong to the spans, which are in order and in the
// unit of the offsets: all from the one that holds a span's first character to the
// last one that holds its last.
func maskTokens(offsets [][2]int, spans []Span) []bool {
	mask := make([]bool, len(offsets))
	at := 0
	for _, s := range spans {
		for at < len(offsets) && offsets[at][1] <= s.Start {
			at++
		}
		for i := at; i < len(offsets) && offsets[i][0] < s.End; i++ {
			mask[i] = true
		}
	}
	return mask
}

// Encode turns a row into ids and labels for training: conversations by the
// template t, which other layouts do not need, prompt and completion as one text with the
// tokenizer's special tokens around it and eos at its end. A row without anything
// to learn from is an error. o gives what the row does not: Special, Extra, Now, Limits.
func (r Row) Encode(tok *tokenizer.Tokenizer, t *Template, o Options) (Encoded, error) {
	e, err := r.encode(tok, t, o)
	if err != nil {
		return Encoded{}, err
	}
	if e.Learned() == 0 {
		return Encoded{}, hint.Errorf("a conversation needs an assistant message, and input_ids a label that is not -100",
			"nothing to learn: no token has a label")
	}
	return e, nil
}

func (r Row) encode(tok *tokenizer.Tokenizer, t *Template, o Options) (Encoded, error) {
	switch {
	case r.Layout == Tokenized:
		e := Encoded{IDs: r.InputIDs, Labels: r.Labels, Mask: make([]bool, len(r.Labels))}
		for i, l := range r.Labels {
			e.Mask[i] = l != NoLabel
		}
		return e, nil
	case r.Messages == nil:
		return r.encodeTexts(tok)
	case t == nil:
		return Encoded{}, hint.Errorf("give a chat template, or rows with prompt and completion as texts",
			"layout %q needs a chat template and the tokenizer has none", r.Layout)
	}
	o.Messages = r.Messages
	if r.Tools != nil {
		o.Tools = json.RawMessage(r.Tools)
	}
	return t.Encode(tok, o, r.Learn)
}

// encodeTexts is prompt and completion as one text; the completion and eos are learned.
func (r Row) encodeTexts(tok *tokenizer.Tokenizer) (Encoded, error) {
	text := r.Prompt + r.Completion
	e := tok.EncodeOptions(text, tokenizer.EncodeOptions{AddSpecial: true, Offsets: true})
	from := utf8.RuneCountInString(r.Prompt)
	mask := maskTokens(e.Offsets, []Span{{Start: from, End: utf8.RuneCountInString(text)}})
	eos := tok.Config().EOS
	id, ok := tok.ID(eos)
	if eos != "" && !ok {
		return Encoded{}, fmt.Errorf("eos_token %q is not in the vocabulary", eos)
	}
	if n := len(e.IDs); ok && eos != "" && (n == 0 || e.IDs[n-1] != id) {
		e.IDs, mask = append(e.IDs, id), append(mask, true)
	} else if ok && n > 0 && e.IDs[n-1] == id {
		mask[n-1] = true
	}
	return encoded(text, e.IDs, mask), nil
}
