package tensor_test

import (
	"fmt"

	"lep/tensor"
)

func ExampleView_Row() {
	v := tensor.View{Name: "w", DType: tensor.BF16, Shape: []int{2, 3}, Data: make([]byte, 12)}
	tensor.Encode32(v.Data, []float32{1, 2, 3, 0.5, -0.25, 1e-3}, v.DType)
	row := make([]float64, v.Cols())
	tensor.Decode64(row, v.Row(1), v.DType)
	fmt.Println(row)
	// Output: [0.5 -0.25 0.00099945068359375]
}
