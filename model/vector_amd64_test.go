package model

// setAssembly turns the assembly on or off and returns what it was.
func setAssembly(on bool) (was bool) {
	was, hasAVX2 = hasAVX2, on
	return was
}
