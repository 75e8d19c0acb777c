package cli

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lep/internal/pocket"
)

// TestEncodeInterrupted stops lep vocab encode while it works on one line without an end in
// sight, and while it waits for one.
func TestEncodeInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	family, err := pocket.Unpack(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	line := filepath.Join(dir, "line.txt")
	if err := os.WriteFile(line, []byte(strings.Repeat("Слово за слово, и день прошёл. ", 600_000)), 0o644); err != nil {
		t.Fatal(err)
	}
	silent, hold := io.Pipe()
	defer hold.Close()
	for name, args := range map[string][]string{"a long line": {"--data", line}, "no line": nil} {
		cmd := exec.Command(os.Args[0])
		cmd.Args = append([]string{"lep", "vocab", "encode", "--tokenizer", family.Base}, args...)
		cmd.Stdin, cmd.WaitDelay = silent, time.Millisecond
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		start := time.Now()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		state, err := cmd.Process.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); state.ExitCode() != exitInterrupted || took > 5*time.Second {
			t.Errorf("%s: status %d after %v, want %d at once", name, state.ExitCode(), took, exitInterrupted)
		}
	}
}
