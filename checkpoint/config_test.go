package checkpoint

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"lep/internal/golden"
	"lep/internal/orderedjson"
)

func parse(t *testing.T, text string) *orderedjson.Object {
	t.Helper()
	o, err := orderedjson.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func compact(t *testing.T, o *orderedjson.Object) string {
	t.Helper()
	b, err := o.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// values decodes an object so that number formats and key order do not matter.
func values(t *testing.T, o *orderedjson.Object) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(compact(t, o)), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// Each reference checkpoint has its config as transformers 5 and as transformers 4
// wrote it: from either, both spellings must come out with the values of the other.
func TestBothSpellingsOfReferenceConfigs(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(golden.Shared(t, "reference", "models", "checkpoints"), "*", "config.legacy.json"))
	if err != nil || len(files) < 8 {
		t.Fatalf("%d configs, %v", len(files), err)
	}
	for _, legacy := range files {
		before, after := parse(t, string(read(t, legacy))), parse(t, string(read(t, filepath.Join(filepath.Dir(legacy), ConfigFile))))
		was, is := values(t, before), values(t, after)
		for _, o := range []*orderedjson.Object{before, after} {
			if err := WriteBothSpellings(o); err != nil {
				t.Fatal(err)
			}
			got := values(t, o)
			for _, key := range []string{"rope_theta", "rope_scaling", "torch_dtype"} {
				if !reflect.DeepEqual(got[key], was[key]) {
					t.Errorf("%s: %s is %v, transformers 4 wrote %v", legacy, key, got[key], was[key])
				}
			}
			for _, key := range []string{"rope_parameters", "dtype"} {
				if !reflect.DeepEqual(got[key], is[key]) {
					t.Errorf("%s: %s is %v, transformers 5 wrote %v", legacy, key, got[key], is[key])
				}
			}
			again := o.Clone()
			if err := WriteBothSpellings(again); err != nil || !reflect.DeepEqual(values(t, again), got) {
				t.Errorf("%s: a second time changes it (%v)", legacy, err)
			}
		}
	}
}

func TestWriteBothSpellings(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"no rope, no dtype", `{"n_embd":4}`, `{"n_embd":4}`},
		{"number format stays", `{"rope_theta":1e6}`, `{"rope_theta":1e6,"rope_parameters":{"rope_type":"default","rope_theta":1e6}}`},
		{"oldest spelling", `{"rope_theta":1.0,"rope_scaling":{"type":"linear","factor":2.0}}`,
			`{"rope_theta":1.0,"rope_scaling":{"type":"linear","factor":2.0},"rope_parameters":{"type":"linear","factor":2.0,"rope_type":"linear","rope_theta":1.0}}`},
		{"partial rotation", `{"rope_theta":1.0,"partial_rotary_factor":0.4}`,
			`{"rope_theta":1.0,"partial_rotary_factor":0.4,"rope_parameters":{"rope_type":"default","rope_theta":1.0,"partial_rotary_factor":0.4}}`},
		{"partial rotation, new", `{"rope_parameters":{"rope_type":"default","rope_theta":1.0,"partial_rotary_factor":0.4}}`,
			`{"rope_parameters":{"rope_type":"default","rope_theta":1.0,"partial_rotary_factor":0.4},"rope_theta":1.0,"partial_rotary_factor":0.4,"rope_scaling":null}`},
		{"Gemma 3, old", `{"rope_theta":1e6,"rope_local_base_freq":1e4,"rope_scaling":{"rope_type":"linear","factor":8.0}}`,
			`{"rope_theta":1e6,"rope_local_base_freq":1e4,"rope_scaling":{"rope_type":"linear","factor":8.0},` +
				`"rope_parameters":{"full_attention":{"rope_type":"linear","factor":8.0,"rope_theta":1e6},"sliding_attention":{"rope_type":"default","rope_theta":1e4}}}`},
		{"Gemma 3, new", `{"rope_parameters":{"full_attention":{"rope_type":"linear","factor":8.0,"rope_theta":1e6},"sliding_attention":{"rope_type":"default","rope_theta":1e4}}}`,
			`{"rope_parameters":{"full_attention":{"rope_type":"linear","factor":8.0,"rope_theta":1e6},"sliding_attention":{"rope_type":"default","rope_theta":1e4}},` +
				`"rope_local_base_freq":1e4,"rope_theta":1e6,"rope_scaling":{"rope_type":"linear","factor":8.0}}`},
		{"nested", `{"text_config":{"torch_dtype":"float16"},"dtype":"bfloat16"}`,
			`{"text_config":{"torch_dtype":"float16","dtype":"float16"},"dtype":"bfloat16","torch_dtype":"bfloat16"}`},
	} {
		o := parse(t, tt.in)
		if err := WriteBothSpellings(o); err != nil {
			t.Fatal(err)
		}
		if got := compact(t, o); got != tt.want {
			t.Errorf("%s: got\n%s, want\n%s", tt.name, got, tt.want)
		}
	}
}

