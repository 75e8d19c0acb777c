package train

import (
	"context"
	"fmt"
	"math"

	"lep/corpus"
	"lep/model"
	"lep/tokenizer"
)

// evaluation is held-out data, read once and kept as packed rows.
type evaluation struct {
	rows   []corpus.Block
	tokens int // scored
	bytes  int // of the texts, or of the tokens that have labels; 0 without a tokenizer
}

// Score is a measure of held-out data.
type Score struct {
	Loss        float64 `json:"loss"`                    // nats a token
	BitsPerByte float64 `json:"bits_per_byte,omitempty"` // 0 if the data is ids without a tokenizer
}

// value is what early stopping compares.
func (s Score) value() float64 {
	if s.BitsPerByte > 0 {
		return s.BitsPerByte
	}
	return s.Loss
}

// newEvaluation reads eval_data. A text is scored whole behind bos (or else eos); one longer
// than sequence_len in windows that overlap by half.
func newEvaluation(ctx context.Context, o *Options, enc *encoder, c *crew) (*evaluation, error) {
	text := o.Text
	text.RawJSON = enc.rows
	r, err := corpus.Open(o.EvalData, text)
	if err != nil {
		return nil, err
	}
	v := &evaluation{}
	p := &corpus.Packer{Size: o.SequenceLen, Emit: func(b corpus.Block) { v.rows = append(v.rows, b) }}
	for doc, err := range r.Documents(ctx) {
		if err != nil {
			return nil, fmt.Errorf("eval_data: %w", err)
		}
		list, errs := enc.encodeAll(ctx, []corpus.Doc{doc}, c, 1)
		if errs[0] != nil {
			return nil, fmt.Errorf("eval_data: %w", errs[0])
		}
		s := list[0]
		if s.labels != nil {
			v.addRow(p, s, o.SequenceLen, enc.tok, doc)
		} else {
			v.addText(p, doc, enc, o.SequenceLen)
		}
		if o.MaxEvalTokens > 0 && v.tokens >= o.MaxEvalTokens {
			break
		}
	}
	p.Flush()
	if v.tokens == 0 {
		return nil, fmt.Errorf("eval_data: nothing to score")
	}
	return v, nil
}

func (v *evaluation) addText(p *corpus.Packer, doc corpus.Doc, enc *encoder, window int) {
	ids := append(append([]int32{}, enc.front...), enc.tok.Encode(doc.Text)...)
	v.bytes += len(doc.Text)
	done := max(len(enc.front), 1)
	for start := 0; done < len(ids); start += max(1, window/2) {
		end := min(start+window, len(ids))
		if done >= end {
			continue
		}
		labels := make([]int32, end-start)
		for i := range labels {
			labels[i] = corpus.NoLabel
			if start+i >= done {
				labels[i] = ids[start+i]
			}
		}
		v.tokens += end - done
		done = end
		p.AddWhole(ids[start:end], labels, doc)
	}
}

func (v *evaluation) addRow(p *corpus.Packer, s sample, limit int, tok *tokenizer.Tokenizer, doc corpus.Doc) {
	n := min(len(s.ids), limit)
	for _, l := range s.labels[min(1, n):n] {
		if l == corpus.NoLabel {
			continue
		}
		v.tokens++
		if tok != nil {
			if b, kind := tok.Bytes(l); kind != tokenizer.Special {
				v.bytes += len(b)
			}
		}
	}
	p.AddWhole(s.ids[:n], s.labels[:n], doc)
}

// score runs the model over the held-out rows.
func (v *evaluation) score(ctx context.Context, m *model.Model, o *Options) (Score, error) {
	masked := *o
	masked.DocumentMask, masked.SamplePacking = true, true
	a := assembler{opts: &masked}
	var sum float64
	tokens := 0
	for rows := v.rows; len(rows) > 0; {
		if err := ctx.Err(); err != nil {
			return Score{}, err
		}
		n := min(len(rows), o.PerDeviceBatchSize)
		nll, scored, err := m.Score(a.assemble(rows[:n])[0], nil)
		if err != nil {
			return Score{}, err
		}
		sum += nll
		tokens += scored
		rows = rows[n:]
	}
	s := Score{Loss: sum / float64(tokens)}
	if v.bytes > 0 {
		s.BitsPerByte = sum / math.Ln2 / float64(v.bytes)
	}
	return s, nil
}
