package page

import (
	"fmt"
	"html/template"
)

// Series is how many series a chart can tell apart.
const Series = 8

// Bar is a label with a value for each series.
type Bar struct {
	Label  string
	Values []float64
}

// BarChart draws horizontal bars with their values.
func BarChart(unit string, series []string, bars []Bar) template.HTML {
	const left, right, row = 120.0, 50.0, 13.0
	group := row*float64(len(series)) + 6
	s := newSVG(40+group*float64(len(bars)), unit+" of "+counted(len(bars), "row"))
	most := 0.0
	for _, b := range bars {
		for _, v := range b.Values {
			most = max(most, v)
		}
	}
	if len(series) > 1 {
		s.legend(left, 14, series)
	}
	s.text(width, 14, 0, "end", unit)
	for i, b := range bars {
		y := 26 + group*float64(i)
		s.text(left-8, y+group/2, left-8, "end", b.Label)
		for k, v := range b.Values {
			w := 0.0
			if most > 0 {
				w = v / most * (width - left - right)
			}
			s.rect(left, y+row*float64(k), w, row-2, fmt.Sprintf("s%d", k%Series))
			s.text(left+w+5, y+row*float64(k)+row-3, 0, "start", fmt.Sprintf("%.2f", v))
		}
	}
	return s.html()
}

// ColumnChart draws counts of 1, 2, 3, … with the last for all beyond.
func ColumnChart(unit string, values []int) template.HTML {
	const bottom, top, height = 30.0, 20.0, 220.0
	s := newSVG(height, "counts by "+unit)
	most := 1
	for _, v := range values {
		most = max(most, v)
	}
	step := width / float64(max(len(values), 1))
	for i, v := range values {
		h := float64(v) / float64(most) * (height - bottom - top)
		x := step * float64(i)
		s.rect(x+3, height-bottom-h, step-6, h, "s0")
		s.text(x+step/2, height-bottom-h-4, 0, "middle", short(float64(v)))
		label := fmt.Sprint(i + 1)
		if i == len(values)-1 {
			label += "+"
		}
		s.text(x+step/2, height-bottom+14, 0, "middle", label)
	}
	s.text(width, height-2, 0, "end", unit)
	return s.html()
}

// Estimate is a figure with the interval that it lies in.
type Estimate struct {
	Label            string
	Value, Low, High float64
	Best             bool
}

// EstimateChart draws figures as points with their intervals, one below another. A line stands at
// reference if that is finite. Without any finite figure there is no chart.
func EstimateChart(unit string, list []Estimate, reference float64) template.HTML {
	const left, right, row, top = 190.0, 62.0, 20.0, 30.0
	low, high, any := bounds(func(yield func(float64)) {
		yield(reference)
		for _, e := range list {
			yield(e.Value)
			yield(e.Low)
			yield(e.High)
		}
	})
	if !any {
		return ""
	}
	bottom := top + row*float64(len(list))
	s := newSVG(bottom+22, unit+" of "+counted(len(list), "model")+", with intervals; the table has the figures")
	x := func(v float64) float64 { return left + (v-low)/(high-low)*(width-left-right) }
	for _, v := range ticks(low, high, 5) {
		s.line(x(v), top-6, x(v), bottom, "grid")
		s.text(x(v), bottom+14, 0, "middle", fmt.Sprintf("%.4g", v))
	}
	if finite(reference) {
		s.line(x(reference), top-6, x(reference), bottom, "mark")
	}
	s.text(left, 14, 0, "start", unit)
	for i, e := range list {
		y := top + row*(float64(i)+0.5)
		label := e.Label
		if e.Best {
			label = "★ " + label
		}
		s.text(left-10, y+4, left-12, "end", label)
		if !finite(e.Value) {
			s.text(left, y+4, 0, "start", "no number")
			continue
		}
		if finite(e.Low) && finite(e.High) {
			s.line(x(e.Low), y, x(e.High), y, "whisker")
		}
		series := 0
		if e.Best {
			series = 1
		}
		s.dot(x(e.Value), y, 4, series)
		s.text(width, y+4, 0, "end", fmt.Sprintf("%.3f", e.Value))
	}
	return s.html()
}

// bounds returns the least and the greatest finite value with some room around.
func bounds(values func(yield func(float64))) (low, high float64, any bool) {
	values(func(v float64) {
		switch {
		case !finite(v):
		case !any:
			low, high, any = v, v, true
		default:
			low, high = min(low, v), max(high, v)
		}
	})
	pad := (high - low) * 0.06
	if pad <= 0 || !finite(pad) {
		pad = max(1, abs(low)*0.1)
	}
	return low - pad, high + pad, any && finite(low-pad) && finite(high+pad) && high+pad > low-pad
}

func abs(v float64) float64 { return max(v, -v) }

// counted writes a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
