// Package recipe runs the whole method from one YAML file: vocabularies, first rows, training,
// propagation, self-calibration, tuning, evaluation, export and report; parts may be left out. Lists make
// a grid whose common stages run once, and a training may go in phases. What a stage made is kept in the
// run folder under a hash of all that it was made from, so that a run goes on where it was stopped or
// killed, and a second run of a finished recipe does nothing.
//
//	r, err := recipe.Load("llama3-ru.yaml", recipe.LoadOptions{})
//	run, err := recipe.Open(r, recipe.DefaultOptions())
//	defer run.Close()
//	result, err := run.Run(ctx)
//
// The keys of a section are those of the Options of the package that does the work; package
// recipe/spec reads the language. A run folder holds recipe.lock.yaml, stages/NAME with stage.json and
// what the stage made, events.jsonl, results.json (a report.Run) and report.html.
package recipe
