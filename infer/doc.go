// Package infer generates text and scores it. An [Engine] does both with the native decoder;
// prompts and texts may be token ids or, where the model folder has a tokenizer, text.
//
// The main names are [Open], [Engine.Generate], [Engine.Score] and [Engine.NextLogProbs].
//
//	e, err := infer.Open("path/to/model", infer.DefaultOptions())
//	defer e.Close()
//	results, err := e.Generate(ctx, []infer.Request{{Text: "Once upon a time", AddSpecial: true, MaxNewTokens: 100}})
//	fmt.Println(results[0].Text)
package infer
