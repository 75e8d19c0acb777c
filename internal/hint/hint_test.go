package hint

import (
	"errors"
	"fmt"
	"testing"
)

func TestNearest(t *testing.T) {
	among := []string{"swap", "overlap", "conversion"}
	for _, tt := range []struct {
		word  string
		limit int
		want  string
	}{
		{"conversin", 2, "conversion"}, {"swp", 2, "swap"}, {"overlpa", 2, "overlap"}, {"ridge", 2, ""}, {"", 3, ""}, {"", 4, "swap"},
	} {
		if got := Nearest(tt.word, among, tt.limit); got != tt.want {
			t.Errorf("Nearest(%q, limit %d) = %q, want %q", tt.word, tt.limit, got, tt.want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	among := []string{"swap", "overlap"}
	for word, want := range map[string]string{"swop": "did you mean swap?", "nothing like it": "known are swap, overlap"} {
		if got := DidYouMean(word, among); got != want {
			t.Errorf("DidYouMean(%q) = %q, want %q", word, got, want)
		}
	}
	if got := DidYouMean("nothing like it", nil); got != "" {
		t.Errorf("DidYouMean among nothing = %q", got)
	}
}

func TestHintSurvivesWrapping(t *testing.T) {
	cause := errors.New("cause")
	err := fmt.Errorf("outer: %w", Errorf("do this", "file: %w", cause))
	if Of(err) != "do this" || !errors.Is(err, cause) || err.Error() != "outer: file: cause" {
		t.Errorf("%v, hint %q", err, Of(err))
	}
	if Wrap(nil, "x") != nil || Of(cause) != "" {
		t.Error("nil or a plain error got a hint")
	}
}
