package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lep/internal/golden"
	"lep/internal/hint"
	"lep/tensor"
)

func TestOpenReferenceCheckpoints(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(golden.Shared(t, "reference", "models", "checkpoints"), "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no checkpoints: %v", err)
	}
	for _, archive := range []string{"a", "b", "c", "d", "g", "j", "L1", "L2"} {
		dir := filepath.Join(golden.Untar(t, golden.Shared(t, "reference", "lep", "lep", archive+".tar.gz")), archive)
		dirs = append(dirs, filepath.Join(dir, "source"), filepath.Join(dir, "target"))
	}
	dirs = append(dirs, golden.Shared(t, "reference", "pocket", "pocket-base"), golden.Shared(t, "reference", "pocket", "donors", "bpe"))
	for _, dir := range dirs {
		m := openModel(t, dir)
		d, err := ReadDimensions(m.Config())
		if err != nil {
			t.Fatal(err)
		}
		embed, err := m.EmbedTokens()
		if err != nil {
			t.Fatal(err)
		}
		head, err := m.LMHead()
		if err != nil {
			t.Fatal(err)
		}
		tied, err := m.Tied()
		if err != nil {
			t.Fatal(err)
		}
		if embed.Rows() != d.VocabSize || embed.Cols() != d.HiddenSize || head.Rows() != d.VocabSize || d.NumHiddenLayers == 0 {
			t.Errorf("%s: embed %v, head %v, config %+v", dir, embed.Shape, head.Shape, d)
		}
		if tied != (head.Name == embed.Name) {
			t.Errorf("%s: tied %v, head %q", dir, tied, head.Name)
		}
		if len(m.Notes) != 0 || m.GenerationConfig() == nil {
			t.Errorf("%s: notes %q, generation config %v", dir, m.Notes, m.GenerationConfig())
		}
		if err := m.CheckFinite(t.Context()); err != nil {
			t.Error(err)
		}
		var bytes, want int64
		for _, name := range m.Names() {
			v, err := m.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range m.Blocks(v) {
				bytes += int64(len(b.Data))
			}
		}
		for _, f := range m.files {
			e := f.Entries()
			want += e[len(e)-1].End
		}
		if bytes != want {
			t.Errorf("%s: blocks hold %d bytes, want %d", dir, bytes, want)
		}
	}
}

// folder makes a model folder from file names and contents.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		writeFile(t, filepath.Join(dir, name), []byte(text))
	}
	return dir
}

func indexOf(shards map[string]string) string {
	b, err := json.Marshal(map[string]any{"metadata": map[string]int{"total_size": 1}, "weight_map": shards})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestFoldersThatAreRefused(t *testing.T) {
	shard := string(tiny(t))
	for _, tt := range []struct {
		name, want, hint string
		files            map[string]string
	}{
		{"no config", "config.json: file does not exist", "", map[string]string{weightsFile: shard}},
		{"broken config", "config.json: line 2", "", map[string]string{ConfigFile: "{\n]", weightsFile: shard}},
		{"broken generation config", "generation_config.json: line 1: not a JSON object", "", map[string]string{ConfigFile: "{}", GenerationConfigFile: "[]", weightsFile: shard}},
		{"no weights", "model.safetensors or model.safetensors.index.json: file does not exist", "", map[string]string{ConfigFile: "{}"}},
		{"pickle", "pytorch_model.bin: pickled weights are not read", "save_pretrained", map[string]string{ConfigFile: "{}", "pytorch_model.bin": "PK"}},
		{"pickle of Meta", "consolidated.00.pth: pickled", "save_pretrained", map[string]string{ConfigFile: "{}", "consolidated.00.pth": "PK"}},
		{"gguf", "m.gguf: GGUF weights are not read", "converted from", map[string]string{ConfigFile: "{}", "m.gguf": "GGUF"}},
		{"truncated", "model.safetensors: tensors end at byte", "", map[string]string{ConfigFile: "{}", weightsFile: shard[:len(shard)-1]}},
		{"index without map", `model.safetensors.index.json: no "weight_map"`, "", map[string]string{ConfigFile: "{}", indexFile: "{}"}},
		{"index with empty map", "names no tensors", "", map[string]string{ConfigFile: "{}", indexFile: indexOf(map[string]string{})}},
		{"index with a number", `tensor "a": want a file name`, "", map[string]string{ConfigFile: "{}", indexFile: `{"weight_map":{"a":1}}`}},
		{"index with a tensor twice", `"a" stands twice`, "", map[string]string{ConfigFile: "{}", indexFile: `{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}`}},
		{"parent folder", `file name "../x.safetensors" points outside`, "", map[string]string{ConfigFile: "{}", indexFile: indexOf(map[string]string{"a": "../x.safetensors"})}},
		{"absolute", `file name "/x.safetensors" points outside`, "", map[string]string{ConfigFile: "{}", indexFile: indexOf(map[string]string{"a": "/x.safetensors"})}},
		{"below", `file name "d/x.safetensors" points outside`, "", map[string]string{ConfigFile: "{}", indexFile: indexOf(map[string]string{"a": "d/x.safetensors"})}},
		{"other system", `points outside`, "", map[string]string{ConfigFile: "{}", indexFile: indexOf(map[string]string{"a": `c:\x.safetensors`})}},
		{"other file", `file name "config.json", want one that ends in .safetensors`, "", map[string]string{ConfigFile: "{}", indexFile: indexOf(map[string]string{"a": "config.json"})}},
		{"missing shards", "names files that are not there: model-1.safetensors, model-2.safetensors", "incomplete",
			map[string]string{ConfigFile: "{}", indexFile: indexOf(map[string]string{"a": "model-1.safetensors", "b": "model-2.safetensors"})}},
		{"missing tensor", `model-1.safetensors: tensor "q": is not there`, "different downloads",
			map[string]string{ConfigFile: "{}", "model-1.safetensors": shard, indexFile: indexOf(map[string]string{"a": "model-1.safetensors", "q": "model-1.safetensors"})}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t, tt.files)
			m, err := Open(dir)
			if err == nil {
				m.Close()
				t.Fatal("accepted")
			}
			if !strings.HasPrefix(err.Error(), dir+": ") || !strings.Contains(err.Error(), tt.want) || !strings.Contains(hint.Of(err), tt.hint) {
				t.Errorf("got %v (hint %q), want %q", err, hint.Of(err), tt.want)
			}
		})
	}
}

