package calibrate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lep/chat"
	"lep/infer"
	"lep/internal/hint"
)

// server answers chats with the last message turned upside down; fault may answer in its place.
func server(t *testing.T, fault func(n int64, w http.ResponseWriter, messages []chat.Message) bool) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"data":[{"id":"teacher"}]}`) })
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Messages    []chat.Message
			Temperature float64
			Seed        *uint64
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		last := q.Messages[len(q.Messages)-1].Content
		if last != "1" { // not the probe
			if q.Temperature > 0 && q.Seed == nil {
				t.Error("sampling without a seed")
			}
			if n := asked.Add(1); fault != nil && fault(n, w, q.Messages) {
				return
			}
		}
		answer, err := json.Marshal(strings.ToUpper(last))
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, `{"choices":[{"message":{"content":%s},"finish_reason":"stop"}],"usage":{"completion_tokens":7}}`, answer)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL, asked
}

func asked(t *testing.T, url string, n int) Options {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "question number %d of what is to be asked\n", i)
	}
	o := small(t, "", file(t, "q.txt", b.String()))
	o.API, o.Model, o.Concurrency, o.firstWait = url, "", 3, time.Millisecond
	o.Filters.NearDuplicates = 0
	return o
}

func TestServer(t *testing.T) {
	url, _ := server(t, func(n int64, w http.ResponseWriter, _ []chat.Message) bool {
		switch n {
		case 3:
			http.Error(w, "busy", http.StatusServiceUnavailable)
		case 5:
			http.Error(w, "slow down", http.StatusTooManyRequests)
		default:
			return false
		}
		return true
	})
	o := asked(t, url, 20)
	o.Sampling.Temperature = 0.5
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Kept != 20 || r.NewTokens != 140 || r.Asked.Model != "teacher" || r.Asked.API != url+"/v1" {
		t.Errorf("%+v", r)
	}
	for i, row := range rows(t, o.Out) {
		if want := fmt.Sprintf("QUESTION NUMBER %d OF", i); !strings.Contains(string(row), want) {
			t.Errorf("row %d is %s: want the order of the prompts", i, row)
		}
	}
}

func TestServerThatGoesAway(t *testing.T) {
	var back atomic.Bool
	url, count := server(t, func(n int64, w http.ResponseWriter, _ []chat.Message) bool {
		if !back.Load() && n > 8 {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		return false
	})
	o := asked(t, url, 20)
	_, err := Run(context.Background(), o)
	if err == nil || !strings.Contains(hint.Of(err), "of 20 conversations are kept: the same command goes on") || !strings.Contains(err.Error(), "q.txt:") {
		t.Fatalf("%v (hint %q)", err, hint.Of(err))
	}
	back.Store(true)
	before := count.Load()
	r, err := Run(context.Background(), o)
	if err != nil || r.Kept != 20 || r.Resumed < 6 {
		t.Fatalf("%+v, %v: want all 20, most of the first 8 from the first run", r, err)
	}
	if again := count.Load() - before; again != int64(20-r.Resumed) {
		t.Errorf("%d prompts asked again, want %d", again, 20-r.Resumed)
	}
}

func TestServerRefusesPrompts(t *testing.T) {
	refuse := func(what string) func(int64, http.ResponseWriter, []chat.Message) bool {
		return func(_ int64, w http.ResponseWriter, m []chat.Message) bool {
			if strings.Contains(m[0].Content, what) {
				http.Error(w, "context length exceeded", http.StatusBadRequest)
				return true
			}
			return false
		}
	}
	url, _ := server(t, refuse("number 7 "))
	r, err := Run(context.Background(), asked(t, url, 12))
	if err != nil || r.Rejected[Refused] != 1 || r.Kept != 11 {
		t.Errorf("%+v, %v: want one prompt refused", r, err)
	}
	url, _ = server(t, refuse("number"))
	if _, err := Run(context.Background(), asked(t, url, 12)); err == nil || !strings.Contains(err.Error(), "10 prompts refused one after another") ||
		!strings.Contains(err.Error(), "context length exceeded") {
		t.Errorf("a server that refuses everything: %v", err)
	}
}

func TestAnswersThatAreCutOffEndAConversation(t *testing.T) {
	url, count := server(t, func(_ int64, w http.ResponseWriter, _ []chat.Message) bool {
		fmt.Fprintf(w, `{"choices":[{"message":{"content":"and so on"},"finish_reason":%q}]}`, infer.FinishLength)
		return true
	})
	o := asked(t, url, 1)
	o.Prompts = []string{file(t, "p.jsonl", `{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}`)}
	o.Filters.KeepCutOff = true
	o.Rejected = o.Out + ".rejected"
	if _, err := Run(context.Background(), o); err == nil || count.Load() != 1 {
		t.Errorf("%v, asked %d times: want one question, and a conversation that lacks its end dropped", err, count.Load())
	}
}
