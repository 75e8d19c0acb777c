package train

import (
	"lep/internal/hint"
	"lep/linalg"
)

// Precision says how the native engine multiplies weights and activations.
type Precision string

// The precisions. Weights, gradients, moments, norms, attention and the loss are float32 in both.
const (
	Float32 Precision = "float32"
	// BF16 rounds both sides of the large products to bf16 as they are packed and adds in
	// float32, as PyTorch's autocast does; see [linalg.OpenBF16].
	BF16 Precision = "bf16"
)

// ParsePrecision reads a Precision.
func ParsePrecision(s string) (Precision, error) { return choice(s, Float32, BF16) }

// OpenBLAS opens the linear algebra that the settings ask for, or says why it is not there.
func (o *Options) OpenBLAS() (linalg.BLAS, error) {
	if o.Precision == BF16 {
		return linalg.OpenBF16(o.BLAS, o.threads())
	}
	return linalg.Open(o.BLAS, o.threads())
}

// checkPrecision refuses what the torch backend decides itself.
func (o *Options) checkPrecision() error {
	if o.Precision == BF16 && o.Backend == PyTorch {
		return hint.Errorf("leave precision out", "precision: bf16 is the native engine's; the torch backend takes bf16 on GPUs and float32 on processors by itself")
	}
	return nil
}
