package corpus

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

// FuzzJSON holds the row parser against encoding/json.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"text":"a"}`, `{"text":"\u00e9\ud83d\ude00\n"}`, `{"a":[1,-2.5e3,{"b":null}],"text":""}`, `{"text":1}`,
		`{"te\u0078t":"x"}`, `{"text":"\ud800"}`, `{"text":"a"} x`, `{"text":"a",}`, `{"a":01}`, `{`, `{"text":"\`, "{\"text\":\"\x01\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		opts := DefaultOptions()
		opts.ReplaceInvalid = true
		got, err := jsonText(data, opts)
		if !utf8.Valid(data) {
			return // encoding/json replaces such bytes, the reader refuses them before
		}
		var want map[string]json.RawMessage
		var text *string
		jsonErr := json.Unmarshal(data, &want)
		if jsonErr == nil && want["text"] != nil {
			jsonErr = json.Unmarshal(want["text"], &text)
		}
		switch {
		case jsonErr == nil && text != nil && (err != nil || got != *text):
			t.Fatalf("%q: %q, %v; encoding/json: %q", data, got, err, *text)
		case (jsonErr != nil || text == nil) && err == nil:
			t.Fatalf("%q: accepted with %q; encoding/json: %v", data, got, jsonErr)
		}
	})
}

// FuzzFiles reads any bytes as every kind of file: no panic, and every row is a
// document, a counted bad row or nothing.
func FuzzFiles(f *testing.F) {
	f.Add(uint8(0), []byte("a\r\nb"))
	f.Add(uint8(1), []byte(zst(f, `{"text":"a"}`+"\n")+zst(f, `{"text":"b"}`)))
	f.Add(uint8(1), []byte(gz(f, `{"text":"a"}`)))
	f.Add(uint8(2), []byte(`[{"text":"a"}, {"text":"b"}]`))
	f.Add(uint8(3), []byte("text,b\n\"a\nb\",c\n"))
	f.Add(uint8(4), []byte("text\tb\na\"b\tc\n"))
	f.Add(uint8(5), []byte(parquetFile(f, "a", "b")))
	f.Add(uint8(6), []byte(arrowFile(f, true, "a", "b")))
	names := []string{"a.txt", "a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet", "a.arrow"}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		path := filepath.Join(t.TempDir(), names[int(kind)%len(names)])
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		opts := DefaultOptions()
		opts.MaxBadRows, opts.MaxDocBytes = -1, 1<<16
		r, err := Open([]string{path}, opts)
		if err != nil {
			t.Fatal(err)
		}
		last := int64(-1)
		for doc, err := range r.Documents(t.Context()) {
			if err != nil {
				break
			}
			if !utf8.ValidString(doc.Text) {
				t.Fatalf("text is no UTF-8: %q", doc.Text)
			}
			if doc.Offset < last {
				t.Fatalf("offset %d after %d", doc.Offset, last)
			}
			last = doc.Offset
		}
	})
}
