package darumeru

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"lep/eval"
	"lep/eval/metric"
)

// measureCase is the input of a metric by name.
type measureCase struct{ prediction, reference, args json.RawMessage }

// into decodes the prediction and, if to is given, the reference.
func (c measureCase) into(prediction any, reference ...any) error {
	if err := json.Unmarshal(c.prediction, prediction); err != nil {
		return fmt.Errorf("prediction: %w", err)
	}
	for _, to := range reference {
		if err := json.Unmarshal(c.reference, to); err != nil {
			return fmt.Errorf("reference: %w", err)
		}
	}
	return nil
}

// texts decodes prediction and reference as strings.
func (c measureCase) texts() (prediction, reference string, err error) {
	err = c.into(&prediction, &reference)
	return prediction, reference, err
}

// lists decodes prediction and reference as lists of labels of one length.
func (c measureCase) lists() (prediction, reference []string, err error) {
	if err = c.into(&prediction, &reference); err == nil && len(prediction) != len(reference) {
		err = fmt.Errorf("%d predictions, %d references", len(prediction), len(reference))
	}
	return prediction, reference, err
}

// measures are the metrics by name.
var measures = map[string]func(measureCase) (any, error){
	"squad_f1":           onAnswers(metric.SQuADF1),
	"squad_em":           onAnswers(metric.SQuADExact),
	"squad_normalize":    onText(func(s string) (any, error) { return metric.SQuADNormalize(s), nil }),
	"rouge_tokens":       onText(func(s string) (any, error) { return metric.RougeTokens(s) }),
	"rouge1":             onTokens(func(r, p []string) metric.Rouge { return metric.RougeN(1, r, p) }),
	"rouge2":             onTokens(func(r, p []string) metric.Rouge { return metric.RougeN(2, r, p) }),
	"rougeL":             onTokens(metric.RougeL),
	"accuracy":           onLabels(metric.Accuracy),
	"f1_macro":           onLabels(metric.F1Macro),
	"mcc":                onLabels(metric.MCC),
	"choice_pick":        choicePick,
	"pair_accuracy":      onKeys("id", metric.PairAccuracy),
	"mmlu_category_mean": onKeys("subject", func(l []metric.Keyed) (float64, error) { return metric.CategoryMean(l, category) }),
	"use_score":          useScore,
	"use_grade_norm":     useGradeNorm,
	"r_precision":        rPrecision,
	"treeway_r_prec":     treewayRPrecision,
	"copy":               copyMeasure,
	"difflib_blocks":     difflibBlocks,
	"leaderboard":        leaderboard,
	"leaderboard_copy":   leaderboardCopy,
}

