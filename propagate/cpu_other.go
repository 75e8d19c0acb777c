//go:build !unix

package propagate

// cpuSeconds is not known here.
func cpuSeconds() float64 { return 0 }
