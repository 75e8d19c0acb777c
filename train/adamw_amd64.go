package train

import "golang.org/x/sys/cpu"

// hasAVX says whether the kernel below runs on this processor; tests turn it off.
var hasAVX = cpu.X86.HasAVX

//go:noescape
func adamWAVX(n int, k *adamWStep, p, grad, m, v *float32)

// applyFast updates the first elements with vector instructions and returns how many.
func (k *adamWStep) applyFast(p, g, m, v []float32) int {
	n := len(p) &^ 7
	if !hasAVX || n == 0 {
		return 0
	}
	adamWAVX(n, k, &p[0], &g[0], &m[0], &v[0])
	return n
}
