package jinja

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSandbox holds hostile templates to an error, in time and memory.
func TestSandbox(t *testing.T) {
	limits := Limits{Work: 1_000_000, Output: 8 << 20}
	deep := strings.Repeat("[", 100_000)
	for _, tt := range []struct{ name, template, want string }{
		{"endless recursion", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested more than"},
		{"two macros in turn", "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}", "nested more than"},
		{"long loops", "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}", "steps"},
		{"doubled text", "{% set n = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}", "bytes"},
		{"doubled list", "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}", "steps"},
		{"lists of lists, printed", "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}", "steps"},
		{"lists of lists, as JSON", "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson }}", "steps"},
		{"lists of lists, indented", "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson(indent=1000) }}", "steps"},
		{"lists of lists, compared", "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}", "steps"},
		{"tuples as keys", "{% set n = namespace(x=(1,)) %}{% for i in range(60) %}{% set n.x = (n.x, n.x) %}{% endfor %}{{ {n.x: 1} }}", "more than"},
		{"a namespace in itself", "{% set n = namespace() %}{% set n.n = n %}{{ n }}", "nested more than"},
		{"deep list, printed", "{% set n = namespace(x=[]) %}{% for i in range(99999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}", "nested more than"},
		{"repeated text", "{{ 'a' * 99999999999 }}", "bytes"},
		{"repeated list", "{{ [1] * 99999999999 }}", "steps"},
		{"padding", "{{ 'a'.center(99999999999) }}", "bytes"},
		{"format width", "{{ '%99999999999d' % 1 }}", "width"},
		{"format star", "{{ '%*d' % (99999999999, 1) }}", "width"},
		{"format method", "{{ '{:99999999999}'.format(1) }}", "width"},
		{"growing replace", "{% set a = 'a' * 1000000 %}{{ a.replace('a', a) }}", "bytes"},
		{"growing join", "{% set a = 'a' * 1000000 %}{{ a.join('b' * 1000) }}", "bytes"},
		{"growing indent", "{{ ('\\n' * 100000) | indent(100000, blank=true) }}", "steps"},
		{"big power", "{{ 10 ** 99999999999 }}", "64 bits"},
		{"smallest integer", "{{ (-9223372036854775807 - 1) // -1 }}", "64 bits"},
		{"its absolute value", "{{ (-9223372036854775807 - 1) | abs }}", "64 bits"},
		{"big range", "{{ range(99999999999) }}", "range too big"},
		{"range at the edge", "{{ range(-9223372036854775807, 9223372036854775807) }}", "range too big"},
		{"slices", "{{ [1] | slice(99999999999) | list }}", "slice"},
		{"batch", "{{ [1] | batch(99999999999, 0) | list }}", "steps"},
		{"deep brackets", "{{ " + deep + "1" + strings.ReplaceAll(deep, "[", "]") + "}}", "nested more than"},
		{"deep parentheses", "{{ " + strings.ReplaceAll(deep, "[", "(") + "1" + strings.ReplaceAll(deep, "[", ")") + "}}", "nested more than"},
		{"deep negation", "{{ " + strings.Repeat("-", 100_000) + "1 }}", "nested more than"},
		{"deep not", "{{ " + strings.Repeat("not ", 100_000) + "1 }}", "nested more than"},
		{"deep tags", strings.Repeat("{% if 1 %}", 100_000), "nested more than"},
		{"deep targets", "{% for " + strings.ReplaceAll(deep, "[", "(") + "1" + strings.ReplaceAll(deep, "[", ")") + "%}", "nested more than"},
		{"long chain", "{{ 1" + strings.Repeat("+1", 100_000) + " }}", "in a row"},
		{"long filters", "{{ 1" + strings.Repeat("|abs", 100_000) + " }}", "in a row"},
		{"long dots", "{{ a" + strings.Repeat(".a", 100_000) + " }}", "in a row"},
		{"deep else if", "{{ 1" + strings.Repeat(" if 1 else 1", 50_000) + " }}", "nested more than"},
		{"recursive loop", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "nested more than"},
		{"large template", strings.Repeat("a", 2<<20), "more than 1048576"},
		{"no include", "{% include '/etc/passwd' %}", "not allowed"},
		{"no import", "{% import 'os' as os %}", "not allowed"},
		{"no extends", "{% extends 'base' %}", "not allowed"},
		{"no classes", "{{ ''.__class__.__mro__ }}", "unsafe"},
		{"no subclasses", "{{ [].__class__.__base__.__subclasses__() }}", "unsafe"},
		{"no globals", "{{ raise_exception.__globals__['os'] }}", "unsafe"},
		{"no init", "{{ namespace.__init__.__globals__ }}", "unsafe"},
		{"no changes to lists", "{{ messages.append(1) }}", "unsafe"},
		{"no changes to dicts", "{{ messages[0].update(a=1) }}", "unsafe"},
		{"no fields of Go values", "{{ messages.items.Items() }}", "no attribute"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			_, err := render(tt.template, map[string]json.RawMessage{"messages": json.RawMessage(`[{"role":"user"}]`)}, limits)
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(e.Message, tt.want) || strings.Contains(e.Message, "internal") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestDefaultLimits: without limits of the caller a hostile template ends too.
func TestDefaultLimits(t *testing.T) {
	_, err := render("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", nil, Limits{})
	if err == nil || !strings.Contains(err.Error(), "more than 10000000 steps") {
		t.Errorf("error %v, want the default limit of steps", err)
	}
}

func TestErrorLines(t *testing.T) {
	for _, tt := range []struct{ template, want string }{
		{"a\nb\n{{ 1 + }}", `chat template line 3: unexpected "end of print statement"`},
		{"a\n{% if x %}\n{{ y.z }}\n{% endif %}{{ q.z }}", `chat template line 4: 'q' is undefined`},
		{"\n\n{{ 'a'\n | nofilter }}", `chat template line 4: no filter named "nofilter"`},
		{"{% for x in y %}\n\n", `chat template line 2: the template ends where {% endfor or else %} is due`},
		{"\n{% for m in [1] %}\n  {{- raise_exception('no ' ~ m) }}{% endfor %}", "chat template line 3: no 1"},
		{"{# a\nb #}\n{{- 1 / 0 }}", "chat template line 3: division by zero"},
		{"{% raw %}\n\n{% endraw %}{{ 'a' + 1 }}", `chat template line 3: can only concatenate str (not "int") to str, the text before was 'a'`},
		{"x\r\ny\r\n{% bad %}", `chat template line 3: unknown tag "bad"`},
	} {
		_, err := render(tt.template, nil, Limits{})
		if err == nil || err.Error() != tt.want {
			t.Errorf("%q\ngot  %v\nwant %s", tt.template, err, tt.want)
		}
	}
}

func TestUnplacedGeneration(t *testing.T) {
	for _, source := range []string{
		"{% macro m() %}\n{% generation %}a{% endgeneration %}{% endmacro %}{{ m() }}",
		"{% set x %}\n{% generation %}a{% endgeneration %}{% endset %}{{ x }}",
		"{% filter trim %}\n{% generation %}a{% endgeneration %}{% endfilter %}",
	} {
		got, err := render(source, nil, Limits{})
		if err != nil || got.Unplaced != 2 || len(got.Generated) != 0 {
			t.Errorf("%q: unplaced %d, spans %v, %v; want line 2", source, got.Unplaced, got.Generated, err)
		}
	}
}

func TestRenderRefusesGoValues(t *testing.T) {
	p, err := Parse("{{ x }}")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{struct{ A int }{1}, map[string]any{}, []int{1}, json.RawMessage(`{"a":`), json.RawMessage("\"\xff\""), json.RawMessage(`1 2`)} {
		if _, err := p.Render(map[string]any{"x": v}, nil, Limits{}); err == nil || !strings.Contains(err.Error(), `variable "x"`) {
			t.Errorf("%T: error %v, want it to name the variable", v, err)
		}
	}
}

func FuzzRender(f *testing.F) {
	cases := readCases(f)
	for _, c := range cases.Cases {
		f.Add(c.Template)
	}
	styles, err := filepath.Glob(filepath.Join("testdata", "styles", "*.jinja"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range styles {
		source, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(source))
	}
	vars := map[string]any{}
	for k, v := range cases.Vars {
		vars[k] = v
	}
	limits := Limits{Work: 200_000, Output: 1 << 20, Depth: 300}
	f.Fuzz(func(t *testing.T, source string) {
		p, err := Parse(source)
		if err != nil {
			checkError(t, source, err)
			return
		}
		out, err := p.Render(vars, testClock, limits)
		if err != nil {
			checkError(t, source, err)
			return
		}
		if len(out.Text) > limits.Output {
			t.Errorf("%d bytes of output, limit %d", len(out.Text), limits.Output)
		}
		for _, g := range out.Generated {
			if g.Start < 0 || g.Start >= g.End || g.End > len(out.Text) {
				t.Errorf("span %v in %d bytes", g, len(out.Text))
			}
		}
		again, err := p.Render(vars, testClock, limits)
		if err != nil || again.Text != out.Text {
			t.Errorf("a second rendering differs: %v", err)
		}
	})
}

func checkError(t *testing.T, source string, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || strings.Contains(e.Message, "internal error") {
		t.Errorf("%q: %v", source, err)
	}
	if e != nil && (e.Line < 1 || e.Line > 1+strings.Count(source, "\n")+strings.Count(source, "\r")) {
		t.Errorf("%q: error in line %d", source, e.Line)
	}
}
