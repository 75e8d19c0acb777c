package practice

import (
	"math"
	"strings"
	"unicode/utf8"
)

// Copying returns a text that is one piece again and again, between low and high
// characters long: half of the pieces are prose, half are words drawn at random from the lexicons of all languages, which
// nothing but copying can foretell.
func (m *Maker) Copying(language string, low, high int) string {
	size := low + m.rng.IntN(high-low)
	n := int(math.Exp(math.Log(8) + m.rng.Float64()*(math.Log(float64(size)/3)-math.Log(8))))
	piece := m.prose(language, n)
	if m.rng.IntN(2) == 0 {
		piece = m.jumble(n)
	}
	separator := "\n"
	if m.rng.IntN(2) == 0 {
		separator = " "
	}
	var b strings.Builder
	for length := 0; length < size; length += utf8.RuneCountInString(piece) + 1 {
		if b.Len() > 0 {
			b.WriteString(separator)
		}
		b.WriteString(piece)
	}
	return b.String()
}

// prose returns about n characters of a passage, cut at blanks.
func (m *Maker) prose(language string, n int) string {
	words := strings.Fields(pick(m.rng, m.pools[language].passages))
	from := m.rng.IntN(len(words))
	return joinUpTo(n, func(i int) string {
		if from+i < len(words) {
			return words[from+i]
		}
		return ""
	})
}

// jumble returns about n characters of random words.
func (m *Maker) jumble(n int) string {
	return joinUpTo(n, func(int) string { return pick(m.rng, m.pools[m.Language(0.5)].lexicon) })
}

// joinUpTo joins words until there are n characters or the next word is empty; there is at least one.
func joinUpTo(n int, next func(i int) string) string {
	out := next(0)
	for i := 1; utf8.RuneCountInString(out) < n; i++ {
		w := next(i)
		if w == "" {
			break
		}
		out += " " + w
	}
	return out
}
