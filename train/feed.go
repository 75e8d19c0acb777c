package train

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"

	"lep/corpus"
	"lep/internal/hint"
)

// feed delivers the rows of a run, epoch after epoch.
type feed interface {
	next(ctx context.Context) (corpus.Block, error)
	// skip goes on behind the rows that were delivered before a resume.
	skip(ctx context.Context, from feedState) error
	position() feedState
	epochs() int // passes over the data that have ended; of weighted sources, those of the one furthest ahead
	cutSamples() int
	close()
}

// feedState is where a feed stands, to be stored with a checkpoint.
type feedState struct {
	Window    int           `json:"window"`            // number of the window, from 1; of shards, of the epoch
	Delivered int           `json:"delivered"`         // rows of it
	Sources   []sourceState `json:"sources,omitempty"` // at its beginning
}

// openFeed opens the data of a run; a nil state begins at the beginning.
func openFeed(ctx context.Context, o *Options, enc *encoder, c *crew, log *slog.Logger, from *feedState) (f feed, err error) {
	dir, err := shardFolder(o.Data)
	switch {
	case err != nil:
		return nil, err
	case dir != "":
		f, err = newShardFeed(dir, o)
	default:
		f, err = newTextFeed(o, enc, c, log, from)
	}
	if err != nil {
		return nil, err
	}
	if from == nil || from.Window == 0 {
		return f, nil
	}
	if err := f.skip(ctx, *from); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// textFeed reads documents from the sources by their weights, encodes and packs them, and
// shuffles the rows of a window. A window begins where the
// one before it ended and lasts for shuffle_tokens or until a source ends, so that places in
// the files and a count of rows say all there is to resume.
type textFeed struct {
	opts    *Options
	enc     *encoder
	sources []*source
	crew    *crew
	log     *slog.Logger

	state  feedState
	window []corpus.Block
	bad    int // rows that could not be used
	cut    int // samples cut to sequence_len
}

// sourceState is where a source stands.
type sourceState struct {
	Epoch    int              `json:"epoch"`    // passes over the source that have ended
	Bytes    int64            `json:"bytes"`    // of text, in all passes
	Position *corpus.Position `json:"position"` // nil: the beginning
}

// source is files that are read one after another, again and again.
type source struct {
	specs  []string
	weight float64
	opts   corpus.Options
	state  sourceState
	reader *corpus.Reader
	next   func() (corpus.Doc, error, bool)
	stop   func()
}

// newTextFeed opens the data; a nil state begins at the beginning.
func newTextFeed(o *Options, enc *encoder, c *crew, log *slog.Logger, state *feedState) (*textFeed, error) {
	f := &textFeed{opts: o, enc: enc, crew: c, log: log}
	weighted := false
	text := o.Text
	text.RawJSON = enc.rows
	for _, d := range o.Data {
		spec, err := corpus.ParseSpec(d)
		if err != nil {
			return nil, err
		}
		weighted = weighted || spec.Weight != 0
		f.sources = append(f.sources, &source{specs: []string{d}, weight: max(spec.Weight, 0), opts: text})
	}
	for _, s := range f.sources {
		if s.weight == 0 {
			s.weight = 1
		}
	}
	if !weighted {
		f.sources = []*source{{specs: o.Data, weight: 1, opts: text}}
	}
	if state == nil {
		return f, nil
	}
	if len(state.Sources) != len(f.sources) {
		return nil, fmt.Errorf("the checkpoint is of %d sources of data, want %d", len(state.Sources), len(f.sources))
	}
	for i, s := range f.sources {
		s.state = state.Sources[i]
	}
	// The window is read again from its beginning.
	f.state = feedState{Window: state.Window - 1}
	return f, nil
}

func (f *textFeed) skip(ctx context.Context, from feedState) error {
	if _, err := f.fill(ctx); err != nil {
		return err
	}
	if from.Delivered > len(f.window) {
		return hint.Errorf("the data has changed since: give the data as it was, or start anew (--force)",
			"the checkpoint is behind row %d of a window of data that has %d", from.Delivered, len(f.window))
	}
	f.state.Delivered = from.Delivered
	return nil
}

func (f *textFeed) next(ctx context.Context) (corpus.Block, error) {
	for empty := 0; f.state.Delivered == len(f.window); {
		ended, err := f.fill(ctx)
		if err != nil {
			return corpus.Block{}, err
		}
		if ended && len(f.window) == 0 {
			if empty++; empty > len(f.sources)+1 {
				return corpus.Block{}, fmt.Errorf("data: %s: no row to train on; %d bad rows", strings.Join(f.opts.Data, ", "), f.bad)
			}
		}
	}
	b := f.window[f.state.Delivered]
	f.window[f.state.Delivered] = corpus.Block{}
	f.state.Delivered++
	return b, nil
}

func (f *textFeed) position() feedState { return f.state }

func (f *textFeed) cutSamples() int { return f.cut }

func (f *textFeed) epochs() int {
	n := 0
	for _, s := range f.sources {
		n = max(n, s.state.Epoch)
	}
	return n
}

// chunkBytes is how much text is encoded at a time.
const chunkBytes = 4 << 20

// fill reads the next window; ended tells that a source came to its end.
func (f *textFeed) fill(ctx context.Context) (ended bool, err error) {
	f.state.Window++
	f.state.Delivered, f.state.Sources = 0, nil
	for _, s := range f.sources {
		f.state.Sources = append(f.state.Sources, s.at())
	}
	f.window = f.window[:0]
	tokens := 0
	p := &corpus.Packer{Size: f.opts.SequenceLen, Start: f.opts.BlockStart, Emit: func(b corpus.Block) {
		tokens += len(b.IDs)
		f.window = append(f.window, b)
	}}
	for tokens < f.opts.ShuffleTokens && !ended {
		var docs []corpus.Doc
		if docs, ended, err = f.read(ctx); err != nil {
			return false, err
		}
		if err := f.pack(ctx, p, docs); err != nil {
			return false, err
		}
	}
	p.Flush()
	if f.opts.Shuffle {
		r := rand.New(rand.NewPCG(f.opts.Seed, uint64(f.state.Window)))
		r.Shuffle(len(f.window), func(i, j int) { f.window[i], f.window[j] = f.window[j], f.window[i] })
	}
	return ended, nil
}

// read returns the next documents; always from the source furthest behind its share.
func (f *textFeed) read(ctx context.Context) (docs []corpus.Doc, ended bool, err error) {
	for size := 0; size < chunkBytes; {
		best := f.sources[0]
		for _, s := range f.sources[1:] {
			if float64(s.state.Bytes)/s.weight < float64(best.state.Bytes)/best.weight {
				best = s
			}
		}
		doc, ok, err := best.read(ctx)
		if err != nil {
			return nil, false, err
		}
		if !ok {
			return docs, true, nil
		}
		docs = append(docs, doc)
		size += len(doc.Text)
	}
	return docs, false, nil
}

// read returns a source's next document, false at its end; the next call begins anew.
func (s *source) read(ctx context.Context) (corpus.Doc, bool, error) {
	if s.reader == nil {
		opts := s.opts
		opts.Start = s.state.Position
		r, err := corpus.Open(s.specs, opts)
		if err != nil {
			return corpus.Doc{}, false, err
		}
		s.reader = r
		s.next, s.stop = iter.Pull2(r.Documents(ctx))
	}
	doc, err, ok := s.next()
	if !ok {
		s.close()
		s.state.Epoch++
		s.state.Position = nil
		return doc, false, nil
	}
	s.state.Bytes += int64(len(doc.Text))
	return doc, true, err
}

// at returns where a source stands.
func (s *source) at() sourceState {
	if s.reader != nil {
		p := s.reader.Position()
		s.state.Position = &p
	}
	return s.state
}

func (s *source) close() {
	if s.reader != nil {
		s.stop()
		s.reader = nil
	}
}

func (f *textFeed) close() {
	for _, s := range f.sources {
		s.close()
	}
}

// pack encodes documents and packs them into rows.
func (f *textFeed) pack(ctx context.Context, p *corpus.Packer, docs []corpus.Doc) error {
	encoded, errs := f.enc.encodeAll(ctx, docs, f.crew, f.opts.threads())
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, e := range encoded {
		doc := docs[i]
		if err := errs[i]; err != nil {
			if err := f.count(err); err != nil {
				return err
			}
			continue
		}
		if e.labels == nil {
			p.Add(e.ids, func(i int) bool { return i > 0 && f.enc.endsLine[e.ids[i-1]] }, doc)
			if !f.opts.SamplePacking {
				p.Flush()
			}
			continue
		}
		if f.opts.Task == SFT && len(e.ids) > f.opts.SequenceLen {
			f.cut++
			e.ids, e.labels = e.ids[:f.opts.SequenceLen], e.labels[:f.opts.SequenceLen]
			if !slices.ContainsFunc(e.labels[1:], func(l int32) bool { return l != corpus.NoLabel }) {
				continue
			}
		}
		if f.opts.SamplePacking {
			p.AddWhole(e.ids, e.labels, doc)
		} else {
			p.Emit(corpus.Block{IDs: e.ids, Labels: e.labels, Starts: []int32{0}, Source: doc.Source, Line: doc.Line})
		}
	}
	return nil
}

// count notes a row that cannot be used, as the reader does with rows it cannot read.
func (f *textFeed) count(err error) error {
	f.bad++
	if f.opts.Text.MaxBadRows >= 0 && f.bad > f.opts.Text.MaxBadRows {
		if hint.Of(err) == "" {
			err = hint.Wrap(err, "mend the row, or allow bad rows: --max-bad-rows N, --skip-bad")
		}
		return err
	}
	if f.bad <= 10 {
		f.log.Warn("bad row skipped", "error", err)
	}
	return nil
}

// countRows reads a whole epoch and returns its rows.
func countRows(ctx context.Context, o *Options, enc *encoder, c *crew, log *slog.Logger) (int, error) {
	f, err := newTextFeed(o, enc, c, log, nil)
	if err != nil {
		return 0, err
	}
	defer f.close()
	rows := 0
	for {
		ended, err := f.fill(ctx)
		if err != nil {
			return 0, err
		}
		rows += len(f.window)
		if !ended {
			continue
		}
		if rows == 0 {
			return 0, fmt.Errorf("data: %s: no row to train on; %d bad rows", strings.Join(o.Data, ", "), f.bad)
		}
		return rows, nil
	}
}
