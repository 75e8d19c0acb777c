package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"lep/infer"
	"lep/linalg"
	"lep/model"
)

// generateFlags are what generate and chat share.
type generateFlags struct {
	model     string
	maxNew    int
	ignoreEOS bool
	greedy    bool
	stop      []string
	sampling  model.Sampling
	precision linalg.Precision
}

func (g *generateFlags) register(cmd *cobra.Command, maxNew int) {
	f := cmd.Flags()
	f.StringVar(&g.model, "model", "", "model folder or hub id")
	f.IntVar(&g.maxNew, "max-new-tokens", maxNew, "most new tokens")
	f.BoolVar(&g.greedy, "greedy", false, "always take the most likely token")
	f.BoolVar(&g.ignoreEOS, "ignore-eos", false, "do not stop at the model's end tokens")
	f.StringArrayVar(&g.stop, "stop", nil, "stop at this text (may be repeated)")
	f.Float64Var(&g.sampling.Temperature, "temperature", 0, "sampling temperature (default: the model's generation_config)")
	f.IntVar(&g.sampling.TopK, "top-k", 0, "sample from the k most likely tokens (0: all)")
	f.Float64Var(&g.sampling.TopP, "top-p", 0, "sample from the most likely tokens that together have this probability")
	f.Float64Var(&g.sampling.MinP, "min-p", 0, "sample from tokens with at least this share of the best one's probability")
	f.Float64Var(&g.sampling.RepetitionPenalty, "repetition-penalty", 0, "divide the logits of tokens that occurred")
	precisionFlag(f, &g.precision)
	cobra.CheckErr(cmd.MarkFlagRequired("model"))
}

// request fills in everything but the prompt. Flags that were given win over the model's own settings.
func (g *generateFlags) request(cmd *cobra.Command, a *app, e *infer.Engine) infer.Request {
	s := e.Generation().Sampling
	set := func(flag string, dst *float64, v float64) {
		if cmd.Flags().Changed(flag) {
			*dst = v
		}
	}
	set("temperature", &s.Temperature, g.sampling.Temperature)
	set("top-p", &s.TopP, g.sampling.TopP)
	set("min-p", &s.MinP, g.sampling.MinP)
	set("repetition-penalty", &s.RepetitionPenalty, g.sampling.RepetitionPenalty)
	if cmd.Flags().Changed("top-k") {
		s.TopK = g.sampling.TopK
	}
	if g.greedy {
		s = model.Sampling{RepetitionPenalty: g.sampling.RepetitionPenalty}
	}
	return infer.Request{MaxNewTokens: g.maxNew, Sampling: s, Seed: uint64(a.seed), IgnoreEOS: g.ignoreEOS, Stop: g.stop}
}

// generateBatchSize is how many lines are continued together.
const generateBatchSize = 32

func (a *app) generateCmd() *cobra.Command {
	var g generateFlags
	var prompt, data string
	var raw bool
	cmd := &cobra.Command{
		Use:   "generate --model DIR --prompt TEXT",
		Short: "Continue texts",
		Long: `Continue texts with a model. The prompt is a text (--prompt) or the lines of --data, which with --json are {"text": …} or
{"ids": […]}; each gives {"ids": [new ids], "text": …}. ids work without a tokenizer.`,
		Example: "  lep generate --model ./base --prompt 'Once upon a time' --greedy",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (prompt == "") == (data == "") {
				return usagef("give either --prompt or --data")
			}
			e, err := a.openModel(g.model, g.precision)
			if err != nil {
				return err
			}
			defer e.Close()
			base := g.request(cmd, a, e)
			base.AddSpecial = !raw
			if prompt != "" {
				base.Text = prompt
				return a.generateOne(cmd, e, base)
			}
			return a.readLines(data, generateBatchSize, func(lines []inputLine) error { return a.generateBatch(cmd, e, base, lines) })
		},
	}
	g.register(cmd, 128)
	cmd.Flags().StringVar(&prompt, "prompt", "", "text to continue")
	cmd.Flags().StringVar(&data, "data", "", "file of prompts, one a line; - for standard input")
	cmd.Flags().BoolVar(&raw, "raw", false, "do not put the tokenizer's special tokens in front of a text")
	return cmd
}

// generateOne shows a text as it grows.
func (a *app) generateOne(cmd *cobra.Command, e *infer.Engine, r infer.Request) error {
	if !a.json {
		r.OnToken = func(t infer.Token) error {
			_, err := fmt.Fprint(a.out, t.Text)
			return err
		}
	}
	results, err := e.Generate(cmd.Context(), []infer.Request{r})
	if err != nil {
		return err
	}
	if a.json {
		return a.printGenerated(results[0])
	}
	_, err = fmt.Fprintln(a.out)
	return err
}

func (a *app) generateBatch(cmd *cobra.Command, e *infer.Engine, base infer.Request, lines []inputLine) error {
	reqs := make([]infer.Request, len(lines))
	for i, l := range lines {
		reqs[i] = base
		if !a.json {
			reqs[i].Text = string(l.text)
			continue
		}
		var in struct {
			Text *string
			IDs  []int32
		}
		if err := unmarshalLine(l.text, &in); err != nil {
			return l.fail(err)
		}
		switch {
		case in.IDs != nil:
			reqs[i].IDs = in.IDs
		case in.Text != nil:
			reqs[i].Text = *in.Text
		default:
			return l.fail(errors.New(`neither "text" nor "ids"`))
		}
	}
	results, err := e.Generate(cmd.Context(), reqs)
	if err != nil {
		return err
	}
	for _, r := range results {
		if a.json {
			err = a.printGenerated(r)
		} else {
			_, err = fmt.Fprintln(a.out, r.Text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printGenerated(r infer.Result) error {
	return a.printJSON(struct {
		IDs    []int32 `json:"ids"`
		Text   string  `json:"text"`
		Finish string  `json:"finish_reason"`
	}{notNil(r.IDs), r.Text, r.Finish})
}
