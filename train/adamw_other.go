package train

// applyFast does a leading part of an update with vector instructions and returns how many elements.
func (k *adamWStep) applyFast(p, g, m, v []float32) int { return 0 }
