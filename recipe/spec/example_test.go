package spec_test

import (
	"fmt"
	"log"
	"reflect"

	"lep/internal/strictyaml"
	"lep/recipe/spec"
)

func Example() {
	root, err := strictyaml.Parse("r.yaml", []byte("train: {steps: 10, rate: [1e-4, 2e-4]}"))
	if err != nil {
		log.Fatal(err)
	}
	unchanged := func(*strictyaml.Node, string) error { return nil } // there are no paths in it
	if err := spec.Set(root, "train.steps=20", unchanged); err != nil {
		log.Fatal(err)
	}
	type options struct {
		Steps int     `yaml:"steps"`
		Rate  float64 `yaml:"rate"`
	}
	variants, err := spec.Variants(root.Get("train"), reflect.TypeFor[options](), false)
	if err != nil {
		log.Fatal(err)
	}
	for _, v := range variants {
		var o options
		if err := v.Node.Decode(&o); err != nil {
			log.Fatal(err)
		}
		fmt.Println(v.Label, o)
	}
	// Output:
	// rate_1e-4 {20 0.0001}
	// rate_2e-4 {20 0.0002}
}
