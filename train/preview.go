package train

import (
	"context"
	"unicode/utf8"

	"lep/corpus"
)

// Sample is a row as a model would see it in training.
type Sample struct {
	Source string   `json:"source"` // file of the first document
	Line   int      `json:"line"`
	IDs    []int32  `json:"input_ids"`
	Labels []int32  `json:"labels"` // -100: no loss
	Tokens []string `json:"tokens"` // their text, or a token's spelling where its bytes are no text; nil without a tokenizer
	Starts []int32  `json:"starts"` // first tokens of the documents
}

// Preview returns the first rows that a run with these settings would train on, and writes nothing.
func Preview(ctx context.Context, opts Options, n int) ([]Sample, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	r := newRun(&opts)
	defer r.close()
	if err := r.openModel(); err != nil {
		return nil, err
	}
	opts.EvalData = nil
	if err := r.openData(ctx); err != nil {
		return nil, err
	}
	f, err := openFeed(ctx, &opts, r.enc, r.crew, r.log, nil)
	if err != nil {
		return nil, err
	}
	defer f.close()
	asm := assembler{opts: &opts}
	var out []Sample
	for range n {
		row, err := f.next(ctx)
		if err != nil {
			return nil, err
		}
		b := asm.assemble([]corpus.Block{row})[0]
		s := Sample{Source: row.Source, Line: row.Line, IDs: row.IDs, Labels: append([]int32{}, b.Labels[:len(row.IDs)]...), Starts: row.Starts}
		s.Labels[0] = corpus.NoLabel // nothing stands before it to predict it from
		if r.tok != nil {
			for _, id := range row.IDs {
				word := r.tok.Token(id)
				if b, _ := r.tok.Bytes(id); len(b) > 0 && utf8.Valid(b) {
					word = string(b)
				}
				s.Tokens = append(s.Tokens, word)
			}
		}
		out = append(out, s)
	}
	return out, nil
}
