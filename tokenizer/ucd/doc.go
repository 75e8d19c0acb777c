// Package ucd knows the properties of characters (of the Unicode Character Database) in the
// versions that the reference tokenizers have: those of Unicode 16, where Go 1.26 has 15.
//
// [Of] and [At] look a character up in a table, as split patterns want it; the Is functions
// ask for one property.
//
//	c, size := ucd.At(text, i)
//	if c&(ucd.Letter|ucd.Number) != 0 {
//		i += size
//	}
package ucd
