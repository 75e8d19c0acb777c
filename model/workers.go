package model

import (
	"sync"
	"sync/atomic"
)

// task is work in n independent parts. The parts are cut the same way whatever the
// number of workers, and each writes its own place, so that the number of workers
// never changes a bit of a result. A task is a long-lived struct, not a closure:
// running one allocates nothing.
type task interface {
	// part does part i; worker (below the number of workers) names scratch space.
	part(worker, i int)
}

// workers runs tasks on a fixed number of goroutines, the caller's among them.
type workers struct {
	n     int
	start chan struct{}
	job   task
	parts int64
	next  atomic.Int64
	done  sync.WaitGroup
	ended sync.Once
}

func newWorkers(n int) *workers {
	w := &workers{n: max(n, 1), start: make(chan struct{}, max(n, 1))}
	for id := 1; id < w.n; id++ {
		go w.serve(id)
	}
	return w
}

func (w *workers) serve(id int) {
	for range w.start {
		w.work(id)
		w.done.Done()
	}
}

func (w *workers) work(id int) {
	for {
		i := w.next.Add(1) - 1
		if i >= w.parts {
			return
		}
		w.job.part(id, int(i))
	}
}

// run does all parts of t and returns when they are done.
func (w *workers) run(parts int, t task) {
	helpers := min(w.n, parts) - 1
	if helpers < 1 {
		for i := range parts {
			t.part(0, i)
		}
		return
	}
	w.job, w.parts = t, int64(parts)
	w.next.Store(0)
	w.done.Add(helpers)
	for range helpers {
		w.start <- struct{}{}
	}
	w.work(0)
	w.done.Wait()
	w.job = nil
}

// stop ends the goroutines; it may be called twice.
func (w *workers) stop() { w.ended.Do(func() { close(w.start) }) }

// rowsPerPart is how many rows one part of a row-wise task has: enough work to be
// worth handing out, few enough rows to balance.
func rowsPerPart(cols int) int { return max(1, 16384/max(cols, 1)) }

// parts returns how many parts of size rows cover n rows.
func parts(n, size int) int { return (n + size - 1) / size }
