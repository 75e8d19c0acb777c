package linalg

import (
	"sync"
	"sync/atomic"
)

// team runs numbered units of work on several goroutines. It is reused, so that
// starting work allocates nothing: the start functions are made once. The units
// are handed out in order to whoever is free, therefore no unit may depend on
// another or on the worker that runs it.
type team struct {
	wg     sync.WaitGroup
	next   atomic.Int64
	units  int64
	body   func(worker, unit int)
	starts []func()
}

// run calls body for every unit in [0, units) with at most threads workers,
// numbered from 0; the caller is worker 0. It returns when all are done.
func (t *team) run(threads, units int, body func(worker, unit int)) {
	if threads > units {
		threads = units
	}
	if threads <= 1 {
		for u := range units {
			body(0, u)
		}
		return
	}
	for w := len(t.starts) + 1; w < threads; w++ {
		t.starts = append(t.starts, func() {
			t.loop(w)
			t.wg.Done()
		})
	}
	t.body, t.units = body, int64(units)
	t.next.Store(0)
	t.wg.Add(threads - 1)
	for _, start := range t.starts[:threads-1] {
		go start()
	}
	t.loop(0)
	t.wg.Wait()
}

func (t *team) loop(worker int) {
	for {
		u := t.next.Add(1) - 1
		if u >= t.units {
			return
		}
		t.body(worker, int(u))
	}
}

// spread cuts [0, n) into spans of at least grain elements, a multiple of align
// except the last, and calls fn for each, on up to threads goroutines. The spans
// do not change the result as long as elements are independent.
func spread(threads, n, grain, align int, fn func(lo, hi int)) {
	if n <= 0 {
		return
	}
	parts := min(4*threads, n/max(grain, 1))
	if threads <= 1 || parts <= 1 {
		fn(0, n)
		return
	}
	span := (n + parts - 1) / parts
	span = (span + align - 1) / align * align
	var t team
	t.run(threads, (n+span-1)/span, func(_, u int) { fn(u*span, min((u+1)*span, n)) })
}
