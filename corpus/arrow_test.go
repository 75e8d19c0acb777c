package corpus

import (
	"bytes"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"
)

// arrowFile writes two rows a batch; "NULL" becomes null.
func arrowFile(t testing.TB, file bool, texts ...string) string {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "text", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	var b bytes.Buffer
	var w interface {
		Write(arrow.RecordBatch) error
		Close() error
	} = ipc.NewWriter(&b, ipc.WithSchema(schema))
	if file {
		var err error
		if w, err = ipc.NewFileWriter(&b, ipc.WithSchema(schema), ipc.WithZstd()); err != nil {
			t.Fatal(err)
		}
	}
	for part := range slices.Chunk(texts, 2) {
		rb := array.NewRecordBuilder(memory.NewGoAllocator(), schema)
		for i, s := range part {
			rb.Field(0).(*array.Int64Builder).Append(int64(i))
			if s == "NULL" {
				rb.Field(1).AppendNull()
			} else {
				rb.Field(1).(*array.StringBuilder).Append(s)
			}
		}
		if err := w.Write(rb.NewRecordBatch()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestArrow(t *testing.T) {
	for _, tt := range []struct {
		name, file, data string
		want, bad        []string
	}{
		{"stream", "a.arrow", arrowFile(t, false, "a", "b", "NULL", "d", "мир"), []string{"a", "b", "d", "мир"}, []string{`a.arrow: row 3: column "text" is null`}},
		{"file", "a.arrow", arrowFile(t, true, "a", "b", "c"), []string{"a", "b", "c"}, nil},
		{"gzip", "a.arrow.gz", gz(t, arrowFile(t, false, "a", "b")), []string{"a", "b"}, nil},
		{"not UTF-8", "a.arrow", arrowFile(t, false, "a", "\xff"), []string{"a"}, []string{"a.arrow:2: invalid UTF-8 at byte 0 of the row's text (0xff)"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			opts := DefaultOptions()
			opts.MaxBadRows = -1
			got, bad, err := read(t, dir, []string{write(t, dir, tt.file, tt.data)}, opts)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("texts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.bad, bad); diff != "" {
				t.Errorf("bad rows (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSaveToDisk: a folder of Hugging Face's datasets has descriptions beside the data.
func TestSaveToDisk(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "ds/dataset_dict.json", `{"splits": ["train"]}`)
	write(t, dir, "ds/train/state.json", `{}`)
	write(t, dir, "ds/train/dataset_info.json", `{}`)
	write(t, dir, "ds/train/data-00000-of-00001.arrow", arrowFile(t, false, "a", "b", "c"))
	got, bad, err := read(t, dir, []string{dir + "/ds"}, DefaultOptions())
	if err != nil || len(bad) > 0 || !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("%q, bad %q, %v", got, bad, err)
	}
}

// TestArrowDamage cuts and changes a file at every byte: no panic, and no more
// rows than there are.
func TestArrowDamage(t *testing.T) {
	data := arrowFile(t, false, "a", "b", "c")
	dir := t.TempDir()
	opts := DefaultOptions()
	opts.MaxBadRows = -1
	for i := range len(data) {
		hurt := []byte(data)
		hurt[i] ^= 0xA5
		for _, d := range []string{data[:i], string(hurt)} {
			texts, _, _ := read(t, dir, []string{write(t, dir, "a.arrow", d)}, opts)
			if len(texts) > 3 {
				t.Fatalf("damage at byte %d: %q", i, texts)
			}
		}
	}
}

// TestArrowColumns puts the text behind columns of every shape.
func TestArrowColumns(t *testing.T) {
	i64, str := arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String
	dict := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: str}
	var fields []arrow.Field
	for i, typ := range []arrow.DataType{
		arrow.Null, arrow.FixedWidthTypes.Boolean, arrow.ListOf(str), arrow.StructOf(arrow.Field{Name: "a", Type: str}, arrow.Field{Name: "b", Type: arrow.ListOf(i64)}),
		arrow.MapOf(str, i64), arrow.FixedSizeListOf(2, i64), &arrow.FixedSizeBinaryType{ByteWidth: 3}, dict, arrow.BinaryTypes.LargeBinary,
	} {
		fields = append(fields, arrow.Field{Name: string(rune('a' + i)), Type: typ, Nullable: true})
	}
	for _, text := range []arrow.DataType{str, arrow.BinaryTypes.LargeString} {
		schema := arrow.NewSchema(append(slices.Clip(fields), arrow.Field{Name: "text", Type: text, Nullable: true}), nil)
		rb := array.NewRecordBuilder(memory.NewGoAllocator(), schema)
		for i, b := range rb.Fields() {
			for _, s := range []string{"one", "два", ""} {
				if i < len(fields) {
					b.AppendNull()
				} else if err := b.AppendValueFromString(s); err != nil {
					t.Fatal(err)
				}
			}
		}
		var b bytes.Buffer
		w := ipc.NewWriter(&b, ipc.WithSchema(schema), ipc.WithLZ4())
		if err := w.Write(rb.NewRecordBatch()); err != nil {
			t.Fatal(err)
		}
		w.Close()
		dir := t.TempDir()
		got, bad, err := read(t, dir, []string{write(t, dir, "a.arrow", b.String())}, DefaultOptions())
		if err != nil || len(bad) > 0 || !slices.Equal(got, []string{"one", "два", ""}) {
			t.Errorf("%v: %q, bad %q, %v", text, got, bad, err)
		}
	}
}
