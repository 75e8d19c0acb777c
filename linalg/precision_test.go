package linalg

import "testing"

func TestParsePrecision(t *testing.T) {
	for in, want := range map[string]Precision{"": Float32, "float32": Float32, "bf16": BF16} {
		if got, err := ParsePrecision(in); got != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
	const want = `"fp8", want one of float32, bf16`
	if _, err := ParsePrecision("fp8"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestOpenPrecision(t *testing.T) {
	b, err := OpenPrecision("gonum", Float32, 1)
	if err != nil || b.Name() != "gonum" {
		t.Errorf("float32: %v, %v, want gonum", b, err)
	}
	if _, err := OpenPrecision("gonum", BF16, 1); err == nil {
		t.Error("bf16 of gonum: no error")
	}
}
