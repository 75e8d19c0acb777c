package propagate

import (
	"log/slog"
	"time"
)

// progress logs how far a long loop is, at most every few seconds.
type progress struct {
	log   *slog.Logger
	what  string
	total int
	last  time.Time
}

// progressEvery is the least time between two lines.
const progressEvery = 5 * time.Second

func newProgress(log *slog.Logger, what string, total int) *progress {
	return &progress{log: log, what: what, total: total, last: time.Now()}
}

// at says that done of the total rows are through.
func (p *progress) at(done int) {
	if now := time.Now(); now.Sub(p.last) >= progressEvery {
		p.last = now
		p.log.Info(p.what, "rows", done, "of", p.total)
	}
}
