// Package modelcard reads and writes model cards, the README.md of a model folder: a head in YAML that
// the hub understands (license, languages, base models, results) and a body for people. It also checks
// that a folder can be published as it is.
//
//	card := &modelcard.Card{Title: "llama3-ru-instruct", BaseModel: []string{"meta-llama/Meta-Llama-3-8B-Instruct"}}
//	card.Inherit("path/to/instruct")
//	err := card.WriteFile("out")
//
// The keys of the head are those of huggingface_hub's ModelCardData; [Parse] keeps those it does not know.
package modelcard
