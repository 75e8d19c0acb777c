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

// workers runs tasks on a fixed number of goroutines, the caller's among them. Generation
// runs some hundred tasks a token of some ten microseconds each, so that a helper looks out
// for the next one for a while before it sleeps, and the caller waits for those helpers
// only that have begun: one that the system wakes late is not missed.
type workers struct {
	n     int
	job   task
	parts int64
	next  atomic.Int64 // part to be taken

	mu     sync.Mutex // held to change what follows
	call   *sync.Cond // of helpers that sleep
	left   *sync.Cond // of a caller that waits
	round  atomic.Uint32
	open   bool         // the job can be joined
	active atomic.Int32 // helpers at work
	ended  bool
}

// spins is how often a helper looks for work, or a caller for the end of it, before it
// goes to sleep: some 10 µs, less than waking up costs.
const spins = 8000

func newWorkers(n int) *workers {
	w := &workers{n: max(n, 1)}
	w.call, w.left = sync.NewCond(&w.mu), sync.NewCond(&w.mu)
	for id := 1; id < w.n; id++ {
		go w.serve(id)
	}
	return w
}

// serve is a helper's life.
func (w *workers) serve(id int) {
	seen := uint32(0)
	for {
		for i := 0; i < spins && w.round.Load() == seen; i++ {
		}
		w.mu.Lock()
		for w.round.Load() == seen {
			w.call.Wait()
		}
		seen = w.round.Load()
		join := w.open
		if join {
			w.active.Add(1)
		}
		ended := w.ended
		w.mu.Unlock()
		if ended {
			return
		}
		if join {
			w.work(id)
			w.leave()
		}
	}
}

func (w *workers) leave() {
	w.mu.Lock()
	if w.active.Add(-1) == 0 {
		w.left.Signal()
	}
	w.mu.Unlock()
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
	if w.n == 1 || parts <= 1 {
		for i := range parts {
			t.part(0, i)
		}
		return
	}
	w.mu.Lock()
	w.job, w.parts, w.open = t, int64(parts), true
	w.next.Store(0)
	w.round.Add(1)
	w.mu.Unlock()
	w.call.Broadcast()
	w.work(0)
	for i := 0; i < spins && w.active.Load() > 0; i++ {
	}
	w.mu.Lock()
	w.open = false
	for w.active.Load() > 0 {
		w.left.Wait()
	}
	w.job = nil
	w.mu.Unlock()
}

// stop ends the goroutines; it may be called twice.
func (w *workers) stop() {
	w.mu.Lock()
	w.ended, w.open = true, false
	w.round.Add(1)
	w.mu.Unlock()
	w.call.Broadcast()
}

// rowsPerPart is how many rows one part of a row-wise task has: enough work to be
// worth handing out, few enough rows to balance.
func rowsPerPart(cols int) int { return max(1, 16384/max(cols, 1)) }

// parts returns how many parts of size rows cover n rows.
func parts(n, size int) int { return (n + size - 1) / size }
