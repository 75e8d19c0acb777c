package jinja

import (
	"fmt"
	"slices"
	"strings"
)

const (
	maxSource  = 1 << 20 // bytes of a template; published ones have up to 50 KB
	maxNesting = 150     // of brackets, operators and tags in a template
)

// Template is a parsed template; it is read only and safe for concurrent use.
type Template struct {
	body []stmt
	// HasGeneration says that there is a {% generation %} block.
	HasGeneration bool
}

// Parse reads a template. Its errors are of type [*Error].
func Parse(source string) (t *Template, err error) {
	line := 1
	defer guard(&line, &err)
	if len(source) > maxSource {
		return nil, &Error{Line: 1, Message: fmt.Sprintf("template has %d bytes, more than %d", len(source), maxSource)}
	}
	p := &parser{tokens: tokenize(source), line: &line}
	body := p.statements()
	if p.tok().kind != tokEOF {
		p.fail("unknown tag %q", p.tok())
	}
	if len(p.pending) > 0 {
		return nil, p.pending[0]
	}
	return &Template{body: body, HasGeneration: p.generation}, nil
}

type parser struct {
	tokens   []token
	pos      int
	line     *int
	depth    int
	loops    int // for loops open around this place, inside the innermost macro
	branches int // if tags open around this place
	// pending are errors about unknown filters and tests. Those guarded by an if count
	// only when they are reached.
	pending    []*Error
	generation bool
	// used holds the names mentioned since the innermost macro began.
	used map[string]bool
}

func (p *parser) tok() token { return p.tokens[p.pos] }

func (p *parser) peek() token { return p.tokens[min(p.pos+1, len(p.tokens)-1)] }

func (p *parser) advance() token {
	t := p.tokens[p.pos]
	if p.pos < len(p.tokens)-1 {
		p.pos++
	}
	*p.line = p.tok().line
	return t
}

func (p *parser) fail(format string, args ...any) {
	panic(&Error{Line: p.tok().line, Message: fmt.Sprintf(format, args...)})
}

// unknown notes a filter or test that does not exist.
func (p *parser) unknown(format string, args ...any) {
	if p.branches == 0 {
		p.pending = append(p.pending, &Error{Line: p.tok().line, Message: fmt.Sprintf(format, args...)})
	}
}

func (p *parser) is(k kind, text string) bool {
	t := p.tok()
	return t.kind == k && t.text == text
}

func (p *parser) op(text string) bool   { return p.is(tokOperator, text) }
func (p *parser) word(text string) bool { return p.is(tokName, text) }

func (p *parser) skipOp(text string) bool {
	ok := p.op(text)
	if ok {
		p.advance()
	}
	return ok
}

func (p *parser) skipWord(text string) bool {
	ok := p.word(text)
	if ok {
		p.advance()
	}
	return ok
}

func (p *parser) expectOp(text string) token {
	if !p.op(text) {
		p.fail("expected %q, got %q", text, p.tok())
	}
	return p.advance()
}

func (p *parser) expectWord(text string) {
	if !p.skipWord(text) {
		p.fail("expected %q, got %q", text, p.tok())
	}
}

func (p *parser) expectName() string {
	if p.tok().kind != tokName {
		p.fail("expected a name, got %q", p.tok())
	}
	return p.advance().text
}

func (p *parser) expect(k kind) {
	if p.tok().kind != k {
		p.fail("expected %s, got %q", token{kind: k}, p.tok())
	}
	p.advance()
}

// nest guards the recursion of the parser, and so the height of the tree.
func (p *parser) nest() func() {
	if p.depth++; p.depth > maxNesting {
		p.fail("nested more than %d deep", maxNesting)
	}
	return func() { p.depth-- }
}

// statements parses up to the end of the template or a block tag that begins
// with one of ends, and stands then on that word.
func (p *parser) statements(ends ...string) []stmt {
	defer p.nest()()
	var body []stmt
	for {
		switch t := p.tok(); t.kind {
		case tokEOF:
			if len(ends) > 0 {
				p.fail("the template ends where {%% %s %%} is due", strings.Join(ends, " or "))
			}
			return body
		case tokData:
			body = append(body, &text{t.text})
			p.advance()
		case tokVariableBegin:
			p.advance()
			body = append(body, &output{p.tuple(tupleRules{conditions: true}), t.line})
			p.expect(tokVariableEnd)
		case tokBlockBegin:
			p.advance()
			if p.tok().kind == tokName && slices.Contains(ends, p.tok().text) {
				return body
			}
			body = append(body, p.statement()...)
			p.expect(tokBlockEnd)
		default:
			p.fail("unexpected %q", t)
		}
	}
}

// block parses the body of a tag up to its end word, which is consumed.
func (p *parser) block(end string) []stmt {
	body := p.blockUntil(end)
	p.advance()
	return body
}

func (p *parser) blockUntil(ends ...string) []stmt {
	p.skipOp(":")
	p.expect(tokBlockEnd)
	return p.statements(ends...)
}

