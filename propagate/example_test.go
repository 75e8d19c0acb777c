package propagate_test

import (
	"fmt"

	"lep/propagate"
)

// One donor serves several instruct models of a family: the old rows are read once.
func ExampleOptions() {
	opts := propagate.DefaultOptions()
	opts.Source, opts.Donor = "llama-3-8b", "llama-3-8b-ru"
	opts.Targets = []propagate.Target{
		{Model: "llama-3-8b-instruct", Out: "out/chat"},
		{Model: "llama-3-8b-code", Out: "out/code"},
	}
	fmt.Println(opts.Method, opts.Validate())
	opts.Targets[1].Out = "out/chat"
	fmt.Println(opts.Validate())
	// Output:
	// conversion <nil>
	// out: "out/chat" is given twice
}

func ExampleParseMethod() {
	fmt.Println(propagate.ParseMethod("union"))
	fmt.Println(propagate.ParseMethod("bes"))
	// Output:
	// overlap <nil>
	//  method: "bes", want one of swap, overlap, conversion, bypass, sum_conversion, occ_conversion, ridge, auto
}
