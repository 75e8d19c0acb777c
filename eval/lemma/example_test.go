package lemma_test

import (
	"fmt"

	"lep/eval/lemma"
)

func ExampleNormal() {
	for _, word := range []string{"реками", "бежал", "бутявкой"} {
		form, err := lemma.Normal(word)
		if err != nil {
			panic(err)
		}
		fmt.Println(form)
	}
	// Output:
	// река
	// бежать
	// бутявка
}