func (p *parser) statement() []stmt {
	t := p.tok()
	if t.kind != tokName {
		p.fail("tag name expected, got %q", t)
	}
	p.advance()
	switch t.text {
	case "if":
		return []stmt{p.ifTag()}
	case "for":
		return []stmt{p.forTag(t.line)}
	case "break", "continue":
		if p.loops == 0 {
			p.fail("%q outside a loop", t.text)
		}
		if t.text == "break" {
			return []stmt{&jump{breakLoop}}
		}
		return []stmt{&jump{continueLoop}}
	case "set":
		return []stmt{p.setTag(t.line)}
	case "macro":
		name := p.expectName()
		m := p.function(t.line, "endmacro", true)
		m.name = name
		return []stmt{m}
	case "call":
		return []stmt{p.callTag(t.line)}
	case "filter":
		f := p.filters(nil, true)
		return []stmt{&filterBlock{f, p.block("endfilter"), t.line}}
	case "with":
		return []stmt{p.withTag(t.line)}
	case "print":
		return p.printTag(t.line)
	case "generation":
		p.generation = true
		loops := p.loops
		p.loops = 0
		g := &generation{p.block("endgeneration"), t.line}
		p.loops = loops
		return []stmt{g}
	case "include", "import", "from", "extends", "block", "autoescape":
		p.fail("tag %q is not allowed in a chat template", t.text)
	}
	p.pos--
	p.fail("unknown tag %q", t.text)
	return nil
}

func (p *parser) ifTag() stmt {
	n := &ifStatement{}
	p.branches++
	defer func() { p.branches-- }()
	for {
		n.tests = append(n.tests, p.tuple(tupleRules{}))
		n.bodies = append(n.bodies, p.blockUntil("elif", "else", "endif"))
		switch p.advance().text {
		case "elif":
			continue
		case "else":
			n.other = p.block("endif")
		}
		return n
	}
}

func (p *parser) forTag(line int) stmt {
	n := &forStatement{line: line}
	n.target = p.target(targetRules{end: "in"})
	p.expectWord("in")
	n.over = p.tuple(tupleRules{end: "recursive"})
	if p.skipWord("if") {
		n.test = p.expression()
	}
	n.recursive = p.skipWord("recursive")
	p.loops++
	n.body = p.blockUntil("endfor", "else")
	p.loops--
	if p.advance().text == "else" {
		n.other = p.block("endfor")
	}
	return n
}

func (p *parser) setTag(line int) stmt {
	to := p.target(targetRules{fields: true})
	if p.skipOp("=") {
		return &setValue{to, p.tuple(tupleRules{conditions: true}), line}
	}
	var f expr
	if p.op("|") {
		f = p.filters(nil, false)
	}
	return &setBlock{to, f, p.block("endset"), line}
}

func (p *parser) printTag(line int) []stmt {
	var out []stmt
	for p.tok().kind != tokBlockEnd {
		if len(out) > 0 {
			p.expectOp(",")
		}
		out = append(out, &output{p.expression(), line})
	}
	return out
}

func (p *parser) withTag(line int) stmt {
	n := &withStatement{line: line}
	for p.tok().kind != tokBlockEnd {
		if len(n.targets) > 0 {
			p.expectOp(",")
		}
		n.targets = append(n.targets, p.target(targetRules{}))
		p.expectOp("=")
		n.values = append(n.values, p.expression())
	}
	n.body = p.block("endwith")
	return n
}

// function parses the parameters and the body of a macro or call block.
func (p *parser) function(line int, end string, signature bool) *macroStatement {
	m := &macroStatement{line: line}
	if signature || p.op("(") {
		p.expectOp("(")
		p.parameters(m)
	}
	p.functionBody(m, end)
	return m
}

func (p *parser) parameters(m *macroStatement) {
	for !p.op(")") {
		if len(m.params) > 0 {
			p.expectOp(",")
		}
		name := p.expectName()
		p.assignable(name)
		if slices.Contains(m.params, name) {
			p.fail("parameter %q stands twice", name)
		}
		m.params = append(m.params, name)
		if p.skipOp("=") {
			m.defaults = append(m.defaults, p.expression())
		} else if len(m.defaults) > 0 {
			p.fail("parameter %q without a default follows one with a default", name)
		}
	}
	p.advance()
}

func (p *parser) functionBody(m *macroStatement, end string) {
	outer, loops := p.used, p.loops
	p.used, p.loops = map[string]bool{}, 0
	m.body = p.block(end)
	m.usesCaller, m.usesVarargs, m.usesKwargs = p.used["caller"], p.used["varargs"], p.used["kwargs"]
	for name := range p.used { // an inner macro's names count for the outer too
		if outer != nil {
			outer[name] = true
		}
	}
	p.used, p.loops = outer, loops
}

func (p *parser) callTag(line int) stmt {
	caller := &macroStatement{line: line}
	if p.skipOp("(") {
		p.parameters(caller)
	}
	c, ok := p.expression().(*call)
	if !ok {
		p.fail("expected a call in the call tag")
	}
	p.functionBody(caller, "endcall")
	return &callBlock{c, caller, line}
}

type targetRules struct {
	end    string // a word that ends a tuple of targets
	fields bool   // ns.field is allowed
}

// target parses what stands left of = or of in.
func (p *parser) target(rules targetRules) target {
	line := p.tok().line
	var items []target
	for {
		if k := p.tok().kind; k == tokBlockEnd || p.op(")") || rules.end != "" && p.word(rules.end) {
			break
		}
		items = append(items, p.targetItem(rules))
		if !p.skipOp(",") {
			if len(items) == 1 {
				return items[0]
			}
			break
		}
	}
	if len(items) == 0 {
		p.fail("expected a name to assign to, got %q", p.tok())
	}
	return &targets{items, line}
}

func (p *parser) targetItem(rules targetRules) target {
	defer p.nest()()
	if p.skipOp("(") {
		t := p.target(targetRules{fields: rules.fields})
		p.expectOp(")")
		return t
	}
	line := p.tok().line
	name := p.expectName()
	p.assignable(name)
	if rules.fields && p.skipOp(".") {
		return &field{name, p.expectName(), line}
	}
	return &variable{name}
}

func (p *parser) assignable(name string) {
	switch name {
	case "true", "false", "none", "True", "False", "None":
		p.fail("cannot assign to %q", name)
	}
}
