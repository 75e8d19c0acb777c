package practice_test

import (
	"fmt"
	"strings"

	"lep/internal/pocket/practice"
)

func Example() {
	line := " The grey horse stood at the gate of the old yard."
	pool, err := practice.NewPool("en", []string{"Cut off." + strings.Repeat(line, 5) + " Cut off"})
	if err != nil {
		panic(err)
	}
	m := practice.NewMaker(1, pool)
	s := m.Sample("last", "en")
	fmt.Println(s.Prompt())
	fmt.Println(s.Answer())
	// Output:
	// Write the last word of the sentence.
	//
	// The grey horse stood at the gate of the old yard.
	// yard
}
