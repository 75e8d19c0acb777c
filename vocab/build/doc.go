// Package build makes vocabulary folders from texts: it trains new vocabularies ([Trainer]) and brings a
// language into a model's own by one of the method's scenarios ([Make]), in the model's format and
// with its special tokens. What is decided about tokens stands in vocab/scenario; here it is
// read, proved on samples and written.
//
//	opts := build.DefaultOptions()
//	opts.Scenario, opts.Base, opts.Files = scenario.Extension, "./llama3", []string{"ru/*.jsonl.zst"}
//	summary, err := build.Make(ctx, opts, "./extended")
package build
