// Package tokenizer reads, writes and runs the tokenizers of language models:
// Hugging Face tokenizer.json (BPE and Unigram), SentencePiece .model and
// tiktoken rank files. What a file says is a [Definition]; [New] compiles it into
// a [Tokenizer], which is safe for concurrent use.
package tokenizer
