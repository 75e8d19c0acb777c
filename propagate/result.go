package propagate

import (
	"encoding/json"
	"math"
)

// Number is a float64 that JSON can always hold: NaN and infinities are null.
type Number float64

// MarshalJSON writes the number, or null.
func (n Number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON reads what MarshalJSON writes; null is NaN.
func (n *Number) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	return json.Unmarshal(data, (*float64)(n))
}

// ModuleResult is what is known of one matrix of the result.
type ModuleResult struct {
	Module string `json:"module"` // embed_tokens or lm_head
	Method Method `json:"method"` // the one used: auto says what it chose
	Rows   int    `json:"rows"`   // rows fitted, 0 for swap
	Dim    int    `json:"dim"`
	Rank   int    `json:"rank"`
	Solver string `json:"solver,omitempty"` // cholesky, eigen, qr, svd, ridge
	Lambda Number `json:"lambda,omitempty"` // of ridge, relative to the mean eigenvalue of SᵀS

	Residual         Number `json:"residual"`          // ||S W - G||_F over the rows fitted
	RelativeResidual Number `json:"relative_residual"` // by ||G||_F
	NoiseFloor       Number `json:"noise_floor"`
	SigmaMax         Number `json:"sigma_max"`
	SigmaMin         Number `json:"sigma_min"`
	Condition        Number `json:"condition"`
	NormW            Number `json:"norm_w"`
	NormDelta        Number `json:"norm_w_minus_i"`

	// HeldOut is measured with a map fitted without the held-out tokens; nil if there were
	// too few or none were asked for. Candidates are the methods compared (swap for scale).
	HeldOut    *Score      `json:"held_out"`
	Candidates []Candidate `json:"candidates,omitempty"`
	Diagnosis  *Diagnosis  `json:"diagnosis,omitempty"` // if Options.Diagnose asks for it

	// How the rows of the result came about.
	Projected  int `json:"projected"`
	FromTarget int `json:"from_target"` // special tokens, and shared ones with KeepShared
	Padding    int `json:"padding"`
}

// TargetResult is one result folder.
type TargetResult struct {
	Target  string            `json:"target"`
	Out     string            `json:"out"`
	Tokens  int               `json:"tokens"`
	Rows    int               `json:"rows"` // vocab_size
	Modules []ModuleResult    `json:"modules"`
	Special map[string]int32  `json:"special"`           // the target's added tokens and their new ids
	Added   []string          `json:"added,omitempty"`   // those that the donor lacked
	Digests map[string]string `json:"digests,omitempty"` // SHA-256 of every tensor
	Files   []string          `json:"files"`
	Checks  []Check           `json:"checks"`
	Notes   []string          `json:"notes"`
}

// Result is what Run did.
type Result struct {
	Source     string         `json:"source"`
	Donor      string         `json:"donor"`
	Tied       bool           `json:"tied"`
	DType      string         `json:"dtype"`
	Dim        int            `json:"dim"`
	OldTokens  int            `json:"old_tokens"`
	NewTokens  int            `json:"new_tokens"`
	Shared     int            `json:"shared"`
	Copied     int            `json:"copied"`   // conversion lists of one old token
	Composed   int            `json:"composed"` // of several
	LeftOut    int            `json:"left_out"`
	HeldOut    int            `json:"held_out"`
	Targets    []TargetResult `json:"targets"`
	Notes      []string       `json:"notes"`
	Seconds    Number         `json:"seconds"`
	CPUSeconds Number         `json:"cpu_seconds"`
}
