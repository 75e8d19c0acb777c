package cli

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lep/eval"
	"lep/internal/pocket"
)

// TestEvalKilled kills a run of lep eval (a process of its own) while it answers, more than once,
// and goes on: no answer that was written is asked for again, and the results are those of a run
// that nobody killed.
func TestEvalKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("several runs")
	}
	dir := t.TempDir()
	family, err := pocket.Unpack(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var questions strings.Builder
	for i := range 60 {
		fmt.Fprintf(&questions, "{\"n\": %d}\n", i)
	}
	task := "task: count\ndataset: [numbers.jsonl]\nprompt: \"Расскажи о числе {{ n }}.\"\nanswer: \"{{ n }}\"\nmax_new_tokens: 40\nmetrics: [em, f1]\n"
	for name, text := range map[string]string{"numbers.jsonl": questions.String(), "count.yaml": task} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(out string, more ...string) *exec.Cmd {
		args := append([]string{"eval", "--model", family.Instruct, "--tasks", filepath.Join(dir, "count.yaml"), "--out", out, "--threads", "1", "--batch-size", "4", "--json"}, more...)
		cmd := exec.Command(os.Args[0])
		cmd.Args = append([]string{"lep"}, args...) // by its name, this binary is lep
		return cmd
	}
	whole, killed := filepath.Join(dir, "whole"), filepath.Join(dir, "killed")
	if text, err := run(whole).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	answers := filepath.Join(killed, "answers.jsonl")
	var written []byte
	for _, lines := range []int{5, 25} {
		cmd := run(killed, "--resume")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); bytes.Count(written, []byte("\n")) < lines; {
			if written, err = os.ReadFile(answers); err != nil && !os.IsNotExist(err) || time.Now().After(deadline) {
				t.Fatalf("no %d answers: %v", lines, err)
			}
			time.Sleep(time.Millisecond)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		now, err := os.ReadFile(answers)
		if err != nil || !bytes.HasPrefix(now, written) {
			t.Fatalf("answers changed: %v", err)
		}
		written = now[:bytes.LastIndexByte(now, '\n')+1]
	}
	if text, err := run(killed, "--resume").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	now, err := os.ReadFile(answers)
	if err != nil || !bytes.HasPrefix(now, written) || bytes.Count(now, []byte("\n")) != 60 {
		t.Errorf("%d answers, want 60 and the first %d as they were (%v)", bytes.Count(now, []byte("\n")), bytes.Count(written, []byte("\n")), err)
	}
	want, err := eval.ReadResult(whole)
	if err != nil {
		t.Fatal(err)
	}
	got, err := eval.ReadResult(killed)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got.Results, got.Scores) != fmt.Sprint(want.Results, want.Scores) {
		t.Errorf("%v, want %v", got.Results, want.Results)
	}
}
