package orderedjson

import (
	"strings"
	"testing"
)

func TestEditKeepsTheRest(t *testing.T) {
	in := "{\n  \"b\": 1e-05,\n  \"a\": [1, 2],\n  \"s\": \"<s>\",\n  \"x\": 5e5\n}\n"
	o, err := Parse([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Set("a", []int{3}); err != nil {
		t.Fatal(err)
	}
	o.Delete("x")
	if err := o.Set("t", "a<b"); err != nil {
		t.Fatal(err)
	}
	got, err := o.Indent()
	if err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"b\": 1e-05,\n  \"a\": [\n    3\n  ],\n  \"s\": \"<s>\",\n  \"t\": \"a<b\"\n}\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestParseForgives(t *testing.T) {
	o, err := Parse([]byte("\xef\xbb\xbf{\"a\": [1, 2,],\n \"b\": NaN, \"c\": -Infinity, \"d\": \"NaN,}\", \"e\": -1,}"))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := o.MarshalJSON()
	if want := `{"a":[1, 2],"b":null,"c":null,"d":"NaN,}","e":-1}`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(o.Notes) != 4 {
		t.Errorf("notes %q, want 4", o.Notes)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"{\"a\": 1,\n\"a\": 2}", `line 2: key "a" stands twice`},
		{"[1]", "not a JSON object"},
		{"{\"a\": }", "line 1"},
		{"{} {}", "text behind the object"},
		{"{\"a\": 1", "line 1"},
		{"", "EOF"},
	} {
		if _, err := Parse([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q) = %v, want %q", tt.in, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"a":[1,2,],"b":NaN}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := Parse(data)
		if err != nil {
			return
		}
		out, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("own output %q: %v", out, err)
		}
		if len(again.Notes) != 0 || len(again.Keys()) != len(o.Keys()) {
			t.Fatalf("own output %q has notes %q", out, again.Notes)
		}
	})
}
