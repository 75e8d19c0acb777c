package eval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// Comparison sets two runs of a task against each other on the samples that both have.
type Comparison struct {
	Task       string  `json:"task"`
	Samples    int     `json:"n-samples"`
	A          float64 `json:"a"`
	B          float64 `json:"b"`
	Difference float64 `json:"difference"` // B − A
	Stderr     float64 `json:"stderr"`
	Low        float64 `json:"low"` // 95 % of the paired draws lie between Low and High
	High       float64 `json:"high"`
	Ahead      float64 `json:"ahead"` // share of draws in which B is ahead, half of those that tie
	// McNemar is the exact two-sided probability, nil where answers are not right or wrong; OnlyA
	// and OnlyB count the units that only one side has right.
	McNemar      *float64     `json:"mcnemar,omitempty"`
	OnlyA, OnlyB int          `json:"-"`
	Differing    []Difference `json:"differing"`
}

// MarshalJSON adds the counts of McNemar's test where there is one.
func (c Comparison) MarshalJSON() ([]byte, error) {
	type plain Comparison
	out := struct {
		plain
		OnlyA *int `json:"only_a,omitempty"`
		OnlyB *int `json:"only_b,omitempty"`
	}{plain: plain(c)}
	if c.McNemar != nil {
		out.OnlyA, out.OnlyB = &c.OnlyA, &c.OnlyB
	}
	return json.Marshal(out)
}

// Difference is a sample that was graded differently.
type Difference struct {
	Index   int                `json:"index"`
	Gold    json.RawMessage    `json:"gold"`
	A       json.RawMessage    `json:"a"`
	B       json.RawMessage    `json:"b"`
	AValues map[string]float64 `json:"a_values"`
	BValues map[string]float64 `json:"b_values"`
}

// Compare compares two runs of a task by paired resampling (Koehn 2004) and, where single answers
// are right or wrong, McNemar's test. Samples are paired by their index; a pair whose gold answers
// differ is an error, because then the data was not the same.
func Compare(t Task, a, b []Sample, seed int64) (Comparison, error) {
	c := Comparison{Task: t.Name, Differing: []Difference{}}
	at := map[int]Sample{}
	for _, s := range b {
		at[s.Index] = s
	}
	var left, right []Sample
	for _, s := range a {
		o, ok := at[s.Index]
		if !ok {
			continue
		}
		if !bytes.Equal(s.Gold, o.Gold) || !bytes.Equal(s.ID, o.ID) {
			return c, fmt.Errorf("%s, sample %d: gold is %.60s in the one run and %.60s in the other: not the same data", t.Name, s.Index, s.Gold, o.Gold)
		}
		left, right = append(left, s), append(right, o)
	}
	ma, err := MeasureAll(t, left)
	if err != nil {
		return c, err
	}
	mb, err := MeasureAll(t, right)
	if err != nil {
		return c, err
	}
	c.Samples = len(ma)
	for i := range ma {
		if !sameGrade(ma[i], mb[i]) {
			c.Differing = append(c.Differing, Difference{left[i].Index, left[i].Gold, left[i].Prediction, right[i].Prediction, ma[i].Values, mb[i].Values})
		}
	}
	c.mcNemar(t, ma, mb)
	return c, c.resample(t, ma, mb, seed)
}

func sameGrade(a, b Measured) bool {
	for name, v := range a.Values {
		if b.Values[name] != v {
			return false
		}
	}
	return a.Predicted == b.Predicted && slices.Equal(a.LogProbs, b.LogProbs)
}

// binary is the metric by which an answer is right or wrong.
func binary(m Measured) (right, ok bool) {
	for _, name := range []string{"acc", "em"} {
		if v, has := m.Values[name]; has {
			return v == 1, v == 0 || v == 1
		}
	}
	return false, false
}

// mcNemar counts units that one side has right and the other not; a unit is right if all of its
// answers are.
func (c *Comparison) mcNemar(t Task, a, b []Measured) {
	for _, unit := range t.units(a) {
		rightA, rightB := true, true
		for _, i := range unit {
			ra, ok := binary(a[i])
			rb, both := binary(b[i])
			if !ok || !both {
				return
			}
			rightA, rightB = rightA && ra, rightB && rb
		}
		if rightA && !rightB {
			c.OnlyA++
		} else if rightB && !rightA {
			c.OnlyB++
		}
	}
	p := McNemar(c.OnlyA, c.OnlyB)
	c.McNemar = &p
}

// resample draws the same units for both sides.
func (c *Comparison) resample(t Task, a, b []Measured, seed int64) error {
	score := func(list []Measured) (float64, error) {
		m, err := t.Aggregate(list)
		if err != nil {
			return 0, err
		}
		return t.score(m), nil
	}
	var err error
	if c.A, err = score(a); err != nil {
		return err
	}
	if c.B, err = score(b); err != nil {
		return err
	}
	c.Difference = c.B - c.A
	units := t.units(a)
	rng := generator(seed, t.Name)
	drawn, differences := make([]int, len(units)), make([]float64, draws)
	var sample []Measured
	for d := range draws {
		for i := range drawn {
			drawn[i] = rng.IntN(len(units))
		}
		sample = t.redraw(sample, a, units, drawn)
		va, err := score(sample)
		if err != nil {
			return err
		}
		sample = t.redraw(sample, b, units, drawn)
		vb, err := score(sample)
		if err != nil {
			return err
		}
		differences[d] = vb - va
		switch {
		case vb > va:
			c.Ahead += 1.0 / draws
		case vb == va:
			c.Ahead += 0.5 / draws
		}
	}
	c.Ahead = math.Min(1, c.Ahead)
	c.Stderr = deviation(differences)
	c.Low, c.High = interval(differences)
	return nil
}
