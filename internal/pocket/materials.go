package pocket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"lep/internal/pocket/practice"
)

// How much practice Materialize writes.
const (
	copyingTexts   = 4000  // texts of copying practice
	promptsAsked   = 12000 // instructions for self-calibration, five in six of them Russian
	samplesGiven   = 12000 // instructions with their right answers, two in three of them Russian
	passagesTold   = 2500  // Russian passages as an assistant's words, so that tuning does not unlearn prose
	passageLength  = 450   // characters
	russianPrompts = 5. / 6
	russianSamples = 2. / 3

	// What the family itself is trained from, by recipes/pocket-train.yaml. Copying has the same languages as the texts.
	schoolCopying  = 24000
	schoolSamples  = 40000 // of each of two kinds of mixes
	schoolPassages = 5000
	schoolRussian  = 0.15
)

// layout is part of the bundle's digest: raise it when Materialize writes other files from the same data.
const layout = "5"

// Digest identifies what Materialize writes, in hexadecimal digits.
func Digest() string {
	h := sha256.New()
	io.WriteString(h, layout)
	entries, err := data.ReadDir("data")
	if err != nil {
		panic("pocket: the embedded folder cannot be listed: " + err.Error())
	}
	for _, e := range entries {
		raw, err := data.ReadFile("data/" + e.Name())
		if err != nil {
			panic("pocket: an embedded file cannot be read: " + err.Error())
		}
		fmt.Fprintf(h, "%s %d\n", e.Name(), len(raw))
		h.Write(raw)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Materialize writes all that the recipes pocket, pocket-quick, pocket-seeds and pocket-train start from into dir, which must
// exist: the family (see Unpack) and
//
//	texts/{ru,en}.train.jsonl      prose for vocabularies and donors
//	texts/{ru,en}.heldout.jsonl    prose of other authors, in pieces of 480 characters
//	practice/copying.jsonl         copying practice, without which so small a donor unlearns to copy
//	practice/prompts.jsonl         instructions without answers
//	practice/samples.jsonl         instructions with the right answers
//	practice/passages.jsonl        Russian prose as conversations
//	school/random                  a model with random weights, which the family is trained from
//	school/copying.jsonl           copying practice for it, mostly English
//	school/mixed.jsonl             instructions with the right answers for it, mostly English, of all kinds
//	school/short.jsonl             the same with more of the kinds that have short answers
//	school/passages.jsonl          prose as conversations, mostly English
//	tasks/KIND-LANGUAGE.yaml       the held-out questions as tasks of lep eval
//	tasks/shown.jsonl              a question of each task, for the report
//
// The practice is made from the training texts alone, by a fixed seed.
func Materialize(ctx context.Context, dir string) (*Family, error) {
	family, err := Unpack(ctx, dir)
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"texts", "practice", "school", "tasks"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	if err := writeTexts(filepath.Join(dir, "texts")); err != nil {
		return nil, err
	}
	if err := writePractice(dir); err != nil {
		return nil, err
	}
	if err := writeRandom(ctx, filepath.Join(dir, "school", "random")); err != nil {
		return nil, err
	}
	return family, writeTasks(filepath.Join(dir, "tasks"))
}

func writeTexts(dir string) error {
	for _, lang := range Languages {
		raw, err := read(lang + ".train.jsonl")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, lang+".train.jsonl"), raw, 0o644); err != nil {
			return err
		}
		pieces, err := Heldout(lang)
		if err != nil {
			return err
		}
		if err := writeLines(filepath.Join(dir, lang+".heldout.jsonl"), len(pieces), func(i int) any { return text{pieces[i]} }); err != nil {
			return err
		}
	}
	return nil
}

type text struct {
	Text string `json:"text"`
}