// MeasureNames lists the metrics that Measure knows.
func MeasureNames() []string {
	var names []string
	for name := range measures {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Measure computes a metric by its name for one case, each part in JSON; not-a-number is "NaN".
func Measure(name string, prediction, reference, args json.RawMessage) (any, error) {
	f, ok := measures[name]
	if !ok {
		return nil, fmt.Errorf("unknown metric %q, want one of %s", name, strings.Join(MeasureNames(), ", "))
	}
	v, err := f(measureCase{prediction, reference, args})
	if x, ok := v.(float64); ok && math.IsNaN(x) {
		return "NaN", err
	}
	return v, err
}

func onAnswers(f func(string, []string) float64) func(measureCase) (any, error) {
	return func(c measureCase) (any, error) {
		var text string
		var answers []string
		err := c.into(&text, &answers)
		return f(text, answers), err
	}
}

func onText(f func(string) (any, error)) func(measureCase) (any, error) {
	return func(c measureCase) (any, error) {
		var text string
		if err := c.into(&text); err != nil {
			return nil, err
		}
		return f(text)
	}
}

func onTokens(f func(reference, prediction []string) metric.Rouge) func(measureCase) (any, error) {
	return func(c measureCase) (any, error) {
		text, gold, err := c.texts()
		if err != nil {
			return nil, err
		}
		p, err := metric.RougeTokens(text)
		if err != nil {
			return nil, err
		}
		r, err := metric.RougeTokens(gold)
		return f(r, p), err
	}
}

func onLabels(f func(gold, predicted []string) float64) func(measureCase) (any, error) {
	return func(c measureCase) (any, error) {
		p, r, err := c.lists()
		if err != nil {
			return nil, err
		}
		return f(r, p), nil
	}
}

func onKeys(key string, f func([]metric.Keyed) (float64, error)) func(measureCase) (any, error) {
	return func(c measureCase) (any, error) {
		var rows []map[string]json.RawMessage
		if err := c.into(&rows); err != nil {
			return nil, err
		}
		list := make([]metric.Keyed, len(rows))
		for i, row := range rows {
			var right bool
			if err := json.Unmarshal(row["val"], &right); err != nil {
				return nil, fmt.Errorf("prediction %d: val: %w", i+1, err)
			}
			list[i] = metric.Keyed{Key: strings.Trim(string(row[key]), `"`), Value: number(right)}
		}
		return f(list)
	}
}

func choicePick(c measureCase) (any, error) { return eval.Sample{Prediction: c.prediction}.Picked() }

func useScore(c measureCase) (any, error) {
	var args struct {
		Type   string
		IDTask string `json:"id_task"`
	}
	if err := json.Unmarshal(c.args, &args); err != nil {
		return nil, fmt.Errorf("args: %w", err)
	}
	p, r, err := c.texts()
	return metric.ExamScore(p, r, args.Type, args.IDTask), err
}

func useGradeNorm(c measureCase) (any, error) {
	var rows [][2]json.Number
	if err := c.into(&rows); err != nil {
		return nil, err
	}
	list := make([]metric.Keyed, len(rows))
	for i, row := range rows {
		score, err := row[0].Float64()
		if err != nil {
			return nil, fmt.Errorf("prediction %d: %w", i+1, err)
		}
		list[i] = metric.Keyed{Key: row[1].String(), Value: score}
	}
	return metric.GradeNorm(list), nil
}

func rPrecision(c measureCase) (any, error) {
	var scores []float64
	var labels []any
	if err := c.into(&scores, &labels); err != nil {
		return nil, err
	}
	if len(scores) != len(labels) {
		return nil, fmt.Errorf("%d predictions, %d references", len(scores), len(labels))
	}
	positive := make([]bool, len(labels))
	for i, l := range labels {
		positive[i] = l == true || l != false && l != 0.0
	}
	return metric.RPrecision(scores, positive), nil
}

func treewayRPrecision(c measureCase) (any, error) {
	var groups [][]struct {
		Label    bool
		LogProbs []float64
	}
	if err := c.into(&groups); err != nil {
		return nil, err
	}
	var each []float64
	for i, g := range groups {
		var positive []bool
		var logprobs [][]float64
		for _, s := range g {
			positive, logprobs = append(positive, s.Label), append(logprobs, s.LogProbs)
		}
		v, err := metric.FirstTokensRPrecision(logprobs, positive)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
		each = append(each, v)
	}
	return metric.Mean(each), nil
}

func copyMeasure(c measureCase) (any, error) {
	var args struct {
		ReferenceTokens *int `json:"reference_tokens"`
		PredictedTokens *int `json:"predicted_tokens"`
		MaxNewTokens    int  `json:"max_new_tokens"`
	}
	if err := json.Unmarshal(c.args, &args); err != nil {
		return nil, fmt.Errorf("args: %w", err)
	}
	if args.ReferenceTokens == nil || args.PredictedTokens == nil {
		return nil, fmt.Errorf("args: no reference_tokens or predicted_tokens")
	}
	p, r, err := c.texts()
	n := *args.ReferenceTokens
	if args.MaxNewTokens > 0 {
		n = min(n, args.MaxNewTokens)
	}
	return metric.Copy(r, p, n, *args.PredictedTokens), err
}

func difflibBlocks(c measureCase) (any, error) {
	p, r, err := c.texts()
	var list [][3]int
	for _, b := range metric.MatchingBlocks([]rune(r), []rune(p)) {
		list = append(list, [3]int{b.Reference, b.Prediction, b.Length})
	}
	return list, err
}

func leaderboard(c measureCase) (any, error) {
	var values map[string]float64
	if err := c.into(&values); err != nil {
		return nil, err
	}
	var names []string
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	var list []float64
	for _, name := range names {
		list = append(list, values[name])
	}
	return metric.Mean(list), nil
}

func leaderboardCopy(c measureCase) (any, error) {
	var args struct{ Subtask string }
	if err := json.Unmarshal(c.args, &args); err != nil {
		return nil, fmt.Errorf("args: %w", err)
	}
	var values map[string]float64
	if err := c.into(&values); err != nil {
		return nil, err
	}
	name, ok := map[string]string{"sent": "len", "para": "lcs"}[args.Subtask]
	if !ok {
		return nil, fmt.Errorf("args: subtask is %q, want sent or para", args.Subtask)
	}
	return values[name], nil
}
