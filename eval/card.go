package eval

import (
	"maps"
	"slices"
	"strings"

	"lep/modelcard"
)

// Evaluations are the results as the head of a model card has them: every task that has a score with its metrics.
func (r *Result) Evaluations() []modelcard.Evaluation {
	var list []modelcard.Evaluation
	for _, task := range slices.Sorted(maps.Keys(r.Scores)) {
		e := modelcard.Evaluation{Task: modelcard.Task{Type: "text-generation", Name: task}, Dataset: modelcard.Dataset{Type: task, Name: task}}
		for _, metric := range slices.Sorted(maps.Keys(r.Results[task])) {
			if !strings.HasSuffix(metric, "_stderr") {
				e.Metrics = append(e.Metrics, modelcard.Metric{Type: metric, Value: r.Results[task][metric]})
			}
		}
		list = append(list, e)
	}
	return list
}
