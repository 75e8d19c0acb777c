package train

import (
	"lep/internal/hint"
	"lep/linalg"
)

// Precision says how the native engine multiplies weights and activations. Weights, gradients,
// moments, norms, attention and the loss are float32 in any.
type Precision = linalg.Precision

// The precisions.
const (
	Float32 = linalg.Float32
	BF16    = linalg.BF16
)

// OpenBLAS opens the linear algebra that the settings ask for, or says why it is not there.
func (o *Options) OpenBLAS() (linalg.BLAS, error) {
	return linalg.OpenPrecision(o.BLAS, o.Precision, o.threads())
}

// checkPrecision refuses what the torch backend decides itself.
func (o *Options) checkPrecision() error {
	if o.Precision == BF16 && o.Backend == PyTorch {
		return hint.Errorf("leave precision out", "precision: bf16 is the native engine's; the torch backend takes bf16 on GPUs and float32 on processors by itself")
	}
	return nil
}
