// Package regex matches the split patterns of tokenizer.json in the dialect they are written
// in, that of Oniguruma with Ruby's syntax.
//
// It stands beside regexp2, which the program has for Python's dialect, because a tokenizer must cut
// exactly where Hugging Face's does: {n,m}+ repeats a repetition, ^ and $ match at every line,
// classes know && and nest, and classes and case folding are those of Unicode 16, which regexp2
// takes from Go's older tables. And a search is bounded by its steps, states × characters, in place of a
// clock, so that no result depends on how busy the machine is.
//
//	r, err := regex.Compile(`\p{L}+|\p{N}{1,3}|\s+(?!\S)`)
//	if err != nil {
//		return err
//	}
//	start, end, ok := r.Next(text, 0)
package regex
