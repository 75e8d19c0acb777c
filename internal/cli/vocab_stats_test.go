package cli

import (
	"strings"
	"testing"

	"lep/vocab/stats"
)

func TestPrintSpans(t *testing.T) {
	spans := []stats.Span{{ID: 1, Text: "ми"}, {ID: 2, Text: "р"}, {ID: 3, Text: "␣и"}}
	for _, tt := range []struct {
		name   string
		colour bool
		want   string
	}{
		{"bars", false, "ми|р|␣и\n"},
		{"colours", true, "\x1b[30;102mми\x1b[0m\x1b[30;103mр\x1b[0m\x1b[30;106m␣и\x1b[0m\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			printSpans(&b, spans, tt.colour)
			if b.String() != tt.want {
				t.Errorf("%q, want %q", b.String(), tt.want)
			}
		})
	}
	var b strings.Builder
	printSpans(&b, make([]stats.Span, maxSpans+5), false)
	if !strings.HasSuffix(b.String(), "… and 5 more\n") {
		t.Errorf("a long text ends in %q", b.String())
	}
}
