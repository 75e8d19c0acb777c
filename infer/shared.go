package infer

import (
	"context"
	"fmt"
	"math"
	"slices"

	"lep/model"
)

// NextLogProbs returns, for each prompt, the log-probability in nats of each of its candidates
// as the next token. Prompts with common beginnings are computed together. each, if not nil, is
// called for every prompt as soon as it is done, in no particular order; an error from it ends the call.
func (e *Engine) NextLogProbs(ctx context.Context, prompts, candidates [][]int32, each func(prompt int, logProbs []float64) error) ([][]float64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(prompts) != len(candidates) {
		return nil, fmt.Errorf("%d prompts, %d lists of candidates", len(prompts), len(candidates))
	}
	list := make([]tail, len(prompts))
	for i, p := range prompts {
		if len(p) == 0 || len(p) > e.Context() {
			return nil, fmt.Errorf("prompt %d: %d tokens, want 1 to %d (the model's context)", i+1, len(p), e.Context())
		}
		if err := e.checkIDs(slices.Concat(p, candidates[i])); err != nil {
			return nil, fmt.Errorf("prompt %d: %w", i+1, err)
		}
		list[i] = tail{ids: p, keep: 1}
	}
	out := make([][]float64, len(prompts))
	v := e.model.Config.VocabSize
	var logits []float32
	err := e.readAll(ctx, list, func(members []int, hidden [][]float32) error {
		logits = slices.Grow(logits[:0], len(members)*v)[:len(members)*v]
		e.model.Logits(logits, slices.Concat(hidden...))
		for n, i := range members {
			row := logits[n*v : (n+1)*v]
			norm := logSumExp(row)
			for _, id := range candidates[i] {
				out[i] = append(out[i], float64(row[id])-norm)
			}
			if each != nil {
				if err := each(i, out[i]); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return out, err
}

// sharing returns what to read of the pieces, if at least half of all tokens need not be computed
// when common beginnings are computed once, and a cache for the longest fits; else nil. Only whole
// sequences count.
func (e *Engine) sharing(pieces []piece, ids [][]int32) []tail {
	order := slices.Clone(pieces)
	slices.SortFunc(order, func(a, b piece) int { return slices.Compare(ids[a.seq], ids[b.seq]) })
	all, shared := 0, 0
	for i, p := range order {
		if p.start > 0 || p.end < len(ids[p.seq]) || 4*int64(e.model.Config.CacheFloats(1, p.end)) > e.opts.CacheBytes {
			return nil
		}
		all += p.end
		if i > 0 {
			shared += min(commonPrefix(ids[order[i-1].seq], ids[p.seq]), p.from-1)
		}
	}
	if 2*shared < all {
		return nil
	}
	list := make([]tail, len(pieces))
	for i, p := range pieces {
		list[i] = tail{ids: ids[p.seq][:p.end-1], keep: p.end - p.from} // the last token predicts nothing
	}
	return list
}

// scoreShared scores whole sequences over caches that keep their common beginnings.
func (e *Engine) scoreShared(ctx context.Context, pieces []piece, list []tail, ids [][]int32, scores []Score) error {
	return e.readAll(ctx, list, func(members []int, hidden [][]float32) error {
		var targets []int32
		for _, i := range members {
			targets = append(targets, ids[pieces[i].seq][pieces[i].from:pieces[i].end]...)
		}
		each := make([]float64, len(targets))
		if err := e.model.NLL(each, slices.Concat(hidden...), targets); err != nil {
			return err
		}
		for _, i := range members {
			each = each[copy(scores[pieces[i].seq].Each, each):]
		}
		return nil
	})
}

// tail is a sequence to read, of whose last keep tokens the final hidden states are wanted.
type tail struct {
	ids  []int32
	keep int
}

// reusable is how many of the first tokens may come from a cache.
func (t tail) reusable() int { return len(t.ids) - t.keep }

// readAll reads sequences in groups: the common beginning of a group once, the rest of its
// members in one pass. done gets the members of a group and, for each, the hidden states of its
// last keep tokens (keep, D), which are valid until it uses the model.
func (e *Engine) readAll(ctx context.Context, list []tail, done func(members []int, hidden [][]float32) error) error {
	capacity, order := 0, make([]int, len(list))
	for i, t := range list {
		order[i], capacity = i, max(capacity, len(t.ids))
	}
	if len(list) == 0 {
		return nil
	}
	if err := e.reading.prepare(e.model, e.opts.Slots, capacity, e.opts.CacheBytes); err != nil {
		return err
	}
	// In order of their ids, neighbours have the longest beginnings in common.
	slices.SortStableFunc(order, func(a, b int) int { return slices.Compare(list[a].ids, list[b].ids) })
	for len(order) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, shared := e.group(order, list)
		hidden, err := e.readGroup(order[:n], list, shared)
		if err == nil {
			err = done(order[:n], hidden)
		}
		if err != nil {
			return err
		}
		order = order[n:]
	}
	return nil
}

// worthRereading is how many tokens may be read more than once to fill a pass.
const worthRereading = 64

// group returns how many of the next sequences are best read together, and how many tokens their
// beginnings have in common.
func (e *Engine) group(order []int, list []tail) (n, shared int) {
	first := list[order[0]]
	shared, rest := first.reusable(), first.keep // rest: tokens behind the shared ones, of all members
	for n = 1; n < min(len(order), len(e.reading.known)); n++ {
		t := list[order[n]]
		common := min(shared, commonPrefix(first.ids, t.ids), t.reusable())
		grown := rest + n*(shared-common) + len(t.ids) - common
		apart := len(t.ids) - min(commonPrefix(list[order[n-1]].ids, t.ids), t.reusable())
		if grown > e.opts.BatchTokens || common+grown > shared+rest+apart+worthRereading {
			break
		}
		shared, rest = common, grown
	}
	return n, shared
}

// readGroup makes a slot hold each member of a group.
func (e *Engine) readGroup(members []int, list []tail, shared int) ([][]float32, error) {
	r, d := &e.reading, e.model.Config.HiddenSize
	first := list[members[0]].ids
	base, common := r.longest(first[:shared])
	base = max(base, 0)
	r.hold(base, base, common, first)
	if len(members) == 1 {
		h, err := e.extend(base, first, list[members[0]].keep)
		return [][]float32{h}, err
	}
	if _, err := e.extend(base, first[:shared], 0); err != nil {
		return nil, err
	}
	spans := []model.Span{{Slot: base, IDs: first[shared:]}}
	slot := 0
	for _, i := range members[1:] {
		if slot == base {
			slot++
		}
		from := base
		if commonPrefix(r.known[slot], first[:shared]) == shared {
			from = slot
		}
		r.hold(slot, from, shared, first)
		spans = append(spans, model.Span{Slot: slot, IDs: list[i].ids[shared:]})
		slot++
	}
	h, err := e.model.Extend(r.cache, spans)
	if err != nil {
		return nil, err
	}
	hidden := make([][]float32, len(members))
	for n, s := range spans {
		r.known[s.Slot] = append(r.known[s.Slot], s.IDs...)
		end := len(s.IDs) * d
		hidden[n], h = h[end-list[members[n]].keep*d:end], h[end:]
	}
	return hidden, nil
}

// extend reads on in a slot up to the end of ids and returns the hidden states of the last keep tokens.
func (e *Engine) extend(slot int, ids []int32, keep int) ([]float32, error) {
	r, d := &e.reading, e.model.Config.HiddenSize
	var out []float32
	for at := len(r.known[slot]); at < len(ids); {
		next := min(at+e.opts.BatchTokens, len(ids))
		h, err := e.model.Extend(r.cache, []model.Span{{Slot: slot, IDs: ids[at:next]}})
		if err != nil {
			return nil, err
		}
		r.known[slot] = append(r.known[slot], ids[at:next]...)
		if first := max(at, len(ids)-keep); first < next {
			out = append(out, h[(first-at)*d:]...)
		}
		at = next
	}
	return out, nil
}

// logSumExp returns log Σ exp(logits) in float64.
func logSumExp(logits []float32) float64 {
	top := float64(slices.Max(logits))
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}
