package lemma

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLetters bounds the words that are analysed: the longest of the dictionary has fewer.
const maxLetters = 100

// Normal returns the dictionary form of a word in lower case, pymorphy3's first parse. Words
// with a hyphen are looked up as they are, without its rules for their parts.
func (d *Dictionary) Normal(word string) string {
	if utf8.RuneCountInString(word) > maxLetters {
		return word
	}
	return d.parse(word)[0].normal
}

// parse is one reading of a word. paradigm is -1 for words that are no dictionary words.
type parse struct {
	word     string // with ё where the dictionary has it
	tag      tag
	normal   string
	paradigm int
	score    float64 // orders the readings by endings
}

// same identifies readings that count once.
type same struct {
	word, tag string
	paradigm  int
}

func (p parse) same() same {
	// A tag is its set of grammemes; whether a blank or a comma divides them makes no difference.
	return same{p.word, strings.ReplaceAll(p.tag.text, " ", ","), p.paradigm}
}

// parse runs the analysers in their order; the first group that has a reading ends the search.
func (d *Dictionary) parse(word string) []parse {
	list := d.inDictionary(word)
	if len(list) == 0 && isShape(word) {
		return []parse{{word: word, tag: newTag("shape"), normal: word, paradigm: -1}}
	}
	seen := map[same]bool{}
	if len(list) == 0 {
		list = d.byKnownPrefix(word, seen)
	}
	if len(list) == 0 {
		list = append(d.byUnknownPrefix(word, seen), d.byEnding(word, seen)...)
	}
	if len(list) == 0 { // an unknown word, which counts as a reading behind a known prefix
		return []parse{{word: word, tag: newTag("UNKN"), normal: word, paradigm: -1}}
	}
	return d.byProbability(word, list)
}

func (d *Dictionary) inDictionary(word string) []parse {
	var list []parse
	for _, f := range d.words.similar(word) {
		for _, r := range f.records {
			if len(r) != 2 {
				continue
			}
			if p, ok := d.reading(f.key, r[0], r[1]); ok {
				list = append(list, p)
			}
		}
	}
	return list
}

// reading builds the normal form: the stem between the prefix and suffix of form 0.
func (d *Dictionary) reading(word string, paradigm, form uint16) (parse, bool) {
	if int(paradigm) >= len(d.paradigms) {
		return parse{}, false
	}
	table := d.paradigms[paradigm]
	n := len(table) / 3
	if int(form) >= n {
		return parse{}, false
	}
	p := parse{word: word, tag: d.tags[table[n+int(form)]], normal: word, paradigm: int(paradigm)}
	if form == 0 {
		return p, true
	}
	prefix, suffix := paradigmPrefixes[table[2*n+int(form)]], d.suffixes[table[form]]
	if len(word) < len(prefix)+len(suffix) {
		return parse{}, false
	}
	stem := word[len(prefix) : len(word)-len(suffix)]
	p.normal = paradigmPrefixes[table[2*n]] + stem + d.suffixes[table[0]]
	return p, true
}

// add appends a reading that was not seen.
func add(list []parse, p parse, seen map[same]bool) []parse {
	if seen[p.same()] {
		return list
	}
	seen[p.same()] = true
	return append(list, p)
}

// byKnownPrefix analyses what follows a usual prefix, longest prefix first.
func (d *Dictionary) byKnownPrefix(word string, seen map[same]bool) []parse {
	var list []parse
	for _, prefix := range knownPrefixes {
		rest, ok := strings.CutPrefix(word, prefix)
		if !ok || utf8.RuneCountInString(rest) < 3 {
			continue
		}
		for _, p := range d.parse(rest) {
			if p.tag.productive {
				p.word, p.normal = prefix+p.word, prefix+p.normal
				list = add(list, p, seen)
			}
		}
	}
	return list
}

