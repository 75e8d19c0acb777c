package calibrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lep/chat"
	"lep/internal/atomic"
	"lep/internal/hint"
	"lep/internal/pocket"
)

// instruct is the bundled instruct model, which copies texts and names their first words.
func instruct(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("runs a model")
	}
	family, err := pocket.Unpack(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return family.Instruct
}

// questions writes n different prompts.
func questions(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		name := strings.Repeat(string(rune('a'+i%26)), 1+i/26) + "nna"
		fmt.Fprintf(&b, `{"messages":[{"role":"user","content":"Repeat the text exactly.\n\nThe captain went below with %s."},{"role":"assistant","content":"not ours"}]}`+"\n", name)
	}
	return file(t, "prompts.jsonl", b.String())
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func small(t *testing.T, modelDir string, prompts ...string) Options {
	o := DefaultOptions()
	o.Model, o.Prompts, o.Out = modelDir, prompts, filepath.Join(t.TempDir(), "answers.jsonl")
	o.MaxNewTokens, o.BatchSize = 24, 4
	o.Engine.BLAS, o.Engine.Threads = "builtin", 2
	return o
}

func TestAnswersBecomeTrainingData(t *testing.T) {
	o := small(t, instruct(t), questions(t, 6))
	o.Rejected = filepath.Join(t.TempDir(), "rejected.jsonl")
	o.Filters.NearDuplicates, o.Filters.MaxRepetition = 0, 1
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Prompts != 6 || r.Kept+r.Rejected[CutOff]+r.Rejected[Empty] != 6 || r.Kept == 0 || r.NewTokens == 0 {
		t.Errorf("%+v: want 6 prompts, all accounted for, some kept", r)
	}
	kept, rejected := rows(t, o.Out), rows(t, o.Rejected)
	if len(kept) != r.Kept || len(kept)+len(rejected) != 6 {
		t.Errorf("%d lines kept and %d rejected, want %d and %d", len(kept), len(rejected), r.Kept, 6-r.Kept)
	}
	first, err := chat.ReadRow(kept[0], "answers.jsonl:1")
	if err != nil || first.Layout != chat.OpenAI || len(first.Messages) != 2 || !strings.Contains(first.Messages[1].Content, "captain") {
		t.Errorf("first row %s: %v, want the prompt and a copy of it", kept[0], err)
	}
	var about struct{ Lep provenance }
	if err := json.Unmarshal(kept[0], &about); err != nil {
		t.Fatal(err)
	}
	if p := about.Lep; p.Model != "instruct" || len(p.Digest) != 64 || p.Source != "prompts.jsonl" || p.Line != 1 || p.Sampling.MaxNewTokens != 24 || p.Sampling.Seed != 1 {
		t.Errorf("provenance %+v", p)
	}
	if bytes.Contains(kept[0], []byte(filepath.Dir(o.Model))) {
		t.Errorf("the line names a folder of this machine: %s", kept[0])
	}
	if entries, _ := os.ReadDir(filepath.Dir(o.Out)); len(entries) != 1 {
		t.Errorf("beside the output lie %v, want nothing", entries)
	}
	if _, err := Run(context.Background(), o); !errors.Is(err, atomic.ErrExists) {
		t.Errorf("a second run without force: %v, want %v", err, atomic.ErrExists)
	}
}

func rows(t *testing.T, path string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(bytes.Lines(data))
}

// TestStoppedRunsGiveTheSameBytes stops a run behind every batch, and damages its journal's end as a
// lost machine would: the result is that of a straight run.
func TestStoppedRunsGiveTheSameBytes(t *testing.T) {
	o := small(t, instruct(t), questions(t, 10))
	o.Sampling.Temperature, o.Sampling.TopP, o.SamplesPerPrompt = 0.9, 0.95, 2
	o.Filters.KeepCutOff, o.Filters.MaxRepetition, o.MaxNewTokens = true, 1, 12
	straight := o
	straight.Out = filepath.Join(t.TempDir(), "answers.jsonl")
	if _, err := Run(context.Background(), straight); err != nil {
		t.Fatal(err)
	}
	want := rows(t, straight.Out)

	for stops := 0; ; stops++ {
		ctx, cancel := context.WithCancel(context.Background())
		o.Progress = func(p Progress) {
			if p.Done > p.Resumed {
				cancel()
			}
		}
		r, err := Run(ctx, o)
		cancel()
		if err == nil {
			if r.Resumed == 0 || stops < 4 {
				t.Errorf("finished behind %d stops with %d conversations resumed: the test stopped nothing", stops, r.Resumed)
			}
			break
		}
		if !errors.Is(err, context.Canceled) || !strings.Contains(hint.Of(err), "goes on from there") {
			t.Fatalf("stopped run: %v (hint %q)", err, hint.Of(err))
		}
		if _, err := os.Stat(o.Out); err == nil {
			t.Fatal("a stopped run left an output")
		}
		if stops == 1 || stops == 3 { // the last batch loses its end, and all of it is asked again
			j := o.Out + ".journal"
			if info, err := os.Stat(j); err != nil || os.Truncate(j, info.Size()-5) != nil {
				t.Fatal("journal:", err)
			}
		}
	}
	if got := rows(t, o.Out); !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("behind stops:\n%s\nstraight:\n%s", bytes.Join(got, nil), bytes.Join(want, nil))
	}
}

