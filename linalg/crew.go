package linalg

import (
	"sync"
	"sync/atomic"
)

// Task is work in n independent parts. The parts are cut the same way whatever the
// number of workers, and each writes its own place, so that the number of workers
// never changes a bit of a result. A task is a long-lived struct, not a closure:
// running one allocates nothing.
type Task interface {
	// Part does part i; worker (below the size of the crew) names scratch space.
	Part(worker, i int)
}

// Crew runs tasks on a fixed number of goroutines, the caller's among them. Generation and
// small models have tasks of some ten microseconds each, so that a helper looks out for the
// next one for a while before it sleeps, and the caller waits for those helpers only that
// have begun: one that the system wakes late is not missed. The builtin kernels and the model
// that calls them share one crew ([CrewOf]): helpers of two would keep each other from the
// processors while they look out.
type Crew struct {
	n     int
	busy  atomic.Bool
	job   Task
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

// NewCrew starts a crew of n workers, n-1 goroutines.
func NewCrew(n int) *Crew {
	c := &Crew{n: max(n, 1)}
	c.call, c.left = sync.NewCond(&c.mu), sync.NewCond(&c.mu)
	for id := 1; id < c.n; id++ {
		go c.serve(id)
	}
	return c
}

// Size is the number of workers.
func (c *Crew) Size() int { return c.n }

// serve is a helper's life.
func (c *Crew) serve(id int) {
	seen := uint32(0)
	for {
		for i := 0; i < spins && c.round.Load() == seen; i++ {
		}
		c.mu.Lock()
		for c.round.Load() == seen {
			c.call.Wait()
		}
		seen = c.round.Load()
		join := c.open
		if join {
			c.active.Add(1)
		}
		ended := c.ended
		c.mu.Unlock()
		if ended {
			return
		}
		if join {
			c.work(id)
			c.leave()
		}
	}
}

func (c *Crew) leave() {
	c.mu.Lock()
	if c.active.Add(-1) == 0 {
		c.left.Signal()
	}
	c.mu.Unlock()
}

func (c *Crew) work(id int) {
	for {
		i := c.next.Add(1) - 1
		if i >= c.parts {
			return
		}
		c.job.Part(id, int(i))
	}
}

// Run does all parts of t and returns when they are done. While the crew is at another task
// of another goroutine the caller does them alone, as worker 0. A part must not call it.
func (c *Crew) Run(parts int, t Task) {
	if c.n == 1 || parts <= 1 || !c.busy.CompareAndSwap(false, true) {
		for i := range parts {
			t.Part(0, i)
		}
		return
	}
	c.mu.Lock()
	c.job, c.parts, c.open = t, int64(parts), true
	c.next.Store(0)
	c.round.Add(1)
	c.mu.Unlock()
	c.call.Broadcast()
	c.work(0)
	for i := 0; i < spins && c.active.Load() > 0; i++ {
	}
	c.mu.Lock()
	c.open = false
	for c.active.Load() > 0 {
		c.left.Wait()
	}
	c.job = nil
	c.mu.Unlock()
	c.busy.Store(false)
}

// Stop ends the goroutines; it may be called twice.
func (c *Crew) Stop() {
	c.mu.Lock()
	c.ended, c.open = true, false
	c.round.Add(1)
	c.mu.Unlock()
	c.call.Broadcast()
}

// CrewOf returns the crew of the builtin kernels, with the threads they were opened for, and
// nil for other implementations.
func CrewOf(b BLAS) *Crew {
	if bi, ok := b.(*builtinBLAS); ok {
		return bi.crew
	}
	return nil
}
