package corpus

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// csvRows reads .csv and .tsv with a header line. Quoted fields may span lines;
// in .tsv a quote inside a field stands for itself.
type csvRows struct {
	name   string
	stream *stream
	limit  *rowLimit
	opts   Options
	csv    *csv.Reader
	column int
	base   int64
	line   int
	broken bool
}

func openCSV(name string, s *stream, tabs bool, opts Options) (rows, error) {
	c := &csvRows{name: name, stream: s, opts: opts, base: s.offset}
	c.limit = &rowLimit{src: s, max: opts.MaxDocBytes, left: opts.MaxDocBytes}
	c.csv = csv.NewReader(c.limit)
	if tabs {
		c.csv.Comma = '\t'
		c.csv.LazyQuotes = true
	}
	c.csv.ReuseRecord = true
	header, err := c.csv.Read()
	if err == nil {
		c.column = -1
		for i, h := range header {
			if h == opts.TextField {
				c.column = i
			}
		}
		if c.column < 0 {
			err = fmt.Errorf("no column %q (columns: %s)", opts.TextField, strings.Join(firstFew(header, 8), ", "))
		}
	}
	if err != nil && err != io.EOF {
		s.close()
		return nil, err
	}
	return c, nil
}

func (c *csvRows) close() error        { return c.stream.close() }
func (c *csvRows) place() (int64, int) { return c.base + c.csv.InputOffset(), c.line }

func (c *csvRows) next() (Doc, error) {
	if c.broken {
		return Doc{}, io.EOF
	}
	c.limit.left = c.limit.max
	offset := c.base + c.csv.InputOffset()
	record, err := c.csv.Read()
	var parse *csv.ParseError
	switch {
	case errors.As(err, &parse):
		c.line = parse.StartLine
		return Doc{}, &RowError{c.name, parse.StartLine, fmt.Errorf("column %d: %w", parse.Column, parse.Err)}
	case err != nil:
		c.broken = err != io.EOF
		return Doc{}, err
	}
	c.line, _ = c.csv.FieldPos(0)
	return Doc{Text: strings.Clone(record[c.column]), Source: c.name, Line: c.line, Offset: offset}, nil
}
