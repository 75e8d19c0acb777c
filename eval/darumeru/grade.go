package darumeru

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"lep/eval"
	"lep/eval/metric"
)

// grading measures answers one by one and then together.
type grading struct {
	measure   func(eval.Sample) (eval.Measured, error)
	aggregate func(metrics []string) func([]eval.Measured) (map[string]float64, error)
	units     bool // results with one key belong together
}

// means aggregates every metric by its plain mean.
func means(metrics []string) func([]eval.Measured) (map[string]float64, error) {
	return func(list []eval.Measured) (map[string]float64, error) {
		out := map[string]float64{}
		for _, name := range metrics {
			values := make([]float64, len(list))
			for i, m := range list {
				values[i] = m.Values[name]
			}
			out[name] = metric.Mean(values)
		}
		return out, nil
	}
}

func number(right bool) float64 {
	if right {
		return 1
	}
	return 0
}

// keyed returns the key and the named value of all results.
func keyed(list []eval.Measured, name string) []metric.Keyed {
	out := make([]metric.Keyed, len(list))
	for i, m := range list {
		out[i] = metric.Keyed{Key: m.Key, Value: m.Values[name]}
	}
	return out
}

// label compares the choice with a gold label.
func label(s eval.Sample) (m eval.Measured, err error) {
	if m.Gold, err = s.GoldText(); err != nil {
		return m, err
	}
	if m.Predicted, err = s.Picked(); err != nil {
		return m, err
	}
	m.Values = map[string]float64{"acc": number(m.Gold == m.Predicted)}
	return m, nil
}

// labels aggregates acc, f1_macro and mcc, as far as they are asked for.
func labels(metrics []string) func([]eval.Measured) (map[string]float64, error) {
	return func(list []eval.Measured) (map[string]float64, error) {
		gold, predicted := make([]string, len(list)), make([]string, len(list))
		for i, m := range list {
			gold[i], predicted[i] = m.Gold, m.Predicted
		}
		out := map[string]float64{}
		for _, name := range metrics {
			switch name {
			case "acc":
				out[name] = metric.Accuracy(gold, predicted)
			case "f1_macro":
				out[name] = metric.F1Macro(gold, predicted)
			case "mcc":
				out[name] = metric.MCC(gold, predicted)
			}
		}
		return out, nil
	}
}

var byLabel = grading{measure: label, aggregate: labels}

// byPrefix is right if the gold answer begins with the choice.
var byPrefix = grading{aggregate: means, measure: func(s eval.Sample) (eval.Measured, error) {
	m, err := label(s)
	if err == nil {
		m.Values["acc"] = number(strings.HasPrefix(m.Gold, m.Predicted))
	}
	return m, err
}}

// byPair counts a record if both of its requests are right.
var byPair = grading{
	units: true,
	measure: func(s eval.Sample) (eval.Measured, error) {
		m, err := label(s)
		if err == nil {
			m.Key, err = s.Key()
		}
		return m, err
	},
	aggregate: func([]string) func([]eval.Measured) (map[string]float64, error) {
		return func(list []eval.Measured) (map[string]float64, error) {
			v, err := metric.PairAccuracy(keyed(list, "acc"))
			return map[string]float64{"acc": v}, err
		}
	},
}

// bySubject is the mean over categories of means over subjects.
var bySubject = grading{
	measure: func(s eval.Sample) (eval.Measured, error) {
		m, err := label(s)
		if err == nil {
			err = s.Field("subject", &m.Key)
		}
		return m, err
	},
	aggregate: func([]string) func([]eval.Measured) (map[string]float64, error) {
		return func(list []eval.Measured) (map[string]float64, error) {
			v, err := metric.CategoryMean(keyed(list, "acc"), category)
			return map[string]float64{"acc": v}, err
		}
	},
}

// bySpans compares a text with the accepted answers.
var bySpans = grading{aggregate: means, measure: func(s eval.Sample) (eval.Measured, error) {
	var answers []string
	if err := json.Unmarshal(s.Gold, &answers); err != nil {
		return eval.Measured{}, fmt.Errorf("gold: want a list of accepted answers: %w", err)
	}
	text, err := s.Text()
	return eval.Measured{Values: map[string]float64{"f1": metric.SQuADF1(text, answers), "em": metric.SQuADExact(text, answers)}}, err
}}

