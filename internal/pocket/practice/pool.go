package practice

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Pool is what practice in one language is made from.
type Pool struct {
	Language  string
	sentences []string // of 4 to 14 words and 20 to 90 characters, plain punctuation
	passages  []string // of four sentences, 160 to 400 characters
	lexicon   []string // the different words of the sentences, each once
}

var (
	word     = regexp.MustCompile(`\pL+(?:['’-]\pL+)*`)
	blanks   = regexp.MustCompile(`\s+`)
	sentence = regexp.MustCompile(`[.!?] `)
	unwanted = regexp.MustCompile(`[\d_*\[\]()"“”«»]`)
)

// NewPool cuts texts into sentences, passages and words. The first and the last sentence of a text are left out: they may
// be cut off. Texts without a fitting sentence or passage are an error, and so is a language other than "en" and "ru".
func NewPool(language string, texts []string) (*Pool, error) {
	if wording[language] == nil {
		return nil, fmt.Errorf("language %q, want en or ru", language)
	}
	p := &Pool{Language: language}
	for _, text := range texts {
		all := sentences(blanks.ReplaceAllString(text, " "))
		if len(all) < 3 {
			continue
		}
		all = all[1 : len(all)-1]
		for i, s := range all {
			n, w := utf8.RuneCountInString(s), len(words(s))
			if n >= 20 && n <= 90 && w >= 4 && w <= 14 && !unwanted.MatchString(s) {
				p.sentences = append(p.sentences, s)
			}
			if i%4 == 0 && i+4 < len(all) {
				passage := strings.Join(all[i:i+4], " ")
				if n := utf8.RuneCountInString(passage); n >= 160 && n <= 400 {
					p.passages = append(p.passages, passage)
				}
			}
		}
	}
	for _, s := range p.sentences {
		p.lexicon = append(p.lexicon, words(s)...)
	}
	slices.Sort(p.lexicon)
	p.lexicon = slices.Compact(p.lexicon)
	if len(p.sentences) == 0 || len(p.passages) == 0 {
		return nil, fmt.Errorf("%d texts in %q: %d sentences of 20 to 90 characters, %d passages of 160 to 400, want some of both",
			len(texts), language, len(p.sentences), len(p.passages))
	}
	return p, nil
}

// sentences cuts a text behind each full stop, question or exclamation mark that a blank follows.
func sentences(text string) []string {
	var out []string
	from := 0
	for _, at := range sentence.FindAllStringIndex(text, -1) {
		out = append(out, text[from:at[0]+1])
		from = at[1]
	}
	return append(out, text[from:])
}

// words returns the words of a text.
func words(text string) []string { return word.FindAllString(text, -1) }
