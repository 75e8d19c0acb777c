package corpus

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"unicode/utf8"
)

// openRows opens a file by its kind and moves to a position in it.
func openRows(name string, opts Options, pos SourcePosition, read *atomic.Int64) (rows, error) {
	format := formatOf(name)
	if format == ".parquet" {
		return openParquet(name, opts, read)
	}
	s, err := openStream(name, read)
	if err != nil {
		return nil, err
	}
	if format == ".arrow" {
		return openArrow(name, s, opts)
	}
	if err := s.checkHead(); err != nil {
		s.close()
		return nil, err
	}
	switch format {
	case ".csv", ".tsv":
		return openCSV(name, s, format == ".tsv", opts)
	case ".json":
		if array, values := severalLines(s.head); values {
			return newJSONValues(name, s, array, opts), nil
		}
	}
	l := &lineRows{name: name, stream: s, opts: opts, json: format != ".txt", whole: format == ".txt" && opts.WholeFile}
	if pos.Offset > s.offset {
		if err := s.seek(pos.Offset); err != nil {
			s.close()
			return nil, fmt.Errorf("going on at byte %d: %w", pos.Offset, err)
		}
		l.line = pos.Line
	}
	return l, nil
}

// lineRows reads .txt and .jsonl.
type lineRows struct {
	name        string
	stream      *stream
	opts        Options
	json, whole bool
	line        int // lines read
	long        []byte
}

func (l *lineRows) close() error        { return l.stream.close() }
func (l *lineRows) place() (int64, int) { return l.stream.offset, l.line }

var errTooLong = errors.New("line is too long")

func (l *lineRows) next() (Doc, error) {
	if l.whole {
		return l.wholeFile()
	}
	for {
		offset := l.stream.offset
		line, ended, err := l.read()
		if err == io.EOF {
			return Doc{}, io.EOF
		}
		l.line++
		if err != nil {
			return Doc{}, l.fail(err, ended)
		}
		doc := Doc{Source: l.name, Line: l.line, Offset: offset, checked: !l.opts.ReplaceInvalid}
		if doc.checked && !utf8.Valid(line) {
			at := invalidAt(line)
			return Doc{}, &RowError{l.name, l.line, invalidUTF8(line[at], offset+int64(at), l.stream.what())}
		}
		if l.json {
			if line = bytes.TrimSpace(line); len(line) == 0 {
				continue
			}
			if doc.Text, err = jsonText(line, l.opts); err != nil {
				if !ended {
					err = fmt.Errorf("the file is cut off in mid-line: %w", err)
				}
				return Doc{}, &RowError{l.name, l.line, err}
			}
			return doc, nil
		}
		if l.opts.LineEnds && ended {
			doc.Text = string(append(line, '\n')) // the LF that was cut off lies behind line
		} else {
			doc.Text = string(line)
		}
		if doc.Text == "" {
			continue
		}
		return doc, nil
	}
}

func (l *lineRows) fail(err error, ended bool) error {
	if errors.Is(err, errTooLong) {
		err = fmt.Errorf("line is longer than max_doc_bytes = %d", l.opts.MaxDocBytes)
	}
	var damage *DamageError
	if errors.As(err, &damage) || ended {
		return &RowError{l.name, l.line, err}
	}
	return err
}

// read returns the next line without its LF or CRLF, whether it had one, and
// io.EOF when nothing is left. A line over the limit is read to its end and
// dropped. What stood on a line before a damaged stretch is dropped too.
func (l *lineRows) read() (line []byte, ended bool, err error) {
	l.long = l.long[:0]
	tooLong := false
	for {
		part, err := l.stream.buf.ReadSlice('\n')
		l.stream.offset += int64(len(part))
		if err == bufio.ErrBufferFull || len(l.long) > 0 || tooLong {
			if tooLong = tooLong || len(l.long)+len(part) > l.opts.MaxDocBytes+2; tooLong {
				l.long = l.long[:0]
			} else {
				l.long = append(l.long, part...)
			}
			part = l.long
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		ended = err == nil
		switch {
		case err != nil && err != io.EOF:
			return nil, false, err
		case tooLong:
			return nil, true, errTooLong
		case err == io.EOF && len(part) == 0:
			return nil, false, io.EOF
		}
		part = bytes.TrimSuffix(part, []byte("\n"))
		part = bytes.TrimSuffix(part, []byte("\r"))
		if len(part) > l.opts.MaxDocBytes {
			return nil, true, errTooLong
		}
		return part, ended, nil
	}
}

func (l *lineRows) wholeFile() (Doc, error) {
	start := l.stream.offset
	data, err := io.ReadAll(io.LimitReader(l.stream, int64(l.opts.MaxDocBytes)+1))
	switch {
	case err != nil:
		return Doc{}, err
	case len(data) > l.opts.MaxDocBytes:
		return Doc{}, fmt.Errorf("file is longer than max_doc_bytes = %d: read it by line", l.opts.MaxDocBytes)
	case len(data) == 0:
		return Doc{}, io.EOF
	}
	if at := invalidAt(data); at < len(data) && !l.opts.ReplaceInvalid {
		return Doc{}, &RowError{l.name, 1 + bytes.Count(data[:at], []byte("\n")), invalidUTF8(data[at], start+int64(at), l.stream.what())}
	}
	l.line += bytes.Count(data, []byte("\n"))
	return Doc{Text: string(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))), Source: l.name, Line: 1, Offset: start}, nil
}

// spool copies a decompressed stream into a nameless temporary file, for formats
// that are read from their end.
func spool(s *stream) (*os.File, int64, error) {
	f, err := os.CreateTemp("", "lep-corpus-*")
	if err != nil {
		return nil, 0, err
	}
	os.Remove(f.Name())
	n, err := io.Copy(f, s)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, n, nil
}
