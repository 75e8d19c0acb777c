package build_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"lep/vocab/build"
)

func Example() {
	dir, err := os.MkdirTemp("", "build")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	texts := filepath.Join(dir, "texts.txt")
	if err := os.WriteFile(texts, []byte(strings.Repeat("the cat sat on the mat\n", 50)), 0o644); err != nil {
		log.Fatal(err)
	}

	train := build.DefaultTrainOptions()
	train.Algorithm, train.Size, train.Files = "bpe", 260, []string{texts}
	trainer, err := build.NewTrainer(train)
	if err != nil {
		log.Fatal(err)
	}
	base, err := trainer.Run(context.Background(), filepath.Join(dir, "base"))
	if err != nil {
		log.Fatal(err)
	}

	opts := build.DefaultOptions()
	opts.Base, opts.TrainSize, opts.Files, opts.HeldOut = base.Out, 270, []string{texts}, []string{texts}
	larger, err := build.Make(context.Background(), opts, filepath.Join(dir, "larger"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(base.Size, "tokens, then", larger.Size)
	fmt.Println("the sample takes fewer tokens:", larger.Proof.NewTokens < larger.Proof.OldTokens)
	// Output:
	// 260 tokens, then 268
	// the sample takes fewer tokens: true
}
