package regex

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what a pattern may ask for; published ones are under 1 KB.
const (
	maxPattern = 1 << 14
	maxProgram = 1 << 14
	maxRepeat  = 1000
	maxDepth   = 100
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

type node struct {
	op       nodeOp
	kids     []*node
	set      runeSet
	index    int32 // 1 + place of the set in Regexp.sets, once it is compiled
	kind     int32 // of an assertion
	min, max int   // of a repeat; max -1: without end
	lazy     bool
	not      bool // of a look-around
}

// width returns how many characters a node matches; high is -1 if without bound.
func (n *node) width() (low, high int) {
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

type parser struct {
	text  string
	pos   int
	depth int
	fold  bool // (?i)
	dots  bool // (?m): '.' matches a line feed, too
}

func (p *parser) more() bool { return p.pos < len(p.text) }

func (p *parser) rune() rune {
	r, size := utf8.DecodeRuneInString(p.text[p.pos:])
	p.pos += size
	return r
}

func (p *parser) take(s string) bool {
	if strings.HasPrefix(p.text[p.pos:], s) {
		p.pos += len(s)
		return true
	}
	return false
}

// alternatives reads a|b|c up to a ')' or the end.
func (p *parser) alternatives() (*node, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	fold, dots := p.fold, p.dots // flags set inside end with the group
	defer func() { p.fold, p.dots = fold, dots }()
	choice := &node{op: nodeChoice}
	for {
		seq := &node{op: nodeSequence}
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
func (p *parser) repeated() (*node, error) {
	n, err := p.atom()
	for nested := 0; err == nil && p.more(); nested++ {
		if nested > 8 {
			return nil, errors.New("too many repetitions of repetitions")
		}
		rep := &node{op: nodeRepeat, kids: []*node{n}}
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
			n = &node{op: nodeRepeat, max: 1, kids: []*node{rep}}
		case p.take("?"):
			rep.lazy = true
		case !interval && p.take("+"):
			n = &node{op: nodeAtomic, kids: []*node{rep}}
		}
	}
	return n, err
}

// interval reads {n}, {n,}, {,m} or {n,m}; anything else is a literal '{'.
func (p *parser) interval() (low, high int, ok bool, err error) {
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

func (p *parser) atom() (*node, error) {
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
		return &node{op: nodeAssert, kind: assertLineStart}, nil
	case '$':
		p.pos++
		return &node{op: nodeAssert, kind: assertLineEnd}, nil
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
func (p *parser) setNode(set runeSet) *node {
	if p.fold && set != nil {
		set = set.folded()
	}
	return &node{op: nodeSet, set: set}
}

func (p *parser) group() (*node, error) {
	n := &node{op: nodeSequence}
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
		return &node{}, nil
	case p.take("?<"), p.take("?'"):
		return nil, errors.New("named groups are not supported")
	case p.take("?"):
		fold, dots := p.fold, p.dots
		closed, err := p.flags()
		if err != nil || closed { // (?i) holds up to the end of the group around it
			return &node{}, err
		}
		n, err := p.inGroup(n)
		p.fold, p.dots = fold, dots
		return n, err
	}
	return p.inGroup(n)
}

func (p *parser) inGroup(n *node) (*node, error) {
	kid, err := p.alternatives()
	if err != nil {
		return nil, err
	}
	if !p.take(")") {
		return nil, errors.New("'(' without ')'")
	}
	n.kids = []*node{kid}
	return n, nil
}

// flags reads i, m and - up to ':' or ')'.
func (p *parser) flags() (closed bool, err error) {
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
func (p *parser) escape() (*node, error) {
	if !p.more() {
		return nil, errors.New("a backslash at the end")
	}
	switch c := p.text[p.pos]; c {
	case 'A', 'z', 'Z', 'b', 'B':
		p.pos++
		kinds := map[byte]int32{'A': assertTextStart, 'z': assertTextEnd, 'Z': assertTextEndLine, 'b': assertWord, 'B': assertNotWord}
		return &node{op: nodeAssert, kind: kinds[c]}, nil
	}
	set, _, err := p.escapedSet()
	return p.setNode(set), err
}
