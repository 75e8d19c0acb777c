package modelcard_test

import (
	"fmt"

	"lep/modelcard"
)

func Example() {
	c := &modelcard.Card{Language: []string{"ru"}, License: "apache-2.0", BaseModel: []string{"org/instruct"}, Title: "result"}
	c.Put(modelcard.Section{Title: "Vocabulary", Text: modelcard.Table([]string{"", "tokens"}, []string{"after", "64000"})})
	fmt.Print(string(c.Bytes()))
	// Output:
	// ---
	// language:
	// - ru
	// license: apache-2.0
	// base_model:
	// - org/instruct
	// ---
	//
	// # result
	//
	// ## Vocabulary
	//
	// |  | tokens |
	// |---|---|
	// | after | 64000 |
}
