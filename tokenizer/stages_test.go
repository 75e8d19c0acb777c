package tokenizer

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestStages(t *testing.T) {
	nested := func(key string, depth int, inner string) string {
		return strings.Repeat(`{"type":"Sequence","`+key+`":[`, depth) + inner + strings.Repeat("]}", depth)
	}
	for _, tt := range []struct {
		name, raw, want string
		stages          int
	}{
		{name: "null", raw: `null`},
		{name: "one", raw: `{"type":"Digits"}`, stages: 1},
		{name: "sequences flatten", raw: `{"type":"Sequence","pretokenizers":[{"type":"Digits"},null,` + nested("pretokenizers", 2, `{"type":"Digits"},{"type":"WhitespaceSplit"}`) + `]}`, stages: 3},
		{name: "empty sequence", raw: `{"type":"Sequence","pretokenizers":[]}`},
		{name: "deep", raw: nested("pretokenizers", maxJSONDepth, `{"type":"Digits"}`), stages: 1},
		{name: "too deep", raw: nested("pretokenizers", maxJSONDepth+1, `{"type":"Digits"}`), want: "pre_tokenizer: nested deeper than 64"},
		{name: "bad part", raw: nested("pretokenizers", 1, `{"type":"CharDelimiterSplit","delimiter":"ab"}`), want: `pre_tokenizer CharDelimiterSplit: delimiter "ab" is not one character`},
		{name: "unknown", raw: `{"type":"X"}`, want: `pre_tokenizer X: unknown type "X"`},
		{name: "no object", raw: `3`, want: "pre_tokenizer: json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stages, err := compilePreTokenizer(json.RawMessage(tt.raw))
			switch {
			case tt.want == "" && err != nil:
				t.Fatal(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			if len(stages) != tt.stages {
				t.Errorf("%d stages, want %d", len(stages), tt.stages)
			}
		})
	}
}
