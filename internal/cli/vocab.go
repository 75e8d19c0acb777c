package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"lep/internal/hint"
	"lep/tokenizer"
	"lep/vocab/build"
)

func (a *app) vocabCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vocab",
		Short: "Look at, compare, convert and run vocabularies",
	}
	cmd.AddCommand(a.vocabEncodeCmd(), a.vocabDecodeCmd(), a.vocabConvertCmd(),
		a.vocabTrainCmd(), a.vocabStatsCmd(), a.vocabDiffCmd(), a.vocabSweepCmd(), a.vocabExtendCmd(), a.vocabReplaceCmd(), a.vocabOptimizeCmd())
	return cmd
}

type encodedLine struct {
	IDs     []int32  `json:"ids"`
	Tokens  []string `json:"tokens"`
	Offsets [][2]int `json:"offsets"`
}

func (a *app) vocabEncodeCmd() *cobra.Command {
	var path, data string
	var special, plain bool
	cmd := &cobra.Command{
		Use:   "encode --tokenizer T",
		Short: "Cut lines of text into tokens",
		Long: `Cut lines of text into tokens. Reads plain lines and prints ids; with --json reads lines {"text": …} and writes
{"ids": […], "tokens": […], "offsets": [[start, end], …]}, offsets in Unicode code points.
T is a folder, a hub id, a tokenizer.json, a SentencePiece .model, a tiktoken or a tekken file.`,
		Example: "  echo 'Привет, мир' | lep vocab encode --tokenizer mistralai/Mistral-7B-v0.1",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := build.OpenTokenizer(path)
			if err != nil {
				return err
			}
			opts := tokenizer.EncodeOptions{AddSpecial: special, PlainSpecial: plain, Offsets: a.json}
			return a.eachLine(cmd.Context(), data, func(line []byte) (any, error) {
				text := string(line)
				if a.json {
					var in struct{ Text *string }
					if err := unmarshalLine(line, &in); err != nil {
						return nil, err
					}
					if in.Text == nil {
						return nil, errors.New(`field "text" is missing`)
					}
					text = *in.Text
				}
				e := t.EncodeOptions(text, opts)
				if !a.json {
					return joinIDs(e.IDs), nil
				}
				return encodedLine{notNil(e.IDs), notNil(e.Tokens), notNil(e.Offsets)}, nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&path, "tokenizer", "", "tokenizer folder, file or hub id")
	f.StringVar(&data, "data", "-", "file of lines, - for standard input")
	f.BoolVar(&special, "special", false, "add the special tokens that the tokenizer puts around a text")
	f.BoolVar(&plain, "plain-special", false, "take special tokens that stand in the text as plain text")
	cobra.CheckErr(cmd.MarkFlagRequired("tokenizer"))
	return cmd
}

func (a *app) vocabDecodeCmd() *cobra.Command {
	var path, data string
	var skip bool
	cmd := &cobra.Command{
		Use:   "decode --tokenizer T",
		Short: "Join tokens to text again",
		Long: `Join tokens to text again. Reads lines of ids and prints text; with --json reads lines {"ids": […]} and writes
{"text": …}.`,
		Example: "  echo '1 2 3' | lep vocab decode --tokenizer ./model",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := build.OpenTokenizer(path)
			if err != nil {
				return err
			}
			decode := t.Decode
			if skip {
				decode = t.DecodeSkip
			}
			return a.eachLine(cmd.Context(), data, func(line []byte) (any, error) {
				ids, err := a.readIDs(line, t.Size())
				if err != nil || !a.json {
					return decode(ids), err
				}
				return struct {
					Text string `json:"text"`
				}{decode(ids)}, nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&path, "tokenizer", "", "tokenizer folder, file or hub id")
	f.StringVar(&data, "data", "-", "file of lines, - for standard input")
	f.BoolVar(&skip, "skip-special", false, "leave special tokens out of the text")
	cobra.CheckErr(cmd.MarkFlagRequired("tokenizer"))
	return cmd
}

func (a *app) readIDs(line []byte, size int) ([]int32, error) {
	var in struct{ IDs []int32 }
	if a.json {
		if err := unmarshalLine(line, &in); err != nil {
			return nil, err
		}
		if in.IDs == nil {
			return nil, errors.New(`field "ids" is missing`)
		}
	} else {
		for word := range strings.FieldsSeq(string(line)) {
			id, err := strconv.ParseInt(word, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("%q is no token id", word)
			}
			in.IDs = append(in.IDs, int32(id))
		}
	}
	for _, id := range in.IDs {
		if id < 0 || int(id) >= size {
			return nil, fmt.Errorf("id %d is outside the vocabulary (%d ids)", id, size)
		}
	}
	return in.IDs, nil
}

func (a *app) vocabConvertCmd() *cobra.Command {
	var path, out string
	cmd := &cobra.Command{
		Use:   "convert --tokenizer T --out DIR",
		Short: "Write a tokenizer in every format that can express it",
		Long: `Write a tokenizer in every format that can express it: tokenizer.json with its two side files, and SentencePiece
.model or tiktoken ranks where the result encodes alike.`,
		Example: "  lep vocab convert --tokenizer tokenizer.model --out hf-tokenizer",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			t, err := build.OpenTokenizer(path)
			if err != nil {
				return err
			}
			var notes []string
			err = a.writeDir(out, func(dir string) (err error) {
				notes, err = tokenizer.WriteFolder(dir, t.Definition(), t.Config())
				return err
			})
			if err != nil {
				return err
			}
			for _, n := range notes {
				a.notef("note: %s", n)
			}
			if a.json {
				return a.printJSON(map[string]any{"out": out, "notes": notNil(notes)})
			}
			_, err = fmt.Fprintln(a.out, out)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&path, "tokenizer", "", "tokenizer folder, file or hub id")
	f.StringVar(&out, "out", "", "folder to write")
	cobra.CheckErr(cmd.MarkFlagRequired("tokenizer"))
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
	return cmd
}

// eachLine calls work with every line of a file (or standard input) and prints
// what it returns, as JSON or as text. It writes through when the input pauses, so
// that another program can talk to it line by line. An interrupt ends it at once, also while it
// waits for input or works on an endless line.
func (a *app) eachLine(ctx context.Context, path string, work func(line []byte) (any, error)) error {
	done := make(chan error, 1)
	go func() { done <- a.answerLines(path, work) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *app) answerLines(path string, work func(line []byte) (any, error)) error {
	w := bufio.NewWriter(a.out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	err := a.readLines(path, 1, func(lines []inputLine) error {
		v, err := work(lines[0].text)
		if err != nil {
			return lines[0].fail(err)
		}
		if text, ok := v.(string); ok {
			fmt.Fprintln(w, text)
		} else if err := enc.Encode(v); err != nil {
			return err
		}
		if lines[0].last {
			return w.Flush()
		}
		return nil
	})
	return errors.Join(w.Flush(), err)
}

// inputLine is a line of input, without its end, and where it stands.
type inputLine struct {
	text   []byte
	name   string
	number int
	last   bool // nothing behind it has arrived yet
}

func (l inputLine) fail(err error) error { return lineError(l.name, l.number, l.text, err) }

// readLines reads a file (- for standard input) and hands on up to n lines at a time, fewer
// when the input pauses.
func (a *app) readLines(path string, n int, work func([]inputLine) error) error {
	in, name := a.in, "standard input"
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		in, name = f, path
	}
	r := bufio.NewReaderSize(in, 1<<16)
	var batch []inputLine
	for number := 1; ; number++ {
		line, err := r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(line) > 0 {
			line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
			batch = append(batch, inputLine{line, name, number, r.Buffered() == 0})
		}
		if len(batch) > 0 && (len(batch) == n || err != nil || r.Buffered() == 0) {
			if err := work(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		if err != nil {
			return nil
		}
	}
}

// unmarshalLine reads a line of JSON. Bytes that are no UTF-8 are an error, where encoding/json
// would put U+FFFD in their place.
func unmarshalLine(line []byte, v any) error {
	for at := 0; at < len(line); {
		r, n := utf8.DecodeRune(line[at:])
		if r == utf8.RuneError && n == 1 {
			return fmt.Errorf("byte %d (%#02x) is no UTF-8", at, line[at])
		}
		at += n
	}
	return json.Unmarshal(line, v)
}

func lineError(name string, n int, line []byte, err error) error {
	err = fmt.Errorf("%s: line %d: %w", name, n, err)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) && len(line) > 0 && line[0] != '{' {
		return hint.Wrap(err, "with --json every line is a JSON object; leave --json out for plain lines")
	}
	return err
}

func joinIDs(ids []int32) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.Itoa(int(id)))
	}
	return b.String()
}

// notNil makes an empty list print as [] and not as null.
func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