func TestLinkedShard(t *testing.T) {
	outside := folder(t, map[string]string{"w.safetensors": string(tiny(t))})
	inside := folder(t, map[string]string{ConfigFile: "{}", "real.safetensors": string(tiny(t)), indexFile: indexOf(map[string]string{"a": "model-1.safetensors"})})
	link := filepath.Join(inside, "model-1.safetensors")
	if err := os.Symlink("real.safetensors", link); err != nil {
		t.Skip(err)
	}
	m := openModel(t, inside) // a link inside the folder is fine
	if !slices.Equal(m.Names(), []string{"a"}) || len(m.Notes) != 1 || !strings.Contains(m.Notes[0], "ignored: b, ") {
		t.Errorf("names %q, notes %q", m.Names(), m.Notes)
	}
	for _, target := range []string{filepath.Join(outside, "w.safetensors"), filepath.Join("..", filepath.Base(outside), "w.safetensors")} {
		if err := errors.Join(os.Remove(link), os.Symlink(target, link)); err != nil {
			t.Fatal(err)
		}
		m, err := Open(inside)
		if err == nil {
			m.Close()
			t.Fatalf("%s was followed", target)
		}
		if errors.Is(err, fs.ErrNotExist) || !strings.Contains(hint.Of(err), "links out of it are not followed") {
			t.Errorf("got %v (%s)", err, hint.Of(err))
		}
	}
}

func TestBothFormsOfWeights(t *testing.T) {
	m := openModel(t, folder(t, map[string]string{ConfigFile: `{"a": NaN}`, weightsFile: string(tiny(t)), indexFile: "{}"}))
	if len(m.Notes) != 2 || !strings.Contains(m.Notes[0], "NaN read as null") || !strings.Contains(m.Notes[1], "are both there") {
		t.Errorf("notes %q", m.Notes)
	}
	if m.Has("q") || !m.Has("a") {
		t.Error("Has is wrong")
	}
	_, err := m.Tensor("q")
	var te *TensorError
	if !errors.As(err, &te) || te.Tensor != "q" {
		t.Errorf("got %v", err)
	}
}

// ramp is a matrix of float32 that counts up from first.
func ramp(name string, rows, cols int, first float32) tensor.View {
	values := make([]float32, rows*cols)
	for i := range values {
		values[i] = first + float32(i)
	}
	v := tensor.View{Name: name, DType: tensor.F32, Shape: []int{rows, cols}, Data: make([]byte, 4*len(values))}
	tensor.Encode32(v.Data, values, tensor.F32)
	return v
}

