//go:build !amd64

package train

// hasAVX is false: the plain loop does everything.
var hasAVX = false

// applyFast updates the first elements with vector instructions and returns how many.
func (k *adamWStep) applyFast(p, g, m, v []float32) int { return 0 }
