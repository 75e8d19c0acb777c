package eval

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"unicode/utf8"

	"lep/infer"
)

// llamaCpp answers as llama.cpp's server does: prompts may be token ids, echo is ignored, logit_bias
// moves the choice of a token but not the log-probabilities that are told, and those are left out
// where the text so far ends inside a character.
type llamaCpp struct {
	t      *testing.T
	engine *infer.Engine
	deaf   bool // logit_bias does nothing
	biased bool // the log-probabilities that are told have the bias
}

func (l *llamaCpp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var b struct {
		Content  string
		Prompt   json.RawMessage
		Max      int                `json:"max_tokens"`
		Bias     map[string]float64 `json:"logit_bias"`
		Stop     []string
		LogProbs int
	}
	if data, err := io.ReadAll(r.Body); err == nil && len(data) > 0 && json.Unmarshal(data, &b) != nil {
		http.Error(w, string(data), http.StatusBadRequest)
		return
	}
	tok := l.engine.Tokenizer()
	var answer any
	switch r.URL.Path {
	case "/v1/models":
		answer = map[string]any{"data": []any{map[string]any{"id": "pocket.gguf", "meta": map[string]any{"n_ctx": l.engine.Context()}}}}
	case "/tokenize":
		answer = map[string]any{"tokens": tok.Encode(b.Content)}
	case "/v1/completions":
		var ids []int32
		var text string
		if json.Unmarshal(b.Prompt, &ids) != nil && json.Unmarshal(b.Prompt, &text) == nil {
			ids = tok.EncodeSpecial(text)
		}
		answer = l.complete(r, ids, b.Max, b.LogProbs, b.Bias, b.Stop)
	default:
		http.NotFound(w, r)
		return
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		l.t.Log(err)
	}
}

func (l *llamaCpp) complete(r *http.Request, ids []int32, most, top int, bias map[string]float64, stop []string) any {
	tok := l.engine.Tokenizer()
	res, err := l.engine.Generate(r.Context(), []infer.Request{{IDs: ids, MaxNewTokens: most, Stop: stop}})
	if err != nil {
		l.t.Error(err)
		return nil
	}
	choice := map[string]any{"text": res[0].Text, "finish_reason": res[0].Finish}
	all := make([]int32, tok.Size())
	for i := range all {
		all[i] = int32(i)
	}
	logs, err := l.engine.NextLogProbs(r.Context(), [][]int32{ids}, [][]int32{all}, nil)
	if err != nil {
		l.t.Error(err)
		return nil
	}
	value := slices.Clone(logs[0])
	slices.SortFunc(all, func(a, b int32) int { return int(1e9 * (value[b] - value[a])) })
	next := all[0]
	for key := range bias {
		if id, err := strconv.Atoi(key); err == nil && !l.deaf {
			next = int32(id)
			if l.biased {
				value[id] += 100
			}
		}
	}
	entry := func(id int32) map[string]any {
		return map[string]any{"id": id, "token": string(tok.DecodeBytes([]int32{id})), "logprob": value[id]}
	}
	if top > 0 && utf8.Valid(tok.DecodeBytes([]int32{next})) {
		first := entry(next)
		var list []any
		for _, id := range all[:min(top, len(all))] {
			list = append(list, entry(id))
		}
		first["top_logprobs"] = list
		choice["logprobs"] = map[string]any{"content": []any{first}}
	}
	return map[string]any{"choices": []any{choice}, "usage": map[string]any{"prompt_tokens": len(ids), "completion_tokens": len(res[0].IDs)}}
}

// TestLlamaCppAgrees holds all methods on a server without echo against the native engine.
func TestLlamaCppAgrees(t *testing.T) {
	engine := openPocket(t)
	native, err := NewNative(engine, NativeOptions{Name: "pocket", Digest: "pocket"})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(&llamaCpp{t: t, engine: engine})
	defer s.Close()
	server, err := infer.Dial(t.Context(), infer.RemoteOptions{URL: s.URL, Concurrency: 1})
	if err != nil {
		t.Fatal(err)
	}
	if can := server.Capabilities(); !can.Forced || !can.TokenIDs || can.PromptLogProbs || can.Context != 512 {
		t.Fatalf("capabilities %+v", can)
	}
	m, err := NewRemote(t.Context(), server, RemoteOptions{Tokenizer: engine.Tokenizer()})
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
		if err := m.Supports(task); err != nil {
			t.Fatal(err)
		}
		got, err := answerAll(t.Context(), m, task, requests)
		if err != nil {
			t.Fatalf("%s: %v", task.Name, err)
		}
		for i := range want {
			if got[i].Text != want[i].Text || !near(got[i].Probs, want[i].Probs) || !near(got[i].LogProbs, want[i].LogProbs) {
				t.Errorf("%s %d: %+v, the native engine says %+v", task.Name, i, got[i], want[i])
			}
		}
	}
}

// TestForcedPartOfCharacter asks for tokens that are parts of a character, of which the server tells no
// log-probabilities when they are forced.
func TestForcedPartOfCharacter(t *testing.T) {
	engine := openPocket(t)
	s := httptest.NewServer(&llamaCpp{t: t, engine: engine})
	defer s.Close()
	server, err := infer.Dial(t.Context(), infer.RemoteOptions{URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	tok := engine.Tokenizer()
	ids := tok.Encode("Привет")
	part, ok := tok.ID("Ð")
	if !ok {
		t.Fatal("the pocket tokenizer has lost its bytes")
	}
	candidates := []int32{part, ids[0], part}
	want, err := engine.NextLogProbs(t.Context(), [][]int32{ids}, [][]int32{candidates}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := server.NextLogProbs(t.Context(), ids, candidates)
	if err != nil || !near(got, want[0]) {
		t.Errorf("%v (%v), want %v", got, err, want[0])
	}
}

// TestProbeForcing gives up on servers on which a bias does nothing, or shows.
func TestProbeForcing(t *testing.T) {
	engine := openPocket(t)
	for _, l := range []*llamaCpp{{deaf: true}, {biased: true}} {
		l.t, l.engine = t, engine
		s := httptest.NewServer(l)
		server, err := infer.Dial(t.Context(), infer.RemoteOptions{URL: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		if can := server.Capabilities(); can.Forced || !can.TokenIDs {
			t.Errorf("deaf %v, biased %v: capabilities %+v", l.deaf, l.biased, can)
		}
		s.Close()
	}
}
