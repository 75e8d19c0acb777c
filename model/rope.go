package model

import (
	"fmt"
	"math"
	"strings"
)

// RopeScaling is rope_parameters of newer files or rope_scaling of older ones.
type RopeScaling struct {
	RopeType             string  `json:"rope_type"`
	Type                 string  `json:"type"`       // the oldest spelling of rope_type
	RopeTheta            float64 `json:"rope_theta"` // rope_parameters only
	PartialRotaryFactor  float64 `json:"partial_rotary_factor"`
	Factor               float64 `json:"factor"`
	OriginalMaxPositions int     `json:"original_max_position_embeddings"`

	LowFreqFactor  float64 `json:"low_freq_factor"`  // llama3
	HighFreqFactor float64 `json:"high_freq_factor"` // llama3

	AttentionFactor *float64 `json:"attention_factor"` // yarn, from here on
	BetaFast        float64  `json:"beta_fast"`
	BetaSlow        float64  `json:"beta_slow"`
	MScale          float64  `json:"mscale"`
	MScaleAllDim    float64  `json:"mscale_all_dim"`
	Truncate        *bool    `json:"truncate"`

	Full    *RopeScaling `json:"full_attention"`    // Gemma 3's rope_parameters: one for each kind
	Sliding *RopeScaling `json:"sliding_attention"` // of layer
}

// Kind returns the type of scaling under its newest name; nil is "default".
func (r *RopeScaling) Kind() string {
	switch {
	case r == nil:
		return "default"
	case r.RopeType != "":
		return r.RopeType
	case r.Type != "":
		return r.Type
	}
	return "default"
}

// inverseFrequencies returns the angle per position of each of the Hd/2 pairs
// (Su et al. 2021, eq. 15), scaled as the file says, and the factor by which cos and
// sin are multiplied (yarn; else 1). seqLen is the length of the sequence in tokens; only
// "dynamic" depends on it. The formulas are those of modeling_rope_utils.py in
// transformers; values are rounded to float32 at the end as they are there.
func (c *Config) inverseFrequencies(seqLen int) (inv []float32, attention float64, err error) {
	var r RopeScaling
	if c.RopeScaling != nil {
		r = *c.RopeScaling
	}
	theta := c.RopeTheta
	if !(theta > 1) || math.IsInf(theta, 0) {
		return nil, 0, fmt.Errorf("rope_theta is %g, want a number above 1", theta)
	}
	kind := r.Kind()
	if kind != "default" && r.Factor == 0 && kind == "yarn" && r.OriginalMaxPositions > 0 {
		r.Factor = float64(c.MaxPositionEmbeddings) / float64(r.OriginalMaxPositions)
	}
	if kind != "default" && !(r.Factor >= 1 && r.Factor <= 1e6) {
		return nil, 0, fmt.Errorf("rope_scaling of type %q: factor is %g, want at least 1", kind, r.Factor)
	}
	d := float64(c.HeadDim)
	if kind == "dynamic" && seqLen > c.MaxPositionEmbeddings {
		stretch := r.Factor*float64(seqLen)/float64(c.MaxPositionEmbeddings) - (r.Factor - 1)
		theta *= math.Pow(stretch, d/(d-2))
	}
	freq := c.frequencies(theta)
	attention = 1
	switch kind {
	case "default", "dynamic":
	case "linear":
		for i := range freq {
			freq[i] /= r.Factor
		}
	case "llama3":
		err = r.llama3(freq)
	case "yarn":
		attention, err = r.yarn(freq, theta, c.MaxPositionEmbeddings)
	default:
		known := []string{"default", "linear", "dynamic", "yarn", "llama3"}
		err = fmt.Errorf("rope_scaling of type %q is not known (known: %s)", kind, strings.Join(known, ", "))
	}
	inv = make([]float32, len(freq))
	for i, f := range freq {
		inv[i] = float32(f)
	}
	return inv, attention, err
}

// llama3 divides the frequencies of long wavelengths by the factor, leaves short ones
// and blends between (Llama 3.1's release code).
func (r *RopeScaling) llama3(freq []float64) error {
	original := float64(r.OriginalMaxPositions)
	if !(original > 0 && r.LowFreqFactor > 0 && r.HighFreqFactor > r.LowFreqFactor) {
		return fmt.Errorf("rope_scaling of type \"llama3\": original_max_position_embeddings %d, low_freq_factor %g, high_freq_factor %g, want all positive and high above low",
			r.OriginalMaxPositions, r.LowFreqFactor, r.HighFreqFactor)
	}
	for i, f := range freq {
		wavelength := 2 * math.Pi / f
		switch {
		case wavelength < original/r.HighFreqFactor:
		case wavelength > original/r.LowFreqFactor:
			freq[i] = f / r.Factor
		default:
			smooth := (original/wavelength - r.LowFreqFactor) / (r.HighFreqFactor - r.LowFreqFactor)
			freq[i] = (1-smooth)*f/r.Factor + smooth*f
		}
	}
	return nil
}

