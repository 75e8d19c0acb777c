package shard_test

import (
	"fmt"
	"os"

	"lep/corpus"
	"lep/corpus/shard"
)

func Example() {
	dir, err := os.MkdirTemp("", "shards")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	w, err := shard.Create(dir, "shard", shard.Settings{BlockSize: 4, VocabSize: 100, HasDocuments: true, Order: shard.Stored})
	if err != nil {
		panic(err)
	}
	if err := w.Add(corpus.Block{IDs: []int32{5, 6, 7}, Starts: []int32{0, 2}}); err != nil {
		panic(err)
	}
	if err := w.Flush(); err != nil {
		panic(err)
	}
	if _, err := shard.Finish(dir, nil, w.Manifest()); err != nil {
		panic(err)
	}
	r, err := shard.Open(dir)
	if err != nil {
		panic(err)
	}
	defer r.Close()
	b, err := r.Block(0)
	fmt.Println(b.IDs, b.Starts, err)
	// Output: [5 6 7] [0 2] <nil>
}
