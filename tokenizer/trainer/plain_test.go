package trainer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lep/tokenizer"
)

// plainBPE is HF's trainer as its authors wrote it, with maps and a search for
// the maximum: words are byte strings, tokens the bytes by the order of letters.
func plainBPE(words map[string]int64, size int) (tokens []string, merges []tokenizer.Merge) {
	ids := map[string]int32{}
	for _, b := range alphabet() {
		ids[string([]byte{b})] = int32(len(tokens))
		tokens = append(tokens, string([]byte{b}))
	}
	type entry struct {
		pair  pair
		count int64
		at    map[string]bool
	}
	var queue []entry
	counts := map[pair]int64{}
	split := map[string][]int32{}
	fresh := map[pair]map[string]bool{}
	see := func(p pair, w string) {
		if fresh[p] == nil {
			fresh[p] = map[string]bool{}
		}
		fresh[p][w] = true
	}
	flush := func() {
		for p, at := range fresh {
			if counts[p] > 0 {
				queue = append(queue, entry{p, counts[p], at})
			}
		}
		fresh = map[pair]map[string]bool{}
	}
	for w, n := range words {
		for _, b := range []byte(w) {
			split[w] = append(split[w], ids[string([]byte{b})])
		}
		for k := 1; k < len(w); k++ {
			p := makePair(split[w][k-1], split[w][k])
			counts[p] += n
			see(p, w)
		}
	}
	flush()
	for len(tokens) < size && len(queue) > 0 {
		best := 0
		for i := range queue {
			a, b := &queue[i], &queue[best]
			if a.count > b.count || a.count == b.count && a.pair < b.pair {
				best = i
			}
		}
		top := queue[best]
		if now := counts[top.pair]; now != top.count {
			queue[best].count = now
			continue
		}
		if top.count < 1 {
			break
		}
		queue = slices.Delete(queue, best, best+1)
		left, right := top.pair.split()
		text := tokens[left] + tokens[right]
		id, known := ids[text]
		if !known {
			id = int32(len(tokens))
			ids[text] = id
			tokens = append(tokens, text)
		}
		m := tokenizer.Merge{Left: left, Right: right, Product: id}
		merges = append(slices.DeleteFunc(merges, func(o tokenizer.Merge) bool { return o.Left == left && o.Right == right }), m)
		for w := range top.at {
			s, n := split[w], words[w]
			for i := 0; i+1 < len(s); i++ {
				if s[i] != left || s[i+1] != right {
					continue
				}
				if i > 0 {
					counts[makePair(s[i-1], left)] -= n
					counts[makePair(s[i-1], id)] += n
					see(makePair(s[i-1], id), w)
				}
				s = slices.Replace(s, i, i+2, id)
				if i+1 < len(s) {
					counts[makePair(right, s[i+1])] -= n
					counts[makePair(id, s[i+1])] += n
					see(makePair(id, s[i+1]), w)
				}
			}
			split[w] = s
		}
		flush()
	}
	return tokens, merges
}

func randomWords(rng *rand.Rand, letters string, n int) map[string]int64 {
	words := map[string]int64{}
	for range n {
		var b strings.Builder
		for range 1 + rng.IntN(12) {
			b.WriteByte(letters[rng.IntN(len(letters))])
		}
		words[b.String()] += 1 + rng.Int64N(4)
	}
	return words
}

// TestBPEPlain holds the fast trainer against the plain one where it is hardest:
// few letters make many ties, runs of one letter, and tokens with two origins.
func TestBPEPlain(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 400 {
		words := randomWords(rng, "abcd"[:1+round%4], 1+rng.IntN(40))
		size := 256 + rng.IntN(60)
		wantTokens, wantMerges := plainBPE(words, size)

		counts := &wordCounts{}
		c := &counter{all: counts}
		for w, n := range words {
			c.local.add([]byte(w), uint32(len(w)), n)
		}
		c.flush()
		b := &byteTrainer{opts: BPEOptions{Size: size}}
		if _, err := b.load(counts); err != nil {
			t.Fatal(err)
		}
		if err := b.train(t.Context()); err != nil {
			t.Fatal(err)
		}
		var def tokenizer.Definition
		b.fill(&def)
		if !slices.Equal(b.tokens, wantTokens) || !slices.Equal(def.Model.Merges, wantMerges) {
			t.Fatalf("words %v, size %d:\ngot  %q %v\nwant %q %v", words, size, b.tokens[256:], def.Model.Merges, wantTokens[256:], wantMerges)
		}
	}
}

// plainPieceBPE counts all pairs anew for every merge.
func plainPieceBPE(words map[string]int64, v *validator, merges int) []string {
	type symbols []string
	split := map[string]symbols{}
	for w := range words {
		for _, r := range w {
			split[w] = append(split[w], string(r))
		}
	}
	passed := map[[2]string]bool{}
	taken := map[string]bool{}
	var out []string
	for len(out) < merges {
		counts := map[[2]string]int64{}
		for w, s := range split {
			for k := 1; k < len(s); k++ {
				if p := [2]string{s[k-1], s[k]}; !passed[p] && v.valid([]rune(p[0]+p[1])) {
					counts[p] += words[w]
				}
			}
		}
		var best [2]string
		for p, n := range counts {
			a, b := p[0]+p[1], best[0]+best[1]
			la, lb := len([]rune(a)), len([]rune(b))
			switch m := counts[best]; {
			case n > m, n == m && la < lb, n == m && la == lb && a < b:
				best = p
			case n == m && a == b && p != best:
				best = [2]string{} // two ways to one text at one count: either is right
				clear(counts)
			}
		}
		if counts[best] == 0 {
			return out
		}
		text := best[0] + best[1]
		if taken[text] {
			passed[best] = true
			continue
		}
		taken[text] = true
		out = append(out, text)
		for w, s := range split {
			for k := 0; k+1 < len(s); k++ {
				if s[k] == best[0] && s[k+1] == best[1] {
					s = slices.Replace(s, k, k+2, text)
				}
			}
			split[w] = s
		}
	}
	return out
}

func TestPieceBPEPlain(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for round := range 300 {
		words := randomWords(rng, "abc1"[:1+round%4], 1+rng.IntN(30))
		opts := DefaultSentencePieceOptions(tokenizer.BPE)
		opts.MaxPieceLength = 2 + rng.IntN(6)
		opts.Threads = 1
		c := &sentences{}
		var list []word
		for w, n := range words {
			list = append(list, word{[]byte(w + "\x00"), n})
		}
		slices.SortFunc(list, func(a, b word) int { return slices.Compare(a.text, b.text) })
		opts.CharacterCoverage = 1
		if err := c.load(list, opts); err != nil {
			t.Fatal(err)
		}
		want := plainPieceBPE(words, &validator{opts: opts, script: map[rune]int16{}}, 30)
		got, err := trainPieceBPE(t.Context(), c, opts, 30+len(c.required))
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			if i >= len(got) || got[i].text != w || got[i].score != -float32(i) {
				t.Fatalf("words %v: piece %d of %v, want %q (%q)", words, i, got, w, want)
			}
		}
	}
}
