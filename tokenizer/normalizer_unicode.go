package tokenizer

import (
	"cmp"
	"slices"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"lep/tokenizer/ucd"
)

// unicodeForm is a Unicode normalization form as HF tokenizers has it, with the tables of
// about Unicode 9 (crate unicode-normalization-alignments): decompositions and
// combining classes that came later do nothing. Text that is normal by x/text's
// younger tables is normal by the older ones too, so only other text is rewritten.
type unicodeForm struct {
	form    norm.Form // NFD or NFKD decide the decomposition
	compose bool
}

var (
	nfc  = unicodeForm{norm.NFC, true}
	nfd  = unicodeForm{norm.NFD, false}
	nfkc = unicodeForm{norm.NFKC, true}
	nfkd = unicodeForm{norm.NFKD, false}
)

// Characters whose decomposition is younger than HF's tables.
var youngDecompositions = ucd.Ranges{{0x32FF, 0x32FF}, {0xA7F2, 0xA7F4}, {0xAB69, 0xAB69}, {0x10781, 0x10785},
	{0x10787, 0x107B0}, {0x107B2, 0x107BA}, {0x11938, 0x11938}, {0x1E030, 0x1E06D}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9}}

// Marks that are younger than HF's tables: there they do not reorder.
var youngMarks = ucd.Ranges{{0x7FD, 0x7FD}, {0x898, 0x89F}, {0x8CA, 0x8D3}, {0x9FE, 0x9FE}, {0xC3C, 0xC3C}, {0xD3B, 0xD3C},
	{0xEBA, 0xEBA}, {0x1715, 0x1715}, {0x1ABF, 0x1ACE}, {0x1DF6, 0x1DFA}, {0xA82C, 0xA82C}, {0x10D24, 0x10D27},
	{0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
	{0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
	{0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42},
	{0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}}

// step is one character on its way out, with its change in the sense of edit.put.
type step struct {
	r      rune
	change int
	class  uint8 // canonical combining class
}

func (f unicodeForm) normalize(n *normalized) {
	text := n.text
	start := f.plain(text)
	if start < len(text) {
		start += f.form.QuickSpanString(text[start:])
	}
	if start == len(text) {
		return
	}
	e := n.edit()
	var steps []step
	for start < len(text) {
		e.keep(start - e.pos)
		end := f.segment(text, start)
		steps = f.decompose(steps[:0], text[start:end])
		steps = sortMarks(steps)
		if f.compose {
			steps = compose(steps)
		}
		if steps == nil { // an invalid byte
			e.keep(end - start)
		}
		for _, s := range steps {
			e.put(s.r, s.change)
		}
		start = end
		if start < len(text) {
			start += f.form.QuickSpanString(text[start:])
		}
	}
	e.keep(len(text) - e.pos)
	e.done()
}

// plain returns the length of a beginning that is normal at sight: for the
// composed forms ASCII, Cyrillic and general punctuation, for the others ASCII.
// It ends before a character that a mark could follow.
func (f unicodeForm) plain(text string) int {
	i := 0
	last := 0
	for i < len(text) {
		c := text[i]
		switch {
		case c < 0x80:
			last = i
			i++
		case f.form == norm.NFC && i+1 < len(text) && (c == 0xD0 || c == 0xD1 || c == 0xC2 || c == 0xC3) && text[i+1]&0xC0 == 0x80:
			last = i
			i += 2
		case f.form == norm.NFC && i+2 < len(text) && c == 0xE2 && text[i+1] == 0x80 && text[i+2] >= 0x90 && text[i+2] <= 0xBF:
			last = i
			i += 3
		default:
			return last
		}
	}
	return i
}

// segment returns the end of the characters from start that may act on each
// other: up to the next one that neither reorders nor combines backward.
func (f unicodeForm) segment(text string, start int) int {
	_, size := utf8.DecodeRuneInString(text[start:])
	end := start + size
	if size == 1 && text[start] >= utf8.RuneSelf {
		return end
	}
	for end < len(text) {
		p := f.form.PropertiesString(text[end:])
		r, size := utf8.DecodeRuneInString(text[end:])
		if p.Size() == 0 || p.BoundaryBefore() && !isCompatibilityJamo(r) || size == 1 && text[end] >= utf8.RuneSelf {
			break
		}
		end += size
	}
	return end
}

// isCompatibilityJamo: the letters that NFKD turns into vowels and finals, which
// then combine backward.
func isCompatibilityJamo(r rune) bool {
	return r >= 0x3131 && r <= 0x3163 || r >= 0xFFA1 && r <= 0xFFDC
}

// decompose appends the full decomposition of every character of s; nothing for
// a byte that is no UTF-8.
func (f unicodeForm) decompose(steps []step, s string) []step {
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			return nil
		}
		steps = f.decomposeRune(steps, r, s[:size])
		s = s[size:]
	}
	return steps
}

