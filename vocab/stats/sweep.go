package stats

import (
	"context"
	"fmt"
	"html/template"
	"iter"
	"math"

	"lep/internal/page"
	"lep/tokenizer"
)

// SweepOptions say what a vocabulary's size costs and when its gain counts as flat.
type SweepOptions struct {
	Threads int `yaml:"threads"`
	// Hidden is the model's hidden_size; 0 leaves parameters out.
	Hidden int `yaml:"hidden"`
	// Tied models have one matrix for embed_tokens and lm_head.
	Tied bool `yaml:"tied"`
	// Body is the number of the model's other parameters, which every token of output passes
	// too; 0 takes the head as free.
	Body float64 `yaml:"body"`
	// Flat is the gain in characters per token by a doubling of the size below which it
	// counts as flat, 0.05 for 5 %.
	Flat float64 `yaml:"flat"`
}

// DefaultSweepOptions calls it flat where a doubling gains less than 5 %.
func DefaultSweepOptions() SweepOptions { return SweepOptions{Threads: 1, Flat: 0.05} }

// Validate checks ranges.
func (o SweepOptions) Validate() error {
	switch {
	case o.Threads < 1 || o.Threads > 1024:
		return fmt.Errorf("threads is %d, want 1 to 1024", o.Threads)
	case o.Hidden < 0 || o.Hidden > 1<<20:
		return fmt.Errorf("hidden is %d, want 0 to %d", o.Hidden, 1<<20)
	case !(o.Body >= 0 && o.Body <= 1e15):
		return fmt.Errorf("body is %g, want 0 to 1e15", o.Body)
	case o.Body > 0 && o.Hidden == 0:
		return fmt.Errorf("body is %g, but hidden is not given: the head's cost is unknown", o.Body)
	case !(o.Flat > 0 && o.Flat < 1):
		return fmt.Errorf("flat is %g, want a share between 0 and 1", o.Flat)
	}
	return nil
}

// Sweep shows how fertility grows with the size of a vocabulary.
type Sweep struct {
	Points []SweepPoint `json:"points"` // by rising size
	Base   *SweepPoint  `json:"base"`   // what the speed-up is over; nil for the first point
	// Flattens is the size from which on every doubling gains less than Flat, 0 if that never
	// happens within the sweep.
	Flattens int     `json:"flattens_at"`
	Flat     float64 `json:"flat"`
	Rule     string  `json:"rule"`
	options  SweepOptions
}

// SweepPoint is a vocabulary of one size.
type SweepPoint struct {
	Name      string    `json:"name"`
	Size      int       `json:"size"`
	Fertility Fertility `json:"fertility"`
	// Parameters of embed_tokens and lm_head, 0 if the hidden size is unknown.
	Parameters int64 `json:"embedding_parameters"`
	// SpeedUp estimates generation against the base: characters per token, divided by the cost of
	// a token (parameters read: body and head) where Body is known.
	SpeedUp float64 `json:"estimated_speed_up"`
	// Gain is that in characters per token by a doubling of the size, between this and the
	// next smaller point; 0 for the first.
	Gain float64 `json:"gain_by_doubling"`
}

// Candidate is a vocabulary to be measured in a sweep.
type Candidate struct {
	Name string
	Tok  *tokenizer.Tokenizer
}

// NewSweep measures vocabularies of rising size on the same texts. base may be nil.
func NewSweep(ctx context.Context, candidates []Candidate, base *Candidate, texts iter.Seq2[string, error], opts SweepOptions) (*Sweep, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if len(candidates) == 0 {
		return nil, fmt.Errorf("a sweep needs at least one size")
	}
	all := candidates
	if base != nil {
		all = append(all[:len(all):len(all)], *base)
	}
	toks := make([]*tokenizer.Tokenizer, len(all))
	for i, c := range all {
		toks[i] = c.Tok
	}
	counters, err := countTexts(ctx, toks, texts, opts.Threads)
	if err != nil {
		return nil, err
	}
	s := &Sweep{Flat: opts.Flat, options: opts, Rule: fmt.Sprintf(
		"the smallest size from which on each doubling of the vocabulary adds less than %g %% of characters per token", 100*opts.Flat)}
	for i, c := range all {
		p := SweepPoint{Name: c.Name, Size: c.Tok.Size(), Fertility: counters[i].total, Parameters: opts.parameters(c.Tok.Size())}
		if i == len(candidates) {
			s.Base = &p
			break
		}
		if n := len(s.Points); n > 0 {
			if p.Size <= s.Points[n-1].Size {
				return nil, fmt.Errorf("sizes do not rise: %d after %d", p.Size, s.Points[n-1].Size)
			}
			p.Gain = gain(s.Points[n-1], p)
		}
		s.Points = append(s.Points, p)
	}
	against := s.Points[0]
	if s.Base != nil {
		against = *s.Base
		s.Base.SpeedUp = 1
	}
	for i := range s.Points {
		s.Points[i].SpeedUp = opts.speedUp(against, s.Points[i])
	}
	s.Flattens = flattens(s.Points, opts.Flat)
	return s, nil
}

