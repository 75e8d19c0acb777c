package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"

	"lep/internal/hint"
)

// postProcessor puts special tokens around the ids of a text and trims offsets.
type postProcessor struct {
	prefix, suffix []int32 // in the order of the text
	trims          []trim  // one per component that trims offsets
}

// trim takes the white space of a byte-level token out of its offsets; the first
// token of a text keeps it if the space was put there by add_prefix_space.
type trim struct{ prefixSpace bool }

type postProcessorJSON struct {
	Type           string            `json:"type"`
	Processors     []json.RawMessage `json:"processors"`
	AddPrefixSpace *bool             `json:"add_prefix_space"`
	TrimOffsets    *bool             `json:"trim_offsets"`
	Sep            json.RawMessage   `json:"sep"`
	CLS            json.RawMessage   `json:"cls"`
	Single         []templatePiece   `json:"single"`
	SpecialTokens  map[string]struct {
		IDs []int32 `json:"ids"`
	} `json:"special_tokens"`
}

type templatePiece struct {
	SpecialToken *struct {
		ID string `json:"id"`
	}
	Sequence *struct {
		ID string `json:"id"`
	}
}

func (c *postProcessorJSON) parts() (kind string, sequence []json.RawMessage) {
	return c.Type, c.Processors
}

// compilePostProcessor compiles the post-processor of a single text; templates for
// pairs are kept in the definition but not used.
func compilePostProcessor(raw json.RawMessage) (*postProcessor, error) {
	p := &postProcessor{}
	return p, eachStage("post_processor", raw, 0, p.add)
}

func (p *postProcessor) add(c *postProcessorJSON) error {
	trims := c.TrimOffsets == nil || *c.TrimOffsets
	prefixSpace := c.AddPrefixSpace == nil || *c.AddPrefixSpace
	switch c.Type {
	case "ByteLevel":
		if trims {
			p.trims = append(p.trims, trim{prefixSpace})
		}
		return nil
	case "TemplateProcessing":
		return p.template(c)
	case "BertProcessing", "RobertaProcessing":
		cls, err := specialPair(c.CLS)
		if err != nil {
			return fmt.Errorf("cls: %w", err)
		}
		sep, err := specialPair(c.Sep)
		if err != nil {
			return fmt.Errorf("sep: %w", err)
		}
		if c.Type == "RobertaProcessing" && trims {
			p.trims = append(p.trims, trim{prefixSpace})
		}
		p.wrap([]int32{cls}, []int32{sep})
		return nil
	case "":
		return errors.New(`no key "type"`)
	}
	return hint.Errorf("known are Sequence, ByteLevel, TemplateProcessing, BertProcessing and RobertaProcessing", "unknown type %q", c.Type)
}

// specialPair reads ["</s>", 2].
func specialPair(raw json.RawMessage) (int32, error) {
	var pair []json.RawMessage
	if err := json.Unmarshal(raw, &pair); err != nil {
		return 0, err
	}
	if len(pair) != 2 {
		return 0, fmt.Errorf("%s is not [token, id]", raw)
	}
	var id int32
	return id, json.Unmarshal(pair[1], &id)
}

func (p *postProcessor) template(c *postProcessorJSON) error {
	var before, after []int32
	seen := false
	for _, piece := range c.Single {
		switch {
		case piece.Sequence != nil && piece.Sequence.ID == "A" && !seen:
			seen = true
		case piece.SpecialToken != nil:
			special, ok := c.SpecialTokens[piece.SpecialToken.ID]
			if !ok {
				return fmt.Errorf("%q is not in special_tokens", piece.SpecialToken.ID)
			}
			if seen {
				after = append(after, special.IDs...)
			} else {
				before = append(before, special.IDs...)
			}
		default:
			return errors.New("single: want special tokens around one sequence A")
		}
	}
	if !seen {
		return errors.New("single: no sequence A")
	}
	p.wrap(before, after)
	return nil
}

func (p *postProcessor) wrap(before, after []int32) {
	p.prefix = append(slices.Clone(before), p.prefix...)
	p.suffix = append(p.suffix, after...)
}

// check refuses ids that no token has.
func (p *postProcessor) check(size int) error {
	for _, id := range slices.Concat(p.prefix, p.suffix) {
		if id < 0 || int(id) >= size {
			return fmt.Errorf("post_processor: id %d, want 0 to %d", id, size-1)
		}
	}
	return nil
}

// trimOffsets takes white space out of the offsets (code points) of tokens.
func (p *postProcessor) trimOffsets(tokens []string, offsets [][2]int) {
	for _, t := range p.trims {
		for i, text := range tokens {
			o := &offsets[i]
			left, right := blanks(text)
			if t.prefixSpace && left == 1 && (i == 0 || o[0] == 0) {
				left = 0
			}
			if left > 0 {
				o[0] = min(o[0]+left, o[1])
			}
			if right > 0 && o[1] >= right {
				o[1] = max(o[1]-right, o[0])
			}
		}
	}
}

// blanks counts the white space (Ġ, too) at both ends of a token.
func blanks(text string) (left, right int) {
	blank := func(r rune) bool { return r == 'Ġ' || unicode.IsSpace(r) }
	for _, r := range text {
		if !blank(r) {
			break
		}
		left++
	}
	for len(text) > 0 {
		r, size := utf8.DecodeLastRuneInString(text)
		if !blank(r) {
			break
		}
		right++
		text = text[:len(text)-size]
	}
	return left, right
}