func writePractice(dir string) error {
	var pools []*practice.Pool
	prose := map[string][]string{}
	for _, lang := range Languages {
		texts, err := training(lang)
		if err != nil {
			return err
		}
		pool, err := practice.NewPool(lang, texts)
		if err != nil {
			return err
		}
		pools = append(pools, pool)
		prose[lang] = texts
	}
	m := practice.NewMaker(1, pools...)
	sample := func(shares practice.Shares, russian float64) practice.Sample {
		return m.Sample(m.Kind(shares), m.Language(russian))
	}
	type prompt struct {
		Prompt   string `json:"prompt"`
		Kind     string `json:"task"`
		Language string `json:"lang"`
	}
	rng := rand.New(rand.NewPCG(1, 2))
	told := func(texts []string) any {
		return map[string][]practice.Message{"messages": {{Role: "assistant", Content: passage(rng, texts)}}}
	}
	school := practice.NewMaker(2, pools...)
	pupil := func(shares practice.Shares) func(int) any {
		return func(int) any { return school.Sample(school.Kind(shares), school.Language(schoolRussian)) }
	}
	for _, file := range []struct {
		name string
		n    int
		line func(i int) any
	}{
		{"practice/copying", copyingTexts, func(int) any { return text{m.Copying("ru", 100, 400)} }},
		{"practice/prompts", promptsAsked, func(int) any {
			s := sample(practice.DefaultShares(), russianPrompts)
			return prompt{s.Prompt(), s.Kind, s.Language}
		}},
		{"practice/samples", samplesGiven, func(int) any { return sample(practice.ShortShares(), russianSamples) }},
		{"practice/passages", passagesTold, func(int) any { return told(prose["ru"]) }},
		{"school/copying", schoolCopying, func(int) any { return text{school.Copying(school.Language(schoolRussian), 100, 400)} }},
		{"school/mixed", schoolSamples, pupil(practice.DefaultShares())},
		{"school/short", schoolSamples, pupil(practice.ShortShares())},
		{"school/passages", schoolPassages, func(int) any { return told(prose[school.Language(schoolRussian)]) }},
	} {
		if err := writeLines(filepath.Join(dir, file.name+".jsonl"), file.n, file.line); err != nil {
			return err
		}
	}
	return nil
}

// passage draws a piece of a text that begins with a word.
func passage(rng *rand.Rand, texts []string) string {
	for {
		runes := []rune(texts[rng.IntN(len(texts))])
		if len(runes) <= 2*passageLength {
			continue
		}
		from := rng.IntN(len(runes) - passageLength)
		_, words, found := strings.Cut(string(runes[from:from+passageLength]), " ")
		if found {
			return strings.TrimSpace(words)
		}
	}
}

// training returns the bundled training texts of a language.
func training(lang string) ([]string, error) {
	var out []string
	err := lines(lang+".train.jsonl", func(line []byte) error {
		var doc text
		err := json.Unmarshal(line, &doc)
		out = append(out, doc.Text)
		return err
	})
	return out, err
}

// Tasks names the kinds of questions that have one right answer.
var Tasks = []string{"copy", "first", "last", "choice", "contains"}

// Languages of the family.
var Languages = []string{"ru", "en"}

// longestAnswer is the limit of an answer in tokens: above the longest right answer in the old vocabulary, 50.
const longestAnswer = 56

func writeTasks(dir string) error {
	var shown []any
	for _, lang := range Languages {
		for _, task := range Tasks {
			questions, err := Questions(task, lang)
			if err != nil {
				return err
			}
			name := task + "-" + lang
			err = writeLines(filepath.Join(dir, name+".jsonl"), len(questions), func(i int) any {
				return map[string]string{"prompt": questions[i].Prompt, "answer": questions[i].Answer}
			})
			if err != nil {
				return err
			}
			yaml := fmt.Sprintf("task: %s\ndataset: [%s.jsonl]\nnum_fewshot: 0\nprompt: \"{{ prompt }}\"\nanswer: \"{{ answer }}\"\nmax_new_tokens: %d\nmetrics: [em]\n",
				name, name, longestAnswer)
			if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(yaml), 0o644); err != nil {
				return err
			}
			shown = append(shown, map[string]string{"prompt": questions[0].Prompt, "lang": lang})
		}
	}
	return writeLines(filepath.Join(dir, "shown.jsonl"), len(shown), func(i int) any { return shown[i] })
}

// writeLines writes n JSON lines.
func writeLines(path string, n int, line func(i int) any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i := range n {
		if err := enc.Encode(line(i)); err != nil {
			return err
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
