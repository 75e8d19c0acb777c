// Package jinja evaluates the part of Jinja2 that chat templates of language
// models are written in. It follows Jinja 3.1 as transformers sets it up: the
// immutable sandbox, trim_blocks and lstrip_blocks on, break and continue,
// raise_exception, strftime_now, a tojson without HTML escapes, and
// {% generation %} blocks, whose places in the output are reported.
//
// A template is untrusted: it sees only the values it is given, changes none of
// them, opens nothing (include, import, extends, block and autoescape are
// refused when it is parsed), and is stopped when it works, nests or
// writes too much. What goes wrong is an [*Error] with the template's line.
//
//	t, err := jinja.Parse("{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}\n{% endfor %}")
//	out, err := t.Render(map[string]any{"messages": json.RawMessage(`[{"role":"user","content":" hi "}]`)}, jinja.Limits{})
//	// out.Text is "[user] hi\n"
//
// Where it differs from Python: integers in arithmetic have 64 bits (more is an
// error, never a wrong number), safe and escape give plain strings, and
// map, select and their kin do all their work when they are first read.
package jinja
