package corpus

import (
	"slices"
	"testing"
)

// pack packs texts of numbered tokens; 9 ends a line.
func pack(size int, start Boundary, docs ...[]int32) []Block {
	var blocks []Block
	p := Packer{Size: size, Start: start, Emit: func(b Block) { blocks = append(blocks, b) }}
	for i, ids := range docs {
		p.Add(ids, func(i int) bool { return i > 0 && ids[i-1] == 9 }, Doc{Source: "t", Line: i + 1})
	}
	p.Flush()
	return blocks
}

func TestPack(t *testing.T) {
	for _, tt := range []struct {
		name   string
		size   int
		start  Boundary
		docs   [][]int32
		blocks [][]int32
		ctx    []int
		starts [][]int32
		why    string
	}{
		{"fits", 8, AtLine, [][]int32{{1, 2}, {3, 4}}, [][]int32{{1, 2, 3, 4}}, []int{0}, [][]int32{{0, 2}}, "documents follow one another"},
		{"cut line starts again", 8, AtLine, [][]int32{{1, 2, 3, 4, 5, 9, 6, 7, 8, 9}}, [][]int32{{1, 2, 3, 4, 5, 9, 6, 7}, {6, 7, 8, 9}}, []int{0, 2},
			[][]int32{{0}, {0}}, "the second block begins where the line does, and the repeated tokens are context"},
		{"line ends at the cut", 4, AtLine, [][]int32{{1, 2, 3, 9, 5, 6}}, [][]int32{{1, 2, 3, 9}, {5, 6}}, []int{0, 0}, [][]int32{{0}, {0}}, "nothing to repeat"},
		{"long line", 4, AtLine, [][]int32{{1, 2, 3, 4, 5, 6}}, [][]int32{{1, 2, 3, 4}, {5, 6}}, []int{0, 0}, [][]int32{{0}, {0}}, "more than a quarter would be repeated"},
		{"document starts again", 8, AtDocument, [][]int32{{1, 2, 3, 4, 5, 6}, {7, 7, 7, 7}}, [][]int32{{1, 2, 3, 4, 5, 6, 7, 7}, {7, 7, 7, 7}}, []int{0, 2},
			[][]int32{{0, 6}, {0}}, "two tokens are a quarter"},
		{"lines do not count", 8, AtDocument, [][]int32{{1, 2, 3, 4, 5, 9, 6, 7, 8}}, [][]int32{{1, 2, 3, 4, 5, 9, 6, 7}, {8}}, []int{0, 0}, [][]int32{{0}, {0}}, ""},
		{"anywhere", 8, Anywhere, [][]int32{{1, 2, 3, 4, 5, 9, 6, 7, 8, 9}}, [][]int32{{1, 2, 3, 4, 5, 9, 6, 7}, {8, 9}}, []int{0, 0}, [][]int32{{0}, {0}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := pack(tt.size, tt.start, tt.docs...)
			if len(got) != len(tt.blocks) {
				t.Fatalf("%d blocks %v, want %d: %s", len(got), got, len(tt.blocks), tt.why)
			}
			for i, b := range got {
				if !slices.Equal(b.IDs, tt.blocks[i]) || b.Context != tt.ctx[i] || !slices.Equal(b.Starts, tt.starts[i]) {
					t.Errorf("block %d: ids %v, context %d, starts %v, want %v, %d, %v: %s", i, b.IDs, b.Context, b.Starts, tt.blocks[i], tt.ctx[i], tt.starts[i], tt.why)
				}
			}
		})
	}
}

func TestPackWhole(t *testing.T) {
	var blocks []Block
	p := Packer{Size: 6, Emit: func(b Block) { blocks = append(blocks, b) }}
	for i, n := range []int{4, 5, 2, 1, 13, 6} {
		ids := slices.Repeat([]int32{int32(i)}, n)
		labels := slices.Clone(ids)
		labels[0] = NoLabel
		p.AddWhole(ids, labels, Doc{Line: i})
	}
	p.Flush()
	want := [][]int32{{4, 4, 4, 4, 4, 4}, {4, 4, 4, 4, 4, 4}, {0, 0, 0, 0, 2, 2}, {1, 1, 1, 1, 1, 3}, {4}, {5, 5, 5, 5, 5, 5}}
	for i, b := range blocks {
		if i >= len(want) || !slices.Equal(b.IDs, want[i]) || len(b.Labels) != len(b.IDs) {
			t.Fatalf("block %d: %v with labels %v, want %v", i, b.IDs, b.Labels, want)
		}
	}
	if len(blocks) != len(want) || !slices.Equal(blocks[2].Starts, []int32{0, 4}) || blocks[2].Labels[4] != NoLabel {
		t.Errorf("blocks %v, want %v with both samples' starts and labels", blocks, want)
	}
}

// FuzzPack: every token is learned exactly once, in order, and no block is too long.
func FuzzPack(f *testing.F) {
	f.Add([]byte("\x01\x02\x09\x00\x04\x04"), 4, uint8(0))
	f.Add([]byte("aaaa\x09aaaaaaaaaaaaa\x09\x09bbbb\x00\x00bbbbbbbb"), 9, uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, size int, start uint8) {
		if size < 2 || size > 64 {
			return
		}
		var docs [][]int32
		var all []int32
		doc := []int32{}
		for _, b := range data {
			doc = append(doc, int32(b))
			if b == 0 {
				docs, doc = append(docs, doc), nil
			}
		}
		docs = append(docs, doc)
		for _, d := range docs {
			all = append(all, d...)
		}
		var got []int32
		for _, b := range pack(size, []Boundary{AtLine, AtDocument, Anywhere}[start%3], docs...) {
			if len(b.IDs) > size || len(b.IDs) == 0 || b.Starts[0] != 0 || b.Context > size/4 {
				t.Fatalf("block %+v, want 1 to %d tokens and at most a quarter of context", b, size)
			}
			got = append(got, b.IDs[b.Context:]...)
		}
		if !slices.Equal(got, all) {
			t.Fatalf("blocks without context hold %v, want %v", got, all)
		}
	})
}
