package jinja_test

import (
	"encoding/json"
	"fmt"

	"lep/chat/jinja"
)

func ExampleTemplate_Render() {
	t, err := jinja.Parse(`{% for m in messages %}
{{ m.role }}: {% generation %}{{ m.content | trim }}{% endgeneration %}

{% endfor %}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	vars := map[string]any{"messages": json.RawMessage(`[{"role": "assistant", "content": " Привет! "}]`)}
	out, err := t.Render(vars, nil, jinja.Limits{})
	fmt.Printf("%q %v %v\n", out.Text, out.Generated, err)

	_, err = t.Render(map[string]any{"messages": json.RawMessage(`5`)}, nil, jinja.Limits{})
	fmt.Println(err)
	// Output:
	// "assistant: Привет!\n" [{11 24}] <nil>
	// chat template line 1: 'int' object is not iterable
}
