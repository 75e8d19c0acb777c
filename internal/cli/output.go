package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"lep/internal/atomic"
)

// printJSON writes v as one line of JSON on standard output.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// notef writes a line of log on standard error.
func (a *app) notef(format string, args ...any) {
	fmt.Fprintf(a.err, format+"\n", args...)
}

// table prints rows of cells in aligned columns; the first row is the head.
func (a *app) table(rows [][]string) error {
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	return w.Flush()
}

// isTerminal reports whether a stream is a person's terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// logger writes the warnings of library packages to standard error, without the time.
func (a *app) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{ReplaceAttr: func(_ []string, attr slog.Attr) slog.Attr {
		if attr.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return attr
	}}))
}

// progress shows how far a long work is: a bar on a terminal, a plain line every
// ten seconds elsewhere. The returned function takes the amount done and the
// total (which may grow, or be 0 if unknown); done ends the display.
func (a *app) progress(what, unit string) (update func(done, total int64), done func()) {
	if isTerminal(a.err) {
		bar := progressbar.NewOptions64(-1,
			progressbar.OptionSetWriter(a.err), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString(unit),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetPredictTime(true), progressbar.OptionEnableColorCodes(os.Getenv("NO_COLOR") == ""))
		return func(done, total int64) {
			if total > 0 && bar.GetMax64() != total {
				bar.ChangeMax64(total)
			}
			_ = bar.Set64(done)
		}, func() { _ = bar.Finish() }
	}
	start := time.Now()
	last := start
	return func(done, total int64) {
		now := time.Now()
		if now.Sub(last) < 10*time.Second {
			return
		}
		last = now
		rate := float64(done) / now.Sub(start).Seconds()
		line := fmt.Sprintf("%s: %d %s, %.0f %s/s", what, done, unit, rate, unit)
		if total > 0 && rate > 0 {
			left := time.Duration(float64(total-done) / rate * float64(time.Second))
			line += fmt.Sprintf(", %.0f %%, %s left", 100*float64(done)/float64(total), left.Round(time.Second))
		}
		a.notef("%s", line)
	}, func() {}
}

// writeDir writes a result folder whole or not at all.
func (a *app) writeDir(path string, write func(dir string) error) error {
	d, err := atomic.NewDir(path, a.force)
	if err != nil {
		return err
	}
	defer d.Abort()
	if err := write(d.Path()); err != nil {
		return err
	}
	return d.Commit()
}
