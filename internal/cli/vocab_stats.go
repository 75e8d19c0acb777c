package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"lep/internal/atomic"
	"lep/vocab/build"
	"lep/vocab/stats"
)

// lookFlags are those that stats, diff and sweep share.
type lookFlags struct {
	corpus build.Corpus
	opts   stats.Options
	html   string
}

func (l *lookFlags) register(cmd *cobra.Command) {
	l.opts = stats.DefaultOptions()
	f := cmd.Flags()
	f.IntVar(&l.opts.List, "list", l.opts.List, "most tokens in each list")
	f.StringVar(&l.html, "html", "", "also write a page that opens offline")
	registerCorpus(cmd, &l.corpus, "texts to measure on")
}

// check validates what parsing cannot.
func (l *lookFlags) check(a *app) error {
	l.opts.Threads = max(1, a.threads)
	if err := l.opts.Validate(); err != nil {
		return usageError{err}
	}
	return nil
}

func (a *app) vocabStatsCmd() *cobra.Command {
	var l lookFlags
	cmd := &cobra.Command{
		Use:   "stats T",
		Short: "Show what a vocabulary is made of and how well it fits languages",
		Long: `Show what a vocabulary is made of and how well it fits languages: characters and bytes a token carries, words kept whole, by
language (on built-in texts) and by script; longest tokens; tokens that no text can reach, with the reason; with --corpus also the
tokens that its texts never use.`,
		Example: "  lep vocab stats mistralai/Mistral-7B-v0.1 --corpus ru.jsonl.zst --html stats.html",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := l.check(a); err != nil {
				return err
			}
			return a.vocabStats(cmd.Context(), args[0], &l)
		},
	}
	l.register(cmd)
	return cmd
}

func (a *app) vocabStats(ctx context.Context, path string, l *lookFlags) error {
	tok, err := build.OpenTokenizer(path)
	if err != nil {
		return err
	}
	texts, err := a.openCorpus(ctx, &l.corpus, "measure")
	if err != nil {
		return err
	}
	s, err := stats.Measure(ctx, tok, texts.All(), l.opts)
	if err != nil {
		return err
	}
	texts.WarnBad()
	if err := a.writePage(l.html, s.Page(path)); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(s)
	}
	return a.printReport(s.Page(path))
}

// writePage writes a page; nothing without a name.
func (a *app) writePage(name string, p *stats.Page) error {
	if name == "" {
		return nil
	}
	var b bytes.Buffer
	if err := p.WriteHTML(&b); err != nil {
		return err
	}
	if err := atomic.WriteFile(name, b.Bytes(), a.force); err != nil {
		return err
	}
	a.notef("written: %s", name)
	return nil
}

// printReport prints a page as text: facts, tables, and cut texts with the borders of tokens.
func (a *app) printReport(p *stats.Page) error {
	rows := make([][]string, 0, len(p.Facts))
	for _, f := range p.Facts {
		rows = append(rows, []string{f.Name, f.Value})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	colour := isTerminal(a.out) && os.Getenv("NO_COLOR") == ""
	for _, s := range p.Sections {
		if s.PageOnly {
			continue
		}
		fmt.Fprintf(a.out, "\n%s\n", s.Title)
		if s.Note != "" {
			fmt.Fprintf(a.out, "(%s)\n", s.Note)
		}
		if s.Table != nil {
			if err := a.table(append([][]string{s.Table.Head}, s.Table.Rows...)); err != nil {
				return err
			}
		}
		for _, c := range s.Cuts {
			fmt.Fprintf(a.out, "%s, %d tokens\n  ", c.Title, len(c.Spans))
			printSpans(a.out, c.Spans, colour)
		}
	}
	return nil
}

// maxSpans bounds the tokens of a text on the terminal; pages and --json have all.
const maxSpans = 80

// stripes are bright backgrounds, for black letters.
var stripes = [...]int{102, 103, 106, 105}

// printSpans prints a text with the borders of its tokens: as stripes of colour on a
// terminal, else with bars.
func printSpans(w io.Writer, spans []stats.Span, colour bool) {
	var b strings.Builder
	for i, s := range spans {
		if i == maxSpans {
			fmt.Fprintf(&b, " … and %d more", len(spans)-i)
			break
		}
		switch {
		case colour:
			fmt.Fprintf(&b, "\x1b[30;%dm%s\x1b[0m", stripes[i%len(stripes)], s.Text)
		case i > 0:
			b.WriteString("|" + s.Text)
		default:
			b.WriteString(s.Text)
		}
	}
	fmt.Fprintln(w, b.String())
}
