// Package shard keeps packed blocks of token ids on disk, so that a corpus is
// tokenized once and every engine reads the same blocks in the same order.
//
// A folder of shards holds shards.json (Manifest) and files shard-00000.bin, …; a file is
// three arrays one after another, little-endian, row-major, of n blocks of B tokens:
//
//	tokens     n·B   uint16 or uint32   padding is 0
//	labels     n·B   int32              if has_labels; the label of the token in the same place, -100 without loss
//	documents  n·B   uint16             if has_documents; number of the document within the block, 65535 is padding
//
// Without labels every token of a document is learned. shards.json is written last: a folder
// without it is not finished.
//
//	w, err := shard.Create(dir, "shard", shard.Settings{BlockSize: 512, VocabSize: 32000, HasDocuments: true, Order: shard.Shuffle})
//	err = w.Add(block)
//	err = w.Flush()
//	manifest, err := shard.Finish(dir, nil, w.Manifest())
//	r, err := shard.Open(dir)
//	block, err := r.Block(0)
package shard
