package darumeru_test

import (
	"encoding/json"
	"fmt"

	"lep/eval/darumeru"
)

func ExampleSelect() {
	tasks, err := darumeru.Select([]string{"DaruSum", "rucola"})
	if err != nil {
		panic(err)
	}
	for _, t := range tasks {
		fmt.Println(t.Name, t.Group, t.Method)
	}
	// Output:
	// treewayabstractive DaruSum generate
	// treewayextractive DaruSum logprob
	// rucola DaruMERA choice
}

func ExampleMeasure() {
	f1, err := darumeru.Measure("squad_f1", json.RawMessage(`"река Камышинка"`), json.RawMessage(`["Камышинка"]`), nil)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%.3f\n", f1)
	// Output: 0.667
}