// byUnknownPrefix looks up what remains of a word without its first one to five letters.
func (d *Dictionary) byUnknownPrefix(word string, seen map[same]bool) []parse {
	var list []parse
	for n, cut := 1, 0; n <= 5; n++ {
		_, size := utf8.DecodeRuneInString(word[cut:])
		cut += size
		if utf8.RuneCountInString(word[cut:]) < 3 {
			break
		}
		for _, p := range d.inDictionary(word[cut:]) {
			if p.tag.productive {
				p.word, p.normal = word[:cut]+p.word, word[:cut]+p.normal
				list = add(list, p, seen)
			}
		}
	}
	return list
}

// byEnding reads a word as known words with the same ending, the longest that is known.
func (d *Dictionary) byEnding(word string, seen map[same]bool) []parse {
	letters := utf8.RuneCountInString(word)
	if letters < 4 {
		return nil
	}
	var list []parse
	for id := len(d.endings) - 1; id >= 0; id-- {
		if !strings.HasPrefix(word, paradigmPrefixes[id]) {
			continue
		}
		first, total := len(list), 1.0
		start := len(word)
		var starts []int
		for range 5 {
			_, size := utf8.DecodeLastRuneInString(word[:start])
			if size == 0 {
				break
			}
			start -= size
			starts = append(starts, start)
		}
		for i := len(starts) - 1; i >= 0 && total == 1; i-- {
			for _, f := range d.endings[id].similar(word[starts[i]:]) {
				for _, r := range f.records {
					if len(r) != 4 {
						continue
					}
					count := float64(uint32(r[0])<<16 | uint32(r[1]))
					p, ok := d.reading(word[:starts[i]]+f.key, r[2], r[3])
					if !ok || !p.tag.productive {
						continue
					}
					total += count
					p.score = count
					list = add(list, p, seen)
				}
			}
		}
		for i := first; i < len(list); i++ {
			list[i].score /= total
		}
	}
	slices.SortStableFunc(list, func(a, b parse) int { return cmp.Compare(b.score, a.score) })
	return list
}

// byProbability sorts readings by P(tag|word), if any of them has one.
func (d *Dictionary) byProbability(word string, list []parse) []parse {
	if len(list) < 2 {
		return list
	}
	any := false
	for i := range list {
		v, _ := d.probability.value(word + ":" + list[i].tag.text)
		list[i].score = float64(v)
		any = any || v > 0
	}
	if any {
		slices.SortStableFunc(list, func(a, b parse) int { return cmp.Compare(b.score, a.score) })
	}
	return list
}

// isShape reports whether a word is a number as Python reads them, punctuation, a Roman number
// or Latin letters.
func isShape(word string) bool {
	return word != "" && (isNumber(word) || all(word, unicode.IsPunct) || isLatin(word))
}

func all(word string, is func(rune) bool) bool {
	return strings.IndexFunc(word, func(r rune) bool { return !is(r) }) < 0
}

// isLatin reports that every letter is Latin and at least one is there; Roman numbers are.
func isLatin(word string) bool {
	letters := 0
	for _, r := range word {
		if unicode.IsLetter(r) {
			letters++
			if !unicode.Is(unicode.Latin, r) && r != 'ª' && r != 'º' {
				return false
			}
		}
	}
	return letters > 0
}

// isNumber reports whether Python's int() or float() takes a word, a comma read as a point.
func isNumber(word string) bool {
	w := strings.ReplaceAll(strings.TrimSpace(word), ",", ".")
	w = strings.TrimLeft(w[:min(1, len(w))], "+-") + w[min(1, len(w)):]
	switch strings.ToLower(w) {
	case "nan", "inf", "infinity":
		return true
	}
	mantissa, exponent, has := strings.Cut(strings.ToLower(w), "e")
	if has {
		if exponent != "" && strings.ContainsRune("+-", rune(exponent[0])) {
			exponent = exponent[1:]
		}
		if !digits(exponent) {
			return false
		}
	}
	whole, part, _ := strings.Cut(mantissa, ".")
	return (whole != "" || part != "") && (whole == "" || digits(whole)) && (part == "" || digits(part))
}

// digits reports whether a text is decimal digits of any script, single underscores between them.
func digits(s string) bool {
	last := '_'
	for _, r := range s {
		if !unicode.IsDigit(r) && (r != '_' || last == '_') {
			return false
		}
		last = r
	}
	return last != '_'
}
