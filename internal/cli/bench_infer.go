package cli

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"lep/infer"
	"lep/linalg"
)

// inferBench is what to run on a model, and how fast that was: the best of the rounds.
type inferBench struct {
	Model     string           `json:"model"`
	Prompt    int              `json:"prompt_tokens"`
	New       int              `json:"new_tokens"`
	Rows      int              `json:"rows"`
	Length    int              `json:"row_tokens"`
	Rounds    int              `json:"rounds"`
	Int8      bool             `json:"int8"`
	Precision linalg.Precision `json:"precision"`
	Threads   int              `json:"threads"`
	BLAS      string           `json:"blas"`
	Prefill   float64          `json:"prefill_tokens_per_second"`
	Decode    float64          `json:"decode_tokens_per_second"` // of the new tokens behind the first
	Generate  float64          `json:"generate_tokens_per_second"`
	ScoreRate float64          `json:"score_tokens_per_second"`
}

func (a *app) benchInferCmd() *cobra.Command {
	b := inferBench{Prompt: 32, New: 128, Rows: 8, Length: 512, Rounds: 3}
	cmd := &cobra.Command{
		Use:   "infer --model DIR",
		Short: "Speed of reading a prompt, generating and scoring with a model",
		Long: `Speed of reading a prompt, of generating one text, and of scoring rows, on random ids. generate counts all new tokens over the
whole time, the prompt's included; decode only what comes after the first.`,
		Example: "  lep bench infer --model ./base\n  lep bench infer --model ./base --prompt 512 --new 16 --int8",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if b.Prompt < 1 || b.New < 2 || b.Rows < 1 || b.Length < 2 || b.Rounds < 1 {
				return usagef("--prompt, --rows and --rounds want at least 1, --new and --seq at least 2")
			}
			if err := a.measureInference(cmd.Context(), &b); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(b)
			}
			return a.table([][]string{
				{"prompt", fmt.Sprintf("%s tokens/s, %d tokens", thousands(int64(b.Prefill)), b.Prompt)},
				{"generate", fmt.Sprintf("%.1f tokens/s behind the first token, %.1f with the prompt", b.Decode, b.Generate)},
				{"score", fmt.Sprintf("%s tokens/s, %d rows of %d tokens", thousands(int64(b.ScoreRate)), b.Rows, b.Length)},
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&b.Model, "model", "", "model folder or hub id")
	f.IntVar(&b.Prompt, "prompt", b.Prompt, "tokens of the prompt")
	f.IntVar(&b.New, "new", b.New, "new tokens")
	f.IntVar(&b.Rows, "rows", b.Rows, "rows that are scored")
	f.IntVar(&b.Length, "seq", b.Length, "tokens of a row")
	f.IntVar(&b.Rounds, "rounds", b.Rounds, "how often; the fastest counts")
	f.BoolVar(&b.Int8, "int8", false, "keep weights in 8 bits")
	precisionFlag(f, &b.Precision)
	cobra.CheckErr(cmd.MarkFlagRequired("model"))
	return cmd
}

func (a *app) measureInference(ctx context.Context, b *inferBench) error {
	opts, err := a.precise(b.Precision)
	if err != nil {
		return err
	}
	opts.Int8, opts.BatchTokens = b.Int8, max(opts.BatchTokens, b.Prompt)
	e, err := infer.Open(b.Model, opts)
	if err != nil {
		return err
	}
	defer e.Close()
	b.Threads, b.BLAS = a.threads, e.Model().BLAS()
	r := rand.New(rand.NewPCG(uint64(a.seed), 1))
	ids := func(n int) []int32 {
		out := make([]int32, n)
		for i := range out {
			out[i] = int32(r.IntN(e.Model().Config.VocabSize))
		}
		return out
	}
	for range b.Rounds {
		// Each round has texts of its own: a prompt that the engine remembers is not read.
		if err := b.generate(ctx, e, ids(b.Prompt)); err != nil {
			return err
		}
		rows := make([]infer.Sequence, b.Rows)
		for i := range rows {
			rows[i].IDs = ids(b.Length)
		}
		start := time.Now()
		if _, err := e.Score(ctx, rows); err != nil {
			return err
		}
		b.ScoreRate = max(b.ScoreRate, float64(b.Rows*b.Length)/time.Since(start).Seconds())
	}
	return nil
}

// generate measures one prompt. The time of the first token is that of the prompt.
func (b *inferBench) generate(ctx context.Context, e *infer.Engine, prompt []int32) error {
	start := time.Now()
	first, last, n := math.NaN(), 0.0, 0
	_, err := e.Generate(ctx, []infer.Request{{IDs: prompt, MaxNewTokens: b.New, IgnoreEOS: true, OnToken: func(t infer.Token) error {
		if t.ID < 0 {
			return nil
		}
		if last = time.Since(start).Seconds(); n == 0 {
			first = last
		}
		n++
		return nil
	}}})
	if err != nil {
		return err
	}
	b.Prefill = max(b.Prefill, float64(len(prompt))/first)
	b.Decode = max(b.Decode, float64(n-1)/(last-first))
	b.Generate = max(b.Generate, float64(n)/last)
	return nil
}
