package corpus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"lep/internal/hint"
)

// Options say how files become documents. The zero value is not usable: start
// from DefaultOptions.
type Options struct {
	// TextField is the field of JSON objects, the CSV column or the parquet
	// column that holds the text.
	TextField string `yaml:"text_field"`
	// WholeFile makes one document of each .txt file; otherwise each line is one.
	WholeFile bool `yaml:"whole_file"`
	// LineEnds keeps a line's LF in its document, as HF's trainers see it. Only
	// .txt read by line; a CRLF becomes LF.
	LineEnds bool `yaml:"line_ends"`
	// Sample is the share of documents to keep, in (0, 1]; which ones depends on
	// Seed and each document's place alone.
	Sample float64 `yaml:"sample"`
	Seed   uint64  `yaml:"seed"`
	// MaxBadRows is how many rows may be bad before reading stops with an error:
	// 0 stops at the first, a negative number never stops (skip-bad).
	MaxBadRows int `yaml:"max_bad_rows"`
	// ReplaceInvalid turns bytes that are no UTF-8 (and lone surrogates in JSON)
	// into U+FFFD; otherwise such a row is bad.
	ReplaceInvalid bool `yaml:"replace_invalid"`
	// MaxDocBytes bounds one document, and with it memory: a longer one is a bad row.
	MaxDocBytes int `yaml:"max_doc_bytes"`
	// RawJSON gives the JSON objects of .json and .jsonl files as they stand
	// (checked for syntax) instead of their text field: chat and tokenised rows.
	RawJSON bool `yaml:"-"`
	// Start continues after a Position of an earlier reader of the same files.
	Start *Position `yaml:"-"`
}

// DefaultOptions reads field "text", .txt by line, everything, and stops at the
// first bad row.
func DefaultOptions() Options {
	return Options{TextField: "text", Sample: 1, MaxDocBytes: 64 << 20}
}

// Validate checks the options once.
func (o Options) Validate() error {
	switch {
	case o.TextField == "" && !o.RawJSON:
		return errors.New("corpus: text_field is empty")
	case !(o.Sample > 0 && o.Sample <= 1):
		return fmt.Errorf("corpus: sample is %v, want a share in (0, 1]", o.Sample)
	case o.MaxDocBytes < 1 || o.MaxDocBytes > math.MaxInt32:
		return fmt.Errorf("corpus: max_doc_bytes is %d, want 1 to %d", o.MaxDocBytes, math.MaxInt32)
	}
	return nil
}

// Doc is one document.
type Doc struct {
	Text   string
	Source string // file
	Line   int    // line of the file where the row begins, from 1; the row in parquet, Arrow and JSON arrays
	Offset int64  // byte where the row begins in the decompressed file; the row, from 0, for parquet and Arrow

	checked bool // the row was found to be UTF-8 when it was read
}

// RowError is a row that cannot be used, or a stretch of a file that cannot be
// read. Line 0 means that no line is known.
type RowError struct {
	File string
	Line int
	Err  error
}

