package regex

import (
	"fmt"
	"sync"
	"unicode/utf8"

	"lep/internal/hint"
)

// Regexp is a split pattern in the dialect of tokenizer.json: Oniguruma with Ruby's
// syntax, without captures and back references. It backtracks as Oniguruma does,
// so that the same alternative wins, but remembers for every state and position that they
// lead nowhere: no pattern takes more than states × characters steps to
// fail (the bit-state search of Go's regexp), where Oniguruma may take exponentially many.
// It is safe for concurrent use.
type Regexp struct {
	code  []inst
	sets  []charSet
	nodes int       // compiled so far, repeated ones as often as they are copied
	pool  sync.Pool // of *backtracker
}

type opcode uint8

const (
	opSet     opcode = iota // one character of sets[x]
	opSplit                 // go on at x, if that fails at y
	opJump                  // go on at x
	opAccept                // the end of the pattern or of a part
	opAssert                // the assertion x
	opLook                  // the part at pc+1 matches here; then x
	opNotLook               // the part at pc+1 does not match here; then x
	opBehind                // the part at pc+1 matches y to z characters before; then x
	opNotBehind
	opAtomic // the part at pc+1 matches in one way only; then x
)

type inst struct {
	op      opcode
	x, y, z int32
}

// assertions of opAssert
const (
	assertLineStart int32 = iota
	assertLineEnd
	assertTextStart
	assertTextEnd
	assertTextEndLine // the end, or before a line feed at the end
	assertWord
	assertNotWord
)

// Compile compiles a pattern. What this dialect has and the package does not
// is refused by name.
func Compile(expr string) (*Regexp, error) {
	if len(expr) > maxPattern {
		return nil, fmt.Errorf("a pattern of %d bytes, want at most %d", len(expr), maxPattern)
	}
	p := &parser{text: expr}
	root, err := p.alternatives()
	if err == nil && p.pos < len(expr) {
		err = fmt.Errorf("')' without '('")
	}
	r := &Regexp{}
	if err == nil {
		err = r.emit(root)
	}
	if err != nil {
		return nil, hint.Errorf("patterns are Oniguruma's, as in Hugging Face tokenizers, without captures, back references and absent operators",
			"pattern %q: %w", expr, err)
	}
	r.code = append(r.code, inst{op: opAccept})
	r.pool.New = func() any { return new(backtracker) }
	return r, nil
}

// Next returns the first match that begins at byte from of s or later. A match may be
// empty; the caller then goes on one character further. What has led nowhere from one start is
// not tried again from the next, so that a whole search takes at most states × bytes steps.
func (r *Regexp) Next(s string, from int) (start, end int, ok bool) {
	b := r.pool.Get().(*backtracker)
	defer r.pool.Put(b)
	defer b.reset()
	for start = from; start <= len(s); {
		if end, ok = r.match(b, s, 0, start, from, -1); ok {
			return start, end, true
		}
		_, size := utf8.DecodeRuneInString(s[start:])
		start += max(size, 1)
	}
	return 0, 0, false
}

// backtracker is the memory of one search.
type backtracker struct {
	stack   []state
	visited []uint64 // a bit per instruction and byte from the start of the search on
	inner   *backtracker
}

func (b *backtracker) reset() {
	clear(b.visited)
	b.visited = b.visited[:0]
}

type state struct{ pc, pos int32 }

// match runs the code at pc from byte start on and returns where it first accepts; if
// want is not negative, it must accept there. b remembers states since origin: after a failure
// they may serve the next start, after a match the caller resets it.
func (r *Regexp) match(b *backtracker, s string, pc int32, start, origin, want int) (int, bool) {
	b.stack = append(b.stack[:0], state{pc, int32(start)})
	for len(b.stack) > 0 {
		at := b.stack[len(b.stack)-1]
		b.stack = b.stack[:len(b.stack)-1]
		for b.visit(int(at.pos)-origin, int(at.pc), len(r.code)) {
			i := &r.code[at.pc]
			at.pc++
			switch i.op {
			case opSet:
				size := r.sets[i.x].matchAt(s, int(at.pos))
				if size == 0 {
					at.pc = -1
				}
				at.pos += int32(size)
			case opSplit:
				b.stack = append(b.stack, state{i.y, at.pos})
				at.pc = i.x
			case opJump:
				at.pc = i.x
			case opAccept:
				if want < 0 || want == int(at.pos) {
					return int(at.pos), true
				}
				at.pc = -1
			case opAssert:
				if !assertion(i.x, s, int(at.pos)) {
					at.pc = -1
				}
			default:
				at = r.part(b, s, i, at)
			}
			if at.pc < 0 {
				break
			}
		}
	}
	return 0, false
}

// visit marks a state and reports whether it is new.
func (b *backtracker) visit(pos, pc, width int) bool {
	bit := pos*width + pc
	if word := bit >> 6; word >= len(b.visited) {
		if word >= cap(b.visited) {
			grown := make([]uint64, len(b.visited), max(64, 2*word))
			copy(grown, b.visited)
			b.visited = grown
		}
		b.visited = b.visited[:word+1] // what lies behind the length is always zero
	}
	if b.visited[bit>>6]&(1<<(bit&63)) != 0 {
		return false
	}
	b.visited[bit>>6] |= 1 << (bit & 63)
	return true
}

