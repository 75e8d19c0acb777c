package jinja

import (
	"math"
	"strconv"
	"strings"
)

// tupleRules say where a tuple without brackets may end.
type tupleRules struct {
	conditions bool // a if b else c is allowed
	brackets   bool // inside ( ): empty is a tuple
	end        string
}

func (p *parser) tuple(rules tupleRules) expr {
	var items []expr
	comma := false
	for {
		if k := p.tok().kind; k == tokVariableEnd || k == tokBlockEnd || p.op(")") || rules.end != "" && p.word(rules.end) {
			break
		}
		if rules.conditions || rules.brackets {
			items = append(items, p.expression())
		} else {
			items = append(items, p.or())
		}
		if !p.skipOp(",") {
			break
		}
		comma = true
	}
	if !comma && len(items) == 1 {
		return items[0]
	}
	if len(items) == 0 && !rules.brackets {
		p.fail("expected an expression, got %q", p.tok())
	}
	return &sequence{items, true}
}

// expression parses one expression, a if b else c included.
func (p *parser) expression() expr {
	defer p.nest()()
	pending := len(p.pending)
	x := p.or()
	for p.skipWord("if") {
		p.pending = p.pending[:pending]
		c := &condition{test: p.or(), yes: x}
		if p.skipWord("else") {
			c.no = p.expression()
		}
		x = c
	}
	return x
}

// chain counts the links of a chain of operators: the tree leans to the left,
// so its height grows with each.
func (p *parser) chain(links *int) {
	if *links++; *links > 4*maxNesting {
		p.fail("more than %d operators in a row", 4*maxNesting)
	}
}

func (p *parser) or() expr {
	x := p.and()
	for links := 0; p.word("or"); p.chain(&links) {
		line := p.advance().line
		x = &binary{"or", x, p.and(), line}
	}
	return x
}

func (p *parser) and() expr {
	x := p.not()
	for links := 0; p.word("and"); p.chain(&links) {
		line := p.advance().line
		x = &binary{"and", x, p.not(), line}
	}
	return x
}

func (p *parser) not() expr {
	if !p.word("not") {
		return p.comparison()
	}
	defer p.nest()()
	line := p.advance().line
	return &unary{"not", p.not(), line}
}

func (p *parser) comparison() expr {
	x := p.sum()
	c := &compare{x: x, line: p.tok().line}
	for links := 0; ; p.chain(&links) {
		t := p.tok()
		op := ""
		switch {
		case t.kind == tokOperator && strings.Contains(" == != < <= > >= ", " "+t.text+" "):
			op = t.text
		case p.word("in"):
			op = "in"
		case p.word("not") && p.peek().kind == tokName && p.peek().text == "in":
			p.advance()
			op = "not in"
		}
		if op == "" {
			break
		}
		p.advance()
		c.ops = append(c.ops, op)
		c.ys = append(c.ys, p.sum())
	}
	if len(c.ops) == 0 {
		return x
	}
	return c
}

func (p *parser) sum() expr {
	x := p.concat()
	for links := 0; p.op("+") || p.op("-"); p.chain(&links) {
		t := p.advance()
		x = &binary{t.text, x, p.concat(), t.line}
	}
	return x
}

func (p *parser) concat() expr {
	x := p.product()
	if !p.op("~") {
		return x
	}
	c := &concat{parts: []expr{x}}
	for p.skipOp("~") {
		c.parts = append(c.parts, p.product())
	}
	return c
}

func (p *parser) product() expr {
	x := p.power()
	for links := 0; p.op("*") || p.op("/") || p.op("//") || p.op("%"); p.chain(&links) {
		t := p.advance()
		x = &binary{t.text, x, p.power(), t.line}
	}
	return x
}

// power is left associative in Jinja, unlike Python.
func (p *parser) power() expr {
	x := p.unary(true)
	for links := 0; p.op("**"); p.chain(&links) {
		t := p.advance()
		x = &binary{"**", x, p.unary(true), t.line}
	}
	return x
}

func (p *parser) unary(filters bool) expr {
	defer p.nest()()
	var x expr
	if p.op("-") || p.op("+") {
		t := p.advance()
		x = &unary{t.text, p.unary(false), t.line}
	} else {
		x = p.primary()
	}
	x = p.postfix(x)
	if filters {
		x = p.filterChain(x)
	}
	return x
}

