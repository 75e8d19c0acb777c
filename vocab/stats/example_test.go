package stats_test

import (
	"context"
	"fmt"
	"iter"

	"lep/tokenizer"
	"lep/tokenizer/trainer"
	"lep/vocab/stats"
)

func texts(list ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, t := range list {
			if !yield(t, nil) {
				return
			}
		}
	}
}

func trained(size int) *tokenizer.Tokenizer {
	opts := trainer.DefaultBPEOptions()
	opts.Size = size
	r, err := trainer.TrainBPE(context.Background(), texts("мама мыла раму", "папа мыл раму", "мама мыла папу"), opts)
	if err != nil {
		panic(err)
	}
	tok, err := tokenizer.New(r.Definition)
	if err != nil {
		panic(err)
	}
	return tok
}

func ExampleCompare() {
	d, err := stats.Compare(context.Background(), trained(258), trained(276), texts("мама мыла раму"), stats.DefaultOptions())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d shared, %d new, %.1f times as many characters per token\n", d.Shared, d.OnlyB, d.Corpus.SpeedUp)
	// Output: 258 shared, 18 new, 6.0 times as many characters per token
}

func ExampleVisible() {
	fmt.Println(stats.Visible(" мир\n\u202e"))
	// Output: ␣мир␊‹U+202E›
}
