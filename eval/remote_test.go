package eval

import (
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lep/infer"
	"lep/internal/hint"
)

// TestRemoteAgrees asks the same model natively and through a server, as text and as messages.
func TestRemoteAgrees(t *testing.T) {
	f := fake(t)
	native, err := NewNative(f.engine, NativeOptions{Name: "pocket", Digest: "pocket"})
	if err != nil {
		t.Fatal(err)
	}
	asText, err := NewRemote(t.Context(), dial(t, f), RemoteOptions{Tokenizer: f.engine.Tokenizer()})
	if err != nil {
		t.Fatal(err)
	}
	asMessages, err := NewRemote(t.Context(), dial(t, &fakeServer{t: t, engine: f.engine, template: f.template, noText: true}), RemoteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range threeTasks() {
		requests, err := task.Requests(t.Context(), Plan{})
		if err != nil {
			t.Fatal(err)
		}
		want, err := answerAll(t.Context(), native, task, requests)
		if err != nil {
			t.Fatal(err)
		}
		for name, m := range map[string]*Remote{"text": asText, "messages": asMessages} {
			if m == asMessages && task.Method == LogProb {
				if err := m.Supports(task); err == nil || !strings.Contains(hint.Of(err), "--tokenizer") {
					t.Errorf("%s: a task that needs the prompt's log-probabilities: %v", name, err)
				}
				continue
			}
			if err := m.Supports(task); err != nil {
				t.Errorf("%s: %s: %v", name, task.Name, err)
			}
			got, err := answerAll(t.Context(), m, task, requests)
			if err != nil {
				t.Fatalf("%s: %s: %v", name, task.Name, err)
			}
			for i := range want {
				if got[i].Text != want[i].Text || m == asText && (!near(got[i].Probs, want[i].Probs) || !near(got[i].LogProbs, want[i].LogProbs)) {
					t.Errorf("%s: %s %d: %+v, want %+v", name, task.Name, i, got[i], want[i])
				}
				if want[i].ReferenceTokens != got[i].ReferenceTokens {
					t.Errorf("%s: %s %d: %d reference tokens, want %d", name, task.Name, i, got[i].ReferenceTokens, want[i].ReferenceTokens)
				}
				if m == asMessages && task.Method == Choice && got[i].Unscored == "" && pick(got[i].Probs) != pick(want[i].Probs) {
					t.Errorf("%s: %s %d: %v picks another than %v", name, task.Name, i, got[i].Probs, want[i].Probs)
				}
			}
		}
	}
}

func pick(scores []float64) int {
	best := 0
	for i := range scores {
		if scores[i] > scores[best] {
			best = i
		}
	}
	return best
}

// TestProbe finds out what a server really does.
func TestProbe(t *testing.T) {
	base := fake(t)
	for _, tt := range []struct {
		name  string
		set   func(*fakeServer)
		want  func(infer.Capabilities) bool
		tasks []string // that cannot be done
	}{
		{"everything", func(*fakeServer) {}, func(c infer.Capabilities) bool {
			return c.Completions && c.Chat && c.PromptLogProbs && c.Top == 20 && c.Context == 512
		}, nil},
		{"echo ignored", func(f *fakeServer) { f.noEcho = true }, func(c infer.Capabilities) bool { return c.Completions && !c.PromptLogProbs && c.Top == 20 }, []string{"rank"}},
		{"no log-probabilities", func(f *fakeServer) { f.noTop = true }, func(c infer.Capabilities) bool { return c.Top == 0 && !c.PromptLogProbs }, []string{"pick", "rank"}},
		{"chat alone", func(f *fakeServer) { f.noText = true }, func(c infer.Capabilities) bool { return !c.Completions && c.Chat && c.Top == 20 }, []string{"rank"}},
	} {
		f := &fakeServer{t: t, engine: base.engine, template: base.template}
		tt.set(f)
		server := dial(t, f)
		if !tt.want(server.Capabilities()) {
			t.Errorf("%s: %+v", tt.name, server.Capabilities())
		}
		m, err := NewRemote(t.Context(), server, RemoteOptions{Tokenizer: base.engine.Tokenizer()})
		if err != nil {
			t.Fatal(err)
		}
		var cannot []string
		for _, task := range threeTasks() {
			if m.Supports(task) != nil {
				cannot = append(cannot, task.Name)
			}
		}
		if !reflect.DeepEqual(cannot, tt.tasks) {
			t.Errorf("%s: cannot do %q, want %q", tt.name, cannot, tt.tasks)
		}
	}
}

// TestFaults lets the server fail in every way that goes by, and in those that don't.
func TestFaults(t *testing.T) {
	f := fake(t)
	var bad atomic.Int64
	f.faults = func(call int64, w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/v1/") {
			return false
		}
		bad.Add(1)
		switch call % 6 {
		case 0:
			http.Error(w, "slow down", http.StatusTooManyRequests)
		case 1:
			http.Error(w, "oops", http.StatusInternalServerError)
		case 2:
			_, _ = w.Write([]byte(`{"choices": [{"text": "cut`))
		case 3: // a reset
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				c.Close()
			}
		default:
			bad.Add(-1)
			return false
		}
		return true
	}
	server, err := infer.Dial(t.Context(), infer.RemoteOptions{URL: f.start().URL, FirstWait: time.Millisecond, Tries: 30, Concurrency: 2})
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewRemote(t.Context(), server, RemoteOptions{Tokenizer: f.engine.Tokenizer()})
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir() + "/out"
	result, err := Run(t.Context(), m, threeTasks(), Options{Out: out})
	if err != nil || len(result.Failed) > 0 {
		t.Errorf("a run through faults: %v, failed %v", err, result.Failed)
	}
	if bad.Load() == 0 {
		t.Error("no fault was injected")
	}
}

