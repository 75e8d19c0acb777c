package train

import (
	"sync"
	"sync/atomic"
)

// crew runs parallel loops on a fixed number of goroutines, the caller's among them. A loop
// allocates nothing.
type crew struct {
	n     int
	start chan struct{}
	part  func(i int)
	parts int64
	next  atomic.Int64
	done  sync.WaitGroup
}

func newCrew(n int) *crew {
	c := &crew{n: max(n, 1), start: make(chan struct{}, max(n, 1))}
	for range c.n - 1 {
		go func() {
			for range c.start {
				c.work()
				c.done.Done()
			}
		}()
	}
	return c
}

func (c *crew) work() {
	for {
		i := c.next.Add(1) - 1
		if i >= c.parts {
			return
		}
		c.part(int(i))
	}
}

// run calls part(0) to part(parts-1), each once, in any order.
func (c *crew) run(parts int, part func(i int)) {
	helpers := max(0, min(c.n, parts)-1)
	c.part, c.parts = part, int64(parts)
	c.next.Store(0)
	c.done.Add(helpers)
	for range helpers {
		c.start <- struct{}{}
	}
	c.work()
	c.done.Wait()
}

func (c *crew) stop() { close(c.start) }
