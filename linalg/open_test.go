package linalg

import (
	"strings"
	"testing"

	"lep/internal/hint"
)

func TestOpen(t *testing.T) {
	for _, name := range []string{"auto", "builtin", "gonum"} {
		b, err := Open(name, 2)
		if err != nil {
			t.Fatal(err)
		}
		if name != "auto" && b.Name() != name {
			t.Errorf("Open(%q) is %s", name, b.Name())
		}
	}
	if _, err := Open("blis", 1); err == nil || err.Error() != `blas "blis": unknown, want one of auto, builtin, openblas, mkl, accelerate, gonum` {
		t.Errorf("unknown name: %v", err)
	}
	if _, err := Open("accelerate", 1); err != nil { // only macOS has it
		if !strings.HasPrefix(err.Error(), "blas accelerate: ") || !strings.Contains(hint.Of(err), "builtin") {
			t.Errorf("missing library: %v, hint %q", err, hint.Of(err))
		}
	}
}

func TestProbe(t *testing.T) {
	found := map[string]Found{}
	for _, f := range Probe(2) {
		found[f.Name] = f
	}
	for _, name := range Names[1:] {
		f, ok := found[name]
		if !ok {
			t.Errorf("%s is not listed", name)
		}
		if f.Err == nil && (f.SGEMM <= 0 || f.DGEMM <= 0) {
			t.Errorf("%s: %g and %g GFLOP/s", name, f.SGEMM, f.DGEMM)
		}
	}
}
