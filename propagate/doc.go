// Package propagate carries the vocabulary of an adapted base model into the
// instruct models of the same family: Learned Embedding Propagation (arXiv
// 2412.21140).
//
// Three models meet. The source is a base model, the donor is the source with a new
// vocabulary after continued training, the target is an instruct model tuned from the
// source. For the input matrix and the head apart, a map W is fitted that takes rows of
// the source to those of the target, over the tokens of the new vocabulary expressed
// in the old one; the result is the target with the donor's tokenizer and the rows
// E_donor·W. Special tokens, chat template and generation settings are the target's.
//
//	opts := propagate.DefaultOptions()
//	opts.Source, opts.Donor = "base", "donor"
//	opts.Targets = []propagate.Target{{Model: "instruct", Out: "result"}}
//	result, err := propagate.Run(ctx, opts)
//
// [NewPlan] says what Run would do; [Embed] writes a base model with first rows for a
// new vocabulary; [CheckFolder] holds the acceptance checks of a result folder.
package propagate
