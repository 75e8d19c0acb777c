package calibrate_test

import (
	"fmt"

	"lep/calibrate"
)

func ExampleIdentify() {
	fmt.Println(calibrate.Identify("Он не знал, что это было и как с этим быть."))
	fmt.Println(calibrate.Identify("He did not know what that was and what to do with it."))
	fmt.Printf("%q\n", calibrate.Identify("OK"))
	// Output:
	// ru
	// en
	// ""
}
