package practice

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// affirmations are the answers that a word is in a sentence, and that it is not.
var affirmations = map[string][2]string{"en": {"yes", "no"}, "ru": {"да", "нет"}}

// member returns a word that is in the sentence or, as often, not, and the answer to that.
func (m *Maker) member(p *Pool, sentence string) (key, answer string) {
	inside := words(strings.ToLower(sentence))
	if m.rng.IntN(2) == 0 {
		return pick(m.rng, words(sentence)), affirmations[p.Language][0]
	}
	return m.absent(p, inside), affirmations[p.Language][1]
}

// absent returns a word of the lexicon that is none of these lower-case ones.
func (m *Maker) absent(p *Pool, these []string) string {
	for {
		w := pick(m.rng, p.lexicon)
		if utf8.RuneCountInString(w) > 2 && !slices.Contains(these, strings.ToLower(w)) {
			return w
		}
	}
}

// options returns the sentence with four lettered words below it, one of which is its last, and the letter of that one.
func (m *Maker) options(p *Pool, sentence string) (body, letter string) {
	inside := words(strings.ToLower(sentence))
	list := make([]string, 4)
	for i := range list {
		list[i] = m.absent(p, inside)
		inside = append(inside, strings.ToLower(list[i]))
	}
	at := m.rng.IntN(len(list))
	all := words(sentence)
	list[at] = all[len(all)-1]
	body = sentence
	for i, w := range list {
		body += "\n" + "ABCD"[i:i+1] + ". " + w
	}
	return body, "ABCD"[at : at+1]
}

// halves cuts a passage at a blank near its middle.
func (m *Maker) halves(p *Pool) (first, second string) {
	passage := pick(m.rng, p.passages)
	cut := len(passage) / 2
	if blank := strings.IndexByte(passage[cut:], ' '); blank >= 0 {
		cut += blank
	} else {
		cut = strings.LastIndexByte(passage[:cut], ' ')
	}
	return passage[:cut], passage[cut+1:]
}
