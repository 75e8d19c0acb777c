package checkpoint

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lep/tensor"
)

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// tiny is a whole file with three tensors.
func tiny(t testing.TB) []byte {
	t.Helper()
	header, err := encodeHeader([]Entry{
		{Name: "a", DType: tensor.F32, Shape: []int{2, 3}, Begin: 0, End: 24},
		{Name: "b", DType: tensor.BF16, Shape: []int{}, Begin: 24, End: 26},
		{Name: "ж\"<", DType: tensor.U8, Shape: []int{0, 7}, Begin: 26, End: 26}},
		map[string]string{"format": "pt"})
	if err != nil {
		t.Fatal(err)
	}
	data := append(header, make([]byte, 26)...)
	for i := range 26 {
		data[len(header)+i] = byte(i)
	}
	return data
}

// raw is a file with the given header text and n bytes of data.
func raw(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

func TestOpenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	writeFile(t, path, tiny(t))
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := fmt.Sprintf("%q %v", f.Names(), f.Metadata()); got != `["a" "b" "ж\"<"] map[format:pt]` {
		t.Errorf("got %s", got)
	}
	v, err := f.Tensor("b")
	if err != nil || v.DType != tensor.BF16 || string(v.Data) != "\x18\x19" {
		t.Errorf("b is %+v, %v", v, err)
	}
	f.Release(v)
	f.Release(tensor.View{Data: make([]byte, 10)}) // not ours: nothing may happen
	if string(v.Data) != "\x18\x19" {
		t.Error("released bytes do not come back")
	}
	if _, err := f.Tensor("c"); err == nil || err.Error() != `x.safetensors: tensor "c": is not there` {
		t.Errorf("got %v", err)
	}
	// The way of systems without mapping.
	if err := unmapFile(f.mapped); err != nil {
		t.Fatal(err)
	}
	f.mapped = nil
	if v, err := f.Tensor("b"); err != nil || string(v.Data) != "\x18\x19" {
		t.Errorf("read instead of mapped: %+v, %v", v, err)
	}
}

func TestTruncatedAtEveryByte(t *testing.T) {
	whole := tiny(t)
	path := filepath.Join(t.TempDir(), "x.safetensors")
	for n := range whole {
		writeFile(t, path, whole[:n])
		f, err := OpenFile(path)
		if err == nil {
			f.Close()
			t.Fatalf("the first %d of %d bytes were accepted", n, len(whole))
		}
		if !strings.HasPrefix(err.Error(), "x.safetensors: ") {
			t.Errorf("%d bytes: error without the file: %v", n, err)
		}
	}
	writeFile(t, path, append(whole, 0))
	if _, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), "the file has 27") {
		t.Errorf("a byte too many: %v", err)
	}
}