func (e *RowError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

func (e *RowError) Unwrap() error { return e.Err }

// BadRows counts what could not be used.
type BadRows struct {
	Count int
	First []*RowError // the first ten
}

// Progress is how far reading has come. Bytes are those on disk, compressed.
type Progress struct {
	Read, Total int64
	Documents   int64
	TextBytes   int64 // bytes of text delivered
}

// Position is where a reader stands, to be stored with a checkpoint. It fits
// only the same specs and options.
type Position struct {
	Sources []SourcePosition `json:"sources"`
}

// SourcePosition is a Position's part for one spec.
type SourcePosition struct {
	File   int   `json:"file"`   // index among the spec's files
	Offset int64 `json:"offset"` // the next row begins here or later (see Doc.Offset)
	Line   int   `json:"line"`   // lines before Offset
	Bytes  int64 `json:"bytes"`  // bytes of text delivered, for the weights
}

// Reader streams the documents of a list of files. Documents may be ranged over
// once; Progress and Bad may be called from other goroutines only as their
// comments say.
type Reader struct {
	opts     Options
	sources  []*source
	weighted bool
	bad      BadRows

	total                      int64
	read, documents, textBytes atomic.Int64
}

// source is one spec: its files in order and the one that is open.
type source struct {
	spec   Spec
	rows   rows // nil between files
	pos    SourcePosition
	skipTo int64 // rows that begin before it were delivered before a resume
	done   bool
}

// rows reads one file. next returns io.EOF at its end, a *RowError for a row that
// is bad (and reading may go on), another error when the file cannot be read on.
type rows interface {
	next() (Doc, error)
	// place returns offset and line count behind the last row.
	place() (offset int64, lines int)
	close() error
}

// Open finds the files of the specs (see ParseSpec) and checks that they exist
// and are of a known kind; it reads none of them yet.
func Open(specs []string, opts Options) (*Reader, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if len(specs) == 0 {
		return nil, errors.New("corpus: no files given")
	}
	r := &Reader{opts: opts}
	for _, text := range specs {
		spec, err := ParseSpec(text)
		if err != nil {
			return nil, err
		}
		r.weighted = r.weighted || spec.Weight != 0
		r.total += spec.Bytes
		r.sources = append(r.sources, &source{spec: spec})
	}
	for _, s := range r.sources {
		if s.spec.Weight == 0 {
			s.spec.Weight = 1
		}
	}
	if start := opts.Start; start != nil {
		if len(start.Sources) != len(r.sources) {
			return nil, fmt.Errorf("corpus: the position to start from is of %d sources, want %d", len(start.Sources), len(r.sources))
		}
		for i, s := range r.sources {
			p := start.Sources[i]
			if p.File < 0 || p.File > len(s.spec.Files) || p.Offset < 0 || p.Line < 0 || p.Bytes < 0 {
				return nil, fmt.Errorf("corpus: %s: the position to start from (file %d of %d, offset %d) is not of these files",
					s.spec.Pattern, p.File, len(s.spec.Files), p.Offset)
			}
			s.pos, s.skipTo = p, p.Offset
		}
	}
	return r, nil
}

// Files returns the files that will be read, spec by spec.
func (r *Reader) Files() []string {
	var files []string
	for _, s := range r.sources {
		files = append(files, s.spec.Files...)
	}
	return files
}

// Progress may be called at any time from any goroutine.
func (r *Reader) Progress() Progress {
	return Progress{Read: r.read.Load(), Total: r.total, Documents: r.documents.Load(), TextBytes: r.textBytes.Load()}
}

// Bad returns the bad rows so far; call it from the goroutine that ranges over
// Documents, or when that has ended.
func (r *Reader) Bad() BadRows { return r.bad }

// Position returns the place behind the last document delivered; call it from
// the goroutine that ranges over Documents.
func (r *Reader) Position() Position {
	var p Position
	for _, s := range r.sources {
		p.Sources = append(p.Sources, s.pos)
	}
	return p
}

// Documents streams the documents. Without weights the files follow one another.
// With weights the next document always comes from the source that is furthest
// behind its share of the text's bytes, so the mixture is right at every point;
// the stream ends when the first source does, because what follows could not
// keep the shares. The order depends on files and options alone.
//
// An error ends the stream. No document at all is an error too.
func (r *Reader) Documents(ctx context.Context) iter.Seq2[Doc, error] {
	return func(yield func(Doc, error) bool) {
		defer r.closeAll()
		for {
			if err := ctx.Err(); err != nil {
				yield(Doc{}, err)
				return
			}
			s := r.pick()
			if s == nil {
				if r.documents.Load() == 0 && r.opts.Start == nil {
					yield(Doc{}, r.emptyError())
				}
				return
			}
			doc, err := r.nextOf(s)
			if errors.Is(err, io.EOF) {
				s.done = true
				continue
			}
			if err != nil {
				yield(Doc{}, err)
				return
			}
			if !r.sampled(s, doc) {
				continue
			}
			s.pos.Bytes += int64(len(doc.Text))
			r.documents.Add(1)
			r.textBytes.Add(int64(len(doc.Text)))
			if !yield(doc, nil) {
				return
			}
		}
	}
}

// Texts is Documents without the places, as the trainers want it.
func (r *Reader) Texts(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for doc, err := range r.Documents(ctx) {
			if !yield(doc.Text, err) {
				return
			}
		}
	}
}

// pick returns the source to read next, nil at the end.
func (r *Reader) pick() *source {
	var best *source
	for _, s := range r.sources {
		switch {
		case s.done && r.weighted:
			return nil
		case s.done:
		case !r.weighted:
			return s
		case best == nil || float64(s.pos.Bytes)/s.spec.Weight < float64(best.pos.Bytes)/best.spec.Weight:
			best = s
		}
	}
	return best
}

