package tokenizer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what a pattern may ask for; published ones are under 1 KB.
const (
	maxPattern    = 1 << 14
	maxProgram    = 1 << 14
	maxRepeat     = 1000
	maxRegexDepth = 100
)

type nodeOp uint8

const (
	nodeEmpty nodeOp = iota
	nodeSet
	nodeAssert
	nodeSequence
	nodeChoice
	nodeRepeat
	nodeLook
	nodeBehind
	nodeAtomic
)

type regexNode struct {
	op       nodeOp
	kids     []*regexNode
	set      runeSet
	index    int32 // 1 + place of the set in regex.sets, once it is compiled
	kind     int32 // of an assertion
	min, max int   // of a repeat; max -1: without end
	lazy     bool
	not      bool // of a look-around
}

// width returns how many characters a node matches; high is -1 if without bound.
func (n *regexNode) width() (low, high int) {
	switch n.op {
	case nodeSet:
		return 1, 1
	case nodeSequence, nodeAtomic:
		for _, k := range n.kids {
			l, h := k.width()
			low += l
			if high >= 0 {
				high += h
			}
			if h < 0 {
				high = -1
			}
		}
	case nodeChoice:
		for i, k := range n.kids {
			l, h := k.width()
			if i == 0 {
				low, high = l, h
				continue
			}
			low = min(low, l)
			if h < 0 || high < 0 {
				high = -1
			} else {
				high = max(high, h)
			}
		}
	case nodeRepeat:
		l, h := n.kids[0].width()
		if n.max < 0 || h < 0 {
			return l * n.min, -1
		}
		return l * n.min, h * n.max
	}
	return low, high
}

type regexParser struct {
	text  string
	pos   int
	depth int
	fold  bool // (?i)
	dots  bool // (?m): '.' matches a line feed, too
}

func (p *regexParser) more() bool { return p.pos < len(p.text) }

func (p *regexParser) rune() rune {
	r, size := utf8.DecodeRuneInString(p.text[p.pos:])
	p.pos += size
	return r
}

func (p *regexParser) take(s string) bool {
	if strings.HasPrefix(p.text[p.pos:], s) {
		p.pos += len(s)
		return true
	}
	return false
}

// alternatives reads a|b|c up to a ')' or the end.
func (p *regexParser) alternatives() (*regexNode, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxRegexDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxRegexDepth)
	}
	fold, dots := p.fold, p.dots // flags set inside end with the group
	defer func() { p.fold, p.dots = fold, dots }()
	choice := &regexNode{op: nodeChoice}
	for {
		seq := &regexNode{op: nodeSequence}
		for p.more() && p.text[p.pos] != '|' && p.text[p.pos] != ')' {
			n, err := p.repeated()
			if err != nil {
				return nil, err
			}
			seq.kids = append(seq.kids, n)
		}
		choice.kids = append(choice.kids, seq)
		if !p.take("|") {
			break
		}
	}
	if len(choice.kids) == 1 {
		return choice.kids[0], nil
	}
	return choice, nil
}

// repeated reads an atom and the repetitions behind it. In Ruby's syntax X*+, X++ and
// X?+ are possessive, but X{n,m}+ is a repeated repetition.
func (p *regexParser) repeated() (*regexNode, error) {
	n, err := p.atom()
	for nested := 0; err == nil && p.more(); nested++ {
		if nested > 8 {
			return nil, errors.New("too many repetitions of repetitions")
		}
		rep := &regexNode{op: nodeRepeat, kids: []*regexNode{n}}
		interval := false
		switch {
		case p.take("*"):
			rep.max = -1
		case p.take("+"):
			rep.min, rep.max = 1, -1
		case p.take("?"):
			rep.max = 1
		default:
			var ok bool
			if rep.min, rep.max, ok, err = p.interval(); !ok || err != nil {
				return n, err
			}
			interval = true
		}
		if n.op == nodeAssert {
			return nil, errors.New("a repeated assertion")
		}
		n = rep
		switch {
		case interval && rep.min == rep.max && p.take("?"): // Ruby: (?:X{n})?
			n = &regexNode{op: nodeRepeat, max: 1, kids: []*regexNode{rep}}
		case p.take("?"):
			rep.lazy = true
		case !interval && p.take("+"):
			n = &regexNode{op: nodeAtomic, kids: []*regexNode{rep}}
		}
	}
	return n, err
}

