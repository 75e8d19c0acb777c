package tokenizer_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lep/internal/golden"
	"lep/tokenizer"
)

// small is a whole tokenizer.json with a bit of everything.
const small = `{
  "version": "1.0",
  "truncation": null,
  "padding": {"strategy": "BatchLongest"},
  "added_tokens": [
    {"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
    {"id": 7, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
  ],
  "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
  "pre_tokenizer": null,
  "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [7], "tokens": ["<s>"]}}},
  "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
  "model": {
    "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null, "end_of_word_suffix": null,
    "fuse_unk": true, "byte_fallback": false, "ignore_merges": false, "unknown_key": [1, {"a": 1e-5}],
    "vocab": {"<unk>": 0, "▁": 1, "a": 2, "b": 3, "▁a": 4, "ab": 5, "\"\\\u0007": 6},
    "merges": ["▁ a", "a b"]
  },
  "x": 1
}`

func TestReadJSON(t *testing.T) {
	d, err := tokenizer.ReadJSON([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.New(d)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int32{7, 4, 3, 4, 0, 3}, tok.EncodeSpecial("ab aqqb")); diff != "" {
		t.Errorf("EncodeSpecial (-want +got):\n%s", diff)
	}
	if got := tok.DecodeSkip([]int32{7, 4, 3, 4}); got != "ab a" {
		t.Errorf("DecodeSkip = %q", got)
	}
	if got := tok.Token(6); got != "\"\\\a" {
		t.Errorf("Token(6) = %q", got)
	}
	if got := string(d.Model.Extra[0].Value); d.Model.Extra[0].Key != "unknown_key" || got != `[1, {"a": 1e-5}]` {
		t.Errorf("unknown key %q %s", d.Model.Extra[0].Key, got)
	}
}

// TestJSONRoundTrip: what is written reads as the same definition, and as the same
// JSON value, merges in the form they had.
func TestJSONRoundTrip(t *testing.T) {
	files := map[string][]byte{"small": []byte(small)}
	for _, name := range []string{"tiny-gpt2", "tiny-legacy", "tiny-sp-unigram", "darulm-32000-unigram", "qwen2-style", "tiny-meta-fuse"} {
		dir := golden.Unpack(t, golden.Shared(t, "reference", "tokenizers", "models", name))
		data, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = data
	}
	for name, data := range files {
		d, err := tokenizer.ReadJSON(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out, err := d.JSON()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, err := tokenizer.ReadJSON(out)
		if err != nil {
			t.Fatalf("%s: own output: %v", name, err)
		}
		compactAll(t, d)
		compactAll(t, again)
		if !reflect.DeepEqual(d, again) {
			t.Errorf("%s: the definition changed by writing and reading", name)
		}
		var was, is map[string]any
		if err := json.Unmarshal(data, &was); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &is); err != nil {
			t.Fatal(err)
		}
		model := was["model"].(map[string]any)
		if _, ok := model["ignore_merges"]; !ok && model["type"] == "BPE" {
			model["ignore_merges"] = false // older files lack it
		}
		if model["type"] == "Unigram" { // scores are compared as they are read, above
			delete(model, "vocab")
			delete(is["model"].(map[string]any), "vocab")
			if _, ok := model["byte_fallback"]; !ok {
				model["byte_fallback"] = false
			}
		}
		if diff := cmp.Diff(was, is); diff != "" {
			t.Errorf("%s (-was +is):\n%.2000s", name, diff)
		}
	}
}

// compactAll removes the white space of the JSON values, which writing may change.
func compactAll(t *testing.T, d *tokenizer.Definition) {
	t.Helper()
	compact := func(raw *json.RawMessage) {
		if *raw == nil {
			return
		}
		var b bytes.Buffer
		if err := json.Compact(&b, *raw); err != nil {
			t.Fatal(err)
		}
		*raw = b.Bytes()
	}
	for _, raw := range []*json.RawMessage{&d.Normalizer, &d.PreTokenizer, &d.PostProcessor, &d.Decoder, &d.Truncation, &d.Padding} {
		compact(raw)
	}
	for i := range d.Extra {
		compact(&d.Extra[i].Value)
	}
	for i := range d.Model.Extra {
		compact(&d.Model.Extra[i].Value)
	}
}

// TestBadJSON changes the small file in one place and wants the error that says so.
func TestBadJSON(t *testing.T) {
	for _, tt := range []struct{ old, new, want string }{
		{`"x": 1`, `"x": 1, "x": 2`, `line 19: key "x" stands twice`},
		{`"x": 1`, `"x": `, "line 20: '}' where a value should stand"},
		{`"a": 2, "b": 3`, `"a": 2, "b": 2`, `model: id 2 stands twice: "a" and "b"`},
		{`"a": 2, "b": 3`, `"a": 2, "a": 3`, `model: piece "a" stands twice`},
		{`"a": 2`, `"a": -2`, `line 16: token id -2: want a whole number from 0 to 1048575`},
		{`"a": 2`, `"a": 2.5`, "token id 2.5: want a whole number"},
		{`"a": 2`, `"a": 99999999999999999999`, "token id 99999999999999999999: want"},
		{`"▁ a"`, `"▁a"`, `model: merge 0 is "▁a", want two pieces with a space between`},
		{`"▁ a"`, `["▁"]`, "model: merge 0 has 1 pieces, want 2"},
		{`"▁ a"`, `["▁", "a", "b"]`, "model: merge 0 has more than two pieces"},
		{`"▁ a"`, `"▁ c"`, `model: merge 0: "c" is not in the vocabulary`},
		{`"▁ a"`, `"▁ b"`, `model: merge 0: "▁b" is not in the vocabulary`},
		{`"type": "BPE"`, `"type": "WordPiece"`, `model: type "WordPiece" is not supported`},
		{`"type": "BPE"`, `"type": "BPEX"`, `model: unknown type "BPEX", want BPE or Unigram`},
		{`"unk_token": "<unk>"`, `"unk_token": "?"`, `model.unk_token "?" is neither in the vocabulary nor an added token`},
		{`"id": 7`, `"id": 0`, `added tokens "<unk>" and "<s>" have the same id 0`},
		{`"id": 7`, `"id": 2`, `added token "<s>" has id 2, which the vocabulary gives to "a"`},
		{`"id": 0, "content": "<unk>"`, `"id": 8, "content": "<unk>"`, `added token "<unk>" has id 8, but the vocabulary has it as 0`},
		{`"content": "<s>"`, `"content": "<unk>"`, `added token "<unk>" stands twice`},
		{`"ids": [7]`, `"ids": [70]`, "post_processor: id 70, want 0 to 7"},
		{`"type": "Prepend"`, `"type": "Prepond"`, "Prepond"},
		{`"type": "Fuse"`, `"type": "Fuze"`, `decoder Fuze: unknown type "Fuze"`},
		{`"type": "TemplateProcessing"`, `"type": "Template"`, `post_processor Template: unknown type "Template"`},
		{`"pre_tokenizer": null`, `"pre_tokenizer": {"type": "UnicodeScripts"}`, `pre_tokenizer UnicodeScripts: unknown type "UnicodeScripts"`},
		{`"pre_tokenizer": null`, `"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated"}`, `pattern "(a": '(' without ')'`},
		{`"pre_tokenizer": null`, `"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Isolate"}`, `unknown behavior "Isolate"`},
		{`"pre_tokenizer": null`, `"pre_tokenizer": ` + strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100), "nested deeper than 64"},
		{`"version": "1.0"`, `"version": "2.0"`, `version "2.0", want "1.0"`},
		{`"model"`, `"modell"`, `no key "model"`},
		{`\u0007`, `\ud800`, "half a surrogate pair"},
		{`\u0007`, "\xff", "is not UTF-8"},
		{`"x": 1` + "\n}", `"x": 1`, "the file ends behind a value"},
		{`"x": 1` + "\n}", `"x": 1} {`, "text behind the object"},
	} {
		text := strings.Replace(small, tt.old, tt.new, 1)
		if text == small {
			t.Fatalf("%q is not in the small file", tt.old)
		}
		d, err := tokenizer.ReadJSON([]byte(text))
		if err == nil {
			_, err = tokenizer.New(d)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s for %s:\n got %v\nwant %s", tt.new, tt.old, err, tt.want)
		}
	}
}

