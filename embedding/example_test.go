package embedding_test

import (
	"fmt"

	"lep/embedding"
	"lep/tensor"
	"lep/vocab"
)

// The conversion matrix turns old rows into one row for every new token.
func ExampleConversion() {
	old := tensor.View{DType: tensor.F32, Shape: []int{3, 2}, Data: make([]byte, 24)}
	tensor.Encode32(old.Data, []float32{1, 2, 3, 4, 5, 6}, tensor.F32)
	lists := vocab.NewConversion([][]int32{{2}, {0, 1}, nil}) // the third token has no old subtokens
	op := embedding.Conversion(lists, embedding.Mean)
	rows := make([]float64, op.Len()*2)
	op.Rows(rows, old, 0, op.Len())
	fmt.Println(op.Len(), rows)
	// Output: 2 [5 6 2 3]
}
