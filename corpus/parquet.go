package corpus

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/parquet-go/parquet-go"
)

// parquetRows reads one string column of a parquet file page by page.
type parquetRows struct {
	name   string
	file   *os.File
	opts   Options
	groups []parquet.RowGroup
	column int
	pages  parquet.Pages
	values parquet.ValueReader
	buf    []parquet.Value
	have   []parquet.Value
	row    int64
}

func openParquet(name string, opts Options, read *atomic.Int64) (_ rows, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	var magic [4]byte
	if _, err := f.ReadAt(magic[:], 0); err == nil && string(magic[:]) != "PAR1" {
		f.Close()
		s, err := openStream(name, read)
		if err != nil {
			return nil, err
		}
		defer s.close()
		if s.unpack == nil {
			return nil, errors.New("not a parquet file: it does not begin with PAR1")
		}
		if f, _, err = spool(s); err != nil {
			return nil, err
		}
		read = new(atomic.Int64)
	}
	p := &parquetRows{name: name, file: f, opts: opts, buf: make([]parquet.Value, 64)}
	if err := guard("parquet", func() error { return p.open(&counted{f, read}) }); err != nil {
		f.Close()
		return nil, err
	}
	return p, nil
}

// guard turns a panic of a library on damaged data into an error.
func guard(format string, fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged %s data: %v", format, r)
		}
	}()
	return fn()
}

func (p *parquetRows) open(r io.ReaderAt) error {
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	f, err := parquet.OpenFile(r, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return err
	}
	leaf, ok := f.Schema().Lookup(p.opts.TextField)
	if !ok {
		var names []string
		for _, path := range f.Schema().Columns() {
			names = append(names, strings.Join(path, "."))
		}
		return fmt.Errorf("no column %q (columns: %s)", p.opts.TextField, strings.Join(firstFew(names, 8), ", "))
	}
	if kind := leaf.Node.Type().Kind(); kind != parquet.ByteArray || leaf.Node.Repeated() {
		return fmt.Errorf("column %q is %v, want strings", p.opts.TextField, leaf.Node.Type())
	}
	p.column = leaf.ColumnIndex
	p.groups = f.RowGroups()
	return nil
}

func (p *parquetRows) place() (int64, int) { return p.row, int(p.row) }

func (p *parquetRows) close() error {
	if p.pages != nil {
		p.pages.Close()
	}
	return p.file.Close()
}

func (p *parquetRows) next() (Doc, error) {
	if len(p.have) == 0 {
		if err := guard("parquet", p.fill); err != nil {
			return Doc{}, err
		}
	}
	v := p.have[0]
	p.have = p.have[1:]
	p.row++
	doc := Doc{Source: p.name, Line: int(p.row), Offset: p.row - 1}
	switch {
	case v.IsNull():
		return Doc{}, &RowError{p.name, 0, fmt.Errorf("row %d: column %q is null", p.row, p.opts.TextField)}
	case len(v.ByteArray()) > p.opts.MaxDocBytes:
		return Doc{}, &RowError{p.name, 0, fmt.Errorf("row %d: text is longer than max_doc_bytes = %d", p.row, p.opts.MaxDocBytes)}
	}
	doc.Text = string(v.ByteArray())
	return doc, nil
}

// fill reads the next values, over pages and row groups.
func (p *parquetRows) fill() error {
	for {
		if p.values == nil {
			if p.pages == nil {
				if len(p.groups) == 0 {
					return io.EOF
				}
				p.pages = p.groups[0].ColumnChunks()[p.column].Pages()
				p.groups = p.groups[1:]
			}
			page, err := p.pages.ReadPage()
			if err == io.EOF {
				p.pages.Close()
				p.pages = nil
				continue
			}
			if err != nil {
				return err
			}
			p.values = page.Values()
		}
		n, err := p.values.ReadValues(p.buf)
		if err == io.EOF {
			p.values = nil
		} else if err != nil {
			return err
		}
		if n > 0 {
			p.have = p.buf[:n]
			return nil
		}
	}
}
