package charsmap_test

import (
	"fmt"

	"lep/tokenizer/charsmap"
)

func ExampleMap_Longest() {
	blob, err := charsmap.Compile(map[string]string{"ﬁ": "fi", "a": "A", "ab": "B"})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := charsmap.Read(blob)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Longest("abc"))
	fmt.Println(m.Longest("ﬁn"))
	// Output:
	// B 2
	// fi 3
}