// nextOf returns the next good document of a source, io.EOF when it has no more.
func (r *Reader) nextOf(s *source) (Doc, error) {
	for {
		if s.rows == nil {
			if s.pos.File >= len(s.spec.Files) {
				return Doc{}, io.EOF
			}
			file := s.spec.Files[s.pos.File]
			rows, err := openRows(file, r.opts, s.pos, &r.read)
			if err != nil {
				if err := r.count(&RowError{File: file, Err: err}); err != nil {
					return Doc{}, err
				}
				s.nextFile()
				continue
			}
			s.rows = rows
		}
		doc, err := s.rows.next()
		var row *RowError
		switch {
		case err == nil && doc.Offset < s.skipTo:
			continue
		case err == nil:
			s.pos.Offset, s.pos.Line = s.rows.place()
			if doc.Text, err = r.checkText(doc); err == nil {
				return doc, nil
			}
			err = r.count(err.(*RowError))
		case errors.Is(err, io.EOF):
			err = s.rows.close()
			s.nextFile()
		case errors.As(err, &row):
			err = r.count(row)
		default:
			err = r.count(&RowError{File: s.spec.Files[s.pos.File], Err: err})
			s.rows.close()
			s.nextFile()
		}
		if err != nil {
			return Doc{}, err
		}
	}
}

func (s *source) nextFile() {
	s.rows = nil
	s.skipTo = 0
	s.pos = SourcePosition{File: s.pos.File + 1, Bytes: s.pos.Bytes}
}

// count notes a bad row and returns an error when there are too many.
func (r *Reader) count(row *RowError) error {
	r.bad.Count++
	if len(r.bad.First) < 10 {
		r.bad.First = append(r.bad.First, row)
	}
	if r.opts.MaxBadRows < 0 || r.bad.Count <= r.opts.MaxBadRows {
		return nil
	}
	if r.opts.MaxBadRows == 0 {
		advice := hint.Of(row)
		if advice == "" {
			advice = "mend the file, or allow bad rows: --max-bad-rows N, --skip-bad"
		}
		return hint.Wrap(row, advice)
	}
	return fmt.Errorf("corpus: %d bad rows, more than the %d allowed; the last: %w", r.bad.Count, r.opts.MaxBadRows, row)
}

// Reject counts a document that the caller cannot use among the bad rows, and returns the error to
// stop with if MaxBadRows says so. Call it from the goroutine that ranges over Documents.
func (r *Reader) Reject(doc Doc, err error) error {
	return r.count(&RowError{File: doc.Source, Line: doc.Line, Err: err})
}

// checkText refuses, or by choice replaces, bytes that are no UTF-8.
func (r *Reader) checkText(doc Doc) (string, error) {
	if doc.checked || utf8.ValidString(doc.Text) {
		return doc.Text, nil
	}
	if r.opts.ReplaceInvalid {
		return strings.ToValidUTF8(doc.Text, "\uFFFD"), nil
	}
	at := invalidAt([]byte(doc.Text))
	return "", &RowError{File: doc.Source, Line: doc.Line, Err: invalidUTF8(doc.Text[at], int64(at), "row's text")}
}

// sampled decides by seed and place whether a document belongs to the sample.
func (r *Reader) sampled(s *source, doc Doc) bool {
	if r.opts.Sample >= 1 {
		return true
	}
	x := r.opts.Seed
	for _, v := range []uint64{uint64(s.pos.File), uint64(doc.Offset), uint64(doc.Line)} {
		// SplitMix64 (Steele, Lea & Flood 2014): one round per number mixed in.
		x += v*0xff51afd7ed558ccd + 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return float64(x>>11)/(1<<53) < r.opts.Sample
}

func (r *Reader) emptyError() error {
	if r.bad.Count > 0 {
		return fmt.Errorf("corpus: no usable document in %d files; %d bad rows, the first: %w", len(r.Files()), r.bad.Count, r.bad.First[0])
	}
	return hint.Errorf("check that the paths name the files you mean and that they are not empty",
		"corpus: no document in %d files (%d bytes): %s", len(r.Files()), r.total, strings.Join(firstFew(r.Files(), 3), ", "))
}

func firstFew(list []string, n int) []string {
	if len(list) > n {
		return append(append([]string{}, list[:n]...), "…")
	}
	return list
}

func (r *Reader) closeAll() {
	for _, s := range r.sources {
		if s.rows != nil {
			s.rows.close()
			s.rows = nil
		}
	}
}
