package cli

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/spf13/cobra"

	"lep/infer"
	"lep/linalg"
)

type scoreLine struct {
	NLL    float64 `json:"nll"`
	Tokens int     `json:"tokens"`
	Bytes  int     `json:"bytes,omitempty"`
}

type scoreTotal struct {
	Total        bool     `json:"total"`
	Texts        int      `json:"texts"`
	NLL          float64  `json:"nll"`
	Tokens       int      `json:"tokens"`
	Bytes        int      `json:"bytes,omitempty"`
	BitsPerByte  *float64 `json:"bits_per_byte"`
	Characters   int      `json:"characters,omitempty"`
	PerCharacter *float64 `json:"bits_per_character,omitempty"`
}

// scoreBatch is how many lines are scored together: enough to fill passes, few enough to
// show the first results soon.
const scoreBatch = 64

func (a *app) scoreCmd() *cobra.Command {
	var model, data string
	var window int
	var precision linalg.Precision
	cmd := &cobra.Command{
		Use:   "score --model DIR --data F",
		Short: "Bits per byte of texts under a model",
		Long: `Bits per byte of texts under a model. Lines of F are texts, or {"text": …} or {"ids": […]} if F is called .jsonl or --json is given. With --json each
gives {"nll": nats, "tokens": n, "bytes": n}, at the end a line with "total": true and "bits_per_byte".

A text is scored whole behind the tokenizer's own special tokens; ids are taken as they are, ids[1:] behind ids[0]. Texts longer than
the model's context (or --window) are scored in windows that overlap by half.`,
		Example: "  lep score --model ./llama3-ru-instruct --data held-out.txt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts, err := a.precise(precision)
			if err != nil {
				return err
			}
			opts.Window = window
			e, err := infer.Open(model, opts)
			if err != nil {
				return err
			}
			defer e.Close()
			s := &scorer{a: a, e: e, rows: a.json || filepath.Ext(data) == ".jsonl"}
			err = a.readLines(data, scoreBatch, func(lines []inputLine) error { return s.batch(cmd, lines) })
			if err != nil {
				return err
			}
			return s.finish()
		},
	}
	f := cmd.Flags()
	f.StringVar(&model, "model", "", "model folder or hub id")
	f.StringVar(&data, "data", "-", "file of lines, - for standard input")
	f.IntVar(&window, "window", 0, "most tokens in one pass (0: the model's context)")
	precisionFlag(f, &precision)
	cobra.CheckErr(cmd.MarkFlagRequired("model"))
	return cmd
}

type scorer struct {
	a     *app
	e     *infer.Engine
	rows  bool // lines are JSON
	total scoreTotal
}

func (s *scorer) batch(cmd *cobra.Command, lines []inputLine) error {
	list := make([]infer.Sequence, len(lines))
	for i, l := range lines {
		if s.rows {
			var in struct {
				Text *string
				IDs  []int32
			}
			if err := unmarshalLine(l.text, &in); err != nil {
				return l.fail(err)
			}
			switch {
			case in.IDs != nil:
				list[i] = infer.Sequence{IDs: in.IDs, From: 1}
			case in.Text != nil:
				list[i].Text = *in.Text
			default:
				return l.fail(errors.New(`neither "text" nor "ids"`))
			}
		} else {
			list[i].Text = string(l.text)
		}
		s.total.Characters += len([]rune(list[i].Text))
	}
	scores, err := s.e.Score(cmd.Context(), list)
	if err != nil {
		return err
	}
	for i, r := range scores {
		s.total.Texts++
		s.total.NLL += r.NLL
		s.total.Tokens += r.Tokens
		s.total.Bytes += r.Bytes
		if s.a.json {
			if err := s.a.printJSON(scoreLine{r.NLL, r.Tokens, r.Bytes}); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintf(s.a.out, "%8.4f bits/byte %6d tokens  %s\n", infer.BitsPerByte(r.NLL, r.Bytes), r.Tokens, start(list[i].Text)); err != nil {
			return err
		}
	}
	return nil
}

func (s *scorer) finish() error {
	t := &s.total
	t.Total = true
	if t.Bytes > 0 {
		bits := infer.BitsPerByte(t.NLL, t.Bytes)
		t.BitsPerByte = &bits
	}
	if t.Characters > 0 {
		bits := t.NLL / math.Ln2 / float64(t.Characters)
		t.PerCharacter = &bits
	}
	if s.a.json {
		return s.a.printJSON(t)
	}
	if t.BitsPerByte == nil {
		_, err := fmt.Fprintf(s.a.out, "total: %s tokens, %.4f nats a token\n", thousands(int64(t.Tokens)), t.NLL/float64(max(1, t.Tokens)))
		return err
	}
	_, err := fmt.Fprintf(s.a.out, "total: %.4f bits/byte, %.4f bits/character, %s tokens, %s bytes in %s texts\n", *t.BitsPerByte, *t.PerCharacter,
		thousands(int64(t.Tokens)), thousands(int64(t.Bytes)), thousands(int64(t.Texts)))
	return err
}

// start shows the beginning of a text on one line.
func start(text string) string {
	runes := []rune(text)
	if len(runes) > 48 {
		runes = append(runes[:47:47], '…')
	}
	for i, r := range runes {
		if r < ' ' {
			runes[i] = ' '
		}
	}
	return string(runes)
}