// TestServerDies: a server that begins to hang in the middle of a run costs the tasks that it did
// not finish, with the reason, and no answer that was there; resuming asks for the others only.
func TestServerDies(t *testing.T) {
	f := fake(t)
	var dead atomic.Bool
	var asked atomic.Int64
	f.faults = func(_ int64, _ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/completions" {
			return false
		}
		if asked.Add(1); dead.Load() {
			select {
			case <-r.Context().Done():
			case <-time.After(2 * time.Second):
			}
			return true
		}
		return false
	}
	server, err := infer.Dial(t.Context(), infer.RemoteOptions{URL: f.start().URL, FirstWait: time.Millisecond, Tries: 2, Concurrency: 1, Timeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewRemote(t.Context(), server, RemoteOptions{Tokenizer: f.engine.Tokenizer()})
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir() + "/out"
	o := Options{Out: out, Progress: func(_ string, done, _ int) { dead.Store(done >= 3) }}
	r, err := Run(t.Context(), m, threeTasks(), o)
	if err != nil || r.Failed["text"] != "" || !strings.Contains(r.Failed["pick"], "Client.Timeout exceeded") || r.Failed["rank"] == "" {
		t.Fatalf("%v, failed %v; want text done and the others timed out", err, r.Failed)
	}
	dead.Store(false)
	asked.Store(0)
	o.Resume, o.Progress = true, nil
	if r, err = Run(t.Context(), m, threeTasks(), o); err != nil || len(r.Failed) > 0 || len(r.Scores) != 3 {
		t.Errorf("resumed: %v, failed %v", err, r.Failed)
	}
	if n := asked.Load(); n != 3 { // two choices of one question, one text to score
		t.Errorf("%d requests after the resume, want 3", n)
	}
}

func TestDialErrors(t *testing.T) {
	f := fake(t)
	f.key = "secret"
	url := f.start().URL
	hang := &fakeServer{t: t, engine: f.engine, template: f.template, faults: func(_ int64, _ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
		case <-time.After(2 * time.Second):
		}
		return true
	}}
	for _, tt := range []struct {
		name, want, hint string
		opts             infer.RemoteOptions
	}{
		{"no key", "status 401", "set OPENAI_API_KEY", infer.RemoteOptions{URL: url}},
		{"wrong model", `no model "other"`, "it has pocket", infer.RemoteOptions{URL: url, Key: "secret", Model: "other"}},
		{"nobody there", "connection refused", "is the server running?", infer.RemoteOptions{URL: "http://127.0.0.1:1"}},
		{"no address", "want http or https", "an address is", infer.RemoteOptions{URL: "localhost:8080"}},
		{"a server that hangs", "Client.Timeout exceeded", "", infer.RemoteOptions{URL: hang.start().URL, Timeout: 30 * time.Millisecond, Tries: 2}},
	} {
		tt.opts.FirstWait = time.Millisecond
		_, err := infer.Dial(t.Context(), tt.opts)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(hint.Of(err), tt.hint) {
			t.Errorf("%s: %v (%s), want %q (%s)", tt.name, err, hint.Of(err), tt.want, tt.hint)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the key is in the error %v", tt.name, err)
		}
	}
}
