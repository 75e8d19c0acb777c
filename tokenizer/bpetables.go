package tokenizer

import (
	"fmt"
	"math/bits"
)

// pairTable finds the merge of two pieces: open addressing, a power of two in size
// and at most three quarters full. A slot holds a whole merge in 64 bits, because
// the table is larger than the processor's cache and every look-up pays for its size:
// left<<44 | right<<24 | 1 + index of the merge, 0 for free.
type pairTable struct {
	slots    []uint64
	shift    uint8
	products []int32 // by merge
	ranks    []int32 // by merge; nil: the index is the rank
}

const (
	noRank    = 1<<31 - 1
	maxMerges = 1<<24 - 1
)

// newPairTable takes merges in the order of their ranks; ranks, if not nil, says
// which share one.
func newPairTable(merges []Merge, ranks []int32) (pairTable, error) {
	if len(merges) > maxMerges {
		return pairTable{}, fmt.Errorf("model: %d merges, want at most %d", len(merges), maxMerges)
	}
	size := 1 << bits.Len(uint(len(merges)*4/3+1))
	t := pairTable{slots: make([]uint64, size), shift: uint8(64 - bits.Len(uint(size-1))), products: make([]int32, len(merges)), ranks: ranks}
	for i, m := range merges {
		if uint32(m.Left|m.Right) >= maxTokens {
			return pairTable{}, fmt.Errorf("model: merge %d: ids %d and %d, want 0 to %d", i, m.Left, m.Right, maxTokens-1)
		}
		t.products[i] = m.Product
		pair := uint64(m.Left)<<20 | uint64(m.Right)
		at := t.home(pair)
		for t.slots[at] != 0 && t.slots[at]>>24 != pair { // of equal merges the last counts, as in HF's map
			at = (at + 1) & (size - 1)
		}
		t.slots[at] = pair<<24 | uint64(i+1)
	}
	return t, nil
}

func (t *pairTable) home(pair uint64) int {
	return int((pair * 0x9E3779B97F4A7C15) >> t.shift)
}

// find returns the merge of two symbols and its rank; -1 and noRank if there is none.
func (t *pairTable) find(left, right int32) (rank, merge int32) {
	if uint32(left|right) >= maxTokens { // no piece
		return noRank, -1
	}
	pair := uint64(left)<<20 | uint64(right)
	for at := t.home(pair); ; at = (at + 1) & (len(t.slots) - 1) {
		slot := t.slots[at]
		if slot == 0 {
			return noRank, -1
		}
		if slot>>24 == pair {
			merge = int32(slot&(1<<24-1)) - 1
			return t.rank(merge), merge
		}
	}
}

// rank returns the rank of a merge, noRank for -1.
func (t *pairTable) rank(merge int32) int32 {
	switch {
	case merge < 0:
		return noRank
	case t.ranks == nil:
		return merge
	}
	return t.ranks[merge]
}

// wholeTable finds pieces of the byte alphabet by their bytes: open addressing, at
// most half full; a slot is 32 bits of the hash and 1 + the piece's index.
type wholeTable struct {
	slots []uint64
	shift uint8
	data  []byte
	ends  []uint32 // in data, of the piece before and, with the next entry, of the piece
	ids   []int32
}

func newWholeTable(pieces []Piece) wholeTable {
	size := 1 << bits.Len(uint(2*len(pieces)+1))
	t := wholeTable{slots: make([]uint64, size), shift: uint8(64 - bits.Len(uint(size-1))), ends: make([]uint32, 1, len(pieces)+1)}
	for _, p := range pieces {
		data, ok := appendBytes(t.data, p.Text)
		if !ok || len(data) == len(t.data) {
			continue // not in the alphabet: no bytes spell it
		}
		hash := hashWord(string(data[len(t.data):]))
		t.data = data
		t.ids = append(t.ids, p.ID)
		t.ends = append(t.ends, uint32(len(data)))
		at := int(hash >> t.shift)
		for t.slots[at] != 0 {
			at = (at + 1) & (size - 1)
		}
		t.slots[at] = hash<<32 | uint64(len(t.ids))
	}
	return t
}

func (t *wholeTable) find(word string) (int32, bool) {
	hash := hashWord(word)
	for at := int(hash >> t.shift); t.slots[at] != 0; at = (at + 1) & (len(t.slots) - 1) {
		if slot := t.slots[at]; uint32(slot>>32) == uint32(hash) {
			i := uint32(slot) - 1
			if string(t.data[t.ends[i]:t.ends[i+1]]) == word {
				return t.ids[i], true
			}
		}
	}
	return 0, false
}
