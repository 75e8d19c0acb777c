package page

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// width is that of every drawing in its own units. A letter is about 12 of them high, so that it can
// be read on a phone, where a drawing is at least 480 pixels wide, and does not shout on a desk.
const width = 600.0

// svg collects the elements of a drawing; every text passes through html.EscapeString.
type svg struct {
	b      strings.Builder
	height float64
}

// newSVG begins a drawing; label is what is read aloud in place of it.
func newSVG(height float64, label string) *svg {
	s := &svg{height: height}
	fmt.Fprintf(&s.b, `<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">`, width, height, html.EscapeString(label))
	return s
}

func (s *svg) rect(x, y, w, h float64, class string) {
	fmt.Fprintf(&s.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="%s"/>`, x, y, max(w, 0), max(h, 0), class)
}

func (s *svg) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&s.b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`, x1, y1, x2, y2, class)
}

// path draws a line through points.
func (s *svg) path(xs, ys []float64, class string) {
	s.b.WriteString(`<polyline points="`)
	for i := range xs {
		fmt.Fprintf(&s.b, "%.1f,%.1f ", xs[i], ys[i])
	}
	fmt.Fprintf(&s.b, `" class="%s"/>`, class)
}

// text anchors at start, middle or end. A text that is wider than room (0: no limit) is cut, and
// whole in a tooltip.
func (s *svg) text(x, y, room float64, anchor, text string) {
	shown := fit(text, room)
	fmt.Fprintf(&s.b, `<text x="%.1f" y="%.1f" text-anchor="%s">`, x, y, anchor)
	if shown != text {
		fmt.Fprintf(&s.b, "<title>%s</title>", html.EscapeString(text))
	}
	fmt.Fprintf(&s.b, "%s</text>", html.EscapeString(shown))
}

// dot marks a point with the sign of a series.
func (s *svg) dot(x, y, size float64, series int) {
	class := fmt.Sprintf("s%d", series%Series)
	switch series % 4 {
	case 0:
		fmt.Fprintf(&s.b, `<circle cx="%.1f" cy="%.1f" r="%.1f" class="%s"/>`, x, y, size, class)
	case 1:
		s.rect(x-size, y-size, 2*size, 2*size, class)
	case 2:
		fmt.Fprintf(&s.b, `<path d="M%.1f %.1fl%.1f %.1fl%.1f %.1fz" class="%s"/>`, x, y-1.3*size, 1.3*size, 2.3*size, -2.6*size, 0.0, class)
	case 3:
		fmt.Fprintf(&s.b, `<path d="M%.1f %.1fl%.1f %.1fl%.1f %.1fl%.1f %.1fz" class="%s"/>`, x, y-1.4*size, 1.4*size, 1.4*size, -1.4*size, 1.4*size, -1.4*size, -1.4*size, class)
	}
}

// legend names the series in rows and returns the height it takes.
func (s *svg) legend(left, top float64, series []string) float64 {
	x, y := left, top
	for i, name := range series {
		w := 22 + textWidth(fit(name, width-left-40))
		if i > 0 && x+w > width {
			x, y = left, y+17
		}
		s.dot(x+6, y-4, 4, i)
		s.text(x+15, y, width-left-40, "start", name)
		x += w + 10
	}
	return y - top + 17
}

func (s *svg) html() template.HTML {
	s.b.WriteString("</svg>")
	return template.HTML(s.b.String()) //nolint:gosec // built here, all texts are escaped
}

// textWidth estimates the width of a text: sans-serif letters are about half as wide as high,
// those of East Asia as wide as high.
func textWidth(text string) float64 {
	w := 0.0
	for _, r := range text {
		if r >= 0x2E80 {
			w += 12
		} else {
			w += 6.9
		}
	}
	return w
}

// fit cuts a text to a width.
func fit(text string, room float64) string {
	if room <= 0 || textWidth(text) <= room {
		return text
	}
	runes := []rune(text)
	for len(runes) > 1 && textWidth(string(runes))+6.9 > room {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

// Thousands writes an integer with commas between thousands.
func Thousands[T int | int64](n T) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// short writes a count in few characters: 812, 4.1k, 128k, 3.2M.
func short(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v < unit.size {
			continue
		}
		if v < 10*unit.size && math.Mod(v, unit.size) != 0 {
			return fmt.Sprintf("%.1f%s", v/unit.size, unit.name)
		}
		return fmt.Sprintf("%.0f%s", v/unit.size, unit.name)
	}
	return fmt.Sprintf("%.4g", v)
}

// ticks returns about n round numbers between low and high.
func ticks(low, high float64, n int) []float64 {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/float64(n))))
	for _, f := range []float64{1, 2, 5, 10} {
		if (high-low)/(f*step) <= float64(n) {
			step *= f
			break
		}
	}
	var out []float64
	for i := math.Ceil(low / step); i*step <= high+step*1e-9 && len(out) <= 2*n; i++ {
		out = append(out, i*step+0) // + 0 makes 0 of -0
	}
	return out
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
