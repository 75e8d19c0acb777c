package corpus

import "encoding/binary"

// flatbuffer reads FlatBuffers metadata without trust: what points outside reads as
// zero and sets bad.
type flatbuffer struct {
	data []byte
	bad  bool
}

// bytes returns n bytes at a place.
func (f *flatbuffer) bytes(at, n int) []byte {
	if at < 0 || n < 0 || at > len(f.data)-n {
		f.bad = true
		return make([]byte, min(max(n, 0), 16))
	}
	return f.data[at : at+n]
}

func (f *flatbuffer) uint32(at int) int { return int(binary.LittleEndian.Uint32(f.bytes(at, 4))) }
func (f *flatbuffer) uint16(at int) int { return int(binary.LittleEndian.Uint16(f.bytes(at, 2))) }

func (f *flatbuffer) root() table { return table{f, f.uint32(0)} }

// table is a table of a flatbuffer; at is 0 for one that is absent.
type table struct {
	f  *flatbuffer
	at int
}

// field returns the place of a field's value, 0 where the table does not have it.
func (t table) field(i int) int {
	if t.at == 0 {
		return 0
	}
	list := t.at - int(int32(t.f.uint32(t.at)))
	if 4+2*i+2 > t.f.uint16(list) {
		return 0
	}
	offset := t.f.uint16(list + 4 + 2*i)
	if offset == 0 {
		return 0
	}
	return t.at + offset
}

func (t table) byte(i int) byte {
	if at := t.field(i); at != 0 {
		return t.f.bytes(at, 1)[0]
	}
	return 0
}

func (t table) int16(i int) int16 {
	if at := t.field(i); at != 0 {
		return int16(t.f.uint16(at))
	}
	return 0
}

func (t table) int64(i int) int64 {
	if at := t.field(i); at != 0 {
		return int64(binary.LittleEndian.Uint64(t.f.bytes(at, 8)))
	}
	return 0
}

// follow returns the place that a field refers to, 0 where it is absent.
func (t table) follow(i int) int {
	if at := t.field(i); at != 0 {
		return at + t.f.uint32(at)
	}
	return 0
}

func (t table) table(i int) table { return table{t.f, t.follow(i)} }

// vector returns the place of a vector's first element, and how many of size bytes
// it has.
func (t table) vector(i, size int) (at, n int) {
	at = t.follow(i)
	if at == 0 {
		return 0, 0
	}
	n = t.f.uint32(at)
	if n > len(t.f.data)/size {
		t.f.bad = true
		return 0, 0
	}
	return at + 4, n
}

func (t table) string(i int) string {
	at, n := t.vector(i, 1)
	return string(t.f.bytes(at, n))
}

func (t table) tables(i int) []table {
	at, n := t.vector(i, 4)
	if n > maxArrowFields {
		t.f.bad = true
		return nil
	}
	list := make([]table, n)
	for k := range list {
		place := at + 4*k
		list[k] = table{t.f, place + t.f.uint32(place)}
	}
	return list
}

// structs returns a vector of pairs of int64.
func (t table) structs(i int) [][2]int64 {
	at, n := t.vector(i, 16)
	list := make([][2]int64, n)
	for k := range list {
		b := t.f.bytes(at+16*k, 16)
		list[k] = [2]int64{int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))}
	}
	return list
}