// TestTruncatedJSON cuts the small file at every byte: an error each time.
func TestTruncatedJSON(t *testing.T) {
	for n := range len(small) {
		if _, err := tokenizer.ReadJSON([]byte(small[:n])); err == nil {
			t.Errorf("the first %d bytes are read as a whole file", n)
		}
	}
}

func FuzzReadJSON(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(`{"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0.0],["a",-1.5],["<0x41>",-2e-3]],"byte_fallback":true}}`))
	f.Add([]byte(`{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(?i:a)+|\\s+(?!\\S)"},"behavior":"Removed","invert":true},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := tokenizer.ReadJSON(data)
		if err != nil {
			return
		}
		out, err := d.JSON()
		if err != nil {
			return // a merge as text whose piece has a space, a score that has no spelling
		}
		again, err := tokenizer.ReadJSON(out)
		if err != nil {
			t.Fatalf("own output %s: %v", out, err)
		}
		compactAll(t, d)
		compactAll(t, again)
		d.Notes, again.Notes = nil, nil
		if diff := cmp.Diff(d.Model, again.Model); diff != "" {
			t.Fatalf("the model changed (-was +is):\n%s", diff)
		}
		tok, err := tokenizer.New(d)
		if err != nil {
			return
		}
		for _, text := range []string{"", "a b  aab\n", "мир\xff<s>"} {
			ids := tok.Encode(text)
			if long := tok.EncodeOptions(text, tokenizer.EncodeOptions{Offsets: true}); !reflect.DeepEqual(append([]int32{}, ids...), append([]int32{}, long.IDs...)) {
				t.Fatalf("Encode(%q) = %v, with offsets %v", text, ids, long.IDs)
			}
			tok.Decode(ids)
		}
	})
}
