package jinja

// The tree that the parser makes. An expression evaluates itself (operators.go,
// call.go, eval.go), a statement executes itself (eval.go).

type expr interface{ eval(s *state) any }

type stmt interface{ exec(s *state) flow }

type (
	constant struct{ value any }
	variable struct{ name string }
	sequence struct { // a list or tuple literal
		items []expr
		tuple bool
	}
	dictLiteral struct{ keys, values []expr }
	attribute   struct { // x.name
		of   expr
		name string
		line int
	}
	subscript struct { // x[index]
		of, index expr
		line      int
	}
	slice struct{ from, to, step expr } // only inside a subscript; nil where left out
	unary struct {
		op   string // "-", "+", "not"
		x    expr
		line int
	}
	binary struct {
		op   string // an operator of math, "and", "or"
		x, y expr
		line int
	}
	concat  struct{ parts []expr } // a ~ b ~ c
	compare struct {               // a < b <= c
		x    expr
		ops  []string // ==, !=, <, <=, >, >=, in, not in
		ys   []expr
		line int
	}
	condition struct{ test, yes, no expr } // no may be nil: then undefined
	call      struct {
		of   expr
		args arguments
		line int
	}
	filter struct {
		of   expr // nil in {% filter %} and {% set x | f %}: the captured text
		name string
		args arguments
		line int
	}
	test struct {
		of     expr
		name   string
		args   arguments
		negate bool
		line   int
	}
)

// arguments of a call as written: f(a, b, *rest, k=v, **more).
type arguments struct {
	positional   []expr
	names        []string
	named        []expr
	list, mapped expr
}

// A target of an assignment: a name, a namespace's field, or a tuple of targets.
type (
	target interface{ assign(s *state, v any) }
	field  struct {
		namespace, name string
		line            int
	}
	targets struct {
		items []target
		line  int
	}
)

type (
	text   struct{ data string }
	output struct {
		x    expr
		line int
	}
	ifStatement struct {
		tests  []expr
		bodies [][]stmt
		other  []stmt
	}
	forStatement struct {
		target      target
		over        expr
		test        expr // nil without "if"
		recursive   bool
		body, other []stmt
		line        int
	}
	jump     struct{ to flow } // break and continue
	setValue struct {
		target target
		x      expr
		line   int
	}
	setBlock struct {
		target target
		filter expr // nil without filters
		body   []stmt
		line   int
	}
	macroStatement struct {
		name     string // "" for the body of a call block
		params   []string
		defaults []expr // of the last parameters
		body     []stmt
		line     int
		// which of the special names the body mentions
		usesCaller, usesVarargs, usesKwargs bool
	}
	callBlock struct {
		call   *call
		caller *macroStatement
		line   int
	}
	filterBlock struct {
		filter expr
		body   []stmt
		line   int
	}
	withStatement struct {
		targets []target
		values  []expr
		body    []stmt
		line    int
	}
	generation struct { // what the model itself is to write
		body []stmt
		line int
	}
)

// flow says what follows a statement.
type flow uint8

const (
	next flow = iota
	breakLoop
	continueLoop
)
