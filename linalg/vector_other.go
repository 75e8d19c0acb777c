//go:build !amd64

package linalg

// There is no assembly for this processor: the callers do all in plain Go.

func fastSDOT(x, y []float32) (sum float32, done int)                         { return 0, 0 }
func fastSDOTBF16(a []uint16, x []float32) (sum float32, done int)            { return 0, 0 }
func fastSDOTF16(a []uint16, x []float32) (sum float32, done int)             { return 0, 0 }
func fastWidenF16(dst []float32, src []uint16) (done int)                     { return 0 }
func fastSDOTInt8Groups(a []int8, scale, x []float32) (sum float32, done int) { return 0, 0 }
func fastSAXPY(alpha float32, x, y []float32) (done int)                      { return 0 }
func fastDDOT(x, y []float64) (sum float64, done int)                         { return 0, 0 }
func fastDAXPY(alpha float64, x, y []float64) (done int)                      { return 0 }
func fastDROT(cos, sin float64, x, y []float64) (done int)                    { return 0 }
