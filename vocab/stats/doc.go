// Package stats measures vocabularies and shows them: how many characters a token carries in
// each language and script, which words stay whole, which tokens a corpus never uses and which
// no text can reach ([Measure]); what two vocabularies share and how each cuts the same sentence
// ([Compare]); how the gain flattens as a vocabulary grows ([NewSweep]). Sample texts in
// twenty languages are built in; a corpus may be added.
//
//	s, err := stats.Measure(ctx, tok, corpusTexts, stats.DefaultOptions())
//	if err != nil { … }
//	fmt.Println(s.Corpus.CharactersPerToken())
//	err = s.Page("Llama-3").WriteHTML(w)
package stats
