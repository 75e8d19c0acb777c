package calibrate

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"lep/chat"
	"lep/internal/atomic"
	"lep/internal/hint"
)

// Result sums up a run.
type Result struct {
	Out           string         `json:"out"`
	Asked         Asked          `json:"asked"`
	Prompts       int            `json:"prompts"`  // different ones
	BadRows       int            `json:"bad_rows"` // of the prompts' files, skipped
	FirstBad      []string       `json:"first_bad_rows,omitempty"`
	Conversations int            `json:"conversations"` // answered or tried: prompts × samples
	Resumed       int            `json:"resumed"`       // of these, answered by earlier runs
	Kept          int            `json:"kept"`
	Rejected      map[Reason]int `json:"rejected"` // those that are not 0
	NewTokens     int            `json:"new_tokens"`
	Seconds       float64        `json:"seconds"` // of this run
}

// Run asks a model all prompts and writes what passes the filters. Out appears when everything is
// answered. Until then answers are kept beside it (OUT.journal); when a run is stopped, killed or left
// by its server, the same call goes on from there. A native model's answers depend on the options and
// the machine's kernels alone, so that a run with interruptions gives the same bytes as one without.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	start := time.Now()
	out, err := openOutputs(&o)
	if err != nil {
		return nil, err
	}
	defer out.abort()
	p, err := readPrompts(ctx, &o)
	if err != nil {
		return nil, err
	}
	a, err := newAsker(ctx, &o, p)
	if err != nil {
		return nil, err
	}
	defer a.close()
	settings, err := settingsDigest(&o, a.about(), p)
	if err != nil {
		return nil, err
	}
	j, err := openJournal(o.Out, settings, o.Force)
	if err != nil {
		return nil, err
	}
	defer j.close()
	r := &Result{Out: o.Out, Asked: a.about(), Prompts: len(p.list), BadRows: p.bad.Count, Conversations: len(p.list) * o.SamplesPerPrompt, Rejected: map[Reason]int{}}
	for _, row := range p.bad.First {
		r.FirstBad = append(r.FirstBad, row.Error())
	}
	if err := r.askAll(ctx, &o, a, j); err != nil {
		return nil, err
	}
	if p.duplicates > 0 {
		r.Rejected[Duplicate] = p.duplicates
	}
	if err := r.write(&o, p, j, out); err != nil {
		return nil, err
	}
	r.Seconds = time.Since(start).Seconds()
	return r, j.remove()
}

// of returns the prompt of a conversation.
func (p *prompts) of(index int, o *Options) *prompt { return &p.list[index/o.SamplesPerPrompt] }

// sampling is what the output says of how it was sampled; what is left out is off.
type sampling struct {
	Temperature       float64 `json:"temperature"`
	TopK              int     `json:"top_k,omitempty"`
	TopP              float64 `json:"top_p,omitempty"`
	MinP              float64 `json:"min_p,omitempty"`
	RepetitionPenalty float64 `json:"repetition_penalty,omitempty"`
	NoRepeatNgramSize int     `json:"no_repeat_ngram_size,omitempty"`
	MaxNewTokens      int     `json:"max_new_tokens"`
	Seed              uint64  `json:"seed"`
}

func (o *Options) sampling() sampling {
	s := o.Sampling
	return sampling{s.Temperature, s.TopK, s.TopP, s.MinP, s.RepetitionPenalty, s.NoRepeatNgramSize, o.MaxNewTokens, o.Seed}
}

// askAll asks what the journal does not hold.
func (r *Result) askAll(ctx context.Context, o *Options, a asker, j *journal) error {
	open := j.open(r.Conversations, a.together())
	r.Resumed = r.Conversations - len(open)
	progress := Progress{Done: r.Resumed, Total: r.Conversations, Resumed: r.Resumed}
	show := func() {
		if o.Progress != nil {
			o.Progress(progress)
		}
	}
	show()
	err := a.ask(ctx, open, func(talks ...talk) error {
		for _, t := range talks {
			progress.Done++
			progress.NewTokens += t.NewTokens
		}
		err := j.add(talks...)
		show()
		return err
	})
	if err == nil {
		return nil
	}
	advice := fmt.Sprintf("%d of %d conversations are kept: the same command goes on from there", progress.Done, progress.Total)
	if first := hint.Of(err); first != "" {
		advice = first + " " + advice
	}
	return hint.Wrap(err, advice)
}