// byExam grades tasks of the state exam, summed by variant.
var byExam = grading{
	measure: func(s eval.Sample) (eval.Measured, error) {
		var kind, task string
		var variant json.Number
		for name, to := range map[string]any{"type": &kind, "id_task": &task, "variant": &variant} {
			if err := s.Field(name, to); err != nil {
				return eval.Measured{}, err
			}
		}
		gold, err := s.GoldText()
		if err != nil {
			return eval.Measured{}, err
		}
		text, err := s.Text()
		return eval.Measured{Key: variant.String(), Values: map[string]float64{"grade_norm": metric.ExamScore(text, gold, kind, task)}}, err
	},
	aggregate: func([]string) func([]eval.Measured) (map[string]float64, error) {
		return func(list []eval.Measured) (map[string]float64, error) {
			return map[string]float64{"grade_norm": metric.GradeNorm(keyed(list, "grade_norm"))}, nil
		}
	},
}

var byRouge = grading{aggregate: means, measure: func(s eval.Sample) (m eval.Measured, err error) {
	gold, err := s.GoldText()
	if err != nil {
		return m, err
	}
	text, err := s.Text()
	if err != nil {
		return m, err
	}
	reference, err := metric.RougeTokens(gold)
	if err != nil {
		return m, err
	}
	prediction, err := metric.RougeTokens(text)
	m.Values = map[string]float64{
		"rougel": metric.RougeL(reference, prediction).FMeasure,
		"rouge1": metric.RougeN(1, reference, prediction).FMeasure,
		"rouge2": metric.RougeN(2, reference, prediction).FMeasure,
	}
	return m, err
}}

var byCopy = grading{aggregate: means, measure: func(s eval.Sample) (m eval.Measured, err error) {
	gold, err := s.GoldText()
	if err != nil {
		return m, err
	}
	text, err := s.Text()
	if err != nil {
		return m, err
	}
	var wanted, got int
	if err := s.Field("reference_tokens", &wanted); err != nil {
		return m, err
	}
	if err := s.Field("predicted_tokens", &got); err != nil {
		return m, err
	}
	c := metric.Copy(gold, text, wanted, got)
	m.Values = map[string]float64{"len": c.Len, "lcs": c.LCS, "symbol_per_token": c.SymbolPerToken, "tokens_per_word": c.TokensPerWord}
	return m, nil
}}

// byRank is R-precision of a document's sentences by log-probability, mean over documents.
var byRank = grading{
	units: true,
	measure: func(s eval.Sample) (m eval.Measured, err error) {
		var gold struct {
			Label   *bool       `json:"label"`
			GroupID json.Number `json:"group_id"`
		}
		if err := json.Unmarshal(s.Gold, &gold); err != nil || gold.Label == nil || gold.GroupID == "" {
			return m, fmt.Errorf("gold: want an object with label (true or false) and group_id: %w", err)
		}
		m.Positive, m.Key = *gold.Label, gold.GroupID.String()
		if err := json.Unmarshal(s.Prediction, &m.LogProbs); err != nil {
			return m, fmt.Errorf("prediction: want a list of log-probabilities: %w", err)
		}
		return m, nil
	},
	aggregate: func([]string) func([]eval.Measured) (map[string]float64, error) {
		return func(list []eval.Measured) (map[string]float64, error) {
			var order []string
			logprobs, positive := map[string][][]float64{}, map[string][]bool{}
			for _, m := range list {
				if _, ok := logprobs[m.Key]; !ok {
					order = append(order, m.Key)
				}
				logprobs[m.Key] = append(logprobs[m.Key], m.LogProbs)
				positive[m.Key] = append(positive[m.Key], m.Positive)
			}
			var each []float64
			for _, key := range order {
				v, err := metric.FirstTokensRPrecision(logprobs[key], positive[key])
				if err == nil && math.IsNaN(v) {
					err = fmt.Errorf("no sentence belongs to the summary")
				}
				if err != nil {
					return nil, fmt.Errorf("document %s: %w", key, err)
				}
				each = append(each, v)
			}
			return map[string]float64{"r-prec": metric.Mean(each)}, nil
		}
	},
}
