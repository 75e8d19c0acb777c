package tokenizer_test

import (
	"fmt"

	"lep/tokenizer"
)

func Example() {
	definition, err := tokenizer.ReadJSON([]byte(small)) // or tokenizer.Open(folder)
	if err != nil {
		panic(err)
	}
	tok, err := tokenizer.New(definition)
	if err != nil {
		panic(err)
	}
	e := tok.EncodeOptions("ab a", tokenizer.EncodeOptions{AddSpecial: true, Offsets: true})
	for i, id := range e.IDs {
		fmt.Printf("%d %q %v\n", id, e.Tokens[i], e.Offsets[i])
	}
	fmt.Println(tok.DecodeSkip(e.IDs))
	// Output:
	// 7 "<s>" [0 0]
	// 4 "▁a" [0 1]
	// 3 "b" [1 2]
	// 4 "▁a" [2 4]
	// ab a
}

func ExampleTokenizer_NewDecoder() {
	definition, err := tokenizer.ReadJSON([]byte(small))
	if err != nil {
		panic(err)
	}
	tok, err := tokenizer.New(definition)
	if err != nil {
		panic(err)
	}
	stream := tok.NewDecoder()
	for _, id := range tok.Encode("ab a") {
		fmt.Printf("%q ", stream.Next(id))
	}
	fmt.Printf("%q\n", stream.Flush())
	// Output: "a" "b" " a" ""
}
