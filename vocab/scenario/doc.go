// Package scenario makes the vocabularies that the method compares (arXiv
// 2412.21140, section 3.1): [Extend] adds a language's tokens to a model's own
// vocabulary, [Optimize] first cuts what a corpus does not use, [Replace] puts a new
// BPE or Unigram in its place. Special tokens of the model are kept in all of them and
// renumbered where they must be.
//
//	result, err := scenario.Extend(base, russian, scenario.DefaultExtendOptions())
//	…
//	tokenizer.WriteFolder("out", result.Definition, config)
//
// The authors' own rules are had with Options.Reference; the defaults leave text
// that holds no new token cut as it was.
package scenario
