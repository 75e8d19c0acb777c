package tokenizer

// SentencePiece is the native part of a definition read from a SentencePiece
// .model file.
type SentencePiece struct{}