// interval reads {n}, {n,}, {,m} or {n,m}; anything else is a literal '{'.
func (p *regexParser) interval() (low, high int, ok bool, err error) {
	if p.text[p.pos] != '{' {
		return 0, 0, false, nil
	}
	end := strings.IndexByte(p.text[p.pos:], '}')
	if end < 0 {
		return 0, 0, false, nil
	}
	from, to, comma := strings.Cut(p.text[p.pos+1:p.pos+end], ",")
	number := func(s string, empty int) int {
		if s == "" {
			return empty
		}
		v, convErr := strconv.ParseUint(s, 10, 31)
		if convErr != nil {
			return -2
		}
		return int(v)
	}
	low, high = number(from, 0), number(to, -1)
	if !comma {
		high = low
	}
	if low == -2 || high == -2 || from == "" && to == "" {
		return 0, 0, false, nil
	}
	if low > maxRepeat || high > maxRepeat {
		return 0, 0, false, fmt.Errorf("%s repeats more than %d times", p.text[p.pos:p.pos+end+1], maxRepeat)
	}
	if high >= 0 && high < low {
		return 0, 0, false, fmt.Errorf("%s ends below its beginning", p.text[p.pos:p.pos+end+1])
	}
	p.pos += end + 1
	return low, high, true, nil
}

func (p *regexParser) atom() (*regexNode, error) {
	switch c := p.text[p.pos]; c {
	case '(':
		return p.group()
	case '[':
		p.pos++
		set, err := p.class(0)
		return p.setNode(set), err
	case '.':
		p.pos++
		if p.dots {
			return p.setNode(func(rune) bool { return true }), nil
		}
		return p.setNode(func(r rune) bool { return r != '\n' }), nil
	case '^':
		p.pos++
		return &regexNode{op: nodeAssert, kind: assertLineStart}, nil
	case '$':
		p.pos++
		return &regexNode{op: nodeAssert, kind: assertLineEnd}, nil
	case '*', '+', '?':
		return nil, fmt.Errorf("%q has nothing to repeat", c)
	case '\\':
		p.pos++
		return p.escape()
	}
	r := p.rune()
	return p.setNode(func(x rune) bool { return x == r }), nil
}

// setNode matches one character, in either case under (?i).
func (p *regexParser) setNode(set runeSet) *regexNode {
	if p.fold && set != nil {
		set = set.folded()
	}
	return &regexNode{op: nodeSet, set: set}
}

func (p *regexParser) group() (*regexNode, error) {
	n := &regexNode{op: nodeSequence}
	p.pos++ // (
	switch {
	case p.take("?:"):
	case p.take("?="):
		n.op = nodeLook
	case p.take("?!"):
		n.op, n.not = nodeLook, true
	case p.take("?<="):
		n.op = nodeBehind
	case p.take("?<!"):
		n.op, n.not = nodeBehind, true
	case p.take("?>"):
		n.op = nodeAtomic
	case p.take("?#"):
		end := strings.IndexByte(p.text[p.pos:], ')')
		if end < 0 {
			return nil, errors.New("a comment without ')'")
		}
		p.pos += end + 1
		return &regexNode{}, nil
	case p.take("?<"), p.take("?'"):
		return nil, errors.New("named groups are not supported")
	case p.take("?"):
		fold, dots := p.fold, p.dots
		closed, err := p.flags()
		if err != nil || closed { // (?i) holds up to the end of the group around it
			return &regexNode{}, err
		}
		n, err := p.inGroup(n)
		p.fold, p.dots = fold, dots
		return n, err
	}
	return p.inGroup(n)
}

func (p *regexParser) inGroup(n *regexNode) (*regexNode, error) {
	kid, err := p.alternatives()
	if err != nil {
		return nil, err
	}
	if !p.take(")") {
		return nil, errors.New("'(' without ')'")
	}
	n.kids = []*regexNode{kid}
	return n, nil
}

// flags reads i, m and - up to ':' or ')'.
func (p *regexParser) flags() (closed bool, err error) {
	on := true
	for p.more() {
		switch c := p.text[p.pos]; c {
		case '-':
			on = false
		case 'i':
			p.fold = on
		case 'm':
			p.dots = on
		case ':', ')':
			p.pos++
			return c == ')', nil
		default:
			return false, fmt.Errorf("the group (?%c is not supported", c)
		}
		p.pos++
	}
	return false, errors.New("'(' without ')'")
}

// escape reads what stands behind a backslash outside a class.
func (p *regexParser) escape() (*regexNode, error) {
	if !p.more() {
		return nil, errors.New("a backslash at the end")
	}
	switch c := p.text[p.pos]; c {
	case 'A', 'z', 'Z', 'b', 'B':
		p.pos++
		kinds := map[byte]int32{'A': assertTextStart, 'z': assertTextEnd, 'Z': assertTextEndLine, 'b': assertWord, 'B': assertNotWord}
		return &regexNode{op: nodeAssert, kind: kinds[c]}, nil
	}
	set, _, err := p.escapedSet()
	return p.setNode(set), err
}
