package trainer

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"lep/tokenizer"
)

// small loads words with all characters required.
func small(t testing.TB, words map[string]int64, opts SentencePieceOptions) *sentences {
	t.Helper()
	var list []word
	for w, n := range words {
		list = append(list, word{[]byte(w + "\x00"), n})
	}
	slices.SortFunc(list, func(a, b word) int { return slices.Compare(a.text, b.text) })
	c := &sentences{}
	if err := c.load(list, opts); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSeedsPlain counts every substring of every word.
func TestSeedsPlain(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for round := range 200 {
		opts := DefaultSentencePieceOptions(tokenizer.Unigram)
		opts.CharacterCoverage, opts.Threads, opts.MaxPieceLength = 1, 1+round%3, 2+rng.IntN(5)
		words := randomWords(rng, "abcd"[:1+round%4], 1+rng.IntN(20))
		count := map[string]int64{}
		next := map[string]map[byte]bool{}
		for w, n := range words {
			w += "\x00"
			for i := range len(w) - 1 {
				for k := i + 2; k < len(w) && k-i <= opts.MaxPieceLength; k++ {
					s := w[i:k]
					count[s] += n
					if next[s] == nil {
						next[s] = map[byte]bool{}
					}
					next[s][w[k]] = true
				}
			}
		}
		want := map[string]int64{}
		for s, n := range count {
			if len(next[s]) > 1 {
				want[s] = n * int64(len(s))
			}
		}
		c := small(t, words, opts)
		seeds, sa := findSeeds(c, opts)
		last := int64(math.MaxInt64)
		for _, s := range seeds {
			text := string(c.runes(nil, c.text[sa[s.first]:sa[s.first]+s.chars]))
			if s.score != want[text] || s.score > last {
				t.Fatalf("words %v: seed %q has score %d after %d, want %d", words, text, s.score, last, want[text])
			}
			last = s.score
			delete(want, text)
		}
		if len(want) > 0 {
			t.Fatalf("words %v: no seeds for %v", words, want)
		}
	}
}

// TestExpectPlain goes through all ways to cut every word.
func TestExpectPlain(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for round := range 100 {
		opts := DefaultSentencePieceOptions(tokenizer.Unigram)
		opts.CharacterCoverage, opts.Threads = 1, 2
		c := small(t, randomWords(rng, "abc", 1+rng.IntN(12)), opts)
		u := newUnigram(c, opts)
		if round%2 == 1 { // some pieces removed, a character among them
			u.keep(func(i int) bool { return i%3 != 1 })
		}
		texts := map[string]int{}
		for i, p := range u.pieces {
			texts[string(c.runes(nil, c.text[p.at:p.at+p.chars]))] = i
		}
		want := make([]float64, len(u.pieces))
		best := make([]int64, len(u.pieces))
		for i := range c.units {
			w := string(c.runes(nil, c.word(i)))
			var sum, top float64
			parts := make([]float64, len(u.pieces))
			var topCut []int
			var cut func(at int, p float64, used []int)
			cut = func(at int, p float64, used []int) {
				if at == len(w) {
					sum += p
					for _, k := range used {
						parts[k] += p
					}
					if p > top {
						top, topCut = p, slices.Clone(used)
					}
					return
				}
				for end := at + 1; end <= len(w); end++ {
					k, ok := texts[w[at:end]]
					switch {
					case ok:
						cut(end, p*u.pieces[k].prob, append(used, k))
					case end == at+1:
						cut(end, p*math.Exp(u.unk), append(used, 0))
					}
				}
			}
			cut(0, 1, nil)
			n := c.units[i].count
			for k := range parts {
				want[k] += float64(n) * parts[k] / sum
			}
			for _, k := range topCut {
				best[k] += n
			}
		}
		got := u.expect()
		long := make([]int64, len(u.pieces))
		l := lattice{u: u}
		for k := range u.chunks {
			for _, w := range u.chunks[k].units {
				l.grow(int(w.len))
				l.expectLong(&u.chunks[k], w, long)
			}
		}
		freq, _ := u.bestCounts()
		var used, wantUsed int64
		for k := range want {
			if math.Abs(got[k]-want[k]) > 1e-4 || math.Abs(float64(long[k])/expectationUnit-want[k]) > 1e-4 {
				t.Fatalf("piece %d is expected %v times, %v by logarithms, want %v", k, got[k], float64(long[k])/expectationUnit, want[k])
			}
			used += freq[k]
			wantUsed += best[k]
		}
		if used != wantUsed {
			t.Fatalf("the best cuts have %d pieces, want %d", used, wantUsed)
		}
	}
}

// TestLongUnits: without SplitByWhitespace a unit is a sentence, whose probability
// does not fit in a float64.
func TestLongUnits(t *testing.T) {
	opts := DefaultSentencePieceOptions(tokenizer.Unigram)
	opts.CharacterCoverage, opts.SplitByWhitespace, opts.VocabSize, opts.MaxSentenceLength = 1, false, 120, 1<<20
	opts.NormalizationRuleName, opts.AllowSmaller = "identity", true
	long := ""
	for i := range 400 {
		long += string(rune('a'+i*i%26)) + string(rune('a'+i*7%25)) + " "
	}
	r, err := TrainSentencePiece(t.Context(), of(long, sample), opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Definition.Model.Pieces {
		if math.IsNaN(p.Score) || math.IsInf(p.Score, 0) {
			t.Fatalf("piece %q has score %v", p.Text, p.Score)
		}
	}
}

func TestDigamma(t *testing.T) {
	for x, want := range map[float64]float64{1: -0.5772156649015329, 0.5: -1.9635100260214235, 10: 2.251752589066721} {
		if got := digamma(x); math.Abs(got-want) > 1e-9 {
			t.Errorf("digamma(%v) = %v, want %v", x, got, want)
		}
	}
}