// part runs an instruction that holds code of its own, which begins at at.pc, and
// returns the state to go on with; pc -1 if it failed.
func (r *Regexp) part(b *backtracker, s string, i *inst, at state) state {
	if b.inner == nil {
		b.inner = new(backtracker)
	}
	end, ok := 0, false
	switch i.op {
	case opBehind, opNotBehind:
		ok = r.behind(b.inner, s, i, at)
	default:
		end, ok = r.match(b.inner, s, at.pc, int(at.pos), int(at.pos), -1)
		b.inner.reset()
	}
	if ok == (i.op == opNotLook || i.op == opNotBehind) {
		return state{-1, at.pos}
	}
	if i.op == opAtomic {
		at.pos = int32(end)
	}
	return state{i.x, at.pos}
}

// behind reports whether a part matches just before a position.
func (r *Regexp) behind(b *backtracker, s string, i *inst, at state) bool {
	start := int(at.pos)
	for n := int32(0); n <= i.z; n++ {
		if n >= i.y {
			_, ok := r.match(b, s, at.pc, start, start, int(at.pos))
			if b.reset(); ok {
				return true
			}
		}
		if start == 0 {
			break
		}
		_, size := utf8.DecodeLastRuneInString(s[:start])
		start -= size
	}
	return false
}

func assertion(kind int32, s string, pos int) bool {
	switch kind {
	case assertLineStart:
		return pos == 0 || s[pos-1] == '\n' && pos < len(s)
	case assertLineEnd:
		return pos == len(s) || s[pos] == '\n'
	case assertTextStart:
		return pos == 0
	case assertTextEnd:
		return pos == len(s)
	case assertTextEndLine:
		return pos == len(s) || pos == len(s)-1 && s[pos] == '\n'
	}
	before, _ := utf8.DecodeLastRuneInString(s[:pos])
	after, _ := utf8.DecodeRuneInString(s[pos:])
	return (onigWord(before) != onigWord(after)) == (kind == assertWord)
}

// emit appends the code of a node.
func (r *Regexp) emit(n *node) error {
	if r.nodes++; r.nodes > maxProgram {
		return fmt.Errorf("compiles to more than %d parts", maxProgram)
	}
	switch n.op {
	case nodeEmpty:
		return nil
	case nodeSet:
		if n.index == 0 { // copies of a repeated node share the set
			r.sets = append(r.sets, newCharSet(n.set))
			n.index = int32(len(r.sets))
		}
		r.code = append(r.code, inst{op: opSet, x: n.index - 1})
		return nil
	case nodeAssert:
		r.code = append(r.code, inst{op: opAssert, x: n.kind})
		return nil
	case nodeSequence:
		for _, k := range n.kids {
			if err := r.emit(k); err != nil {
				return err
			}
		}
		return nil
	case nodeChoice:
		return r.emitChoice(n.kids)
	case nodeRepeat:
		return r.emitRepeat(n)
	}
	return r.emitPart(n)
}

func (r *Regexp) emitChoice(kids []*node) error {
	var ends []int
	for i, k := range kids {
		split := len(r.code)
		if i < len(kids)-1 {
			r.code = append(r.code, inst{op: opSplit, x: int32(split + 1)})
		}
		if err := r.emit(k); err != nil {
			return err
		}
		if i < len(kids)-1 {
			ends = append(ends, len(r.code))
			r.code = append(r.code, inst{op: opJump})
			r.code[split].y = int32(len(r.code))
		}
	}
	for _, at := range ends {
		r.code[at].x = int32(len(r.code))
	}
	return nil
}

// emitRepeat writes min copies and then either a loop or optional copies.
func (r *Regexp) emitRepeat(n *node) error {
	body := n.kids[0]
	for range n.min {
		if err := r.emit(body); err != nil {
			return err
		}
	}
	var splits []int
	split := func() {
		splits = append(splits, len(r.code))
		r.code = append(r.code, inst{op: opSplit})
	}
	if n.max < 0 {
		split()
		if err := r.emit(body); err != nil {
			return err
		}
		r.code = append(r.code, inst{op: opJump, x: int32(splits[0])})
	}
	for range n.max - n.min {
		split()
		if err := r.emit(body); err != nil {
			return err
		}
	}
	for _, at := range splits {
		in, out := int32(at+1), int32(len(r.code))
		if n.lazy {
			in, out = out, in
		}
		r.code[at].x, r.code[at].y = in, out
	}
	return nil
}

func (r *Regexp) emitPart(n *node) error {
	at := len(r.code)
	i := inst{op: opAtomic}
	switch n.op {
	case nodeLook:
		i.op = opLook
		if n.not {
			i.op = opNotLook
		}
	case nodeBehind:
		i.op = opBehind
		if n.not {
			i.op = opNotBehind
		}
		low, high := n.kids[0].width()
		if high < 0 {
			return fmt.Errorf("a look-behind without bound")
		}
		i.y, i.z = int32(low), int32(high)
	}
	r.code = append(r.code, i)
	if err := r.emit(n.kids[0]); err != nil {
		return err
	}
	r.code = append(r.code, inst{op: opAccept})
	r.code[at].x = int32(len(r.code))
	return nil
}