func TestJournalOfOtherSettings(t *testing.T) {
	o := small(t, instruct(t), questions(t, 5))
	o.Filters.KeepCutOff = true
	stop := func() error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		o.Progress = func(p Progress) {
			if p.Done > p.Resumed {
				cancel()
			}
		}
		_, err := Run(ctx, o)
		o.Progress = nil
		return err
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	o.MaxNewTokens++
	_, err := Run(context.Background(), o)
	if err == nil || !strings.Contains(err.Error(), "answers.jsonl.journal: holds answers to other prompts") || !strings.Contains(hint.Of(err), "--force") {
		t.Errorf("other settings: %v (hint %q)", err, hint.Of(err))
	}
	o.Force = true
	if r, err := Run(context.Background(), o); err != nil || r.Resumed != 0 {
		t.Errorf("with force: %+v, %v, want a run from the beginning", r, err)
	}
}

func TestFiltersThatLeaveNothing(t *testing.T) {
	o := small(t, instruct(t), questions(t, 3))
	o.Filters.MinChars = 5000
	_, err := Run(context.Background(), o)
	if err == nil || !strings.Contains(err.Error(), "no conversation of 3 is left") || !strings.Contains(hint.Of(err), "loosen the filters") {
		t.Fatalf("%v (hint %q)", err, hint.Of(err))
	}
	o.Filters.MinChars, o.Filters.KeepCutOff = 1, true
	if r, err := Run(context.Background(), o); err != nil || r.Resumed != 3 || r.Kept == 0 {
		t.Errorf("with looser filters: %+v, %v, want the answers that are kept", r, err)
	}
}

func TestConversationsAreAnsweredTurnByTurn(t *testing.T) {
	prompts := file(t, "p.jsonl", `{"messages":[{"role":"system","content":"Be exact."},{"role":"user","content":"Repeat the text exactly.\n\nYes."},{"role":"assistant","content":"theirs"},{"role":"user","content":"Repeat the text exactly.\n\nThe coat."}]}`+"\n")
	o := small(t, instruct(t), prompts)
	o.Filters = Filters{KeepCutOff: true, MaxRepetition: 1, KeepRefusals: true}
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	row, err := chat.ReadRow(rows(t, o.Out)[0], "1")
	if err != nil {
		t.Fatal(err)
	}
	var roles []string
	for _, m := range row.Messages {
		roles = append(roles, m.Role)
		if m.Content == "theirs" {
			t.Error("another's answer was kept")
		}
	}
	if got := strings.Join(roles, " "); got != "system user assistant user assistant" {
		t.Errorf("roles %s", got)
	}
}

func TestModelsThatCannotBeAsked(t *testing.T) {
	dir := instruct(t)
	o := small(t, dir, file(t, "long.txt", strings.Repeat("very long ", 3000)+"\n"+"Repeat the text exactly. Yes.\n"))
	o.Filters.KeepCutOff, o.Filters.MaxRepetition = true, 1
	r, err := Run(context.Background(), o)
	if err != nil || r.Rejected[TooLong] != 1 || r.Kept != 1 {
		t.Errorf("%+v, %v: want one prompt longer than the context", r, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), []byte(`{"tokenizer_class":"PreTrainedTokenizerFast"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	o.Out = filepath.Join(t.TempDir(), "none.jsonl")
	if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "has no chat template") {
		t.Errorf("a base model: %v", err)
	}
}

func TestTwoRunsAtOnce(t *testing.T) {
	out := filepath.Join(t.TempDir(), "answers.jsonl")
	j, err := openJournal(out, "settings", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(out, "settings", true); err == nil || !strings.Contains(err.Error(), "another run writes it") {
		t.Errorf("the second run: %v", err)
	}
	if err := j.add(talk{Index: 3, Answers: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	if j, err = openJournal(out, "settings", false); err != nil {
		t.Fatal(err)
	}
	if got, err := j.get(3); err != nil || got.Answers[0] != "a" || len(j.open(8, 4)) != 8 || len(j.open(4, 1)) != 3 {
		t.Errorf("%+v, %v; open %v and %v", got, err, j.open(8, 4), j.open(4, 1))
	}
	if err := j.remove(); err != nil {
		t.Fatal(err)
	}
}

// FuzzJournal reads damaged journals: an error or fewer answers, never a panic or a made-up one.
func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"journal":"settings","format":"lep-calibrate-1"}` + "\n" + `{"index":0,"answers":["a"],"finish":"stop","new_tokens":1}` + "\n" + `{"index":1,"ans`))
	f.Add([]byte(`{"index":0}` + "\n"))
	f.Add([]byte("\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		out := filepath.Join(t.TempDir(), "a.jsonl")
		if err := os.WriteFile(out+".journal", data, 0o644); err != nil {
			t.Fatal(err)
		}
		j, err := openJournal(out, "settings", false)
		if err != nil {
			return
		}
		defer j.close()
		for i := range j.at {
			if got, err := j.get(i); err != nil || got.Index != i {
				t.Errorf("conversation %d: %+v, %v", i, got, err)
			}
		}
	})
}
