package eval

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"sort"
	"sync/atomic"
	"testing"
	"time"

	"lep/chat"
	"lep/infer"
	"lep/internal/pocket"
)

// fakeServer answers as vLLM does, from our engine, and misbehaves as it is told.
type fakeServer struct {
	t        *testing.T
	engine   *infer.Engine
	template *Renderer
	noText   bool // no /completions
	noEcho   bool // echo is accepted and ignored, as llama.cpp does
	noTop    bool // no log-probabilities
	noCount  bool
	key      string

	calls  atomic.Int64
	faults func(call int64, w http.ResponseWriter, r *http.Request) bool // true: handled
}

func (f *fakeServer) start() *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(f.serve))
	f.t.Cleanup(s.Close)
	return s
}

type fakeBody struct {
	Model, Prompt string
	Messages      []chat.Message
	MaxTokens     int             `json:"max_tokens"`
	LogProbs      json.RawMessage // number of /completions, true of chat
	Top           int             `json:"top_logprobs"`
	Echo          bool
	Stop          []string
	Continue      bool `json:"continue_final_message"`
}

func (f *fakeServer) serve(w http.ResponseWriter, r *http.Request) {
	if f.key != "" && r.Header.Get("Authorization") != "Bearer "+f.key {
		http.Error(w, "no key", http.StatusUnauthorized)
		return
	}
	if f.faults != nil && f.faults(f.calls.Add(1), w, r) {
		return
	}
	var b fakeBody
	if data, err := io.ReadAll(r.Body); err == nil && len(data) > 0 {
		if err := json.Unmarshal(data, &b); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	switch {
	case r.URL.Path == "/v1/models":
		f.write(w, map[string]any{"data": []any{map[string]any{"id": "pocket", "max_model_len": f.engine.Context()}}})
	case r.URL.Path == "/tokenize" && !f.noCount && b.Prompt != "":
		f.write(w, map[string]any{"count": len(f.engine.Tokenizer().Encode(b.Prompt))})
	case r.URL.Path == "/v1/completions" && !f.noText:
		top := 0
		_ = json.Unmarshal(b.LogProbs, &top)
		f.write(w, f.complete(r, b, b.Prompt, top))
	case r.URL.Path == "/v1/chat/completions":
		if open := len(b.Messages) > 0 && b.Messages[len(b.Messages)-1].Role == "assistant"; open != b.Continue {
			http.Error(w, "continue_final_message", http.StatusBadRequest)
			return
		}
		prompt, err := f.template.Render(b.Messages)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.write(w, f.complete(r, b, prompt, b.Top))
	default:
		http.NotFound(w, r)
	}
}

func (f *fakeServer) write(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		f.t.Log(err)
	}
}

func (f *fakeServer) complete(r *http.Request, b fakeBody, prompt string, top int) any {
	tok := f.engine.Tokenizer()
	ids := tok.Encode(prompt)
	stopIDs := []int32{}
	if id, ok := tok.ID(tok.Config().EOS); ok {
		stopIDs = append(stopIDs, id)
	}
	stops, err := f.template.Stop()
	if err != nil {
		f.t.Error(err)
	}
	for _, s := range stops {
		if id, ok := tok.ID(s); ok {
			stopIDs = append(stopIDs, id)
		}
	}
	res, err := f.engine.Generate(r.Context(), []infer.Request{{IDs: ids, MaxNewTokens: b.MaxTokens, Stop: b.Stop, StopIDs: stopIDs}})
	if err != nil {
		f.t.Error(err)
		return nil
	}
	choice := map[string]any{"text": res[0].Text, "finish_reason": res[0].Finish, "message": map[string]any{"role": "assistant", "content": res[0].Text}}
	if top > 0 && !f.noTop {
		all := make([]int32, tok.Size())
		for i := range all {
			all[i] = int32(i)
		}
		logs, err := f.engine.NextLogProbs(r.Context(), [][]int32{ids}, [][]int32{all}, nil)
		if err != nil {
			f.t.Error(err)
			return nil
		}
		sort.Slice(all, func(i, j int) bool { return logs[0][all[i]] > logs[0][all[j]] })
		var list []any
		likeliest := map[string]float64{}
		for _, id := range all[:min(top, len(all))] {
			text := tok.DecodeSkip([]int32{id})
			list = append(list, map[string]any{"token": text, "logprob": logs[0][id]})
			if _, ok := likeliest[text]; !ok {
				likeliest[text] = logs[0][id]
			}
		}
		first := tok.DecodeSkip(all[:1])
		tokens, values, tops := []string{first}, []any{logs[0][all[0]]}, []any{likeliest}
		if b.Echo && !f.noEcho {
			scores, err := f.engine.Score(r.Context(), []infer.Sequence{{IDs: ids, From: 1}})
			if err != nil {
				f.t.Error(err)
				return nil
			}
			var before []string
			var beforeValues, beforeTops []any
			for i, id := range ids {
				before, beforeTops = append(before, tok.DecodeSkip([]int32{id})), append(beforeTops, nil)
				if i == 0 {
					beforeValues = append(beforeValues, nil)
				} else {
					beforeValues = append(beforeValues, -scores[0].Each[i-1])
				}
			}
			tokens, values, tops = append(before, tokens...), append(beforeValues, values...), append(beforeTops, tops...)
			choice["text"] = prompt + res[0].Text
		}
		choice["logprobs"] = map[string]any{"tokens": tokens, "token_logprobs": values, "top_logprobs": tops}
		if b.Messages != nil {
			choice["logprobs"] = map[string]any{"content": []any{map[string]any{"token": first, "logprob": logs[0][all[0]], "top_logprobs": list}}}
		}
	}
	return map[string]any{"choices": []any{choice}, "usage": map[string]any{"prompt_tokens": len(ids), "completion_tokens": len(res[0].IDs)}}
}

