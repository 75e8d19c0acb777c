package page

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
)

// Line is a series of points by rising x.
type Line struct {
	Name string
	X, Y []float64
}

// Axes say what a line chart shows.
type Axes struct {
	X, Y string // units
	// LogX and LogY are logarithmic; points that are not positive are left out.
	LogX, LogY bool
	// Mark is a value of X where points are drawn large; 0 for none.
	Mark float64
}

// LineChart draws lines, each with a sign and a dash of its own. Points that are no numbers are left
// out; without any point there is no chart.
func LineChart(a Axes, lines []Line) template.HTML {
	lines = a.clean(lines)
	xLow, xHigh, ok := bounds(func(yield func(float64)) { eachOf(lines, func(l Line) []float64 { return l.X }, a.scaleX, yield) })
	yLow, yHigh, also := bounds(func(yield func(float64)) { eachOf(lines, func(l Line) []float64 { return l.Y }, a.scaleY, yield) })
	if !ok || !also {
		return ""
	}
	const left, right, plot, below = 56.0, 16.0, 230.0, 38.0
	names := make([]string, len(lines))
	for i, l := range lines {
		names[i] = l.Name
	}
	s := newSVG(0, describe(a, lines))
	top := 26.0
	if len(lines) > 1 {
		top += s.legend(left, 32, names) + 2
	}
	bottom := top + plot
	s.height = bottom + below
	x := func(v float64) float64 { return left + (a.scaleX(v)-xLow)/(xHigh-xLow)*(width-left-right) }
	y := func(v float64) float64 { return bottom - (a.scaleY(v)-yLow)/(yHigh-yLow)*plot }
	a.grid(s, lines, [2]float64{xLow, xHigh}, [2]float64{yLow, yHigh}, x, y, left, right, top, bottom)
	for i, l := range lines {
		xs, ys := make([]float64, len(l.X)), make([]float64, len(l.X))
		for k := range l.X {
			xs[k], ys[k] = x(l.X[k]), y(l.Y[k])
		}
		s.path(xs, ys, fmt.Sprintf("curve c%d", i%Series))
		last := len(xs) - 1
		for k := range xs {
			switch {
			case a.Mark != 0 && l.X[k] == a.Mark:
				s.dot(xs[k], ys[k], 6, i)
			case len(xs) <= maxSigns || k == last:
				s.dot(xs[k], ys[k], 3.5, i)
			}
		}
	}
	s.text(left, 14, 0, "start", a.Y)
	s.text(width-right, bottom+32, 0, "end", a.X)
	return s.sized()
}

// maxSigns is how many points of a line have their sign; longer ones have it at the end.
const maxSigns = 12

// sized ends a drawing whose height was not known at its beginning.
func (s *svg) sized() template.HTML {
	old := fmt.Sprintf(`viewBox="0 0 %.0f 0"`, width)
	text := strings.Replace(string(s.html()), old, fmt.Sprintf(`viewBox="0 0 %.0f %.0f"`, width, s.height), 1)
	return template.HTML(text) //nolint:gosec // from svg.html
}

func (a Axes) scaleX(v float64) float64 {
	if a.LogX {
		return math.Log(v)
	}
	return v
}

func (a Axes) scaleY(v float64) float64 {
	if a.LogY {
		return math.Log(v)
	}
	return v
}

// clean leaves out points that have no place and lines without points.
func (a Axes) clean(lines []Line) []Line {
	var out []Line
	for _, l := range lines {
		c := Line{Name: l.Name}
		for i := range min(len(l.X), len(l.Y)) {
			if finite(a.scaleX(l.X[i])) && finite(a.scaleY(l.Y[i])) {
				c.X, c.Y = append(c.X, l.X[i]), append(c.Y, l.Y[i])
			}
		}
		if len(c.X) > 0 {
			out = append(out, c)
		}
	}
	return out
}

func eachOf(lines []Line, of func(Line) []float64, scale func(float64) float64, yield func(float64)) {
	for _, l := range lines {
		for _, v := range of(l) {
			yield(scale(v))
		}
	}
}

// grid draws the lines behind the curves and their numbers. Few distinct values of x are
// themselves the marks.
func (a Axes) grid(s *svg, lines []Line, xr, yr [2]float64, x, y func(float64) float64, left, right, top, bottom float64) {
	for _, v := range a.marks(nil, yr, a.LogY) {
		s.line(left, y(v), width-right, y(v), "grid")
		s.text(left-6, y(v)+4, 0, "end", fmt.Sprintf("%.4g", v))
	}
	var own []float64
	eachOf(lines, func(l Line) []float64 { return l.X }, func(v float64) float64 { return v }, func(v float64) { own = append(own, v) })
	slices.Sort(own)
	free := math.Inf(-1)
	for _, v := range a.marks(slices.Compact(own), xr, a.LogX) {
		label := short(v)
		if at := x(v); at-textWidth(label)/2 > free {
			s.line(at, top, at, bottom, "grid")
			s.text(at, bottom+16, 0, "middle", label)
			free = at + textWidth(label)/2 + 6
		}
	}
}

// marks returns the values of an axis that get a number.
func (a Axes) marks(own []float64, r [2]float64, log bool) []float64 {
	if len(own) > 0 && len(own) <= 9 {
		return own
	}
	if !log {
		return ticks(r[0], r[1], 6)
	}
	var out []float64
	for e := math.Floor(r[0] / math.Ln10); e <= r[1]/math.Ln10 && len(out) < 60; e++ {
		for _, f := range []float64{1, 2, 5} {
			if v := f * math.Pow(10, e); math.Log(v) >= r[0] && math.Log(v) <= r[1] {
				out = append(out, v)
			}
		}
	}
	if len(out) < 2 { // less than a decade
		out = append(out, ticks(math.Exp(r[0]), math.Exp(r[1]), 5)...)
	}
	return out
}

// describe says in words where each line begins and ends.
func describe(a Axes, lines []Line) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s by %s", a.Y, a.X)
	for i, l := range lines {
		if i == Series {
			fmt.Fprintf(&b, "; and %d more", len(lines)-i)
			break
		}
		fmt.Fprintf(&b, "; %s from %.4g to %.4g", l.Name, l.Y[0], l.Y[len(l.Y)-1])
	}
	return b.String()
}
