// Package report shows what was done and what came of it as one HTML page that
// needs nothing else: no network, no fonts, no libraries.
//
// A Run is everything that a page says: the steps with their settings and times,
// the models with their figures, curves, projections, answers, texts as tokens. It is
// also what stands in the results.json of a run folder. Open makes a Run of folders:
// those of runs, evaluations, trainings and propagations in any mix. Write turns a Run into the page.
//
//	run, err := report.Open([]string{"eval/llama3", "eval/llama3-ru"}, report.Options{Tasks: darumeru.Tasks()})
//	if err != nil { … }
//	err = report.Write(w, run)
package report
