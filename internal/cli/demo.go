package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lep/chat"
	"lep/infer"
	"lep/internal/atomic"
	"lep/internal/pocket"
	"lep/linalg"
	"lep/propagate"
)

// demoRow is one model of the comparison.
type demoRow struct {
	Model      string             `json:"model"`
	Vocabulary string             `json:"vocabulary,omitempty"`
	Method     string             `json:"method,omitempty"`
	Bits       map[string]float64 `json:"bits_per_byte"`       // by language
	Characters map[string]float64 `json:"characters_a_token"`  // by language
	FirstWord  map[string]float64 `json:"first_word_accuracy"` // by language, 0 to 1
	CopyEN     float64            `json:"copy_en_accuracy"`
	HeldOutR2  map[string]float64 `json:"held_out_r2,omitempty"` // by module
}

type demoReport struct {
	Dir     string    `json:"dir"`
	Quick   bool      `json:"quick"`
	Seconds float64   `json:"seconds"`
	Rows    []demoRow `json:"rows"`
}

// demo is the work of one lep demo.
type demo struct {
	a         *app
	dir       string
	every     int // of the texts and questions
	family    *pocket.Family
	heldout   map[string][]string
	questions map[string][]pocket.Question
	report    demoReport
}

// demoMethods are the columns of the paper's comparison and what lep adds.
var demoMethods = []struct {
	name       string
	method     propagate.Method
	keepShared bool
}{
	{"swap", propagate.Swap, false},
	{"overlap", propagate.Overlap, false},
	{"conversion", propagate.Conversion, false},
	{"ridge", propagate.Ridge, false},
	{"auto", propagate.Auto, false},
	{"keep-shared", propagate.Conversion, true},
}

func (a *app) demoCmd() *cobra.Command {
	var quick bool
	var out string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Try the method offline on the bundled models, in a minute or two",
		Long: `Try the method offline on the bundled models. A base model, its instruct model and four adapted donors (one for each way to
make a Russian vocabulary) are unpacked, every donor is propagated into the instruct model by every method, and all are measured on held-out
texts and questions. The models stay in the printed folder for you to try.`,
		Example: "  lep demo --quick\n  lep demo --out ./lep-demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &demo{a: a, every: 1}
			d.report.Quick = quick
			if quick {
				d.every = 4
			}
			if out == "" {
				temp, err := os.MkdirTemp("", "lep-demo-")
				if err != nil {
					return err
				}
				d.dir = temp
				return d.run(cmd.Context())
			}
			return a.writeDir(out, func(dir string) error {
				d.dir = dir
				d.report.Dir = out
				return d.run(cmd.Context())
			})
		},
	}
	cmd.Flags().BoolVar(&quick, "quick", false, "two vocabularies, three methods, a quarter of the texts")
	cmd.Flags().StringVar(&out, "out", "", "folder for the models and results (default: a new temporary folder)")
	return cmd
}

func (d *demo) run(ctx context.Context) error {
	began := time.Now()
	if d.report.Dir == "" {
		d.report.Dir = d.dir
	}
	if err := d.load(ctx); err != nil {
		return err
	}
	if err := d.measure(ctx, demoRow{Model: "base"}, d.family.Base, false); err != nil {
		return err
	}
	if err := d.measure(ctx, demoRow{Model: "instruct"}, d.family.Instruct, true); err != nil {
		return err
	}
	vocabularies, methods := pocket.Vocabularies, demoMethods
	if d.report.Quick {
		vocabularies, methods = []string{"bpe", "extension"}, demoMethods[:3]
	}
	for _, v := range vocabularies {
		if err := d.measure(ctx, demoRow{Model: "donor", Vocabulary: v}, d.family.Donors[v], false); err != nil {
			return err
		}
		for _, m := range methods {
			if err := d.propagate(ctx, v, m.name, m.method, m.keepShared); err != nil {
				return err
			}
		}
	}
	d.report.Seconds = time.Since(began).Seconds()
	raw, err := json.MarshalIndent(d.report, "", "  ")
	if err != nil {
		return err
	}
	if err := atomic.WriteFile(filepath.Join(d.dir, "results.json"), append(raw, '\n'), true); err != nil {
		return err
	}
	if d.a.json {
		return d.a.printJSON(d.report)
	}
	return d.print()
}

func (d *demo) load(ctx context.Context) (err error) {
	d.a.notef("unpacking the bundled models to %s", d.report.Dir)
	models := filepath.Join(d.dir, "models")
	if err := os.MkdirAll(models, 0o755); err != nil {
		return err
	}
	if d.family, err = pocket.Unpack(ctx, models); err != nil {
		return err
	}
	d.heldout, d.questions = map[string][]string{}, map[string][]pocket.Question{}
	for _, lang := range []string{"ru", "en"} {
		texts, err := pocket.Heldout(lang)
		if err != nil {
			return err
		}
		d.heldout[lang] = every(texts, d.every)
		for _, task := range []string{"first", "copy"} {
			q, err := pocket.Questions(task, lang)
			if err != nil {
				return err
			}
			d.questions[task+lang] = every(q, d.every)
		}
	}
	return nil
}

func every[T any](list []T, n int) []T {
	var out []T
	for i := 0; i < len(list); i += n {
		out = append(out, list[i])
	}
	return out
}

