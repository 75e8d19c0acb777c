package corpus

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"lep/internal/golden"
	"lep/internal/hint"
)

func gz(t testing.TB, data string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(data))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zst(t testing.TB, data string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(w.EncodeAll([]byte(data), nil))
}

func parquetFile(t testing.TB, texts ...string) string {
	t.Helper()
	type row struct {
		ID   int64   `parquet:"id"`
		Text *string `parquet:"text,optional"`
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b, parquet.MaxRowsPerRowGroup(3))
	for i, s := range texts {
		r := row{ID: int64(i), Text: &s}
		if s == "NULL" {
			r.Text = nil
		}
		if _, err := w.Write([]row{r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func write(t testing.TB, dir, name, data string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// read collects texts, and bad rows as text without the folder.
func read(t testing.TB, dir string, specs []string, opts Options) (texts, bad []string, err error) {
	t.Helper()
	r, err := Open(specs, opts)
	if err != nil {
		return nil, nil, err
	}
	for doc, e := range r.Documents(context.Background()) {
		if err = e; err == nil {
			texts = append(texts, doc.Text)
		}
	}
	for _, b := range r.Bad().First {
		bad = append(bad, strings.ReplaceAll(b.Error(), dir+string(filepath.Separator), ""))
	}
	return texts, bad, err
}

func TestFormats(t *testing.T) {
	lines := "{\"text\":\"мир\"}\n{\"id\":1,\"text\":\"a\\tb\\u0416\\ud83d\\ude00\"}\r\n\n{\"text\":\"\"}\n{\"text\": \"end\"}"
	fromLines := []string{"мир", "a\tbЖ😀", "", "end"}
	for _, tt := range []struct {
		name, file, data string
		opts             func(*Options)
		want, bad        []string
		why              string
	}{
		{"txt", "a.txt", "one\r\ntwo\n\nthree", nil, []string{"one", "two", "three"}, nil, "CRLF and a last line without LF"},
		{"txt with line ends", "a.txt", "one\r\ntwo\n\nthree", func(o *Options) { o.LineEnds = true }, []string{"one\n", "two\n", "\n", "three"}, nil, "HF's trainers see the LF"},
		{"txt as one", "a.txt", "\ufeffone\r\n\r\ntwo\n", func(o *Options) { o.WholeFile = true }, []string{"one\n\ntwo\n"}, nil, "no BOM in the text"},
		{"jsonl", "a.jsonl", lines, nil, fromLines, nil, "escapes, surrogate pairs, blank lines"},
		{"jsonl in gzip", "a.jsonl.gz", gz(t, lines), nil, fromLines, nil, ""},
		{"jsonl in zstd", "a.jsonl.zst", zst(t, lines), nil, fromLines, nil, ""},
		{"zstd without its ending", "a.jsonl", zst(t, lines), nil, fromLines, nil, "the first bytes decide, not the name"},
		{"several zstd frames", "a.jsonl.zst", zst(t, lines[:20]) + zst(t, "") + "\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + zst(t, lines[20:]), nil, fromLines, nil, "frames join, skippable ones are skipped"},
		{"jsonl with BOM", "a.jsonl", "\ufeff" + lines, nil, fromLines, nil, ""},
		{"json array", "a.json", "[" + strings.Join(strings.Fields(`{"text":"x"} , {"text":"y"}`), "\n") + "]", nil, []string{"x", "y"}, nil, ""},
		{"json spread over lines", "a.json", "{\n \"text\": \"x\"\n}\n{\"text\":\"y\"}", nil, []string{"x", "y"}, nil, ""},
		{"json with a row a line", "a.json", lines, nil, fromLines, nil, ""},
		{"json raw", "a.jsonl", `{"messages": [1, {"a":null}]}`, func(o *Options) { o.RawJSON = true }, []string{`{"messages": [1, {"a":null}]}`}, nil, ""},
		{"csv", "a.csv", "id,text\n1,\"a\nb \"\"q\"\"\"\n2,c\n", nil, []string{"a\nb \"q\"", "c"}, nil, "quoted fields span lines"},
		{"tsv", "a.tsv", "text\tid\nsay \"hi\"\t1\n", nil, []string{"say \"hi\""}, nil, ""},
		{"other field", "a.csv", "id,content\n1,x\n", func(o *Options) { o.TextField = "content" }, []string{"x"}, nil, ""},
		{"parquet", "a.parquet", parquetFile(t, "a", "b", "c", "d", "e", "f", "g"), nil, []string{"a", "b", "c", "d", "e", "f", "g"}, nil, "row groups of three"},
		{"parquet with null", "a.parquet", parquetFile(t, "a", "NULL", "c"), func(o *Options) { o.MaxBadRows = -1 }, []string{"a", "c"}, []string{`a.parquet: row 2: column "text" is null`}, ""},
		{"parquet in gzip", "a.parquet.gz", gz(t, parquetFile(t, "a", "b")), nil, []string{"a", "b"}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			opts := DefaultOptions()
			if tt.opts != nil {
				tt.opts(&opts)
			}
			got, bad, err := read(t, dir, []string{write(t, dir, tt.file, tt.data)}, opts)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("texts (-want +got):\n%s%s", diff, tt.why)
			}
			if diff := cmp.Diff(tt.bad, bad); diff != "" {
				t.Errorf("bad rows (-want +got):\n%s%s", diff, tt.why)
			}
		})
	}
}

func TestBadInput(t *testing.T) {
	three := zst(t, "one\ntwo\n") + zst(t, strings.Repeat("three ", 50)+"\n") + zst(t, "four\n")
	middle := len(zst(t, "one\ntwo\n"))
	hurt := func(at int) string { b := []byte(three); b[at] ^= 0x55; return string(b) }
	for _, tt := range []struct {
		name, file, data string
		want, bad        []string
		why              string
	}{
		{"broken row", "a.jsonl", "{\"text\":\"x\"}\n{\"text\":1}\n{\"tex\":\"y\"}\n[1]\n{\"text\":\"z\"}\n", []string{"x", "z"}, []string{
			`a.jsonl:2: field "text" is a number, want a string`, `a.jsonl:3: no field "text" (fields: tex)`, `a.jsonl:4: not a JSON object (begins with '[')`}, ""},
		{"cut off in mid-line", "a.jsonl", "{\"text\":\"x\"}\n{\"text\":\"y", []string{"x"}, []string{
			"a.jsonl:2: the file is cut off in mid-line: broken JSON at byte 10 of the row: a string does not end"}, ""},
		{"not UTF-8", "a.txt", "good\nb\xd0d\nok", []string{"good", "ok"}, []string{"a.txt:2: invalid UTF-8 at byte 6 of the file (0xd0)"}, ""},
		{"not UTF-8 in JSON", "a.jsonl", "{\"text\":\"\xff\"}\n{\"text\":\"ok\"}", []string{"ok"}, []string{"a.jsonl:1: invalid UTF-8 at byte 9 of the file (0xff)"}, ""},
		{"lone surrogate", "a.jsonl", `{"text":"a\ud800b"}` + "\n" + `{"text":"ok"}`, []string{"ok"}, []string{`a.jsonl:1: broken JSON at byte 18 of the row: lone surrogate \ud800`}, ""},
		{"damaged frame", "a.txt.zst", hurt(middle + 14), []string{"one", "two", "four"}, []string{
			fmt.Sprintf("a.txt.zst:3: zstd frame 2 at byte %d is damaged: ", middle)}, "the frames around it are read"},
		{"damaged block header", "a.txt.zst", hurt(middle + 8), []string{"one", "two", "four"}, []string{
			fmt.Sprintf("a.txt.zst:3: zstd frame 2 at byte %d is damaged: ", middle)}, "the next frame is searched by its magic number"},
		{"damaged magic", "a.txt.zst", hurt(middle), []string{"one", "two", "four"}, []string{
			fmt.Sprintf("a.txt.zst:3: zstd frame 2 at byte %d is damaged: no zstd magic number", middle)}, ""},
		{"zstd cut off", "a.txt.zst", three[:len(three)-3], nil, []string{"a.txt.zst:"}, ""},
		{"gzip cut off", "a.jsonl.gz", gz(t, "{\"text\":\"x\"}\n")[:30], nil, []string{"a.jsonl.gz:"}, ""},
		{"csv with a short row", "a.csv", "id,text\n1\n2,c\n", []string{"c"}, []string{"a.csv:2: column 1: wrong number of fields"}, ""},
		{"json array cut off", "a.json", `[{"text":"x"},{"text":`, []string{"x"}, []string{"a.json: the file is cut off behind row 1"}, ""},
		{"json array broken", "a.json", `[{"text":"x"} {"text":"y"}]`, []string{"x"}, []string{"a.json: broken JSON at byte 14, the rest of the file is lost"}, ""},
		{"long line", "a.txt", "a\n" + strings.Repeat("x", 3000) + "\nb\n", []string{"a", "b"}, []string{"a.txt:2: line is longer than max_doc_bytes = 2000"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			opts := DefaultOptions()
			opts.MaxBadRows = -1
			opts.MaxDocBytes = 2000
			path := write(t, dir, tt.file, tt.data)
			got, bad, err := read(t, dir, []string{path}, opts)
			if err != nil && tt.want != nil {
				t.Fatal(err)
			}
			if tt.want != nil {
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("texts (-want +got):\n%s%s", diff, tt.why)
				}
			}
			if len(bad) != len(tt.bad) {
				t.Fatalf("bad rows %q, want %q", bad, tt.bad)
			}
			for i := range bad {
				if !strings.HasPrefix(bad[i], tt.bad[i]) {
					t.Errorf("bad row %q, want %q", bad[i], tt.bad[i])
				}
			}
			opts.MaxBadRows = 0
			if _, _, err := read(t, dir, []string{path}, opts); err == nil {
				t.Error("no error with MaxBadRows = 0")
			}
		})
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ file, data, want string }{
		{"empty.txt", "", "corpus: no document in 1 files (0 bytes)"},
		{"binary.txt", "ELF\x00\x01", "not a text: a NUL at byte 3"},
		{"utf16.txt", "\xff\xfeh\x00i\x00", "text in UTF-16"},
		{"a.docx", "x", "unknown kind of file"},
		{"a.parquet", "xxxxxxxxxxxx", "not a parquet file"},
		{"b.parquet", "PAR1xxxxxxxxPAR1", "b.parquet: "},
		{"a.csv", "id,name\n1,x\n", `no column "text" (columns: id, name)`},
	} {
		_, _, err := read(t, dir, []string{write(t, dir, tt.file, tt.data)}, DefaultOptions())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.file, err, tt.want)
		}
	}
	if _, err := Open([]string{filepath.Join(dir, "none.txt")}, DefaultOptions()); !os.IsNotExist(err) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Open([]string{filepath.Join(dir, "a.csv") + "=-1"}, DefaultOptions()); err == nil || !strings.Contains(err.Error(), "want a number above 0") {
		t.Errorf("weight: %v", err)
	}
	_, err := Open([]string{filepath.Join(dir, "a.docx")}, DefaultOptions())
	if !strings.Contains(hint.Of(err), ".jsonl") {
		t.Errorf("hint %q does not list the kinds", hint.Of(err))
	}
}

func TestSpecs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/1.txt", "a/b/2.txt.gz", "a/b/3.md", "a/.git/4.txt", "a/5=6.txt"} {
		write(t, dir, name, "x")
	}
	for _, tt := range []struct {
		spec   string
		want   []string
		weight float64
	}{
		{"a", []string{"a/1.txt", "a/5=6.txt", "a/b/2.txt.gz"}, 0},
		{"a/*.txt=0.25", []string{"a/1.txt", "a/5=6.txt"}, 0.25},
		{"a/**/*.gz", []string{"a/b/2.txt.gz"}, 0},
		{"a/5=6.txt", []string{"a/5=6.txt"}, 0},
		{"a/5=6.txt=2", []string{"a/5=6.txt"}, 2},
	} {
		spec, err := ParseSpec(filepath.Join(dir, tt.spec))
		if err != nil {
			t.Errorf("%s: %v", tt.spec, err)
			continue
		}
		var got []string
		for _, f := range spec.Files {
			rel, _ := filepath.Rel(dir, f)
			got = append(got, filepath.ToSlash(rel))
		}
		if !slices.Equal(got, tt.want) || spec.Weight != tt.weight {
			t.Errorf("%s: %v weight %v, want %v weight %v", tt.spec, got, spec.Weight, tt.want, tt.weight)
		}
	}
}

