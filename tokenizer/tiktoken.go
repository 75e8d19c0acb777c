package tokenizer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lep/internal/hint"
	"lep/internal/orderedjson"
)

// Patterns by which tiktoken-like tokenizers split text, in the spelling of
// tokenizer.json (Oniguruma). They mean the same as tiktoken's own, which for
// cl100k uses possessive quantifiers that Oniguruma reads otherwise.
const (
	PatternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	PatternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	PatternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	PatternO200k  = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// tiktokenSpellings are tiktoken's own spellings of patterns above.
var tiktokenSpellings = map[string]string{
	`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s`: PatternLlama3,
	`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`:         PatternLlama3,
	`'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s`:                                       PatternGPT2,
	`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`:                                               PatternGPT2,
}

// maxTokenBytes bounds a token of a rank file.
const maxTokenBytes = 4096

// ReadTiktoken reads a tiktoken rank file: lines of a token in base64 and its rank,
// which is its id. pattern is the regular expression that splits text and special
// the tokens outside the ranks; the file holds neither. Ranks must be 0, 1, 2, …
// in any order and every single byte must be a token. Errors name the line.
func ReadTiktoken(data []byte, pattern string, special []AddedToken) (*Definition, error) {
	ranks, err := parseRanks(data)
	if err != nil {
		return nil, fmt.Errorf("tiktoken: %w", err)
	}
	d, err := newByteLevel(ranks, 0, pattern, special)
	if err != nil {
		return nil, fmt.Errorf("tiktoken: %w", err)
	}
	return d, nil
}

// parseRanks returns the tokens of a rank file by rank.
func parseRanks(data []byte) ([]string, error) {
	type entry struct {
		token string
		line  int
	}
	byRank := make(map[int]entry, bytes.Count(data, []byte("\n"))+1)
	byToken := make(map[string]int, len(byRank))
	line := 0
	for len(data) > 0 {
		var text []byte
		text, data, _ = bytes.Cut(data, []byte("\n"))
		text = bytes.TrimSuffix(text, []byte("\r"))
		line++
		if len(text) == 0 {
			continue
		}
		code, number, ok := bytes.Cut(text, []byte(" "))
		if !ok {
			return nil, fmt.Errorf("line %d: want a token in base64, a space and its rank", line)
		}
		if len(code) > 2*maxTokenBytes {
			return nil, fmt.Errorf("line %d: a token of more than %d bytes", line, maxTokenBytes)
		}
		token, err := base64.StdEncoding.DecodeString(string(code))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		rank, err := strconv.Atoi(string(number))
		switch first, twice := byToken[string(token)]; {
		case err != nil || rank < 0 || rank >= maxTokens:
			return nil, fmt.Errorf("line %d: rank %q, want 0 to %d", line, number, maxTokens-1)
		case len(token) == 0:
			return nil, fmt.Errorf("line %d: the token is empty", line)
		case twice:
			return nil, fmt.Errorf("line %d: token %q stands in line %d already", line, token, first)
		}
		if other, ok := byRank[rank]; ok {
			return nil, fmt.Errorf("line %d: rank %d stands in line %d already", line, rank, other.line)
		}
		byRank[rank] = entry{string(token), line}
		byToken[string(token)] = line
	}
	tokens := make([]string, len(byRank))
	for i := range tokens {
		e, ok := byRank[i]
		if !ok {
			return nil, fmt.Errorf("rank %d is missing, though there are %d tokens", i, len(tokens))
		}
		tokens[i] = e.token
	}
	return tokens, nil
}

// newByteLevel makes the Hugging Face form of a byte-level BPE whose ranks are all there
// is: tokens[i] has the id base+i.
func newByteLevel(tokens []string, base int32, pattern string, special []AddedToken) (*Definition, error) {
	if spelling, ok := tiktokenSpellings[pattern]; ok {
		pattern = spelling
	}
	if pattern == "" {
		return nil, errors.New("no pattern to split text with")
	}
	ids := make(map[string]int32, len(tokens))
	d := &Definition{Model: Model{Type: BPE, UnkID: -1, IgnoreMerges: true}, AddedTokens: slices.Clone(special)}
	var letters []byte
	for i, t := range tokens {
		id := base + int32(i)
		ids[t] = id
		letters = appendLetters(letters[:0], t)
		d.Model.Pieces = append(d.Model.Pieces, Piece{ID: id, Text: string(letters), Kind: Text})
	}
	for b := range 256 {
		if _, ok := ids[string([]byte{byte(b)})]; !ok {
			return nil, fmt.Errorf("byte 0x%02X has no token", b)
		}
	}
	d.Model.Merges = mergesByRank(tokens, ids)
	var err error
	set := func(dst *json.RawMessage, v any) {
		if err == nil {
			*dst, err = orderedjson.Marshal(v)
		}
	}
	type byteLevel struct {
		Type           string `json:"type"`
		AddPrefixSpace bool   `json:"add_prefix_space"`
		TrimOffsets    bool   `json:"trim_offsets"`
		UseRegex       bool   `json:"use_regex"`
	}
	set(&d.PreTokenizer, struct {
		Type          string `json:"type"`
		PreTokenizers []any  `json:"pretokenizers"`
	}{"Sequence", []any{struct {
		Type     string            `json:"type"`
		Pattern  map[string]string `json:"pattern"`
		Behavior string            `json:"behavior"`
		Invert   bool              `json:"invert"`
	}{"Split", map[string]string{"Regex": pattern}, "Isolated", false}, byteLevel{"ByteLevel", false, true, false}}})
	set(&d.Decoder, byteLevel{"ByteLevel", true, true, true})
	after := byteLevel{"ByteLevel", true, false, true}
	set(&d.PostProcessor, after)
	for _, a := range special {
		if a.Content == "<|begin_of_text|>" || a.Content == "<s>" {
			set(&d.PostProcessor, struct {
				Type       string `json:"type"`
				Processors []any  `json:"processors"`
			}{"Sequence", []any{after, bosTemplate(a.Content, a.ID)}})
		}
	}
	if err != nil {
		return nil, err
	}
	return d, d.check()
}

// mergesByRank lists for every token, in the order of ids, all its splits in two
// tokens, by (left id, right id).
func mergesByRank(tokens []string, ids map[string]int32) []Merge {
	var merges []Merge
	for _, t := range tokens {
		from := len(merges)
		for i := 1; i < len(t); i++ {
			left, ok := ids[t[:i]]
			if !ok {
				continue
			}
			if right, ok := ids[t[i:]]; ok {
				merges = append(merges, Merge{left, right, ids[t]})
			}
		}
		slices.SortFunc(merges[from:], func(a, b Merge) int {
			if a.Left != b.Left {
				return int(a.Left) - int(b.Left)
			}
			return int(a.Right) - int(b.Right)
		})
	}
	return merges
}

// Tiktoken writes a byte-level BPE as a rank file. Added tokens and the pattern are not
// part of it. It is an error if ranks could not say the same: other ids than 0, 1,
// 2, …, merges in another order than that of their products, or pieces that only
// the merges that are left out could forbid.
func (d *Definition) Tiktoken() ([]byte, error) {
	out, err := d.tiktoken()
	if err != nil {
		return nil, fmt.Errorf("tiktoken: not expressible: %w", err)
	}
	return out, nil
}

func (d *Definition) tiktoken() ([]byte, error) {
	m := &d.Model
	if m.Type != BPE {
		return nil, fmt.Errorf("the model is %s, want BPE", m.Type)
	}
	if !m.IgnoreMerges {
		return nil, errors.New("ignore_merges is not set, but ranks imply it")
	}
	var tokens []string
	ids := make(map[string]int32, len(m.Pieces))
	added := make(map[int32]bool, len(d.AddedTokens))
	for _, a := range d.AddedTokens {
		added[a.ID] = true
	}
	var out []byte
	for _, p := range m.Pieces {
		if added[p.ID] { // some files list added tokens in the vocabulary too
			continue
		}
		if int(p.ID) != len(tokens) {
			return nil, fmt.Errorf("ids have a gap before %d", p.ID)
		}
		token, ok := appendBytes(nil, p.Text)
		if !ok || len(token) == 0 {
			return nil, fmt.Errorf("piece %q is not spelled in the byte alphabet", p.Text)
		}
		tokens = append(tokens, string(token))
		ids[string(token)] = p.ID
		out = base64.StdEncoding.AppendEncode(out, token)
		out = append(strconv.AppendInt(append(out, ' '), int64(p.ID), 10), '\n')
	}
	want := mergesByRank(tokens, ids)
	if len(want) != len(m.Merges) {
		return nil, fmt.Errorf("%d merges, but the ranks make %d", len(m.Merges), len(want))
	}
	have := make(map[Merge]bool, len(want))
	for _, g := range want {
		have[g] = true
	}
	last := int32(-1)
	for i, g := range m.Merges {
		if !have[g] || g.Product < last {
			return nil, fmt.Errorf("merge %d makes id %d out of its turn", i, g.Product)
		}
		delete(have, g)
		last = g.Product
	}
	return out, nil
}

// isTiktoken reports whether data looks like a rank file: a first line of base64,
// a space and a number.
func isTiktoken(data []byte) bool {
	line, _, _ := bytes.Cut(data[:min(len(data), 3*maxTokenBytes)], []byte("\n"))
	code, number, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\r")), []byte(" "))
	if !ok || len(code) == 0 {
		return false
	}
	_, err := strconv.ParseUint(string(number), 10, 31)
	if err != nil {
		return false
	}
	_, err = base64.StdEncoding.DecodeString(string(code))
	return err == nil
}

// readRankFile reads a rank file that comes without its pattern: the number of
// ranks tells the tokenizers that are published so.
func readRankFile(data []byte) (*Definition, error) {
	ranks, err := parseRanks(data)
	if err != nil {
		return nil, fmt.Errorf("tiktoken: %w", err)
	}
	pattern, names, note := PatternLlama3, []AddedToken(nil), ""
	switch len(ranks) {
	case 128_000:
		names = llama3Specials()
		note = "a rank file of 128000 tokens: taken for Llama-3, with the special tokens of Meta-Llama-3-8B"
	case 100_256:
		names = specialTokens(100_257, "<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
		names = append(names, specialTokens(100_276, "<|endofprompt|>")...)
		note = "a rank file of 100256 tokens: taken for cl100k_base"
	case 199_998:
		pattern = PatternO200k
		names = append(specialTokens(199_999, "<|endoftext|>"), specialTokens(200_018, "<|endofprompt|>")...)
		note = "a rank file of 199998 tokens: taken for o200k_base"
	case 151_643:
		pattern = PatternQwen2
		names = specialTokens(151_643, "<|endoftext|>", "<|im_start|>", "<|im_end|>")
		note = "a rank file of 151643 tokens: taken for Qwen"
	case 50_256:
		pattern = PatternGPT2
		names = specialTokens(50_256, "<|endoftext|>")
		note = "a rank file of 50256 tokens: taken for GPT-2"
	default:
		note = fmt.Sprintf("a rank file of %d tokens says neither its pattern nor its special tokens: Llama-3's pattern and no special tokens are taken", len(ranks))
	}
	d, err := newByteLevel(ranks, 0, pattern, names)
	if err != nil {
		return nil, hint.Wrap(fmt.Errorf("tiktoken: %w", err), "give the tokenizer.json instead")
	}
	d.Notes = append(d.Notes, note)
	return d, nil
}

func specialTokens(id int32, names ...string) []AddedToken {
	var list []AddedToken
	for i, name := range names {
		list = append(list, AddedToken{ID: id + int32(i), Content: name, Special: true})
	}
	return list
}

// llama3Specials are the 256 special tokens of Meta-Llama-3-8B.
func llama3Specials() []AddedToken {
	names := strings.Fields(`<|begin_of_text|> <|end_of_text|> R R R R <|start_header_id|> <|end_header_id|> R <|eot_id|>`)
	reserved := 0
	for i := range 256 {
		if i >= len(names) {
			names = append(names, "R")
		}
		if names[i] == "R" {
			names[i] = fmt.Sprintf("<|reserved_special_token_%d|>", reserved)
			reserved++
		}
	}
	return specialTokens(128_000, names...)
}
