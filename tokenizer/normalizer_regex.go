package tokenizer

import (
	"fmt"

	"lep/tokenizer/regex"
)

// regexNormalizer replaces every match of a pattern.
type regexNormalizer struct {
	re *regex.Regexp
	to string
}

func compileRegexReplace(pattern, to string) (normalizer, error) {
	re, err := regex.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("Replace: %w", err)
	}
	return regexNormalizer{re, to}, nil
}

func (r regexNormalizer) normalize(n *normalized) {
	e := n.edit()
	for _, s := range matches(r.re, n.text) {
		if s.match {
			e.drop(s.end - s.start)
			e.insert(r.to)
		} else {
			e.keep(s.end - s.start)
		}
	}
	if string(e.out) != n.text {
		e.done()
	}
}