func TestTied(t *testing.T) {
	embed, head := ramp("model.embed_tokens.weight", 3, 2, 0), ramp("lm_head.weight", 3, 2, 1)
	repeated := ramp("lm_head.weight", 3, 2, 0)
	for _, tt := range []struct {
		name, config string
		tensors      []tensor.View
		tied         bool
		want         string
	}{
		{"said, no head", `{"tie_word_embeddings":true}`, []tensor.View{embed}, true, ""},
		{"said, repeated", `{"tie_word_embeddings":true}`, []tensor.View{embed, repeated}, true, ""},
		{"said, another head", `{"tie_word_embeddings":true}`, []tensor.View{embed, head}, false, "differs from model.embed_tokens.weight"},
		{"untied", `{"tie_word_embeddings":false}`, []tensor.View{embed, head}, false, ""},
		{"untied, no head", `{"tie_word_embeddings":false}`, []tensor.View{embed}, false, `"lm_head.weight": is not there`},
		{"llama is untied by default", `{"model_type":"llama"}`, []tensor.View{embed, head}, false, ""},
		{"llama without a head", `{"model_type":"llama"}`, []tensor.View{embed}, false, `"lm_head.weight": is not there`},
		{"gemma is tied by default", `{"model_type":"gemma2"}`, []tensor.View{embed}, true, ""},
		{"gemma with another head", `{"model_type":"gemma2"}`, []tensor.View{embed, head}, false, ""},
		{"unknown with its own head", `{"model_type":"x"}`, []tensor.View{embed, head}, false, ""},
		{"unknown without a head", `{"model_type":"x"}`, []tensor.View{embed}, false, `"lm_head.weight": is not there`},
		{"nested", `{"model_type":"gemma3","text_config":{"tie_word_embeddings":true}}`, []tensor.View{embed}, true, ""},
		{"not a flag", `{"tie_word_embeddings":"yes"}`, []tensor.View{embed}, false, `key "tie_word_embeddings"`},
		{"no embeddings", `{}`, []tensor.View{head}, false, "nor under the name of another family"},
	} {
		dir := t.TempDir()
		saveModel(t, dir, tt.config, tt.tensors...)
		m := openModel(t, dir)
		tied, err := m.Tied()
		if tt.want == "" && (err != nil || tied != tt.tied) {
			t.Errorf("%s: %v, %v, want %v", tt.name, tied, err, tt.tied)
		}
		if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestNamesOfFamilies(t *testing.T) {
	for _, n := range embeddingNames {
		dir := t.TempDir()
		saveModel(t, dir, `{"tie_word_embeddings":false}`, ramp(n.embed, 3, 2, 0), ramp(n.head, 3, 2, 1), ramp("x.layers.0.q", 2, 2, 0))
		m := openModel(t, dir)
		e, err := m.EmbedTokens()
		if err != nil || e.Name != n.embed {
			t.Errorf("%q, %v, want %q", e.Name, err, n.embed)
		}
		h, err := m.LMHead()
		if err != nil || h.Name != n.head {
			t.Errorf("%q, %v, want %q", h.Name, err, n.head)
		}
		if got := m.LayerNames(); !slices.Equal(got, []string{"x.layers.0.q"}) {
			t.Errorf("layers %q", got)
		}
	}
}

func TestCompare(t *testing.T) {
	save := func(config string, tensors ...tensor.View) *Model {
		dir := t.TempDir()
		saveModel(t, dir, config, tensors...)
		return openModel(t, dir)
	}
	other := ramp("c", 5, 3, 0)
	tensor.Encode32(other.Data[4*7:], []float32{7.5}, tensor.F32)
	a := save("{}", ramp("a", 2, 2, 0), ramp("b", 2, 2, 0), ramp("c", 5, 3, 0), ramp("d", 2, 2, 0), ramp("e", 2, 2, 0))
	b := save("{}", ramp("a", 2, 2, 0), ramp("b", 2, 2, 3), other, ramp("d", 2, 3, 0))
	got, err := Compare(t.Context(), a, b, a.Names())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, d := range got {
		lines = append(lines, d.String())
	}
	want := []string{`tensor "d": shape [2 2] and [2 3]`, `tensor "e": is not in both models`,
		`tensor "b": differs by up to 3 (row 0, column 0)`, `tensor "c": differs by up to 0.5 (row 2, column 1)`}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q\nwant %q", lines, want)
	}
	if got, err := Compare(t.Context(), a, a, a.Names()); err != nil || len(got) != 0 {
		t.Errorf("a model differs from itself: %v, %v", got, err)
	}
}

func TestDigestsAreOfValues(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	saveModel(t, one, "{}", ramp("a", 2, 2, 0), ramp("b", 2, 2, 5))
	saveModel(t, two, "{}", ramp("b", 2, 2, 5), ramp("a", 2, 2, 0), ramp("c", 1, 1, 0))
	x, err := openModel(t, one).Digests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	y, err := openModel(t, two).Digests(t.Context(), "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(x, y) || x["a"] == x["b"] || len(x["a"]) != 64 {
		t.Errorf("%v and %v", x, y)
	}
	if _, err := openModel(t, one).Digests(t.Context(), "q"); err == nil {
		t.Error("a missing tensor has a digest")
	}
}

func TestFileDigests(t *testing.T) {
	text := string(tiny(t))
	m := openModel(t, folder(t, map[string]string{ConfigFile: "{}", weightsFile: text, "tokenizer.json": "x", "other": "y"}))
	got, err := m.FileDigests(t.Context(), "tokenizer.json", "tokenizer.model")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for name, data := range map[string]string{ConfigFile: "{}", weightsFile: text, "tokenizer.json": "x"} {
		want[name] = fmt.Sprintf("%x", sha256.Sum256([]byte(data)))
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.FileDigests(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(indexOf(map[string]string{"a": "model-00001-of-00002.safetensors"})))
	f.Add([]byte(indexOf(map[string]string{"a": "../x.safetensors"})))
	f.Add([]byte(`{"weight_map":{"a":null,}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseIndex(data)
		if err != nil {
			return
		}
		for name, shard := range m {
			if filepath.Base(shard) != shard || !filepath.IsLocal(shard) {
				t.Fatalf("tensor %q is in %q", name, shard)
			}
		}
	})
}
