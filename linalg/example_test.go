package linalg_test

import (
	"context"
	"fmt"
	"log"

	"lep/linalg"
	"lep/tensor"
)

func ExampleFit() {
	blas, err := linalg.Open("builtin", 2)
	if err != nil {
		log.Fatal(err)
	}
	s := []float64{1, 0, 0, 2, 1, 1, 3, 1} // four rows of two values
	g := []float64{2, 0, 0, 2, 2, 1, 6, 1} // the first value twice as large
	blocks := func(add func(rows int, s []float64, g ...[]float64) error) error {
		if err := add(3, s[:6], g[:6]); err != nil {
			return err
		}
		return add(1, s[6:], g[6:])
	}
	sol, err := linalg.Fit(context.Background(), blas, 2, 1, tensor.BF16.UnitRoundoff(), blocks)
	if err != nil {
		log.Fatal(err)
	}
	w := sol[0].W
	fmt.Printf("W = [%.3f %.3f; %.3f %.3f], rank %d by %s\n", w[0], w[1]+0, w[2]+0, w[3], sol[0].Rank, sol[0].Method)

	donor := []float64{5, 7}
	out := make([]float64, 2)
	linalg.Project(blas, out, 1, donor, w, 2)
	fmt.Printf("%.3f\n", out)
	// Output:
	// W = [2.000 0.000; 0.000 1.000], rank 2 by cholesky
	// [10.000 7.000]
}

func ExampleNormalEquations_Ridge() {
	blas, err := linalg.Open("builtin", 1)
	if err != nil {
		log.Fatal(err)
	}
	n := linalg.NewNormalEquations(1, blas)
	n.Add([]float64{1, 2}, []float64{2, 4}, 2) // G is twice S, SᵀS is 5
	for _, lambda := range []float64{0, 5, 95} {
		sol, err := n.Ridge(0, lambda)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("λ = %g: W = %.2f, residual %.2f\n", lambda, sol.W[0], sol.Residual)
	}
	// Output:
	// λ = 0: W = 2.00, residual 0.00
	// λ = 5: W = 1.50, residual 1.12
	// λ = 95: W = 1.05, residual 2.12
}

func ExampleSGEMVBF16() {
	weights := []uint16{0x3f80, 0x4000, 0x4040, 0x4080} // 1 2; 3 4
	y := make([]float32, 2)
	linalg.SGEMVBF16(2, 2, weights, 2, []float32{1, 10}, y)
	fmt.Println(y)
	// Output: [21 43]
}
