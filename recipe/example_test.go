package recipe_test

import (
	"fmt"
	"log"

	"lep/recipe"
)

func Example() {
	r, err := recipe.Load("qwen2.5-0.5b-kk", recipe.LoadOptions{Set: []string{"eval=null"}})
	if err != nil {
		log.Fatal(err)
	}
	g, err := recipe.NewGraph(r)
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range g.Stages {
		fmt.Println(s.Name)
	}
	// Output:
	// vocab
	// init
	// train
	// propagate
	// report
}