func (p *parser) primary() expr {
	t := p.tok()
	switch {
	case t.kind == tokName:
		p.advance()
		switch t.text {
		case "true", "True":
			return &constant{true}
		case "false", "False":
			return &constant{false}
		case "none", "None":
			return &constant{nil}
		}
		if p.used != nil {
			p.used[t.text] = true
		}
		return &variable{t.text}
	case t.kind == tokString:
		var b strings.Builder
		for p.tok().kind == tokString {
			b.WriteString(p.advance().text)
		}
		return &constant{b.String()}
	case t.kind == tokInteger:
		n, err := strconv.ParseInt(t.text, 0, 64)
		if strings.Trim(t.text, "0") == "" {
			n, err = 0, nil
		}
		if err != nil {
			p.fail("integer %s does not fit 64 bits", t.text)
		}
		p.advance()
		return &constant{n}
	case t.kind == tokFloat:
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil && !math.IsInf(f, 0) {
			p.fail("%q is no number", t.text)
		}
		p.advance()
		return &constant{f}
	case p.skipOp("("):
		x := p.tuple(tupleRules{brackets: true})
		p.expectOp(")")
		return x
	case p.skipOp("["):
		l := &sequence{}
		for !p.op("]") {
			l.items = append(l.items, p.expression())
			if !p.skipOp(",") {
				break
			}
		}
		p.expectOp("]")
		return l
	case p.skipOp("{"):
		d := &dictLiteral{}
		for !p.op("}") {
			d.keys = append(d.keys, p.expression())
			p.expectOp(":")
			d.values = append(d.values, p.expression())
			if !p.skipOp(",") {
				break
			}
		}
		p.expectOp("}")
		return d
	}
	p.fail("unexpected %q", t)
	return nil
}

func (p *parser) postfix(x expr) expr {
	for links := 0; ; p.chain(&links) {
		switch {
		case p.op("."), p.op("["):
			x = p.subscript(x)
		case p.op("("):
			x = p.call(x)
		default:
			return x
		}
	}
}

func (p *parser) filterChain(x expr) expr {
	for links := 0; ; p.chain(&links) {
		switch {
		case p.op("|"):
			x = p.filters(x, false)
		case p.word("is"):
			x = p.test(x)
		case p.op("("):
			x = p.call(x)
		default:
			return x
		}
	}
}

func (p *parser) call(x expr) expr {
	line := p.tok().line
	return &call{x, p.arguments(), line}
}

func (p *parser) subscript(x expr) expr {
	line := p.tok().line
	if p.skipOp(".") {
		switch t := p.tok(); t.kind {
		case tokName:
			p.advance()
			return &attribute{x, t.text, line}
		case tokInteger:
			return &subscript{x, p.primary(), line}
		default:
			p.fail("expected a name or number behind the dot, got %q", t)
		}
	}
	p.expectOp("[")
	var items []expr
	for !p.op("]") {
		if len(items) > 0 {
			p.expectOp(",")
		}
		items = append(items, p.index())
	}
	p.advance()
	if len(items) == 1 {
		return &subscript{x, items[0], line}
	}
	return &subscript{x, &sequence{items, true}, line}
}

// index parses one index or slice.
func (p *parser) index() expr {
	part := func() expr {
		if p.op(":") || p.op("]") || p.op(",") {
			return nil
		}
		return p.expression()
	}
	from := part()
	if !p.skipOp(":") {
		if from == nil {
			p.fail("expected an index, got %q", p.tok())
		}
		return from
	}
	s := &slice{from: from, to: part()}
	if p.skipOp(":") {
		s.step = part()
	}
	return s
}

func (p *parser) arguments() arguments {
	defer p.nest()()
	var a arguments
	p.expectOp("(")
	for !p.op(")") {
		switch {
		case p.op("*"):
			p.order(a.list == nil && a.mapped == nil)
			p.advance()
			a.list = p.expression()
		case p.op("**"):
			p.order(a.mapped == nil)
			p.advance()
			a.mapped = p.expression()
		case p.tok().kind == tokName && p.peek().kind == tokOperator && p.peek().text == "=":
			p.order(a.mapped == nil)
			a.names = append(a.names, p.advance().text)
			p.advance()
			a.named = append(a.named, p.expression())
		default:
			p.order(a.list == nil && a.mapped == nil && len(a.names) == 0)
			a.positional = append(a.positional, p.expression())
		}
		if !p.skipOp(",") {
			break
		}
	}
	p.expectOp(")")
	return a
}

func (p *parser) order(ok bool) {
	if !ok {
		p.fail("wrong order of arguments in a call")
	}
}

// filters parses x|a|b(...); inline is {% filter a|b %}, which begins without "|".
func (p *parser) filters(x expr, inline bool) expr {
	for links := 0; inline || p.op("|"); p.chain(&links) {
		if !inline {
			p.advance()
		}
		inline = false
		line := p.tok().line
		name := p.dotted()
		if filterNamed(name) == nil {
			p.unknown("no filter named %q", name)
		}
		var args arguments
		if p.op("(") {
			args = p.arguments()
		}
		x = &filter{x, name, args, line}
	}
	return x
}

func (p *parser) dotted() string {
	name := p.expectName()
	for p.skipOp(".") {
		name += "." + p.expectName()
	}
	return name
}

func (p *parser) test(x expr) expr {
	line := p.advance().line
	t := &test{of: x, line: line, negate: p.skipWord("not")}
	t.name = p.dotted()
	if testNamed(t.name) == nil {
		p.unknown("no test named %q", t.name)
	}
	switch k := p.tok().kind; {
	case p.op("("):
		t.args = p.arguments()
	case p.word("else"), p.word("or"), p.word("and"):
	case p.word("is"):
		p.fail("tests cannot be chained with is")
	case k == tokName, k == tokString, k == tokInteger, k == tokFloat, p.op("["), p.op("{"):
		t.args.positional = []expr{p.postfix(p.primary())}
	}
	return t
}
