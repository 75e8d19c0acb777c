// Package calibrate makes a model's own answers into training data: instructions are put to the
// original instruct model, and what it answers is what the adapted model is tuned on, so that it
// keeps its maker's manner without their data (self-calibration, Tikhomirov & Chernyshov, arXiv
// 2412.21140).
//
//	o := calibrate.DefaultOptions()
//	o.Model, o.Prompts, o.Out = "path/to/instruct", []string{"instructions.jsonl"}, "answers.jsonl"
//	result, err := calibrate.Run(ctx, o)
//
// The answers come from a native model or from an OpenAI-compatible server. They are filtered (see
// [Filters]), and what is kept is written as conversations in OpenAI's layout, one a line, each
// with where it comes from. A run that was stopped goes on where it was.
package calibrate
