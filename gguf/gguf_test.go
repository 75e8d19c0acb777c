package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lep/tensor"
)

// sample is a small file with a field of every type and tensors of odd sizes.
func sample(t testing.TB) []byte {
	t.Helper()
	w := NewWriter("llama")
	for _, f := range fields() {
		if err := w.Set(f.Key, f.Value); err != nil {
			t.Fatal(err)
		}
	}
	add := func(name string, typ Type, shape ...int) {
		size, err := tensorSize(typ, shape)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(name, typ, shape, func(out io.Writer) error {
			_, err := out.Write(bytes.Repeat([]byte{byte(len(name))}, int(size)))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	add("a", F32, 3)
	add("bb", Q8_0, 3, 64)
	add("ccc", BF16, 2, 5)
	var b bytes.Buffer
	n, err := w.WriteTo(&b)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := w.Size(); err != nil || n != want || n != int64(b.Len()) {
		t.Fatalf("%d bytes written, Size says %d (%v), WriteTo %d", b.Len(), want, err, n)
	}
	return b.Bytes()
}

func fields() []Field {
	return []Field{
		{"u8", uint8(200)}, {"i8", int8(-3)}, {"u16", uint16(65535)}, {"i16", int16(-300)}, {"u32", uint32(1 << 31)}, {"i32", int32(-5)},
		{"u64", uint64(1 << 63)}, {"i64", int64(-1 << 62)}, {"f32", float32(1.5)}, {"f64", math.Pi}, {"yes", true}, {"no", false},
		{"text", "Привет"}, {"bytes", "\xff\x00"}, {"tokens", []string{"a", "", "б"}}, {"types", []int32{1, -2}}, {"scores", []float32{0, -1.25}},
		{"flags", []bool{true, false}}, {"map", []uint8{1, 2, 3}}, {"none", []string{}},
	}
}

func TestRoundTrip(t *testing.T) {
	data := sample(t)
	f, err := Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	want := append([]Field{{"general.architecture", "llama"}, {"general.alignment", uint32(32)}}, fields()...)
	if diff := cmp.Diff(want, f.Fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Tensor{{"a", F32, []int{3}, 0, 12}, {"bb", Q8_0, []int{3, 64}, 32, 204}, {"ccc", BF16, []int{2, 5}, 256, 20}}, f.Tensors); diff != "" {
		t.Errorf("tensors (-want +got):\n%s", diff)
	}
	got, err := io.ReadAll(f.Data(f.Tensors[1]))
	if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{2}, 204)) {
		t.Errorf("data of bb: %v, %v", got, err)
	}
	if f.Text("text") != "Привет" || f.Text("u8") != "" || f.Field("absent") != nil {
		t.Error("Text or Field finds something else")
	}
}

// TestTruncated cuts the file at every byte of its header and data; the padding at its end may be missing.
func TestTruncated(t *testing.T) {
	data := sample(t)
	for n := range len(data) - 12 {
		if _, err := Read(bytes.NewReader(data[:n]), int64(n)); err == nil {
			t.Fatalf("the first %d of %d bytes are read as a whole file", n, len(data))
		}
	}
}

// header writes a hostile header: version, counts and what follows.
func header(version uint32, tensors, fields uint64, rest ...any) []byte {
	b := []byte(magic)
	for _, v := range append([]any{version, tensors, fields}, rest...) {
		switch v := v.(type) {
		case string:
			b = appendString(b, v)
		default:
			b, _ = binary.Append(b, binary.LittleEndian, v)
		}
	}
	return b
}

func TestHostile(t *testing.T) {
	u32 := func(v uint32) uint32 { return v }
	u64 := func(v uint64) uint64 { return v }
	one := func(shape ...uint64) []any { // a tensor entry up to its dimensions
		list := []any{"t", u32(uint32(len(shape)))}
		for _, d := range shape {
			list = append(list, d)
		}
		return list
	}
	pad := make([]byte, 128)
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "no GGUF file"},
		{"another format", []byte("GGML....................................."), "no GGUF file"},
		{"version 1", header(1, 0, 0), "version 1 of the format, want 2 or 3"},
		{"big-endian", header(3<<24, 0, 0), "big-endian"},
		{"too many tensors", header(3, math.MaxUint64, 0), "are more than"},
		{"too many fields", header(3, 0, 1<<40), "are more than"},
		{"long key", append(header(3, 0, 1, u64(1<<40)), pad...), "a string of 1099511627776 bytes"},
		{"empty key", append(header(3, 0, 1, "", codeBool), pad...), "is empty"},
		{"key twice", append(header(3, 0, 2, "k", codeUint8, uint8(1), "k", codeUint8, uint8(1)), pad...), "there twice"},
		{"value type", append(header(3, 0, 1, "k", u32(13)), pad...), "value type 13"},
		{"boolean of 2", append(header(3, 0, 1, "k", codeBool, uint8(2)), pad...), "a boolean of 2"},
		{"long array", append(header(3, 0, 1, "k", codeArray, codeFloat64, u64(1<<61)), pad...), "an array of"},
		{"array longer than its elements", append(header(3, 0, 1, "k", codeArray, codeFloat64, u64(100)), pad...), "an array of 100 elements"},
		{"deep arrays", append(header(3, 0, 1, "k", codeArray, codeArray, u64(1), codeArray, u64(1), codeArray, u64(1), codeArray, u64(1), codeArray, u64(1)), pad...), "nested"},
		{"alignment of 3", append(header(3, 0, 1, alignmentKey, codeUint32, u32(3)), pad...), "power of two"},
		{"alignment of 0", append(header(3, 0, 1, alignmentKey, codeUint32, u32(0)), pad...), "power of two"},
		{"alignment of text", append(header(3, 0, 1, alignmentKey, codeString, "32"), pad...), "power of two"},
		{"long name", append(header(3, 1, 0, strings.Repeat("x", 64)), pad...), "a string of 64 bytes, at most 63"},
		{"no dimension", append(header(3, 1, 0, one()...), pad...), "0 dimensions"},
		{"five dimensions", append(header(3, 1, 0, one(1, 1, 1, 1, 1)...), pad...), "5 dimensions"},
		{"dimension of 0", append(header(3, 1, 0, one(4, 0)...), pad...), "a dimension of 0"},
		{"product overflows", append(header(3, 1, 0, append(one(1<<30, 1<<30, 1<<30, 1<<30), uint32(F32), u64(0))...), pad...), "beyond any file"},
		{"unknown type", append(header(3, 1, 0, append(one(4), u32(99), u64(0))...), pad...), "type 99 is not known"},
		{"half a block", append(header(3, 1, 0, append(one(33), uint32(Q8_0), u64(0))...), pad...), "multiple of 32"},
		{"beyond the end", append(header(3, 1, 0, append(one(1<<20), uint32(F32), u64(0))...), pad...), "ends at byte"},
		{"offset beyond all", append(header(3, 1, 0, append(one(4), uint32(F32), u64(math.MaxUint64-15))...), pad...), "beyond any file"},
		{"gap", append(header(3, 1, 0, append(one(4), uint32(F32), u64(32))...), pad...), "begins at 32, want 0"},
		{"bytes behind", append(header(3, 1, 0, append(one(4), uint32(F32), u64(0))...), pad...), "bytes behind the last tensor"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(bytes.NewReader(tt.data), int64(len(tt.data)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(path, sample(t), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Tensors) != 3 || f.Close() != nil {
		t.Errorf("%d tensors", len(f.Tensors))
	}
	if _, err := Open(filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder is opened: %v", err)
	}
}

func TestWriterRefuses(t *testing.T) {
	w := NewWriter("llama")
	nothing := func(io.Writer) error { return nil }
	for name, err := range map[string]error{
		"a map":            w.Set("k", map[string]int{}),
		"an int":           w.Set("k", 3),
		"no key":           w.Set("", true),
		"the alignment":    w.Set(alignmentKey, uint32(64)),
		"no name":          w.Add("", F32, []int{1}, nothing),
		"a long name":      w.Add(strings.Repeat("x", 64), F32, []int{1}, nothing),
		"no shape":         w.Add("t", F32, nil, nothing),
		"a dimension of 0": w.Add("t", F32, []int{0, 4}, nothing),
		"an odd row":       w.Add("t", Q8_0, []int{2, 33}, nothing),
		"an unknown type":  w.Add("t", 99, []int{2, 33}, nothing),
	} {
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	full := errors.New("full")
	for name, produce := range map[string]func(io.Writer) error{
		"too few": nothing,
		"full":    func(io.Writer) error { return full },
		"too many": func(w io.Writer) error {
			_, err := w.Write(make([]byte, 17))
			return err
		},
	} {
		w := NewWriter("llama")
		if err := w.Add("t", F32, []int{4}, produce); err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteTo(io.Discard); err == nil || !strings.Contains(err.Error(), `"t"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAppendRow checks Q8_0 by its definition; the conformance suite holds the bytes against ggml's own.
func TestAppendRow(t *testing.T) {
	row := make([]float32, 64)
	for i := range 32 {
		row[i] = float32(i) - 15.5
	}
	b := AppendRow([]byte("x"), row, Q8_0)[1:]
	if len(b) != 68 {
		t.Fatalf("%d bytes, want 68", len(b))
	}
	scale := float64(tensor.F16ToF32(binary.LittleEndian.Uint16(b)))
	for i, x := range row[:32] {
		if got := scale * float64(int8(b[2+i])); math.Abs(got-float64(x)) > 15.5/127/2*1.01 {
			t.Errorf("element %d: %g, want %g", i, got, x)
		}
	}
	if !bytes.Equal(b[34:], make([]byte, 34)) {
		t.Error("a block of zeros is not zeros")
	}
	for typ, want := range map[Type][]byte{F32: {0, 0, 192, 63}, F16: {0, 62}, BF16: {192, 63}} {
		if got := AppendRow(nil, []float32{1.5}, typ); !bytes.Equal(got, want) {
			t.Errorf("1.5 as %v: %v, want %v", typ, got, want)
		}
	}
}

func TestParseType(t *testing.T) {
	for _, name := range []string{"f32", "F16", "bf16", "q8_0"} {
		if typ, err := ParseType(name); err != nil || !strings.EqualFold(typ.String(), name) {
			t.Errorf("%s: %v, %v", name, typ, err)
		}
	}
	if _, err := ParseType("q4_k"); err == nil || !strings.Contains(err.Error(), "want one of f32, f16, bf16, q8_0") {
		t.Errorf("q4_k: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sample(f))
	f.Add(header(3, math.MaxUint64, math.MaxUint64))
	f.Add(header(2, 0, 1, "k", codeArray, codeString, uint64(3)))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, tensor := range file.Tensors { // what was read is there
			if n, err := io.Copy(io.Discard, file.Data(tensor)); err != nil || n != tensor.Size {
				t.Fatalf("tensor %q: %d bytes, want %d (%v)", tensor.Name, n, tensor.Size, err)
			}
		}
	})
}

func BenchmarkQ8(b *testing.B) {
	row := make([]float32, 4096)
	for i := range row {
		row[i] = float32(math.Sin(float64(i)))
	}
	var buf []byte
	b.SetBytes(int64(4 * len(row)))
	for b.Loop() {
		buf = AppendRow(buf[:0], row, Q8_0)
	}
}
