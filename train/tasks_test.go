package train

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"lep/internal/golden"
	"lep/model"
	"lep/tensor"
)

// TestScoreTasks: tasks see the weights as they are trained, their scores are in the metrics and
// in TensorBoard, and the training is the same as without them.
func TestScoreTasks(t *testing.T) {
	o := smallRun(t, tensor.F32, nil)
	want := weightsOf(t, mustRun(t, o).Out)
	o.Out, o.EvalTaskSteps, o.TensorBoard = filepath.Join(t.TempDir(), "scored"), 5, true
	var losses []float64
	o.ScoreTasks = func(_ context.Context, m *model.Model) (map[string]float64, error) {
		ids := []int32{1, 2, 3, 4}
		nll, _, err := m.Score(&model.Batch{B: 1, T: 4, InputIDs: ids, Labels: ids}, nil)
		losses = append(losses, nll)
		return map[string]float64{"nll": nll}, err
	}
	r := mustRun(t, o)
	if !bytes.Equal(want, weightsOf(t, o.Out)) {
		t.Error("tasks change the training")
	}
	records, err := ReadMetrics(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	var steps []int
	for _, rec := range records {
		if rec.Event == "tasks" {
			if rec.Tasks["nll"] != losses[len(steps)] {
				t.Errorf("step %d: %v, want %v", rec.Step, rec.Tasks, losses[len(steps)])
			}
			steps = append(steps, rec.Step)
		}
	}
	if len(steps) != 4 || steps[0] != 0 || steps[1] != 5 || steps[2] != 10 || steps[3] != 12 || r.Tasks["nll"] != losses[3] || losses[0] == losses[3] {
		t.Errorf("tasks at steps %v with %v, result %v; want 0, 5, 10, 12 and changing scores", steps, losses, r.Tasks)
	}
	files, err := filepath.Glob(filepath.Join(o.Out, "events.out.tfevents.*"))
	if err != nil || len(files) != 1 || !bytes.Contains(golden.Read(t, files[0]), []byte("tasks/nll")) {
		t.Errorf("%v, %v: no tasks/nll", files, err)
	}
}

func TestScoreTasksFails(t *testing.T) {
	o := smallRun(t, tensor.F32, nil)
	o.ScoreTasks = func(context.Context, *model.Model) (map[string]float64, error) { return nil, errors.New("no data") }
	if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "tasks: no data") {
		t.Errorf("error %v, want the tasks' before the first step", err)
	}
	o.Backend = PyTorch
	if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "backend is torch") {
		t.Errorf("error %v, want the backend's", err)
	}
}