func TestHostileHeaders(t *testing.T) {
	entry := func(name, dtype, shape string, from, to int) string {
		return fmt.Sprintf(`%q:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, name, dtype, shape, from, to)
	}
	a := entry("a", "F32", "[2]", 0, 8)
	for _, tt := range []struct {
		name   string
		header string
		data   int
		want   string
	}{
		{"array", `[1]`, 0, `begins with '[', want '{'`},
		{"blank in front", ` {}`, 0, `begins with ' '`},
		{"not JSON", `{"a":`, 0, "header"},
		{"not UTF-8", "{\"\xff\":1}", 0, "not UTF-8"},
		{"twice", "{" + a + "," + a + "}", 8, `tensor "a" stands twice`},
		{"twice, escaped", "{" + a + `,"\u0061":{}` + "}", 8, `tensor "a" stands twice`},
		{"text behind", "{}{}", 0, "text behind the object"},
		{"dtype", "{" + entry("a", "Q4", "[2]", 0, 8) + "}", 8, `unknown dtype "Q4"`},
		{"dtype null", `{"a":{"dtype":null,"shape":[2],"data_offsets":[0,8]}}`, 8, `unknown dtype ""`},
		{"dtype twice", `{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8, `key "dtype" stands twice`},
		{"no shape", `{"a":{"dtype":"F32","data_offsets":[0,8]}}`, 8, "want dtype, shape and data_offsets"},
		{"shape null", `{"a":{"dtype":"F32","shape":null,"data_offsets":[0,8]}}`, 8, "shape: null"},
		{"dimension null", `{"a":{"dtype":"F32","shape":[null],"data_offsets":[0,8]}}`, 8, "element 0 is no integer"},
		{"negative", "{" + entry("a", "F32", "[-2]", 0, 8) + "}", 8, "no integer from 0 on"},
		{"fraction", "{" + entry("a", "F32", "[2.5]", 0, 8) + "}", 8, "shape"},
		{"string", "{" + entry("a", "F32", `["2"]`, 0, 8) + "}", 8, "shape"},
		{"huge dimension", "{" + entry("a", "F32", "[99999999999999999999]", 0, 8) + "}", 8, "shape"},
		{"product overflows", "{" + entry("a", "F32", "[4294967296,4294967296]", 0, 0) + "}", 0, "overflows"},
		{"product overflows beside 0", "{" + entry("a", "U8", "[9223372036854775807,4,0]", 0, 8) + "}", 8, "overflows"},
		{"empty with bytes", "{" + entry("a", "U8", "[7,0]", 0, 8) + "}", 8, "wants 0"},
		{"wrong size", "{" + entry("a", "F32", "[3]", 0, 8) + "}", 8, "hold 8 bytes, shape [3] of F32 wants 12"},
		{"backwards", "{" + entry("a", "F32", "[2]", 8, 0) + "}", 8, "want begin and end"},
		{"three offsets", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}`, 8, "want begin and end"},
		{"gap", "{" + a + "," + entry("b", "F32", "[1]", 12, 16) + "}", 16, "bytes from 8 on belong to no tensor"},
		{"gap in front", "{" + entry("a", "F32", "[1]", 4, 8) + "}", 8, "bytes from 0 on belong to no tensor"},
		{"overlap", "{" + a + "," + entry("b", "F32", "[2]", 4, 12) + "}", 12, `inside tensor "a" that ends at 8`},
		{"same bytes", "{" + a + "," + entry("b", "F32", "[2]", 0, 8) + "}", 8, `inside tensor "a"`},
		{"behind the file", "{" + entry("a", "F32", "[2000000000]", 0, 8000000000) + "}", 8, "truncated?"},
		{"bytes left over", "{" + a + "}", 9, "bytes that belong to no tensor"},
		{"metadata no object", `{"__metadata__":7}`, 0, "header"},
		{"metadata number", `{"__metadata__":{"a":7}}`, 0, "want a string"},
		{"metadata null", `{"__metadata__":{"a":null}}`, 0, "want a string"},
		{"metadata twice", `{"__metadata__":{"a":"","a":""}}`, 0, `key "a" stands twice`},
		{"deep", strings.Repeat(`{"a":`, 20000), 0, "exceeded max depth"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.safetensors")
			writeFile(t, path, raw(tt.header, tt.data))
			f, err := OpenFile(path)
			if err == nil {
				f.Close()
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestHeaderLengths(t *testing.T) {
	for _, tt := range []struct {
		length uint64
		size   int64
		want   string
	}{
		{1 << 63, 1000, "at most 100000000"},
		{100_000_001, 1 << 40, "at most 100000000"},
		{993, 1000, "the file has 992"},
		{0, 8, "an empty one has 2"},
		{2, 7, "7 bytes"},
	} {
		_, err := headerLength(binary.LittleEndian.AppendUint64(nil, tt.length), tt.size)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("length %d in a file of %d: %v, want %q", tt.length, tt.size, err, tt.want)
		}
	}
}

func TestOddButValidHeaders(t *testing.T) {
	for name, data := range map[string][]byte{
		"unaligned, blanks behind": raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"extra":{"x":[1]}}}   `, 8),
		"not in order":             raw(`{"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},"a":{"shape":[2],"data_offsets":[0,8],"dtype":"F32"}}`, 12),
		"no tensors":               raw(`{}`, 0),
	} {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		writeFile(t, path, data)
		f, err := OpenFile(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if names := f.Names(); len(names) > 0 && names[0] != "a" {
			t.Errorf("%s: names %q, want the order of the data", name, names)
		}
		f.Close()
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(tiny(f))
	f.Add(raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8))
	f.Add(raw(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := headerLength(data[:min(len(data), prefixSize)], int64(len(data)))
		if err != nil {
			return
		}
		rest := int64(len(data) - prefixSize - n)
		entries, metadata, err := parseHeader(data[prefixSize:prefixSize+n], rest)
		if err != nil {
			return
		}
		var sum int64
		for _, e := range entries {
			sum += e.End - e.Begin
		}
		if sum != rest {
			t.Fatalf("tensors hold %d bytes of %d", sum, rest)
		}
		again, err := encodeHeader(entries, metadata)
		if err != nil {
			t.Fatal(err)
		}
		back, meta, err := parseHeader(again[prefixSize:], rest)
		if err != nil || len(back) != len(entries) || len(meta) != len(metadata) {
			t.Fatalf("own header: %v", err)
		}
		for i := range back {
			if fmt.Sprint(back[i]) != fmt.Sprint(entries[i]) {
				t.Fatalf("entry %v came back as %v", entries[i], back[i])
			}
		}
	})
}
