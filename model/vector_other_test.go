//go:build !amd64

package model

// setAssembly does nothing: there is no assembly.
func setAssembly(bool) bool { return false }
