package tokenizer

import (
	"fmt"
	"time"

	"github.com/dlclark/regexp2/v2"
)

type regexNormalizer struct {
	re *regexp2.Regexp
	to string
}

func compileRegexReplace(pattern, to string) (normalizer, error) {
	re, err := regexp2.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("Replace: %w", err)
	}
	re.MatchTimeout = 5 * time.Second
	return regexNormalizer{re, to}, nil
}

func (r regexNormalizer) normalize(n *normalized) {
	spans, err := r.re.FindAllStringIndex(n.text, -1)
	if err != nil || spans == nil {
		return
	}
	e := n.edit()
	for _, s := range spans {
		e.keep(s[0] - e.pos)
		e.drop(s[1] - s[0])
		e.insert(r.to)
	}
	e.keep(len(n.text) - e.pos)
	e.done()
}
