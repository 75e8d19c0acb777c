package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"lep/internal/golden"
	"lep/internal/pocket"
	"lep/linalg"
)

// TestMain lets scripts run lep as a command: testscript runs this binary under that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"lep": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs testdata/script/*.txtar. $POCKET is the unpacked model family, read only;
// $REFERENCE is the shared reference data ("" where it is absent). The commands flip and cut
// damage a file: "flip FILE OFFSET", "cut FILE BYTES".
func TestScripts(t *testing.T) {
	family := t.TempDir()
	if _, err := pocket.Unpack(context.Background(), family); err != nil {
		t.Fatal(err)
	}
	reference := ""
	if os.Getenv("LEP_SHARED") != "" {
		reference = filepath.Join(os.Getenv("LEP_SHARED"), "reference")
	} else if dir := filepath.Join(golden.Root(t), "..", "shared", "reference"); exists(dir) {
		reference = dir
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("POCKET", family)
			e.Setenv("REFERENCE", reference)
			e.Setenv("HF_HOME", filepath.Join(e.WorkDir, "hf"))
			e.Setenv("TMPDIR", e.WorkDir)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			_, err := linalg.OpenBF16("auto", 1)
			return cond == "bf16" && err == nil, nil // whether this processor has products of bf16
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"flip": func(ts *testscript.TestScript, _ bool, args []string) {
				edit(ts, args, func(b []byte, n int) []byte { b[n] ^= 0xff; return b })
			},
			"cut": func(ts *testscript.TestScript, _ bool, args []string) {
				edit(ts, args, func(b []byte, n int) []byte { return b[:len(b)-n] })
			},
		},
	})
}

func edit(ts *testscript.TestScript, args []string, change func([]byte, int) []byte) {
	if len(args) != 2 {
		ts.Fatalf("want FILE and a number")
	}
	path, n := ts.MkAbs(args[0]), 0
	_, err := fmt.Sscan(args[1], &n)
	ts.Check(err)
	b, err := os.ReadFile(path)
	ts.Check(err)
	ts.Check(os.WriteFile(path, change(b, n), 0o644))
}
