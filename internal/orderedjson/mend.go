package orderedjson

import (
	"bytes"
	"fmt"
)

// mend returns data as strict JSON as far as the usual faults go: a byte order
// mark and trailing commas are dropped, NaN and ±Infinity become null.
func mend(data []byte) ([]byte, []string) {
	var notes []string
	line := 1
	note := func(what string) { notes = append(notes, fmt.Sprintf("line %d: %s", line, what)) }
	if rest, ok := bytes.CutPrefix(data, []byte("\xef\xbb\xbf")); ok {
		data = rest
	}
	out := make([]byte, 0, len(data))
	for i := 0; i < len(data); {
		switch c := data[i]; {
		case c == '"':
			end := stringEnd(data, i)
			out = append(out, data[i:end]...)
			i = end
		case c == ',' && closes(data[i+1:]):
			note("trailing comma")
			i++
		case c == 'N' || c == 'I' || c == '-':
			word := nonFinite(data[i:])
			if word == "" {
				out = append(out, c)
				i++
				continue
			}
			note(word + " read as null")
			out = append(out, "null"...)
			i += len(word)
		default:
			if c == '\n' {
				line++
			}
			out = append(out, c)
			i++
		}
	}
	return out, notes
}

func stringEnd(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

func closes(rest []byte) bool {
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return len(rest) > 0 && (rest[0] == '}' || rest[0] == ']')
}

func nonFinite(s []byte) string {
	for _, w := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(s, []byte(w)) {
			return w
		}
	}
	return ""
}
