package linalg

import (
	"sync"
	"sync/atomic"
	"testing"
)

// counting notes which part was done how often, and whether two workers had one number.
type counting struct {
	done    []atomic.Int32
	working []atomic.Bool
	shared  atomic.Bool
}

func (t *counting) Part(worker, i int) {
	if t.working[worker].Swap(true) {
		t.shared.Store(true)
	}
	t.done[i].Add(1)
	t.working[worker].Store(false)
}

// TestCrew runs tasks from several goroutines at once: every part is done once, and no two
// workers of a task have the same number.
func TestCrew(t *testing.T) {
	for _, size := range []int{0, 1, 2, 5} {
		c := NewCrew(size)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for parts := range 60 {
					task := &counting{done: make([]atomic.Int32, parts), working: make([]atomic.Bool, c.Size())}
					c.Run(parts, task)
					for i := range task.done {
						if n := task.done[i].Load(); n != 1 {
							t.Errorf("crew of %d: part %d of %d was done %d times", size, i, parts, n)
						}
					}
					if task.shared.Load() {
						t.Errorf("crew of %d: two workers have one number", size)
					}
				}
			})
		}
		wg.Wait()
		c.Stop()
		c.Stop()
	}
}

func TestCrewOf(t *testing.T) {
	if c := CrewOf(openBuiltin(3)); c == nil || c.Size() != 3 {
		t.Errorf("crew of builtin: %v, want one of 3", c)
	}
	if c := CrewOf(gonumBLAS{}); c != nil {
		t.Errorf("crew of gonum: %v, want none", c)
	}
}