// yarn interpolates by parts (Peng et al. 2023, eq. 17 to 22) and returns the factor on cos and sin.
func (r *RopeScaling) yarn(freq []float64, theta float64, maxPositions int) (float64, error) {
	original := float64(r.OriginalMaxPositions)
	if original == 0 {
		original = float64(maxPositions)
	}
	if original < 0 || r.BetaFast < 0 || r.BetaSlow < 0 {
		return 0, fmt.Errorf("rope_scaling of type \"yarn\": original_max_position_embeddings %d, beta_fast %g, beta_slow %g, want none negative",
			r.OriginalMaxPositions, r.BetaFast, r.BetaSlow)
	}
	fast, slow := r.BetaFast, r.BetaSlow
	if fast == 0 {
		fast = 32
	}
	if slow == 0 {
		slow = 1
	}
	dim := float64(2 * len(freq))
	correction := func(rotations float64) float64 {
		return dim * math.Log(original/(rotations*2*math.Pi)) / (2 * math.Log(theta))
	}
	low, high := correction(fast), correction(slow)
	if r.Truncate == nil || *r.Truncate {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, dim-1)
	if low == high {
		high += 0.001
	}
	for i, f := range freq {
		ramp := min(max((float64(i)-low)/(high-low), 0), 1)
		freq[i] = f/r.Factor*ramp + f*(1-ramp)
	}
	mscale := func(m float64) float64 { return 0.1*m*math.Log(r.Factor) + 1 }
	switch {
	case r.AttentionFactor != nil:
		return *r.AttentionFactor, nil
	case r.MScale != 0 && r.MScaleAllDim != 0:
		return mscale(r.MScale) / mscale(r.MScaleAllDim), nil
	}
	return mscale(1), nil
}

// ropeTable holds cos and sin of position × frequency, (positions, Hd/2) row-major.
type ropeTable struct {
	cos, sin []float32
	half     int
}

// extend computes rows up to n positions.
func (t *ropeTable) extend(n int, inv []float32, attention float64) {
	t.half = len(inv)
	for p := len(t.cos) / t.half; p < n; p++ {
		for _, f := range inv {
			sin, cos := math.Sincos(float64(float32(p) * f))
			t.cos = append(t.cos, float32(cos*attention))
			t.sin = append(t.sin, float32(sin*attention))
		}
	}
}

// reach extends the table to n positions, in steps so that a generation does not extend it at each
// token, but not beyond most where n is not.
func (t *ropeTable) reach(n, most int, inv []float32, attention float64) {
	if have := len(t.cos) / len(inv); have < n {
		t.extend(min(max(n, 2*have, 256), max(n, most)), inv, attention)
	}
}

// localFrequencies returns the frequencies of the layers with a window where they differ from those of
// the others (Gemma 3), else nil.
func (c *Config) localFrequencies() ([]float32, error) {
	if c.RopeLocalBaseFreq == 0 {
		return nil, nil
	}
	if kind := c.RopeLocal.Kind(); kind != "default" {
		return nil, fmt.Errorf("rope_parameters of sliding_attention: type %q, want default", kind)
	}
	if !(c.RopeLocalBaseFreq > 1) || math.IsInf(c.RopeLocalBaseFreq, 0) {
		return nil, fmt.Errorf("rope_local_base_freq is %g, want a number above 1", c.RopeLocalBaseFreq)
	}
	var inv []float32
	for _, f := range c.frequencies(c.RopeLocalBaseFreq) {
		inv = append(inv, float32(f))
	}
	return inv, nil
}

// setPositions gives s tables of at least n positions.
func (m *Model) setPositions(s *sequences, n int) {
	s.table = m.rope(n)
	if m.localFreq != nil {
		m.localTable.reach(n, m.Config.MaxPositionEmbeddings, m.localFreq, 1)
	}
}

// tableOf returns the table that a layer turns its heads by.
func (m *Model) tableOf(ly *layer, s *sequences) *ropeTable {
	if m.localFreq != nil && ly.window > 0 {
		return &m.localTable
	}
	return s.table
}

// rope returns a table of at least n positions for sequences of that length. Only a
// "dynamic" table beyond the trained length is computed anew for each length.
func (m *Model) rope(n int) *ropeTable {
	if m.Config.RopeScaling.Kind() == "dynamic" && n > m.Config.MaxPositionEmbeddings {
		if m.stretchedLen != n {
			inv, attention, _ := m.Config.inverseFrequencies(n) // checked by ParseConfig
			m.stretched, m.stretchedLen = ropeTable{}, n
			m.stretched.extend(n, inv, attention)
		}
		return &m.stretched
	}
	m.table.reach(n, m.Config.MaxPositionEmbeddings, m.invFreq, m.ropeAttention)
	return &m.table
}

// RopeFactors returns by how much each of the Hd/2 frequencies is divided, for a scaling that is the
// same for texts of any length and not one factor for all ("llama3"); else nil.
func (c *Config) RopeFactors() []float32 {
	if c.RopeScaling.Kind() != "llama3" {
		return nil
	}
	scaled := c.frequencies(c.RopeTheta)
	if c.RopeScaling.llama3(scaled) != nil { // ParseConfig has refused such a file
		return nil
	}
	out := make([]float32, len(scaled))
	for i, f := range c.frequencies(c.RopeTheta) {
		out[i] = float32(f / scaled[i])
	}
	return out
}

// frequencies returns theta^(-2i/Hd) for each pair i.
func (c *Config) frequencies(theta float64) []float64 {
	freq := make([]float64, c.HeadDim/2)
	for i := range freq {
		freq[i] = math.Pow(theta, -2*float64(i)/float64(c.HeadDim))
	}
	return freq
}
