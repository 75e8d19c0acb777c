// Package charsmap reads, runs and makes SentencePiece's precompiled character maps, the
// replacements that its normalizer and Hugging Face's Precompiled do, and the double-array
// trie (darts-clone) that they are written in.
//
//	blob, err := charsmap.Named("nmt_nfkc")
//	if err != nil {
//		return err
//	}
//	m, err := charsmap.Read(blob)
//	if err != nil {
//		return err
//	}
//	to, size := m.Longest("ﬁn") // "fi", 3 bytes
package charsmap
