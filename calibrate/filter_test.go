package calibrate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	varied := "One morning the captain told us what he had seen beyond the reef and why nobody who went there alone ever came home again."
	for _, tt := range []struct {
		name, question, answer, finish string
		change                         func(*Filters)
		want                           Reason
	}{
		{"good", "Why?", varied, "stop", nil, ""},
		{"empty", "Why?", " \n", "stop", nil, Empty},
		{"cut off", "Why?", varied, "length", nil, CutOff},
		{"cut off, kept", "Why?", varied, "length", func(f *Filters) { f.KeepCutOff = true }, ""},
		{"short", "Why?", "Да.", "stop", func(f *Filters) { f.MinChars = 4 }, Short},
		{"long", "Why?", varied, "stop", func(f *Filters) { f.MaxChars = 50 }, Long},
		{"repetitive", "Why?", strings.Repeat("and so it went on ", 12), "stop", nil, Repetitive},
		{"repetitive, kept", "Why?", strings.Repeat("and so it went on ", 12), "stop", func(f *Filters) { f.MaxRepetition = 1 }, ""},
		{"short repetition is no fault", "Repeat.", "yes yes yes yes yes", "stop", nil, ""},
		{"refusal", "Why?", "I’m sorry, but I can’t say.", "stop", nil, Refusal},
		{"refusal in Russian", "Почему?", "К сожалению, я не  могу ответить.", "stop", nil, Refusal},
		{"refusal of the user's", "Why?", "Ask someone ELSE.", "stop", func(f *Filters) { f.Refusals = []string{"ask someone else"} }, Refusal},
		{"refusal, kept", "Why?", "As an AI, I do.", "stop", func(f *Filters) { f.KeepRefusals = true }, ""},
		{"refusal in mid-text is none", "Why?", varied + varied + " as an AI", "stop", func(f *Filters) { f.MaxRepetition = 1 }, ""},
		{"language", "Why?", varied, "stop", func(f *Filters) { f.Languages = []string{"ru", "kk"} }, WrongLanguage},
		{"language listed", "Why?", varied, "stop", func(f *Filters) { f.Languages = []string{"ru", "en"} }, ""},
		{"not the prompt's", "Почему море синее и почему оно солёное?", varied, "stop", func(f *Filters) { f.SameLanguage = true }, WrongLanguage},
		{"too short to tell", "Почему море синее и почему оно солёное?", "Blue.", "stop", func(f *Filters) { f.SameLanguage = true }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			filters := DefaultOptions().Filters
			if tt.change != nil {
				tt.change(&filters)
			}
			f := newFilter(filters)
			talk := talk{Answers: []string{tt.answer}, Finish: tt.finish}
			if got, detail := f.judge(&prompt{users: []string{tt.question}}, &talk); got != tt.want {
				t.Errorf("judged %q (%s), want %q", got, detail, tt.want)
			}
		})
	}
}

func TestNearDuplicates(t *testing.T) {
	f := newFilter(DefaultOptions().Filters)
	judge := func(i int, question, answer string) Reason {
		why, _ := f.judge(&prompt{users: []string{question}}, &talk{Index: i, Answers: []string{answer}, Finish: "stop"})
		return why
	}
	story := "The old sailor sat by the fire and told the children about the storm that had broken the mast, drowned the cook and driven the ship onto the rocks of an island without a name."
	for i, tt := range []struct {
		question, answer string
		want             Reason
	}{
		{"Tell a story.", story, ""},
		{"Tell a story.", story + " The end.", NearDuplicate},
		{"Tell a story!", strings.ToUpper(story), NearDuplicate},
		{"Tell another one.", "There was a king who had three daughters and a horse that could speak, but nobody at court believed it.", ""},
		{"First word of: the coat?", "the", ""},
		{"First word of: a coat?", "a", ""},
	} {
		if got := judge(i, tt.question, tt.answer); got != tt.want {
			t.Errorf("conversation %d judged %q, want %q", i, got, tt.want)
		}
	}
}

// TestMinHash holds the estimate to the true Jaccard index of sets of shingles.
func TestMinHash(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var worst, sum float64
	const rounds = 60
	for range rounds {
		common, a, b := []string{}, []string{}, []string{}
		n, m := 50+r.IntN(200), 1+r.IntN(100)
		for i := range n {
			common = append(common, fmt.Sprint("w", i, r.Uint32()))
		}
		for i := range m {
			a, b = append(a, fmt.Sprint("a", i)), append(b, fmt.Sprint("b", i))
		}
		a, b = append(common, a...), append(append([]string{}, common...), b...)
		// word 3-grams: n-2 common ones, m of each alone
		want := float64(n-2) / float64(n-2+2*m)
		x, y := sign(a), sign(b)
		off := x.like(&y) - want
		worst, sum = max(worst, math.Abs(off)), sum+off
	}
	// Standard error of one estimate at most 0.044, of the mean of 60 0.006.
	if worst > 0.18 || math.Abs(sum/rounds) > 0.02 {
		t.Errorf("worst error %.3f, mean %.4f", worst, sum/rounds)
	}
}

func TestNearDuplicatesAreFound(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, threshold := range []float64{0.5, 0.85} {
		n := newNearDuplicates(threshold)
		found, wrong := 0, 0
		const texts = 300
		for i := range texts {
			var list []string
			for range 120 {
				list = append(list, fmt.Sprint("w", r.Uint32()))
			}
			if twin, _ := n.add(2*i, strings.Join(list, " ")); twin >= 0 {
				wrong++
			}
			list[60] = "other" // 115 of 121 shingles are common: 0.95
			if twin, like := n.add(2*i+1, strings.Join(list, " ")); twin == 2*i && like > 0.8 {
				found++
			}
		}
		if found < texts-2 || wrong > 0 {
			t.Errorf("threshold %g: %d of %d twins found, %d strangers taken for one", threshold, found, texts, wrong)
		}
	}
}

func BenchmarkNearDuplicates(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	var words []string
	for range 5000 {
		words = append(words, fmt.Sprint("word", r.IntN(3000)))
	}
	n := newNearDuplicates(0.85)
	bytes := 0
	for i := 0; b.Loop(); i++ {
		at := r.IntN(len(words) - 200)
		text := strings.Join(words[at:at+200], " ")
		bytes += len(text)
		n.add(i, text)
	}
	b.SetBytes(int64(bytes / b.N))
}
