package trainer_test

import (
	"context"
	"fmt"
	"iter"

	"lep/tokenizer"
	"lep/tokenizer/trainer"
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

func ExampleTrainBPE() {
	opts := trainer.DefaultBPEOptions()
	opts.Size = 256 + 8
	result, err := trainer.TrainBPE(context.Background(), texts("мама мыла раму", "мама мыла Милу"), opts)
	if err != nil {
		fmt.Println(err)
		return
	}
	tok, err := tokenizer.New(result.Definition)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Words, "words,", len(tok.Encode("мама")), "tokens for мама")
	// Output: 4 words, 1 tokens for мама
}

func ExampleTrainSentencePiece() {
	opts := trainer.DefaultSentencePieceOptions(tokenizer.Unigram)
	opts.VocabSize = 30
	opts.NormalizationRuleName = "identity"
	opts.AllowSmaller = true
	result, err := trainer.TrainSentencePiece(context.Background(), texts("мама мыла раму\nмама мыла Милу"), opts)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range result.Definition.Model.Pieces[:6] {
		fmt.Printf("%s %.2f\n", p.Text, p.Score)
	}
	// Output:
	// <unk> 0.00
	// <s> 0.00
	// </s> 0.00
	// а -1.97
	// ▁м -2.00
	// л -2.19
}
