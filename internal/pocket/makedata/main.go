// Command makedata makes what a family like the bundled one is trained from by lep's own engine: copying practice, instructions with their
// answers, held-out questions (package practice), and a model with random weights. The prose is read from a folder with
// en.train.jsonl.zst, ru.train.jsonl.zst, en.heldout.jsonl.zst and ru.heldout.jsonl.zst, lines of {"text": …}; config.json and the
// tokenizer are those of another model folder:
//
//	go run ./internal/pocket/makedata -corpus DIR -family ./base -out data
//	lep train --model data/random --train all --data data/copying.jsonl=0.9 --data en.train.jsonl.zst=0.08 --data ru.train.jsonl.zst=0.02 …
//	lep train --model copier --train all --data data/copying.jsonl=0.2 --data en.train.jsonl.zst=0.7 --data ru.train.jsonl.zst=0.1 …
//	lep train --model base --train all --task sft --data data/samples.jsonl …
//
// docs/LOG.md says how far that has got.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"lep/corpus"
	"lep/internal/pocket/practice"
)

func main() {
	var s settings
	flag.StringVar(&s.corpus, "corpus", "", "folder with the prose")
	flag.StringVar(&s.family, "family", "", "model folder whose config.json and tokenizer the random model gets (none: no model)")
	flag.StringVar(&s.out, "out", "", "folder to write to")
	flag.Uint64Var(&s.seed, "seed", 1, "seed of everything random")
	flag.Float64Var(&s.ru, "ru-share", 0.15, "share of Russian in the instructions and the copying practice")
	flag.IntVar(&s.samples, "samples", 60000, "instructions with answers")
	flag.IntVar(&s.copying, "copying", 40000, "texts of copying practice")
	flag.IntVar(&s.questions, "questions", 200, "held-out questions of each kind and language")
	flag.Parse()
	if flag.NArg() > 0 || s.corpus == "" || s.out == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := s.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "makedata:", err)
		os.Exit(1)
	}
}

type settings struct {
	corpus, family, out         string
	seed                        uint64
	ru                          float64
	samples, copying, questions int
}

func (s *settings) run(ctx context.Context) error {
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	train, err := s.pools(ctx, "train")
	if err != nil {
		return err
	}
	heldout, err := s.pools(ctx, "heldout")
	if err != nil {
		return err
	}
	shares := practice.DefaultShares()
	m := practice.NewMaker(s.seed, train...)
	held := practice.NewMaker(s.seed+1, heldout...)
	return errors.Join(
		s.write("copying.jsonl", s.copying, func(int) any {
			return map[string]string{"text": m.Copying(m.Language(s.ru), 100, 400)}
		}),
		s.write("samples.jsonl", s.samples, func(int) any { return m.Sample(m.Kind(shares), m.Language(s.ru)) }),
		s.write("questions.jsonl", s.questions*len(practice.Kinds)*2, func(i int) any {
			i /= s.questions
			return held.Sample(practice.Kinds[i/2], []string{"en", "ru"}[i%2])
		}),
		s.model(ctx),
	)
}

// pools reads the prose of both languages.
func (s *settings) pools(ctx context.Context, part string) ([]*practice.Pool, error) {
	var out []*practice.Pool
	for _, lang := range []string{"en", "ru"} {
		r, err := corpus.Open([]string{filepath.Join(s.corpus, lang+"."+part+".jsonl.zst")}, corpus.DefaultOptions())
		if err != nil {
			return nil, err
		}
		var texts []string
		for doc, err := range r.Documents(ctx) {
			if err != nil {
				return nil, err
			}
			texts = append(texts, doc.Text)
		}
		p, err := practice.NewPool(lang, texts)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// write writes n JSON lines.
func (s *settings) write(name string, n int, line func(i int) any) error {
	f, err := os.Create(filepath.Join(s.out, name))
	if err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	enc.SetEscapeHTML(false)
	for i := range n {
		if err := enc.Encode(line(i)); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}
