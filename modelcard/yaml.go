package modelcard

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"lep/internal/strictyaml"
)

// plainScalar are texts that need no quotes in any version of YAML: YAML 1.1 reads "no" as false and
// "1_000" as a number, so that only what begins with a letter and is none of its words stays plain.
var (
	plainScalar = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._/-]*$`)
	wordOfYAML  = regexp.MustCompile(`(?i)^(y|n|yes|no|true|false|on|off|null|nan|inf)$`)
)

// quote spells a text for YAML; JSON's texts are YAML's.
func quote(s string) string {
	if plainScalar.MatchString(s) && !wordOfYAML.MatchString(s) {
		return s
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil { // a string can always be encoded
		panic(err)
	}
	// What JSON leaves as it is and YAML does not allow.
	return strings.NewReplacer("\u007f", `\u007f`, "\u0085", `\u0085`, "\ufeff", `\ufeff`, "\ufffe", `\ufffe`, "\uffff", `\uffff`).Replace(strings.TrimSuffix(b.String(), "\n"))
}

func number(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "null"
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

func field(b *strings.Builder, key, value string) { indented(b, 0, key, value) }

// indented writes a key unless its value is empty.
func indented(b *strings.Builder, indent int, key, value string) {
	if value != "" {
		fmt.Fprintf(b, "%s%s: %s\n", strings.Repeat(" ", indent), key, quote(value))
	}
}

func list(b *strings.Builder, key string, values []string) {
	if len(values) == 0 {
		return
	}
	fmt.Fprintf(b, "%s:\n", key)
	for _, v := range values {
		fmt.Fprintf(b, "- %s\n", quote(v))
	}
}

// writePair writes a key that was read, with everything below it.
func writePair(b *strings.Builder, p strictyaml.Pair, indent int) {
	fmt.Fprintf(b, "%s%s:", strings.Repeat(" ", indent), quote(p.Key.Text))
	writeValue(b, p.Value, indent)
}

// writeValue writes what stands behind a colon or a dash.
func writeValue(b *strings.Builder, n *strictyaml.Node, indent int) {
	switch {
	case n.Kind == strictyaml.Null:
		b.WriteString(" null\n")
	case n.Kind == strictyaml.Scalar && n.Quoted:
		b.WriteString(" " + quoteAlways(n.Text) + "\n")
	case n.Kind == strictyaml.Scalar:
		text := n.Text // of a number or truth value
		if _, ok := n.Value().(string); ok {
			text = quote(text)
		}
		b.WriteString(" " + text + "\n")
	case n.Kind == strictyaml.List && len(n.List) == 0:
		b.WriteString(" []\n")
	case n.Kind == strictyaml.List:
		b.WriteString("\n")
		for _, item := range n.List {
			b.WriteString(strings.Repeat(" ", indent+2) + "-")
			writeValue(b, item, indent+2)
		}
	case len(n.Map) == 0:
		b.WriteString(" {}\n")
	default:
		b.WriteString("\n")
		for _, p := range n.Map {
			writePair(b, p, indent+2)
		}
	}
}

// quoteAlways keeps a text a text, whatever it looks like.
func quoteAlways(s string) string {
	if q := quote(s); q != s {
		return q
	}
	return `"` + s + `"`
}
