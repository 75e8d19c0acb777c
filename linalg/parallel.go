package linalg

import (
	"sync"
	"sync/atomic"
)

// share calls body for every unit in [0, units) on up to threads goroutines, the caller's
// among them, and returns when all are done. Units go in order to whoever is free, so none
// may depend on another. It is for the few large loops of a factorization; work that starts
// often has a [Crew].
func share(threads, units int, body func(unit int)) {
	var next atomic.Int64
	work := func() {
		for u := next.Add(1) - 1; u < int64(units); u = next.Add(1) - 1 {
			body(int(u))
		}
	}
	var helpers sync.WaitGroup
	for range min(threads, units) - 1 {
		helpers.Go(work)
	}
	work()
	helpers.Wait()
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
	share(threads, (n+span-1)/span, func(u int) { fn(u*span, min((u+1)*span, n)) })
}
