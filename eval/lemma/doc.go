// Package lemma gives the dictionary form of Russian words, as pymorphy3's first parse has it:
// "реки" is "река", "встретили" is "встретить", "бутявками" (in no dictionary) is "бутявка".
//
//	form, err := lemma.Normal("городами") // "город"
//
// The tables are made from the OpenCorpora dictionary by the program in makedata, are part of
// the program (5 MB) and unpacked at the first call.
package lemma