// parameters of the embeddings and the head.
func (o SweepOptions) parameters(size int) int64 {
	n := int64(size) * int64(o.Hidden)
	if !o.Tied {
		n *= 2
	}
	return n
}

func (o SweepOptions) speedUp(base, p SweepPoint) float64 {
	if base.Fertility.CharactersPerToken() == 0 {
		return 0
	}
	up := p.Fertility.CharactersPerToken() / base.Fertility.CharactersPerToken()
	if o.Body > 0 {
		cost := func(size int) float64 { return o.Body + float64(size)*float64(o.Hidden) }
		up *= cost(base.Size) / cost(p.Size)
	}
	return up
}

// gain is the relative growth of characters per token by a doubling of the size.
func gain(a, b SweepPoint) float64 {
	x, y := a.Fertility.CharactersPerToken(), b.Fertility.CharactersPerToken()
	if x == 0 {
		return 0
	}
	// Sizes that hardly differ say nothing about a doubling: 1e6 stands for beyond measure.
	return min(math.Pow(y/x, 1/math.Log2(float64(b.Size)/float64(a.Size)))-1, 1e6)
}

func flattens(points []SweepPoint, flat float64) int {
	at := 0
	for i := len(points) - 1; i > 0 && points[i].Gain < flat; i-- {
		at = points[i-1].Size
	}
	return at
}

// Page presents the sweep.
func (s *Sweep) Page(title string) *Page {
	p := &Page{Title: title, Lead: "The speed-up is an estimate from characters per token" + s.costNote() + "."}
	if b := s.Base; b != nil {
		p.fact("base", "%s: %s tokens, %.3f characters per token", b.Name, page.Thousands(b.Size), b.Fertility.CharactersPerToken())
	}
	if s.Flattens > 0 {
		p.fact("flattens at", "%s tokens", page.Thousands(s.Flattens))
	} else {
		p.fact("flattens at", "not within these sizes")
	}
	t := &Table{Head: []string{"size", "tokens/char", "chars/token", "bytes/token", "words whole", "gain by doubling", "embedding parameters", "speed-up (estimate)"}}
	var values, costs, speeds []float64
	for i, q := range s.Points {
		gain, parameters := "–", "–"
		if i > 0 {
			gain = fmt.Sprintf("%+.1f %%", 100*q.Gain)
		}
		if q.Parameters > 0 {
			parameters = page.Thousands(q.Parameters)
		}
		f := q.Fertility
		t.Rows = append(t.Rows, []string{page.Thousands(q.Size), fmt.Sprintf("%.4f", ratio(f.Tokens, f.Characters)), fmt.Sprintf("%.3f", f.CharactersPerToken()),
			fmt.Sprintf("%.3f", f.BytesPerToken()), fmt.Sprintf("%.1f %%", 100*f.WholeShare()), gain, parameters, fmt.Sprintf("%.2f", q.SpeedUp)})
		values = append(values, f.CharactersPerToken())
		costs, speeds = append(costs, float64(q.Parameters)/1e6), append(speeds, q.SpeedUp)
	}
	p.add(Section{Title: "Characters per token by size", Note: "flattens at " + s.Rule, Chart: s.chart("characters per token", values), Table: t})
	p.add(Section{Title: "Estimated speed-up by size", PageOnly: true, Chart: s.chart("times the base", speeds)})
	if s.options.Hidden > 0 {
		p.add(Section{Title: "Parameters of embeddings and head by size", PageOnly: true, Chart: s.chart("millions", costs)})
	}
	return p
}

// chart draws a value of every point over its size, that where the sweep flattens large.
func (s *Sweep) chart(unit string, values []float64) template.HTML {
	line := page.Line{Y: values}
	for _, q := range s.Points {
		line.X = append(line.X, float64(q.Size))
	}
	return page.LineChart(page.Axes{X: "tokens", Y: unit, LogX: true, Mark: float64(s.Flattens)}, []page.Line{line})
}

func (s *Sweep) costNote() string {
	against := "the smallest size"
	if s.Base != nil {
		against = s.Base.Name
	}
	if s.options.Body > 0 {
		return fmt.Sprintf(", against %s, with the head's cost beside %.3g other parameters", against, s.options.Body)
	}
	return ", against " + against + ", a token taken to cost the same time"
}