func (d *demo) propagate(ctx context.Context, vocabulary, name string, method propagate.Method, keepShared bool) error {
	out := filepath.Join(d.dir, "results", vocabulary+"-"+name)
	opts := propagate.DefaultOptions()
	opts.Source, opts.Donor = d.family.Base, d.family.Donors[vocabulary]
	opts.Targets = []propagate.Target{{Model: d.family.Instruct, Out: out}}
	opts.Method, opts.KeepShared = method, keepShared
	opts.Threads, opts.Seed, opts.Version = d.a.threads, uint64(d.a.seed), Version
	opts.Language, opts.License = "ru", "apache-2.0"
	var err error
	if opts.BLAS, err = linalg.Open(d.a.blas, d.a.threads); err != nil {
		return usageError{err}
	}
	r, err := propagate.Run(ctx, opts)
	if err != nil {
		return err
	}
	t := r.Targets[0]
	if !propagate.Passed(t.Checks) {
		return fmt.Errorf("%s-%s: %w: %v", vocabulary, name, errCheck, t.Checks)
	}
	row := demoRow{Model: "result", Vocabulary: vocabulary, Method: name, HeldOutR2: map[string]float64{}}
	for _, m := range t.Modules {
		if m.HeldOut != nil {
			row.HeldOutR2[m.Module] = float64(m.HeldOut.R2)
		}
	}
	return d.measure(ctx, row, out, true)
}

// measure scores the texts and, for an instruct model, asks the questions.
func (d *demo) measure(ctx context.Context, row demoRow, dir string, instruct bool) error {
	d.a.notef("measuring %s", strings.TrimSpace(strings.Join([]string{row.Vocabulary, row.Model, row.Method}, " ")))
	e, err := infer.Open(dir, d.a.inferOptions())
	if err != nil {
		return err
	}
	defer e.Close()
	row.Bits, row.Characters, row.FirstWord = map[string]float64{}, map[string]float64{}, map[string]float64{}
	for lang, texts := range d.heldout {
		if row.Bits[lang], err = bitsPerByte(ctx, e, texts); err != nil {
			return err
		}
		characters, tokens := 0, 0
		for _, t := range texts {
			characters += len([]rune(t))
			tokens += len(e.Tokenizer().Encode(t))
		}
		row.Characters[lang] = float64(characters) / float64(tokens)
		if !instruct {
			continue
		}
		if row.FirstWord[lang], err = d.ask(ctx, e, d.questions["first"+lang]); err != nil {
			return err
		}
	}
	if instruct {
		if row.CopyEN, err = d.ask(ctx, e, d.questions["copyen"]); err != nil {
			return err
		}
	}
	d.report.Rows = append(d.report.Rows, row)
	return nil
}

// ask returns the share of questions whose greedy answer is the right one, letter for letter.
func (d *demo) ask(ctx context.Context, e *infer.Engine, questions []pocket.Question) (float64, error) {
	tok := e.Tokenizer()
	template, err := chat.Parse(tok.Config().ChatTemplate)
	if err != nil {
		return 0, err
	}
	reqs := make([]infer.Request, len(questions))
	for i, q := range questions {
		text, err := template.Render(chat.Options{
			Messages: []chat.Message{{Role: "user", Content: q.Prompt}}, AddGenerationPrompt: true, Special: chat.Special(tok.Config()),
		})
		if err != nil {
			return 0, err
		}
		limit := min(100, len(tok.Encode(q.Answer))+4)
		reqs[i] = infer.Request{IDs: tok.Encode(text.Text), MaxNewTokens: limit}
	}
	answers, err := e.Generate(ctx, reqs)
	if err != nil {
		return 0, err
	}
	right := 0
	for i, r := range answers {
		if strings.TrimSpace(r.Text) == questions[i].Answer {
			right++
		}
	}
	return float64(right) / float64(len(questions)), nil
}

func (d *demo) print() error {
	rows := [][]string{{"vocabulary", "model", "bits/byte ru", "bits/byte en", "chars/token ru", "first word ru", "first word en", "copy en", "R² embed, head"}}
	percent := func(x float64) string { return fmt.Sprintf("%.0f %%", 100*x) }
	for _, r := range d.report.Rows {
		vocabulary, name := r.Vocabulary, r.Model
		if vocabulary == "" {
			vocabulary = "old"
		}
		if r.Method != "" {
			name = r.Method
		}
		ru, en, copied, r2 := "", "", "", ""
		if len(r.FirstWord) > 0 {
			ru, en, copied = percent(r.FirstWord["ru"]), percent(r.FirstWord["en"]), percent(r.CopyEN)
		}
		if len(r.HeldOutR2) > 0 {
			r2 = fmt.Sprintf("%.3f, %.3f", r.HeldOutR2["embed_tokens"], r.HeldOutR2["lm_head"])
		}
		rows = append(rows, []string{vocabulary, name, fmt.Sprintf("%.3f", r.Bits["ru"]), fmt.Sprintf("%.3f", r.Bits["en"]),
			fmt.Sprintf("%.2f", r.Characters["ru"]), ru, en, copied, r2})
	}
	if err := d.a.table(rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(d.a.out, `
base: the model before tuning.  instruct: tuned to answer, old vocabulary.  donor: base with a new Russian vocabulary, trained.
The other rows are instruct models with the donor's vocabulary, made without any instruction data, by the method named.
Fewer bits per byte and more characters a token are better: that is what the new vocabulary brings. %.0f s.

Models and figures: %s
`, d.report.Seconds, d.report.Dir)
	return err
}