// Hangul syllables are composed by arithmetic (Unicode 3.12).
const (
	hangulS, hangulL, hangulV, hangulT     = 0xAC00, 0x1100, 0x1161, 0x11A7
	hangulLs, hangulVs, hangulTs, hangulSs = 19, 21, 28, 19 * 21 * 28
)

func (f unicodeForm) decomposeRune(steps []step, r rune, s string) []step {
	if r >= hangulS && r < hangulS+hangulSs {
		i := r - hangulS
		steps = append(steps, step{r: hangulL + i/(hangulVs*hangulTs)}, step{r: hangulV + i/hangulTs%hangulVs, change: 1})
		if t := i % hangulTs; t > 0 {
			steps = append(steps, step{r: hangulT + t, change: 1})
		}
		return steps
	}
	parts := f.form.PropertiesString(s).Decomposition()
	if parts == nil || youngDecompositions.Has(r) {
		return append(steps, step{r: r, class: combiningClass(r, s)})
	}
	for change := 0; len(parts) > 0; change = 1 {
		r, size := utf8.DecodeRune(parts)
		steps = append(steps, step{r, change, combiningClass(r, string(parts[:size]))})
		parts = parts[size:]
	}
	return steps
}

func combiningClass(r rune, s string) uint8 {
	if r < 0x300 || youngMarks.Has(r) {
		return 0
	}
	return norm.NFD.PropertiesString(s).CCC()
}

// sortMarks puts each run of marks in the order of their classes.
func sortMarks(steps []step) []step {
	for i := 0; i < len(steps); {
		j := i
		for j < len(steps) && steps[j].class != 0 {
			j++
		}
		slices.SortStableFunc(steps[i:j], func(a, b step) int { return cmp.Compare(a.class, b.class) })
		i = j + 1
	}
	return steps
}

// compose joins each starter with the marks behind it that it combines with and
// that no mark of the same or a higher class blocks.
func compose(steps []step) []step {
	out := steps[:0]
	starter := -1 // its index in out
	var last uint8
	for _, s := range steps {
		if starter >= 0 && (starter == len(out)-1 || last < s.class) {
			if r, ok := composition(out[starter].r, s.r); ok {
				out[starter].r = r
				out[starter].change += s.change - 1
				continue
			}
		}
		if s.class == 0 {
			starter = len(out)
		}
		last = s.class
		out = append(out, s)
	}
	return out
}

func composition(a, b rune) (rune, bool) {
	if l, v := a-hangulL, b-hangulV; l >= 0 && l < hangulLs && v >= 0 && v < hangulVs {
		return hangulS + (l*hangulVs+v)*hangulTs, true
	}
	if s, t := a-hangulS, b-hangulT; s >= 0 && s < hangulSs && s%hangulTs == 0 && t > 0 && t < hangulTs {
		return a + t, true
	}
	r, ok := compositions()[[2]rune{a, b}]
	return r, ok
}

// compositions is the table of primary composites, worked out from the
// decompositions: a composite is what NFC leaves alone, its first part is the
// composition of all of its decomposition but the last character.
var compositions = sync.OnceValue(func() map[[2]rune]rune {
	table := map[[2]rune]rune{}
	var buf [utf8.UTFMax]byte
	for r := rune(0xC0); r < 0x1D200; r++ {
		size := utf8.EncodeRune(buf[:], r)
		parts := norm.NFC.Properties(buf[:size]).Decomposition()
		if parts == nil || youngDecompositions.Has(r) || !norm.NFC.IsNormal(buf[:size]) {
			continue
		}
		last, size := utf8.DecodeLastRune(parts)
		head := []rune(norm.NFC.String(string(parts[:len(parts)-size])))
		if len(head) == 1 {
			table[[2]rune{head[0], last}] = r
		}
	}
	return table
})