// openPocket opens the pocket instruct model.
func openPocket(t *testing.T) *infer.Engine {
	t.Helper()
	family, err := pocket.Unpack(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := infer.DefaultOptions()
	o.Threads = 1
	e, err := infer.Open(family.Instruct, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func fake(t *testing.T) *fakeServer {
	t.Helper()
	e := openPocket(t)
	r, err := NewRenderer(e.Tokenizer(), false, "")
	if err != nil {
		t.Fatal(err)
	}
	return &fakeServer{t: t, engine: e, template: r}
}

func dial(t *testing.T, f *fakeServer) *infer.Remote {
	t.Helper()
	server, err := infer.Dial(t.Context(), infer.RemoteOptions{URL: f.start().URL, FirstWait: time.Millisecond, Timeout: 5 * time.Second, Key: f.key})
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func requestsOf(list ...Request) func(context.Context, Plan) ([]Request, error) {
	return func(context.Context, Plan) ([]Request, error) { return list, nil }
}

// threeTasks ask by each of the methods.
func threeTasks() []Task {
	ask := func(user, lead string) []chat.Message {
		return []chat.Message{{Role: "user", Content: user}, {Role: "assistant", Content: lead}}
	}
	mean := func(list []Measured) (map[string]float64, error) {
		return map[string]float64{"n": float64(len(list))}, nil
	}
	measure := func(Sample) (Measured, error) { return Measured{Values: map[string]float64{"n": 1}}, nil }
	return []Task{
		{Name: "text", Method: Generate, MaxNewTokens: 12, Requests: requestsOf(
			Request{Messages: ask("Как зовут кота?", "Ответ:"), Gold: "Мур", Reference: "кот Мур"}, Request{Messages: ask("Кто там?", "Ответ:"), Gold: "я"}),
			Metrics: []string{"n"}, Measure: measure, Aggregate: mean},
		{Name: "pick", Method: Choice, MaxNewTokens: 1, Requests: requestsOf(
			Request{Messages: ask("Да или нет?", "Ответ:"), Choices: []string{"Да", "Нет"}, Gold: "Да"}, Request{Messages: ask("1 или 2?", "Ответ:"), Choices: []string{"1", "2"}, Gold: "1"}),
			Metrics: []string{"n"}, Measure: measure, Aggregate: mean},
		{Name: "rank", Method: LogProb, MaxNewTokens: 1, Requests: requestsOf(
			Request{Messages: ask("Перескажи.", "Кот спит на окне."), Gold: 1}), Metrics: []string{"n"}, Measure: measure, Aggregate: mean},
	}
}

func near(a, b []float64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if math.Abs(a[i]-b[i]) > 1e-5*(1+math.Abs(b[i])) {
			return false
		}
	}
	return true
}
