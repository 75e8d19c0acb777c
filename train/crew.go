package train

import "lep/linalg"

// crew runs parallel loops on a fixed number of goroutines, the caller's among them. A loop
// allocates nothing.
type crew struct {
	n       int
	workers *linalg.Crew
	part    func(i int)
}

func newCrew(n int) *crew {
	w := linalg.NewCrew(n)
	return &crew{n: w.Size(), workers: w}
}

// Part implements linalg.Task.
func (c *crew) Part(_, i int) { c.part(i) }

// run calls part(0) to part(parts-1), each once, in any order.
func (c *crew) run(parts int, part func(i int)) {
	c.part = part
	c.workers.Run(parts, c)
	c.part = nil
}

func (c *crew) stop() { c.workers.Stop() }