func TestWeightsSampleResume(t *testing.T) {
	dir := t.TempDir()
	var a, b strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&a, "{\"text\":\"ru %d\"}\n", i)
		fmt.Fprintf(&b, "en %d some more text\n", i)
	}
	specs := []string{write(t, dir, "a.jsonl.zst", zst(t, a.String())) + "=0.9", write(t, dir, "b.txt", b.String()) + "=0.1"}
	all, _, err := read(t, dir, specs, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	bytes := map[string]int{}
	for i, s := range all {
		bytes[s[:2]] += len(s)
		if share := float64(bytes["ru"]) / float64(bytes["ru"]+bytes["en"]); i > 1000 && math.Abs(share-0.9) > 0.02 {
			t.Fatalf("after %d documents ru has share %v of the bytes, want 0.9", i, share)
		}
	}

	opts := DefaultOptions()
	opts.Sample, opts.Seed = 0.3, 7
	some, _, err := read(t, dir, specs[:1], opts)
	if err != nil || len(some) < 1100 || len(some) > 1300 {
		t.Errorf("sample of 0.3 kept %d of 4000 (%v)", len(some), err)
	}
	again, _, _ := read(t, dir, specs[:1], opts)
	opts.Seed = 8
	other, _, _ := read(t, dir, specs[:1], opts)
	if !slices.Equal(some, again) || slices.Equal(some, other) {
		t.Error("a sample must depend on the seed alone")
	}

	r, err := Open(specs, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range r.Documents(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 777 {
			break
		}
	}
	opts = DefaultOptions()
	at := r.Position()
	opts.Start = &at
	rest, _, err := read(t, dir, specs, opts)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all[777:], rest); diff != "" {
		t.Errorf("resumed reading differs: %s", diff)
	}
}

