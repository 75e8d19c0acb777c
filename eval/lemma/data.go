package lemma

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

//go:embed data.zst
var packed []byte

// Dictionary holds the tables.
type Dictionary struct {
	words       dawg    // word → (paradigm, form)
	endings     [3]dawg // by paradigm prefix: ending → (count, count, paradigm, form)
	probability dawg    // word:tag → 10⁶ P(tag|word)
	paradigms   [][]uint16
	suffixes    []string
	tags        []tag
}

// tag is a set of grammemes as the dictionary spells it.
type tag struct {
	text       string
	productive bool
}

// paradigmPrefixes are what the prefix ids of paradigms mean.
var paradigmPrefixes = [3]string{"", "по", "наи"}

const (
	magic       = "lep lemma tables 1\n"
	maxUnpacked = 64 << 20
)

// Pack writes the tables in the form that is embedded: the units of five word graphs
// (words, three tables of endings, probabilities), paradigms, suffixes and tags.
// The units' bytes are stored plane by plane, which compresses better by a tenth.
func Pack(w io.Writer, graphs [5][]uint32, paradigms []uint16, suffixes, tags []string) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString(magic)
	section := func(data []byte) {
		b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(data))))
		b.Write(data)
	}
	for _, g := range graphs {
		planes := make([]byte, 4*len(g))
		for i, u := range g {
			for p := range 4 {
				planes[p*len(g)+i] = byte(u >> (8 * p))
			}
		}
		section(planes)
	}
	var raw []byte
	for _, v := range paradigms {
		raw = binary.LittleEndian.AppendUint16(raw, v)
	}
	section(raw)
	section([]byte(strings.Join(suffixes, "\n")))
	section([]byte(strings.Join(tags, "\n")))
	if _, err := z.Write(b.Bytes()); err != nil {
		return err
	}
	return z.Close()
}

// Unpack reads what Pack wrote and checks every index in it.
func Unpack(data []byte) (*Dictionary, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	raw, err := z.DecodeAll(data, nil)
	if err != nil {
		return nil, fmt.Errorf("lemma tables: %w", err)
	}
	rest, ok := bytes.CutPrefix(raw, []byte(magic))
	if !ok {
		return nil, errors.New("lemma tables: not in this version's form")
	}
	var sections [8][]byte
	for i := range sections {
		if len(rest) < 4 || int64(binary.LittleEndian.Uint32(rest)) > int64(len(rest)-4) {
			return nil, fmt.Errorf("lemma tables: section %d is cut off", i)
		}
		n := int(binary.LittleEndian.Uint32(rest))
		sections[i], rest = rest[4:4+n], rest[4+n:]
	}
	d := &Dictionary{suffixes: strings.Split(string(sections[6]), "\n")}
	for i, to := range []*dawg{&d.words, &d.endings[0], &d.endings[1], &d.endings[2], &d.probability} {
		planes := sections[i]
		n := len(planes) / 4
		units := make(dawg, n)
		for at := range units {
			units[at] = uint32(planes[at]) | uint32(planes[n+at])<<8 | uint32(planes[2*n+at])<<16 | uint32(planes[3*n+at])<<24
		}
		*to = units
	}
	for text := range strings.SplitSeq(string(sections[7]), "\n") {
		d.tags = append(d.tags, newTag(text))
	}
	return d, d.readParadigms(sections[5])
}

// readParadigms reads paradigm after paradigm: 3n, n suffix ids, n tag ids, n prefix ids.
func (d *Dictionary) readParadigms(raw []byte) error {
	for len(raw) >= 2 {
		n := int(binary.LittleEndian.Uint16(raw))
		if n == 0 || n%3 != 0 || 2*n > len(raw)-2 {
			return fmt.Errorf("lemma tables: paradigm %d: length %d", len(d.paradigms), n)
		}
		p := make([]uint16, n)
		for i := range p {
			p[i] = binary.LittleEndian.Uint16(raw[2+2*i:])
			limit := [3]int{len(d.suffixes), len(d.tags), len(paradigmPrefixes)}[3*i/n]
			if int(p[i]) >= limit {
				return fmt.Errorf("lemma tables: paradigm %d: index %d, want below %d", len(d.paradigms), p[i], limit)
			}
		}
		d.paradigms = append(d.paradigms, p)
		raw = raw[2+2*n:]
	}
	return nil
}

// unproductive are the parts of speech that new words do not join.
var unproductive = map[string]bool{"NUMR": true, "NPRO": true, "PRED": true, "PREP": true, "CONJ": true, "PRCL": true, "INTJ": true, "Apro": true}

func newTag(text string) tag {
	t := tag{text: text, productive: true}
	for _, g := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		t.productive = t.productive && !unproductive[g]
	}
	return t
}

var embedded = sync.OnceValues(func() (*Dictionary, error) { return Unpack(packed) })

// Embedded returns the tables that are part of the program.
func Embedded() (*Dictionary, error) { return embedded() }

// Normal returns the dictionary form of a word in lower case, by the embedded tables. A word
// that is no Russian word (a number, Latin letters, a sign) is its own form.
func Normal(word string) (string, error) {
	d, err := embedded()
	if err != nil {
		return "", err
	}
	return d.Normal(word), nil
}