// line is a line of the output.
type line struct {
	Messages []chat.Message `json:"messages"`
	Rejected Reason         `json:"rejected,omitempty"`
	Detail   string         `json:"detail,omitempty"`
	Lep      provenance     `json:"lep"`
}

// provenance says where a conversation comes from. It holds no time and no path, so that the same
// run gives the same bytes anywhere.
type provenance struct {
	Asked
	Sampling sampling `json:"sampling"`
	Source   string   `json:"source"` // file of the prompt
	Line     int      `json:"line"`   // its line there
	Prompt   int      `json:"prompt"` // its number among the different ones, from 0
	Sample   int      `json:"sample,omitempty"`
}

// write puts the answers through the filters, in the order of the prompts.
func (r *Result) write(o *Options, p *prompts, j *journal, out *outputs) error {
	f := newFilter(o.Filters)
	for i := range r.Conversations {
		t, err := j.get(i)
		if err != nil {
			return err
		}
		q := p.of(i, o)
		if len(t.Answers) > len(q.users) {
			return fmt.Errorf("%s: conversation %d: %d answers to %d messages", j.path, i, len(t.Answers), len(q.users))
		}
		r.NewTokens += t.NewTokens
		l := line{Messages: q.messages(t.Answers), Lep: provenance{Asked: r.Asked, Sampling: o.sampling(), Source: q.source, Line: q.line,
			Prompt: i / o.SamplesPerPrompt, Sample: i % o.SamplesPerPrompt}}
		l.Rejected, l.Detail = f.judge(q, &t)
		if l.Rejected == "" {
			r.Kept++
		} else {
			r.Rejected[l.Rejected]++
		}
		if err := out.add(l); err != nil {
			return err
		}
	}
	if r.Kept == 0 {
		return hint.Errorf("the answers are kept in "+j.path+": loosen the filters and run the same command again",
			"no conversation of %d is left behind the filters (%s)", r.Conversations, r.mostFrequent())
	}
	return out.commit()
}

func (r *Result) mostFrequent() string {
	list := slices.Clone(Reasons)
	slices.SortStableFunc(list, func(a, b Reason) int { return r.Rejected[b] - r.Rejected[a] })
	return fmt.Sprintf("%s: %d", list[0], r.Rejected[list[0]])
}

// outputs are the file of what is kept and that of what is not, if one is wanted.
type outputs struct{ kept, rejected *output }

type output struct {
	file *atomic.File
	w    *bufio.Writer
}

func openOutputs(o *Options) (*outputs, error) {
	kept, err := openOutput(o.Out, o.Force)
	if err != nil {
		return nil, err
	}
	out := &outputs{kept: kept}
	if o.Rejected != "" {
		if out.rejected, err = openOutput(o.Rejected, o.Force); err != nil {
			out.abort()
			return nil, err
		}
	}
	return out, nil
}

func openOutput(path string, force bool) (*output, error) {
	f, err := atomic.NewFile(filepath.Clean(path), force)
	if err != nil {
		return nil, err
	}
	return &output{f, bufio.NewWriterSize(f, 1<<16)}, nil
}

func (o *outputs) add(l line) error {
	to := o.kept
	if l.Rejected != "" {
		to = o.rejected
	}
	if to == nil {
		return nil
	}
	return encodeLine(to.w, l)
}

func encodeLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// commit gives both files their names, that of what is kept last.
func (o *outputs) commit() error {
	for _, f := range []*output{o.rejected, o.kept} {
		if f == nil {
			continue
		}
		if err := f.w.Flush(); err != nil {
			return err
		}
		if err := f.file.Commit(); err != nil {
			return err
		}
	}
	return nil
}

func (o *outputs) abort() {
	for _, f := range []*output{o.rejected, o.kept} {
		if f != nil {
			f.file.Abort()
		}
	}
}
