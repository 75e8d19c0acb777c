// Package vocab compares vocabularies. Two tables are matched by the bytes that
// their pieces stand for, never by the strings that files spell them with: the
// byte alphabet of one ("Ġ", "Ð¼") and the "▁" and "<0x0A>" of another are undone
// first.
//
// The main names are [Convert], which says for each new token the old subtokens it
// is made of, and [Shared], which pairs the tokens that both tables have:
//
//	conv := vocab.Convert(old, new)
//	for id := range conv.Len() {
//		fmt.Println(new.Token(int32(id)), conv.IDs(id))
//	}
//
// [ConvertReference], [InitialReference] and [SharedReference] repeat, with its
// faults, what the code of the method's authors does.
package vocab
