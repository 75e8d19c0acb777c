package strictyaml_test

import (
	"fmt"

	"lep/internal/hint"
	"lep/internal/strictyaml"
)

func ExampleUnmarshal() {
	opts := struct {
		LearningRate float64 `yaml:"learning_rate"`
		MaxSteps     int     `yaml:"max_steps"`
	}{MaxSteps: 1000}
	fmt.Println(strictyaml.Unmarshal("train.yaml", []byte("learning_rate: 2e-5"), &opts), opts)
	err := strictyaml.Unmarshal("train.yaml", []byte("max_step: 10"), &opts)
	fmt.Printf("%v\nhint: %s\n", err, hint.Of(err))
	// Output:
	// <nil> {2e-05 1000}
	// train.yaml:1:1: unknown key "max_step"
	//     1 | max_step: 10
	//         ^
	// hint: did you mean max_steps?
}
