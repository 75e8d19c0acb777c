package train

import "math"

// Scheduler names the course of the learning rate behind the warm-up.
type Scheduler string

// The schedules, as transformers' get_scheduler computes them.
const (
	Cosine   Scheduler = "cosine"
	Linear   Scheduler = "linear"
	Constant Scheduler = "constant"
	WSD      Scheduler = "wsd" // warm-up, stable, decay (Hu et al. 2024)
)

// ParseScheduler reads a Scheduler. transformers' names constant_with_warmup and
// warmup_stable_decay are accepted.
func ParseScheduler(s string) (Scheduler, error) {
	switch s {
	case "constant_with_warmup":
		return Constant, nil
	case "warmup_stable_decay":
		return WSD, nil
	}
	return choice(s, Cosine, Linear, Constant, WSD)
}

// Schedule is the course of the learning rate over the steps of a run.
type Schedule struct {
	Type          Scheduler
	Steps, Warmup int
	Decay         int     // wsd: the last steps that decay
	Floor         float64 // lowest factor behind the warm-up
}

// schedule returns the course for a run of n steps.
func (o *Options) schedule(n int) Schedule {
	kind, _ := ParseScheduler(string(o.LRSchedulerType))
	s := Schedule{Type: kind, Steps: n, Warmup: o.WarmupSteps, Floor: o.MinLRRatio}
	if s.Warmup == 0 {
		s.Warmup = int(math.Ceil(o.WarmupRatio * float64(n)))
	}
	s.Decay = int(math.Ceil(o.DecayRatio * float64(n)))
	return s
}

// Factor returns the learning rate of a step, counted from 0, by the peak: step 0 of a
// warm-up has none.
//
//	warm-up  s/W
//	linear   (S - s)/(S - W)
//	cosine   (1 + cos(π·(s - W)/(S - W)))/2
//	wsd      1, and in the last D steps (1 + cos(π·(s - (S - D))/D))/2
//
// each but the warm-up lifted to floor + (1 - floor)·factor.
func (s Schedule) Factor(step int) float64 {
	if step < s.Warmup {
		return float64(step) / float64(s.Warmup)
	}
	from := s.Warmup
	if s.Type == WSD {
		from = max(s.Warmup, s.Steps-s.Decay)
	}
	progress := 0.0
	if step >= from {
		progress = min(1, float64(step-from)/float64(max(1, s.Steps-from)))
	}
	factor := 1.0
	switch s.Type {
	case Cosine, WSD:
		factor = (1 + math.Cos(math.Pi*progress)) / 2
	case Linear:
		factor = 1 - progress
	}
	return s.Floor + (1-s.Floor)*factor
}
