package plan_test

import (
	"fmt"

	"lep/train/plan"
)

func ExampleParseCluster() {
	c, err := plan.ParseCluster("8xH100,nodes=2")
	fmt.Println(c.Ranks(), c.GPU.Name, err)
	// Output: 16 H100 <nil>
}
