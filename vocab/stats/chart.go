package stats

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// bar is a label with a value for each series.
type bar struct {
	label  string
	values []float64
}

// svg collects the elements of a drawing; every text passes through html.EscapeString.
type svg struct {
	b             strings.Builder
	width, height float64
}

func newSVG(width, height float64, label string) *svg {
	s := &svg{width: width, height: height}
	fmt.Fprintf(&s.b, `<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">`, width, height, html.EscapeString(label))
	return s
}

func (s *svg) rect(x, y, w, h float64, class string) {
	fmt.Fprintf(&s.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="%s"/>`, x, y, max(w, 0), max(h, 0), class)
}

func (s *svg) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&s.b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`, x1, y1, x2, y2, class)
}

// text anchors at start, middle or end.
func (s *svg) text(x, y float64, anchor, text string) {
	fmt.Fprintf(&s.b, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, x, y, anchor, html.EscapeString(text))
}

func (s *svg) html() template.HTML {
	s.b.WriteString("</svg>")
	return template.HTML(s.b.String()) //nolint:gosec // built here, all texts are escaped
}

// legend names the series in a line.
func (s *svg) legend(x, y float64, series []string) {
	for i, name := range series {
		s.rect(x, y-9, 10, 10, fmt.Sprintf("s%d", i))
		s.text(x+14, y, "start", name)
		x += 30 + 7*float64(len([]rune(name)))
	}
}

// barChart draws horizontal bars with their values.
func barChart(unit string, series []string, bars []bar) template.HTML {
	const left, right, row = 120.0, 60.0, 13.0
	group := row*float64(len(series)) + 6
	s := newSVG(720, 40+group*float64(len(bars)), unit)
	most := 0.0
	for _, b := range bars {
		for _, v := range b.values {
			most = max(most, v)
		}
	}
	if len(series) > 1 {
		s.legend(left, 14, series)
	}
	s.text(s.width, 14, "end", unit)
	for i, b := range bars {
		y := 26 + group*float64(i)
		s.text(left-8, y+group/2, "end", b.label)
		for k, v := range b.values {
			w := 0.0
			if most > 0 {
				w = v / most * (s.width - left - right)
			}
			s.rect(left, y+row*float64(k), w, row-2, fmt.Sprintf("s%d", k))
			s.text(left+w+5, y+row*float64(k)+row-3, "start", fmt.Sprintf("%.2f", v))
		}
	}
	return s.html()
}

// columnChart draws counts of 1, 2, 3, … with the last for all beyond.
func columnChart(unit string, values []int) template.HTML {
	const bottom, top = 30.0, 20.0
	s := newSVG(720, 220, unit)
	most := 1
	for _, v := range values {
		most = max(most, v)
	}
	step := s.width / float64(len(values))
	for i, v := range values {
		h := float64(v) / float64(most) * (s.height - bottom - top)
		x := step * float64(i)
		s.rect(x+3, s.height-bottom-h, step-6, h, "s0")
		s.text(x+step/2, s.height-bottom-h-4, "middle", short(v))
		label := fmt.Sprint(i + 1)
		if i == len(values)-1 {
			label += "+"
		}
		s.text(x+step/2, s.height-bottom+14, "middle", label)
	}
	s.text(s.width, s.height-2, "end", unit)
	return s.html()
}

// short writes a count in few characters: 812, 4.1k, 128k.
func short(n int) string {
	switch {
	case n < 1000:
		return fmt.Sprint(n)
	case n < 10_000:
		return fmt.Sprintf("%.1fk", float64(n)/1000)
	}
	return fmt.Sprintf("%dk", (n+500)/1000)
}

// lineChart draws values over sizes on a logarithmic axis and marks one of them (mark < 0
// for none).
func lineChart(unit string, sizes []int, values []float64, mark int) template.HTML {
	const left, right, top, bottom = 56.0, 24.0, 24.0, 40.0
	s := newSVG(720, 280, unit)
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	if pad := (high - low) * 0.1; pad > 0 {
		low, high = low-pad, high+pad
	} else {
		low, high = low-1, high+1
	}
	first, last := math.Log(float64(sizes[0])), math.Log(float64(sizes[len(sizes)-1]))
	x := func(i int) float64 {
		if last == first {
			return (left + s.width - right) / 2
		}
		return left + (math.Log(float64(sizes[i]))-first)/(last-first)*(s.width-left-right)
	}
	y := func(v float64) float64 { return s.height - bottom - (v-low)/(high-low)*(s.height-top-bottom) }
	for i := range 5 {
		v := low + (high-low)*float64(i)/4
		s.line(left, y(v), s.width-right, y(v), "grid")
		s.text(left-6, y(v)+4, "end", fmt.Sprintf("%.2f", v))
	}
	for i, v := range values {
		if i > 0 {
			s.line(x(i-1), y(values[i-1]), x(i), y(v), "curve")
		}
	}
	for i, v := range values {
		class, size := "s0", 3.0
		if i == mark {
			class, size = "s1", 5
		}
		s.rect(x(i)-size, y(v)-size, 2*size, 2*size, class)
		s.text(x(i), s.height-bottom+16, "middle", short(sizes[i]))
	}
	s.text(left, 14, "start", unit)
	s.text(s.width-right, s.height-6, "end", "tokens")
	return s.html()
}
