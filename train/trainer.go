package train

import (
	"fmt"
	"math"
	"strings"

	"lep/model"
)

// Trainer holds a model in training: it knows steps, not files. A step allocates nothing
// once the largest batch has been seen.
type Trainer struct {
	Model    *model.Model
	Schedule Schedule

	opts *Options
	opt  *optimizer
	crew *crew
	step int // steps done
	nll  []float64
}

// Step is what one step did.
type Step struct {
	Number      int     // of the step, from 1
	Loss        float64 // mean over the scored tokens of all micro-batches, in nats, before the update
	Tokens      int     // scored
	GradNorm    float64 // before clipping
	LR          float64
	EmbeddingLR float64
	NLL         []float64 // sum by micro-batch, in nats; valid until the next step
}

// NewTrainer prepares the training of m's trained parameters over the given number of steps.
func NewTrainer(m *model.Model, opts *Options, steps int) *Trainer {
	return newTrainer(m, opts, steps, nil)
}

func newTrainer(m *model.Model, opts *Options, steps int, rows []rowRange) *Trainer {
	t := &Trainer{Model: m, Schedule: opts.schedule(steps), opts: opts, crew: newCrew(opts.threads())}
	t.opt = newOptimizer(m.Trained(), rows, opts, t.crew)
	return t
}

// Close ends the trainer's goroutines; the model stays the caller's.
func (t *Trainer) Close() { t.crew.stop() }

// FLOPs estimates the arithmetic of a step for one token of rows of the given length.
func (t *Trainer) FLOPs(length int) float64 {
	trained := map[string]bool{}
	var terms []model.LoRA
	for _, p := range t.Model.Trained() {
		trained[p.Name] = true
		if module, ok := strings.CutSuffix(p.Name, loraA); ok {
			terms = append(terms, model.LoRA{Module: module, Rank: p.Shape[0]})
		}
	}
	return flopsPerToken(t.Model.Config, func(name string) bool { return trained[name] }, terms, length)
}

// BadLossError says that a step met a loss or gradient that is no number, and where.
type BadLossError struct {
	Step  int // from 1
	Micro int // micro-batch, from 0; -1 if the gradient of all of them is bad
	What  string
}

func (e *BadLossError) Error() string { return fmt.Sprintf("step %d: %s", e.Step, e.What) }

// Step computes the gradient of the mean loss over all tokens of the micro-batches together
// (not the mean of their means), clips it, and moves the parameters. A *BadLossError leaves
// the parameters as they were.
func (t *Trainer) Step(micro []*model.Batch) (Step, error) {
	s := Step{Number: t.step + 1}
	for _, b := range micro {
		s.Tokens += b.Scored()
	}
	if s.Tokens == 0 {
		return s, fmt.Errorf("step %d: no token of its %d rows has a label", s.Number, rowsOf(micro))
	}
	var sum float64
	t.nll = t.nll[:0]
	for i, b := range micro {
		nll, _, err := t.Model.Backward(b, 1/float64(s.Tokens), nil)
		if err != nil {
			return s, fmt.Errorf("step %d: %w", s.Number, err)
		}
		if math.IsNaN(nll) || math.IsInf(nll, 0) {
			t.Model.ZeroGradients()
			return s, &BadLossError{Step: s.Number, Micro: i, What: fmt.Sprintf("the loss is %v: %s", nll, t.firstBad())}
		}
		t.nll = append(t.nll, nll)
		sum += nll
	}
	s.NLL, s.Loss = t.nll, sum/float64(s.Tokens)
	if s.GradNorm = t.opt.gradNorm(); math.IsNaN(s.GradNorm) || math.IsInf(s.GradNorm, 0) {
		what := fmt.Sprintf("the norm of the gradients is %v: %s", s.GradNorm, t.firstBad())
		t.Model.ZeroGradients()
		return s, &BadLossError{Step: s.Number, Micro: -1, What: what}
	}
	s.LR, s.EmbeddingLR = t.rates()
	t.opt.step(s.GradNorm, s.LR, s.EmbeddingLR)
	if t.opt.partly {
		t.Model.ZeroGradients()
	}
	t.step++
	return s, nil
}

// rates returns the learning rates of the next step.
func (t *Trainer) rates() (lr, embedding float64) {
	factor := t.Schedule.Factor(t.step)
	lr, embedding = t.opts.LearningRate*factor, t.opts.EmbeddingLR*factor
	if t.opts.EmbeddingLR == 0 {
		embedding = lr
	}
	return lr, embedding
}

func rowsOf(micro []*model.Batch) int {
	n := 0
	for _, b := range micro {
		n += b.B
	}
	return n
}

// firstBad names the first parameter or gradient with an element that is no finite number.
func (t *Trainer) firstBad() string {
	params := t.Model.Trained()
	for _, p := range params {
		if i := nonFinite(p.Data); i >= 0 {
			return fmt.Sprintf("tensor %q is %v at row %d, column %d", p.Name, p.Data[i], i/colsOf(p), i%colsOf(p))
		}
	}
	for _, p := range params {
		if i := nonFinite(p.Grad); i >= 0 {
			return fmt.Sprintf("the gradient of tensor %q is %v at row %d, column %d", p.Name, p.Grad[i], i/colsOf(p), i%colsOf(p))
		}
	}
	return "every trained tensor is finite, so it overflowed on the way"
}

func nonFinite(x []float32) int {
	for i, v := range x {
		if v-v != 0 { // NaN and infinities
			return i
		}
	}
	return -1
}

func colsOf(p model.Param) int { return p.Shape[len(p.Shape)-1] }
