package regex_test

import (
	"fmt"

	"lep/tokenizer/regex"
)

func ExampleRegexp_Next() {
	r, err := regex.Compile(`\p{N}{1,3}| ?[\p{L}&&[^a-z]]+`)
	if err != nil {
		fmt.Println(err)
		return
	}
	text := "12345 мир word"
	for from := 0; ; {
		start, end, ok := r.Next(text, from)
		if !ok {
			break
		}
		fmt.Printf("%q\n", text[start:end])
		from = end
	}
	// Output:
	// "123"
	// "45"
	// " мир"
}
