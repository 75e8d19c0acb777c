package train

import (
	"testing"

	"lep/internal/testmodel"
	"lep/model"
	"lep/tensor"
)

// TestStepAllocates: once the first step has been done, a step allocates nothing.
func TestStepAllocates(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the race detector's own allocations would be counted")
	}
	o := DefaultOptions()
	o.Train, o.BLAS, o.Threads = All, "builtin", 1
	m, _ := openForTraining(t, testmodel.New(t, "llama", 3, tensor.F32, map[string]any{"vocab_size": testVocab}).Folder(t), &o)
	trainer := NewTrainer(m, &o, 1000)
	defer trainer.Close()
	micro := []*model.Batch{{B: 2, T: 16, InputIDs: testmodel.IDs(1, 32, testVocab)}, {B: 2, T: 16, InputIDs: testmodel.IDs(2, 32, testVocab)}}
	step := func() {
		if _, err := trainer.Step(micro); err != nil {
			t.Fatal(err)
		}
	}
	step()
	if n := testing.AllocsPerRun(20, step); n >= 1 {
		t.Errorf("%v allocations a step, want none", n)
	}
}
