package tokenizer

import "math/bits"

// wordCache remembers the ids of words, because words repeat: in prose nineteen of
// twenty have been seen shortly before. It is a table of two-way sets in which the
// newer word stays; words or results too long for a slot are not kept. It grows with
// use up to maxCacheSlots.
//
// It belongs to one worker, so that a look-up takes no lock.
type wordCache struct {
	slots   []cacheSlot
	shift   uint8 // of a hash, to get a set
	entered int   // since the table grew
}

// cacheSlot is a cache line of 64 bytes.
type cacheSlot struct {
	tag   uint32
	size  uint8            // of the key; 0 is an empty slot
	count uint8            // of ids
	data  [cacheBytes]byte // the key, then three bytes an id
}

const (
	cacheBytes = 58

	minCacheSlots = 1 << 9
	maxCacheSlots = 1 << 17 // 8 MB
)

func (s *cacheSlot) holds(tag uint32, word string) bool {
	return s.tag == tag && int(s.size) == len(word) && string(s.data[:len(word)]) == word
}

// appendIDs appends the ids of a slot.
func (s *cacheSlot) appendIDs(dst []int32) []int32 {
	data := s.data[s.size:]
	for range s.count {
		dst = append(dst, int32(data[0])|int32(data[1])<<8|int32(data[2])<<16)
		data = data[3:]
	}
	return dst
}

// hashWord is a multiplicative hash of eight bytes at a time; the high bits are good.
func hashWord(s string) uint64 {
	const k = 0x9E3779B97F4A7C15
	h := uint64(len(s)) * k
	for len(s) >= 8 {
		h ^= uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		h *= k
		h ^= h >> 29
		s = s[8:]
	}
	if len(s) >= 4 {
		h ^= uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24
		h *= k
		h ^= h >> 29
		s = s[4:]
	}
	for i := range len(s) {
		h ^= uint64(s[i]) << (8 * i)
	}
	h *= k
	h ^= h >> 32
	return h * k
}

// touch reads the first slot of a set, so that it is near when find needs it. The
// result means nothing.
func (c *wordCache) touch(hash uint64) uint32 {
	if len(c.slots) == 0 {
		return 0
	}
	return c.slots[hash>>c.shift<<1].tag
}

// find returns the slot of a word, or nil.
func (c *wordCache) find(hash uint64, word string) *cacheSlot {
	if len(c.slots) == 0 || len(word) > cacheBytes {
		return nil
	}
	set := hash >> c.shift << 1
	if s := &c.slots[set]; s.holds(uint32(hash), word) {
		return s
	}
	if s := &c.slots[set+1]; s.holds(uint32(hash), word) {
		return s
	}
	return nil
}

// put enters a word that find did not find.
func (c *wordCache) put(hash uint64, word string, ids []int32) {
	if len(word) == 0 || len(word)+3*len(ids) > cacheBytes {
		return
	}
	if c.entered >= len(c.slots) && len(c.slots) < maxCacheSlots {
		c.grow()
	}
	c.entered++
	set := hash >> c.shift << 1
	c.slots[set+1] = c.slots[set]
	s := &c.slots[set]
	s.tag, s.size, s.count = uint32(hash), uint8(len(word)), uint8(len(ids))
	at := copy(s.data[:], word)
	for _, id := range ids {
		s.data[at], s.data[at+1], s.data[at+2] = byte(id), byte(id>>8), byte(id>>16)
		at += 3
	}
}

func (c *wordCache) grow() {
	old := c.slots
	n := max(minCacheSlots, 4*len(old))
	c.slots, c.entered = make([]cacheSlot, n), 0
	c.shift = uint8(65 - bits.Len(uint(n-1)))
	var ids []int32
	for i := range old {
		if s := &old[i]; s.size > 0 {
			word := string(s.data[:s.size])
			ids = s.appendIDs(ids[:0])
			c.put(hashWord(word), word, ids)
		}
	}
}
