package build

import "testing"

func TestSplitPattern(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{`{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}`, "gpt2"},
		{`{"type":"ByteLevel","add_prefix_space":false}`, "gpt2"},
		{`{"type":"ByteLevel","use_regex":false}`, ""},
		{`{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\p{L}+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","use_regex":false}]}`, `\p{L}+`},
		{`{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"Split","pattern":{"Regex":"x"},"behavior":"Isolated"}]}`, "x"},
		{`{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"x"},"behavior":"Isolated"},{"type":"Split","pattern":{"Regex":"y"},"behavior":"Isolated"}]}`, ""},
		{`{"type":"Split","pattern":{"Regex":"x"},"behavior":"MergedWithNext"}`, ""},
		{`{"type":"Metaspace"}`, ""}, {`null`, ""}, {``, ""}, {`{`, ""},
	} {
		if got := splitPattern([]byte(tt.raw)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.raw, got, tt.want)
		}
	}
}
