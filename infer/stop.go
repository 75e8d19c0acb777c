package infer

import (
	"strings"

	"lep/tokenizer"
)

// stopText is the text of a sequence as it grows. Text that may be the beginning of a stop
// string is held back until it is certain.
type stopText struct {
	decoder *tokenizer.StreamDecoder
	stops   []string
	sent    strings.Builder // certain, and handed out
	held    string          // may be the beginning of a stop string
	stopped bool
}

func newStopText(t *tokenizer.Tokenizer, stops []string) *stopText {
	d := t.NewDecoder()
	d.SkipSpecial = true
	return &stopText{decoder: d, stops: stops}
}

// add takes an id and returns the text that became certain, and whether a stop string came.
func (s *stopText) add(id int32) (certain string, stopped bool) {
	return s.append(s.decoder.Next(id)), s.stopped
}

func (s *stopText) append(text string) string {
	if s.stopped {
		return ""
	}
	s.held += text
	cut := -1
	for _, stop := range s.stops {
		if i := strings.Index(s.held, stop); i >= 0 && (cut < 0 || i < cut) {
			cut = i
		}
	}
	keep := 0
	if cut >= 0 {
		s.stopped = true
	} else {
		cut = len(s.held)
		for _, stop := range s.stops {
			keep = max(keep, overlap(s.held, stop))
		}
		cut -= keep
	}
	certain := s.held[:cut]
	s.held = s.held[cut:]
	s.sent.WriteString(certain)
	return certain
}

// overlap returns the length of the longest proper beginning of stop that ends text.
func overlap(text, stop string) int {
	for n := min(len(text), len(stop)-1); n > 0; n-- {
		if strings.HasSuffix(text, stop[:n]) {
			return n
		}
	}
	return 0
}

// finish returns what was held back.
func (s *stopText) finish() string {
	rest := s.append(s.decoder.Flush())
	if !s.stopped {
		rest += s.held
		s.sent.WriteString(s.held)
	}
	s.held = ""
	return rest
}

func (s *stopText) text() string { return s.sent.String() }