func TestDimensions(t *testing.T) {
	for in, want := range map[string]Dimensions{
		`{"vocab_size":7,"hidden_size":4,"num_hidden_layers":2}`:                            {7, 4, 2},
		`{"vocab_size":7,"n_embd":4,"n_layer":2}`:                                           {7, 4, 2},
		`{"text_config":{"vocab_size":7,"hidden_size":4},"num_hidden_layers":2}`:            {7, 4, 2},
		`{"vocab_size":1,"text_config":{"vocab_size":7,"d_model":4,"num_hidden_layers":2}}`: {7, 4, 2},
		`{}`: {},
	} {
		if got, err := ReadDimensions(parse(t, in)); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{`{"vocab_size":"7"}`, `{"vocab_size":-7}`, `{"hidden_size":1.5}`, `{"vocab_size":1e99}`} {
		if got, err := ReadDimensions(parse(t, in)); err == nil {
			t.Errorf("%s: %+v", in, got)
		}
	}
	o := parse(t, `{"a":1,"text_config":{"vocab_size":7,"hidden_size":4}}`)
	if err := SetVocabSize(o, 9); err != nil || compact(t, o) != `{"a":1,"text_config":{"vocab_size":9,"hidden_size":4}}` {
		t.Errorf("%s, %v", compact(t, o), err)
	}
	o = parse(t, `{"vocab_size":7,"a":1.50}`)
	if err := SetVocabSize(o, 9); err != nil || compact(t, o) != `{"vocab_size":9,"a":1.50}` {
		t.Errorf("%s, %v", compact(t, o), err)
	}
}

func TestRemapTokenIDs(t *testing.T) {
	plus100 := func(id int) (int, bool) { return id + 100, id < 10 }
	for _, tt := range []struct{ name, in, want string }{
		{"ids", `{"bos_token_id":1,"eos_token_id":[2,3],"pad_token_id":null,"max_position_embeddings":1,"flag":true}`,
			`{"bos_token_id":101,"eos_token_id":[102,103],"pad_token_id":null,"max_position_embeddings":1,"flag":true}`},
		{"no id", `{"pad_token_id":-1}`, `{"pad_token_id":-1}`},
		{"generation", `{"suppress_tokens":[1,2],"begin_suppress_tokens":[3],"forced_decoder_ids":[[1,4],[2,null]],"bad_words_ids":[[1,2],[3]],"top_k":5}`,
			`{"suppress_tokens":[101,102],"begin_suppress_tokens":[103],"forced_decoder_ids":[[1,104],[2,null]],"bad_words_ids":[[101,102],[103]],"top_k":5}`},
		{"bias", `{"sequence_bias":[[[1,2],-10.5]]}`, `{"sequence_bias":[[[101,102],-10.5]]}`},
		{"nested", `{"text_config":{"eos_token_id":[1],"vocab_size":5},"vision_config":{"bos_token_id":1},"image_token_index":4,"eos_token_id":1}`,
			`{"text_config":{"eos_token_id":[101],"vocab_size":5},"vision_config":{"bos_token_id":1},"image_token_index":104,"eos_token_id":101}`},
		{"one in a list stays a list", `{"eos_token_id":[2]}`, `{"eos_token_id":[102]}`},
		{"names that only look alike", `{"token_ids":[1],"id":1,"eos_token":"</s>","bos_token_id_x":1}`, `{"token_ids":[1],"id":1,"eos_token":"</s>","bos_token_id_x":1}`},
	} {
		o := parse(t, tt.in)
		if err := RemapTokenIDs(o, plus100); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if got := compact(t, o); got != tt.want {
			t.Errorf("%s: got\n%s, want\n%s", tt.name, got, tt.want)
		}
	}
	for in, want := range map[string]string{
		`{"eos_token_id":[2,10]}`:                      "eos_token_id: token id 10 has no counterpart",
		`{"eos_token_id":"2"}`:                         `eos_token_id: "2" is no token id`,
		`{"eos_token_id":2.5}`:                         "2.5 is no token id",
		`{"eos_token_id":true}`:                        "true is no token id",
		`{"text_config":{"bos_token_id":11}}`:          "text_config: bos_token_id: token id 11",
		`{"forced_decoder_ids":[[1,2,3]]}`:             "3 parts, want 2",
		`{"forced_decoder_ids":7}`:                     "want a list of pairs",
		`{"suppress_tokens":[1,99999999999999999999]}`: "is no token id",
	} {
		if err := RemapTokenIDs(parse(t, in), plus100); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

func TestTieFlag(t *testing.T) {
	for in, want := range map[string]string{
		`{"tie_word_embeddings":true}`:                                      `{"tie_word_embeddings":false}`,
		`{"text_config":{"tie_word_embeddings":true}}`:                      `{"text_config":{"tie_word_embeddings":false}}`,
		`{"text_config":{"tie_word_embeddings":1},"tie_word_embeddings":1}`: `{"text_config":{"tie_word_embeddings":false},"tie_word_embeddings":false}`,
		`{}`: `{"tie_word_embeddings":false}`,
	} {
		o := parse(t, in)
		if err := SetTieWordEmbeddings(o, false); err != nil || compact(t, o) != want {
			t.Errorf("%s: %s, %v", in, compact(t, o), err)
		}
	}
}

func ExampleRemapTokenIDs() {
	config, err := orderedjson.Parse([]byte(`{"eos_token_id": [128001, 128009], "max_position_embeddings": 128009}`))
	if err != nil {
		panic(err)
	}
	moved := map[int]int{128001: 149546, 128009: 149554}
	err = RemapTokenIDs(config, func(old int) (int, bool) { id, ok := moved[old]; return id, ok })
	fmt.Println(string(config.Raw("eos_token_id")), string(config.Raw("max_position_embeddings")), err)
	// Output: [149546,149554] 128009 <nil>
}
