package train

import (
	"context"

	"lep/corpus"
	"lep/model"
)

// assembler turns rows into batches in memory that it uses again and again.
type assembler struct {
	opts    *Options
	batches []*model.Batch
	rows    []corpus.Block // of the batches, in order
	tokens  int            // of the batches, without padding
}

// take reads the micro-batches of a step, of at most rows rows in all.
func (a *assembler) take(ctx context.Context, f feed, rows int) ([]*model.Batch, error) {
	a.rows, a.tokens = a.rows[:0], 0
	for range rows {
		b, err := f.next(ctx)
		if err != nil {
			return nil, err
		}
		a.rows = append(a.rows, b)
		a.tokens += len(b.IDs)
	}
	return a.assemble(a.rows), nil
}

// assemble makes batches of per_device_batch_size rows. Packed rows are as long as
// sequence_len, others as the longest of their batch.
func (a *assembler) assemble(rows []corpus.Block) []*model.Batch {
	n := 0
	for ; len(rows) > 0; n++ {
		b := min(len(rows), a.opts.PerDeviceBatchSize)
		length := 2
		if a.opts.SamplePacking {
			length = a.opts.SequenceLen
		}
		for _, r := range rows[:b] {
			length = max(length, len(r.IDs))
		}
		if n == len(a.batches) {
			a.batches = append(a.batches, &model.Batch{})
		}
		fillBatch(a.batches[n], rows[:b], length, a.opts.DocumentMask)
		rows = rows[b:]
	}
	return a.batches[:n]
}

// micro returns the rows of a micro-batch.
func (a *assembler) micro(i int) []corpus.Block {
	from := i * a.opts.PerDeviceBatchSize
	return a.rows[from:min(from+a.opts.PerDeviceBatchSize, len(a.rows))]
}

// fillBatch writes rows into a batch. With mask, documents do not see each other and the
// first token of each has no loss.
func fillBatch(b *model.Batch, rows []corpus.Block, length int, mask bool) {
	n := len(rows) * length
	b.B, b.T = len(rows), length
	for _, s := range []*[]int32{&b.InputIDs, &b.Labels, &b.DocIDs} {
		if cap(*s) < n {
			*s = make([]int32, n)
		}
		*s = (*s)[:n]
	}
	for i, r := range rows {
		ids, labels, docs := b.InputIDs[i*length:(i+1)*length], b.Labels[i*length:(i+1)*length], b.DocIDs[i*length:(i+1)*length]
		used := copy(ids, r.IDs)
		if r.Labels != nil {
			copy(labels, r.Labels)
		} else {
			copy(labels, r.IDs)
			for j := range min(r.Context, used) {
				labels[j] = model.IgnoreLabel
			}
		}
		clear(docs[:used])
		if mask {
			for k, start := range r.Starts {
				labels[start] = model.IgnoreLabel
				for j := int(start); j < used; j++ {
					docs[j] = int32(k)
				}
			}
		}
		for j := used; j < length; j++ {
			ids[j], labels[j], docs[j] = 0, model.IgnoreLabel, -1
		}
	}
}
