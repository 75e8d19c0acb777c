package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
)

// replaceNormalizer replaces every occurrence of a string.
type replaceNormalizer struct{ old, to string }

func (r replaceNormalizer) normalize(n *normalized) { n.replaceAll(r.old, r.to) }

// spacesNormalizer replaces every run of at least min spaces by one string: the
// pattern " {2,}" of T5 and XLM-R, without a regular expression.
type spacesNormalizer struct {
	min int
	to  string
}

func (s spacesNormalizer) normalize(n *normalized) {
	text := n.text
	least := strings.Repeat(" ", s.min)
	if !strings.Contains(text, least) {
		return
	}
	e := n.edit()
	for {
		i := strings.Index(text[e.pos:], least)
		if i < 0 {
			break
		}
		e.keep(i)
		e.drop(len(text) - e.pos - len(strings.TrimLeft(text[e.pos:], " ")))
		e.insert(s.to)
	}
	e.keep(len(text) - e.pos)
	e.done()
}

// compileReplace reads the pattern of a Replace: {"String": s} or {"Regex": s}.
func compileReplace(raw json.RawMessage, to string) (normalizer, error) {
	var p struct {
		String *string
		Regex  *string
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("Replace: pattern: %w", err)
	}
	switch {
	case p.String != nil && *p.String != "":
		return replaceNormalizer{*p.String, to}, nil
	case p.Regex != nil && *p.Regex != "":
		if *p.Regex == " {2,}" {
			return spacesNormalizer{2, to}, nil
		}
		return compileRegexReplace(*p.Regex, to)
	}
	return nil, fmt.Errorf("Replace: pattern %s: want a String or a Regex that is not empty", raw)
}