func TestResumeEveryFormat(t *testing.T) {
	dir := t.TempDir()
	rows := "{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n{\"text\":\"d\"}\n"
	for name, data := range map[string]string{
		"a.jsonl": rows, "a.jsonl.gz": gz(t, rows), "a.txt": "a\r\nb\nc\nd", "a.csv": "text\na\nb\nc\nd\n",
		"a.arrow": arrowFile(t, false, "a", "b", "c", "d"), "a.parquet.zst": zst(t, parquetFile(t, "a", "b", "c", "d")),
		"a.json": `[{"text":"a"},{"text":"b"},{"text":"c"},{"text":"d"}]`, "a.parquet": parquetFile(t, "a", "b", "c", "d"),
	} {
		path := write(t, dir, name, data)
		for stop := 1; stop <= 4; stop++ {
			r, err := Open([]string{path}, DefaultOptions())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for doc, err := range r.Documents(t.Context()) {
				if err != nil {
					t.Fatal(name, err)
				}
				if got = append(got, doc.Text); len(got) == stop {
					break
				}
			}
			opts := DefaultOptions()
			at := r.Position()
			opts.Start = &at
			rest, _, err := read(t, dir, []string{path}, opts)
			if got = append(got, rest...); err != nil || !slices.Equal(got, []string{"a", "b", "c", "d"}) {
				t.Errorf("%s stopped after %d: %q, %v", name, stop, got, err)
			}
		}
	}
}

func TestSharedCorpus(t *testing.T) {
	path := golden.Shared(t, "corpus", "ru.heldout.jsonl.zst")
	r, err := Open([]string{path}, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	docs, chars := 0, 0
	for doc, err := range r.Documents(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		docs++
		chars += len([]rune(doc.Text))
	}
	if docs != 125 || chars != 538611 {
		t.Errorf("%d documents, %d characters, want 125 and 538611", docs, chars)
	}
	if p := r.Progress(); p.Read != p.Total || p.Documents != 125 {
		t.Errorf("progress at the end: %+v", p)
	}
}
