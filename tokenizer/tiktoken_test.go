package tokenizer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lep/internal/golden"
)

// The published rank files give the reference's tokenizer.json, and back.
func TestTiktokenGivesTheReferenceJSON(t *testing.T) {
	for _, tt := range []struct{ model, file string }{{"llama3", "tokenizer.model"}, {"cl100k", "cl100k_base.tiktoken"}} {
		t.Run(tt.model, func(t *testing.T) {
			want, err := ReadJSON(golden.Read(t, modelPath(t, tt.model, "tokenizer.json")))
			if err != nil {
				t.Fatal(err)
			}
			data := golden.Read(t, modelPath(t, tt.model, tt.file))
			if !isTiktoken(data) {
				t.Error("not recognised as a rank file")
			}
			got, err := readRankFile(data)
			if err != nil {
				t.Fatal(err)
			}
			// The vocabulary of cl100k lists its added tokens too.
			if n := len(got.Model.Pieces); !slices.Equal(got.Model.Pieces, want.Model.Pieces[:n]) || len(want.Model.Pieces) > n+len(want.AddedTokens) {
				t.Error("pieces differ")
			}
			if !slices.Equal(got.Model.Merges, want.Model.Merges) {
				t.Errorf("%d merges, want %d, or in another order", len(got.Model.Merges), len(want.Model.Merges))
			}
			if got.Model.IgnoreMerges != want.Model.IgnoreMerges || fmt.Sprint(got.AddedTokens) != fmt.Sprint(want.AddedTokens) {
				t.Errorf("added tokens %v, want %v", got.AddedTokens, want.AddedTokens)
			}
			for _, c := range []struct {
				name      string
				got, want []byte
			}{
				{"pre_tokenizer", got.PreTokenizer, want.PreTokenizer},
				{"decoder", got.Decoder, want.Decoder},
				{"post_processor", got.PostProcessor, want.PostProcessor},
			} {
				if got, want := compactJSON(t, c.got), compactJSON(t, c.want); got != want {
					t.Errorf("%s:\n got %s\nwant %s", c.name, got, want)
				}
			}
			back, err := want.Tiktoken()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(bytes.TrimSpace(back), bytes.TrimSpace(data)) {
				t.Error("the file changes on its way through the json")
			}
		})
	}
}

// rankLines returns a rank file of all bytes and more tokens.
func rankLines(more ...string) []byte {
	var b bytes.Buffer
	for i := range 256 {
		fmt.Fprintf(&b, "%s %d\n", base64.StdEncoding.EncodeToString([]byte{byte(i)}), i)
	}
	for i, m := range more {
		fmt.Fprintf(&b, "%s %d\n", base64.StdEncoding.EncodeToString([]byte(m)), 256+i)
	}
	return b.Bytes()
}

func TestReadTiktokenRefuses(t *testing.T) {
	all := string(rankLines())
	for _, tt := range []struct{ name, data, want string }{
		{"base64", all + "!!! 256\n", "line 257: illegal base64"},
		{"no rank", all + "YWI=\n", "line 257: want a token"},
		{"rank", all + "YWI= x\n", `line 257: rank "x"`},
		{"negative", all + "YWI= -1\n", `line 257: rank "-1"`},
		{"huge", all + "YWI= 99999999999999999999\n", "line 257: rank"},
		{"gap", all + "YWI= 300\n", "rank 256 is missing"},
		{"rank twice", all + "YWI= 5\n", "line 257: rank 5 stands in line 6 already"},
		{"token twice", all + "YQ== 256\n", "line 257: token \"a\" stands in line 98 already"},
		{"empty token", all + " 256\n", "line 257: the token is empty"},
		{"bytes missing", "YQ== 0\n", "byte 0x00 has no token"},
		{"nothing", "", "byte 0x00 has no token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ReadTiktoken([]byte(tt.data), PatternLlama3, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := ReadTiktoken([]byte(all), "", nil); err == nil {
		t.Error("no pattern: no error")
	}
}

func TestTiktokenRefusesWhatRanksCannotSay(t *testing.T) {
	d, err := ReadTiktoken(rankLines("ab", "abc", "bc"), PatternLlama3, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Model.Merges) != 4 {
		t.Fatalf("merges %v, want 4: every split counts", d.Model.Merges)
	}
	slices.Reverse(d.Model.Merges)
	if _, err := d.Tiktoken(); err == nil || !strings.Contains(err.Error(), "out of its turn") {
		t.Errorf("error %v", err)
	}
	d.Model.Merges = d.Model.Merges[1:]
	if _, err := d.Tiktoken(); err == nil || !strings.Contains(err.Error(), "3 merges, but the ranks make 4") {
		t.Errorf("error %v", err)
	}
}

func TestReadTekken(t *testing.T) {
	var f tekkenFile
	f.Config.Pattern, f.Config.DefaultVocabSize, f.Config.NumSpecial = PatternO200k, 30+257, 30
	type entry = struct {
		Rank  int    `json:"rank"`
		Bytes []byte `json:"token_bytes"`
	}
	for i := range 256 {
		f.Vocab = append(f.Vocab, entry{i, []byte{byte(i)}})
	}
	f.Vocab = append(f.Vocab, entry{256, []byte("ab")}, entry{257, []byte("beyond")})
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if !isTekken(data) {
		t.Error("not recognised")
	}
	d, err := readTekken(data)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Model.Pieces[256]; got.ID != 286 || got.Text != "ab" || len(d.Model.Pieces) != 257 {
		t.Errorf("last piece %+v of %d, want id 286", got, len(d.Model.Pieces))
	}
	if a := d.AddedTokens[1]; a.Content != "<s>" || a.ID != 1 || len(d.AddedTokens) != 30 {
		t.Errorf("special token 1 is %+v", a)
	}
	f.Vocab[3].Rank = 9
	if _, err := f.definition(); err == nil || !strings.Contains(err.Error(), "vocab entry 3 has rank 9") {
		t.Errorf("error %v", err)
	}
}

func FuzzReadTiktoken(f *testing.F) {
	f.Add(rankLines("ab", "abc", "bc"))
	f.Add([]byte("IQ== 0\nIg== 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ReadTiktoken(data, PatternGPT2, nil)
		if err != nil {
			return
		}
		out, err := d.Tiktoken()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ReadTiktoken(out, PatternGPT2, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(again.Model.Pieces, d.Model.Pieces) || !slices.Equal(again.Model.Merges, d.Model.Merges) {
			t.Fatal("the tokens change on the way")
		}
	})
}
