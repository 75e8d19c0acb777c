package stats

import (
	"encoding/json"
	"unicode"
	"unicode/utf8"

	"lep/tokenizer"
)

// Fertility counts what a tokenizer makes of texts. For a script, characters and bytes are
// its letters and marks alone, tokens those whose first letter is of it.
type Fertility struct {
	Characters, Bytes, Tokens int64
	// Words are runs of letters and marks in scripts that put spaces between words; whole
	// ones lie within one token.
	Words, WholeWords int64
}

// CharactersPerToken is 0 without tokens.
func (f Fertility) CharactersPerToken() float64 { return ratio(f.Characters, f.Tokens) }

// BytesPerToken is 0 without tokens.
func (f Fertility) BytesPerToken() float64 { return ratio(f.Bytes, f.Tokens) }

// WholeShare is the share of words kept whole, 0 to 1; 0 without words.
func (f Fertility) WholeShare() float64 { return ratio(f.WholeWords, f.Words) }

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

func (f *Fertility) add(g Fertility) {
	f.Characters += g.Characters
	f.Bytes += g.Bytes
	f.Tokens += g.Tokens
	f.Words += g.Words
	f.WholeWords += g.WholeWords
}

// MarshalJSON writes the counts and their ratios.
func (f Fertility) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Characters         int64   `json:"characters"`
		Bytes              int64   `json:"bytes"`
		Tokens             int64   `json:"tokens"`
		Words              int64   `json:"words"`
		WholeWords         int64   `json:"words_kept_whole"`
		CharactersPerToken float64 `json:"characters_per_token"`
		BytesPerToken      float64 `json:"bytes_per_token"`
		WholeShare         float64 `json:"share_of_words_kept_whole"`
	}{f.Characters, f.Bytes, f.Tokens, f.Words, f.WholeWords, f.CharactersPerToken(), f.BytesPerToken(), f.WholeShare()})
}

// counter measures texts with one tokenizer; it is used by one goroutine.
type counter struct {
	tok     *tokenizer.Tokenizer
	uses    []int64 // by id
	texts   int64
	total   Fertility
	scripts []Fertility // by scriptCode + 1
	broken  int64
	broke   []Broken

	// Of the text at hand, by character.
	script []int8
	size   []int8
	token  []int32 // 1 + the index of the token over it, -1 if there are several
}

func newCounter(tok *tokenizer.Tokenizer) *counter {
	return &counter{tok: tok, uses: make([]int64, tok.Size()), scripts: make([]Fertility, len(scripts)+2)}
}

// count encodes a text, the number'th of its stream.
func (c *counter) count(text string, number int64) {
	e := c.tok.EncodeOptions(text, tokenizer.EncodeOptions{Offsets: true})
	for _, id := range e.IDs {
		c.uses[id]++
	}
	c.texts++
	c.spell(text)
	c.total.add(Fertility{Characters: int64(len(c.script)), Bytes: int64(len(text)), Tokens: int64(len(e.IDs))})
	c.lay(e.Offsets)
	c.words()
	if got := c.tok.Decode(e.IDs); got != text {
		c.broken++
		c.broke = append(c.broke, Broken{Text: text, Decoded: got, number: number})
		c.broke = firstBroken(c.broke)
	}
}

// spell notes the script and the bytes of every character.
func (c *counter) spell(text string) {
	c.script, c.size, c.token = c.script[:0], c.size[:0], c.token[:0]
	before := -1
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		code := scriptCode(r)
		if code < 0 && r >= 0x300 && unicode.IsMark(r) {
			code = before // an accent belongs to its letter
		}
		if code >= 0 {
			s := &c.scripts[code+1]
			s.Characters++
			s.Bytes += int64(n)
		}
		before = code
		c.script = append(c.script, int8(code))
		c.size = append(c.size, int8(n))
		c.token = append(c.token, 0)
		i += n
	}
}

// lay puts the tokens over the characters.
func (c *counter) lay(offsets [][2]int) {
	for i, o := range offsets {
		start, end := max(o[0], 0), min(o[1], len(c.script))
		if start >= len(c.script) {
			continue
		}
		if end <= start { // a byte of a character whose span another byte has
			end = start + 1
		}
		code := int8(-1)
		for k := start; k < end; k++ {
			if code < 0 {
				code = c.script[k]
			}
			if c.token[k] != 0 {
				c.token[k] = -1
			} else {
				c.token[k] = int32(i) + 1
			}
		}
		if code >= 0 {
			c.scripts[code+1].Tokens++
		}
	}
}

// words counts words and those within one token.
func (c *counter) words() {
	for i := 0; i < len(c.script); {
		code := c.script[i]
		if code < 0 {
			i++
			continue
		}
		start := i
		whole := c.token[i] > 0
		for ; i < len(c.script) && c.script[i] >= 0; i++ {
			whole = whole && c.token[i] == c.token[start]
		}
		if unspaced[code] {
			continue
		}
		for _, f := range []*Fertility{&c.total, &c.scripts[code+1]} {
			f.Words++
			if whole {
				f.WholeWords++
			}
		}
	}
}

func (c *counter) merge(d *counter) {
	for id, n := range d.uses {
		c.uses[id] += n
	}
	c.texts += d.texts
	c.total.add(d.total)
	for i := range c.scripts {
		c.scripts[i].add(d.scripts[i])
	}
	c.broken += d.broken
	c.broke = firstBroken(append(c.broke, d.broke...))
}

// byScript lists the scripts that occur, the most frequent first.
func (c *counter) byScript() []ScriptFertility {
	var list []ScriptFertility
	for i, f := range c.scripts {
		if f.Tokens > 0 {
			list = append(list, ScriptFertility{scriptName(i - 1), f})
		}
	}
	sortBy(list, func(s ScriptFertility) (int64, string) { return s.Fertility.Characters, s.Script })
	return list
}
