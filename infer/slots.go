package infer

import (
	"lep/internal/hint"
	"lep/model"
)

// slots is a cache together with the ids that each of its slots holds, so that sequences
// with a common beginning compute it once.
type slots struct {
	cache *model.Cache
	known [][]int32
}

// prepare makes a cache for n sequences of capacity tokens, fewer if maxBytes does not
// allow them, or keeps the one that is there with what it holds. Memory that is not used is
// not touched.
func (s *slots) prepare(m *model.Model, n, capacity int, maxBytes int64) error {
	if s.cache != nil && s.cache.Capacity() >= capacity {
		return nil
	}
	bytes := func(capacity int) int64 { return 4 * int64(m.Config.CacheFloats(1, capacity)) }
	if bytes(capacity) > maxBytes {
		return hint.Errorf("ask for fewer new tokens, shorten the prompt or raise cache_bytes",
			"keys and values of %d tokens take %d MiB, cache_bytes allows %d", capacity, bytes(capacity)>>20, maxBytes>>20)
	}
	// Some room, so that a chat does not make a new cache at each turn.
	if roomy := min(max(capacity+capacity/2, 256), m.Config.MaxPositionEmbeddings); roomy > capacity && bytes(roomy) <= maxBytes {
		capacity = roomy
	}
	n = min(n, int(maxBytes/bytes(capacity)))
	s.cache, s.known = nil, nil
	cache, err := m.NewCache(n, capacity)
	if err != nil {
		return err
	}
	s.cache, s.known = cache, make([][]int32, n)
	return nil
}

// hold makes slot to hold the first n ids, which slot from holds.
func (s *slots) hold(to, from, n int, ids []int32) {
	if from >= 0 && from != to {
		s.cache.Copy(to, from, n)
	} else {
		s.cache.Truncate(to, n)
	}
	s.known[to] = append(s.known[to][:0], ids[:n]...)
}

// longest returns the slot that holds the most of the beginning of ids, and how much.
func (s *slots) longest(ids []int32) (slot, common int) {
	slot = -1
	for i, known := range s.known {
		if n := commonPrefix(known, ids); n > common {
			slot, common = i, n
		}
	}
	return slot, common
}

func commonPrefix(a, b []int32) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
