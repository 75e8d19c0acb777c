package lemma

import (
	"encoding/base64"
	"encoding/binary"
)

// dawg is a double-array word graph as dawgdic writes it: each unit holds the label that leads
// to it, the offset of its children and whether a value is among them.
type dawg []uint32

const (
	leafBit      = 1 << 31 // the unit is a value
	hasLeafBit   = 1 << 8
	extensionBit = 1 << 9
)

func (d dawg) child(at uint32, label byte) (uint32, bool) {
	u := d[at]
	next := at ^ (u >> 10 << (u & extensionBit >> 6)) ^ uint32(label)
	if int64(next) >= int64(len(d)) || d[next]&(leafBit|0xff) != uint32(label) {
		return 0, false
	}
	return next, true
}

func (d dawg) follow(at uint32, s string) (uint32, bool) {
	ok := len(d) > 0
	for i := 0; i < len(s) && ok; i++ {
		at, ok = d.child(at, s[i])
	}
	return at, ok
}

// value returns the number stored under a key.
func (d dawg) value(key string) (uint32, bool) {
	at, ok := d.follow(0, key)
	if !ok || d[at]&hasLeafBit == 0 {
		return 0, false
	}
	u := d[at]
	leaf := at ^ (u >> 10 << (u & extensionBit >> 6))
	if int64(leaf) >= int64(len(d)) {
		return 0, false
	}
	return d[leaf] &^ leafBit, true
}

// found is a key of the graph with its records.
type found struct {
	key     string
	records [][]uint16
}

// payloadSeparator stands between a key and the base64 text of a record.
const payloadSeparator = 1

// maxPayload bounds the base64 text of a record: 8 bytes are 12 letters, and a line feed.
const maxPayload = 13

// similar returns the records of a key and of those that have ё in place of some е. The key as
// written comes first, then by the place of the first ё.
func (d dawg) similar(key string) []found {
	if len(d) == 0 {
		return nil
	}
	return d.similarFrom("", key, 0, 0)
}

func (d dawg) similarFrom(done, key string, start int, at uint32) []found {
	var list []found
	ok := true
	const e, yo = "е", "ё"
	for i := start; i < len(key) && ok; i++ {
		if i+len(e) <= len(key) && key[i:i+len(e)] == e {
			if next, is := d.follow(at, yo); is {
				list = append(list, d.similarFrom(done+key[start:i]+yo, key, i+len(e), next)...)
			}
		}
		at, ok = d.child(at, key[i])
	}
	if !ok {
		return list
	}
	if at, ok = d.child(at, payloadSeparator); ok {
		if records := d.records(nil, at, nil); len(records) > 0 {
			return append([]found{{done + key[start:], records}}, list...)
		}
	}
	return list
}

// base64Letters in ascending byte order, which is the order of records; a line feed ends each.
const base64Letters = "\n+/0123456789=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func (d dawg) records(list [][]uint16, at uint32, text []byte) [][]uint16 {
	if len(text) > 0 && d[at]&hasLeafBit != 0 {
		if raw, err := base64.StdEncoding.DecodeString(string(text)); err == nil && len(raw)%2 == 0 {
			record := make([]uint16, len(raw)/2)
			for i := range record {
				record[i] = binary.BigEndian.Uint16(raw[2*i:])
			}
			list = append(list, record)
		}
	}
	if len(text) == maxPayload {
		return list
	}
	for i := range len(base64Letters) {
		if next, ok := d.child(at, base64Letters[i]); ok {
			list = d.records(list, next, append(text, base64Letters[i]))
		}
	}
	return list
}
