// Package embedding makes rows of one vocabulary from the rows of another: the
// first rows of a new vocabulary ([NewInitial]), and the rows of the token conversion
// that propagation is fitted on ([Operator]). It is a row-by-row matter: matrices
// stay in the mapped file, and no float64 copy of one is ever made.
//
//	op := embedding.Conversion(vocab.Convert(old, next), embedding.Mean)
//	s := make([]float64, 512*hidden)
//	op.Rows(s, source, 0, 512) // the first 512 rows of T·E
package embedding
