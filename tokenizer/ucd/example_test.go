package ucd_test

import (
	"fmt"

	"lep/tokenizer/ucd"
)

func ExampleAt() {
	text := "½ мир"
	for i := 0; i < len(text); {
		c, size := ucd.At(text, i)
		fmt.Printf("%s %t %t\n", text[i:i+size], c&ucd.Number != 0, c&ucd.Letter != 0)
		i += size
	}
	// Output:
	// ½ true false
	//   false false
	// м false true
	// и false true
	// р false true
}
