package report

import (
	"fmt"
	"math"

	"lep/eval"
	"lep/propagate"
	"lep/vocab/stats"
)

// hostile is a text that must not get into a page as it is.
const hostile = "</script><img src=x onerror=alert(1)>\"'`{{.}}<!--\u202e\x00\x1b[31m\xd0\u2028"

func estimated(value, half float64, n int) *Figure {
	return Sampled(eval.Interval{Score: value, Stderr: half / 2, Low: value - half, High: value + half}, n)
}

// fullRun has every part that a page can have.
func fullRun() *Run {
	r := &Run{
		Title: "Pocket, Russian", Lead: "A Russian vocabulary for a small model, carried into its instruct sibling.", Lep: "0.1.0", Machine: "2 cores, 24 GB, builtin",
		Languages: []string{"ru", "en"}, Reference: "instruct",
		Tasks:     []Task{{Name: "first_ru", Group: "naming", Score: "accuracy"}, {Name: "first_en", Group: "naming", Score: "accuracy"}, {Name: "copy_en", Group: "copying", Score: "accuracy", Chance: 0.1}},
		Reproduce: []string{"lep run recipes/pocket.yaml --set train.seed=1"}, Notes: []string{"unigram lost copying in English"},
		Answers: []Answered{{Prompt: "Назови первое слово: «Волк бежал по полю».", Lang: "ru", Want: "Волк", Answers: []Answer{
			{Model: "instruct", Text: "Волк", Right: yes(true)}, {Model: "extension, ridge, seed 1", Text: "Волк бежал\nпо полю", Right: yes(false)}, {Model: "base"},
		}}},
		Cuts: []CutText{{Lang: "ru", Cuts: []Cut{
			{"old", []stats.Span{{ID: 1, Text: "В"}, {ID: 2, Text: "ол"}, {ID: 3, Text: "к"}, {ID: 4, Text: "␣б"}, {ID: 5, Text: "‹d0›"}}},
			{"extension", []stats.Span{{ID: 9, Text: "Волк"}, {ID: 10, Text: "␣бежал"}}},
		}}},
		Comparisons: []Comparison{{A: "instruct", B: "extension, ridge, seed 1", Tasks: []eval.Comparison{
			{Task: "first_ru", Samples: 100, A: 0.71, B: 0.3, Difference: -0.41, Low: -0.5, High: -0.3}, {Task: "first_en", Samples: 100, A: 0.89, B: 0.88, Difference: -0.01, Low: -0.06, High: 0.05, Ahead: 0.4},
		}}},
		Samples: []Samples{{Task: "first_ru", Total: 400, Chosen: "2 of 400 are shown, those where models differ first", List: []Answered{
			{Prompt: "<|im_start|>user\nНазови первое слово", Want: "Волк", Answers: []Answer{{Model: "instruct", Text: "Волк", Right: yes(true)}, {Model: "base", Text: "по", Right: yes(false)}}},
			{Want: "Да", Answers: []Answer{{Model: "instruct", Text: "Да (0.8), Нет (0.2)", Right: yes(true)}, {Model: "base", Text: "Да (0.6), Нет (0.4)", Right: yes(true)}}},
		}}},
	}
	r.Models = []Model{
		fullModel("base", "source", "", "", 1.649, 2.203, 0),
		fullModel("instruct", "target", "", "", 1.692, 2.245, 0.71),
		fullModel("bpe, conversion", "result", "bpe", "conversion", 1.590, 2.636, 0.19),
		fullModel("extension, conversion", "result", "extension", "conversion", 1.607, 2.366, 0.31),
	}
	for seed := range uint64(3) {
		m := fullModel(fmt.Sprintf("extension, ridge, seed %d", seed+1), "result", "extension", "ridge", 1.594+0.004*float64(seed), 2.2+0.01*float64(seed), 0.7+0.02*float64(seed))
		m.Seed, m.Step = &seed, "tuned"
		r.Models = append(r.Models, m)
	}
	for i, name := range []string{"bpe", "extension"} {
		loss, bits := Curve{Name: "train " + name, Measure: "loss"}, Curve{Name: "train " + name, Measure: "bits_per_byte"}
		for k := range 60 {
			x := float64(k+1) * 16384
			loss.X, loss.Y = append(loss.X, Number(x)), append(loss.Y, Number(4.2+2.5*math.Exp(-float64(k)/12)-0.3*float64(i)))
			if k%10 == 9 {
				bits.X, bits.Y = append(bits.X, Number(x)), append(bits.Y, Number(1.53+0.4*math.Exp(-float64(k)/12)+0.01*float64(i)))
			}
		}
		r.Curves = append(r.Curves, loss, bits)
		for _, module := range []string{"embed_tokens", "lm_head"} {
			p := Projection{Model: name + ", conversion", ModuleResult: propagate.ModuleResult{Module: module, Method: propagate.Conversion, Rows: 3063, Dim: 192, Rank: 192,
				RelativeResidual: 0.11, HeldOut: &propagate.Score{R2: 0.931, Cosine: 0.97}, Projected: 5071, FromTarget: 9}}
			d := &propagate.Diagnosis{Neighbours: []propagate.Neighbours{{ID: 4001, Token: " бежал",
				Before: []propagate.Neighbour{{Token: " шёл", Cosine: 0.71}, {Token: " летел", Cosine: 0.66}}, After: []propagate.Neighbour{{Token: " шёл", Cosine: 0.7}, {Token: " run", Cosine: 0.41}}}}}
			for k := range 192 {
				d.Ranks = append(d.Ranks, k+1)
				d.Before = append(d.Before, Number(0.9*math.Pow(float64(k+1), -0.6)))
				d.After = append(d.After, Number(0.8*math.Pow(float64(k+1), -0.62)))
			}
			p.Diagnosis = d
			r.Projections = append(r.Projections, p)
		}
	}
	for i, verb := range []string{"vocab", "embed", "train", "propagate", "calibrate", "tune", "eval"} {
		r.Steps = append(r.Steps, Step{Name: verb + " extension", Verb: verb, Does: "an example of " + verb, State: "done", Seconds: Number(2 + 30*i), CPUSeconds: Number(3 + 55*i), Memory: 600e6,
			Settings: []Setting{{"size", "2000"}, {"corpus", "ru/*.jsonl.zst"}}})
	}
	return r
}

func fullModel(name, role, vocabulary, method string, ru, en, first float64) Model {
	m := Model{Name: name, Role: role, Vocabulary: vocabulary, Method: method, Folder: "stages/" + name, Digest: "0f3c", VocabSize: 5080,
		Languages: map[string]Language{
			"ru": {BitsPerByte: estimated(ru, 0.02, 214), CharactersPerToken: Plain(2.84), CharactersPerSecond: Plain(5310)},
			"en": {BitsPerByte: estimated(en, 0.03, 180), CharactersPerToken: Plain(3.06)},
		}}
	if first > 0 {
		m.Tasks = map[string]Figure{"first_ru": *estimated(first, 0.09, 100), "first_en": *estimated(0.86, 0.07, 100), "copy_en": *estimated(0.9, 0.06, 100)}
		m.Total = estimated((first+0.86+0.9)/3, 0.05, 0)
	}
	return m
}

func yes(v bool) *bool { return &v }
