// Package practice makes the training texts of the pocket family from plain prose: copying
// practice, without which so small a model never learns to copy, and instructions whose right
// answer is known (repeat a text, name its first or last word, find it among options, say whether it has a word, go on with it).
//
//	en, err := practice.NewPool("en", texts)
//	m := practice.NewMaker(seed, en, ru)
//	sample := m.Sample("first", "en")
//
// Everything depends on the seed and the texts alone.
package practice
