package metric_test

import (
	"fmt"

	"lep/eval/metric"
)

func ExampleSQuADF1() {
	fmt.Printf("%.3f\n", metric.SQuADF1("река Камышинка", []string{"Камышинка"}))
	// Output: 0.667
}

func ExampleRougeL() {
	reference, err := metric.RougeTokens("Реки впадают в моря.")
	if err != nil {
		panic(err)
	}
	prediction, err := metric.RougeTokens("река впадает в море")
	if err != nil {
		panic(err)
	}
	fmt.Println(metric.RougeL(reference, prediction).FMeasure)
	// Output: 1
}
