package eval

import (
	"context"
	"encoding/json"
	"fmt"

	"lep/chat"
)

// Model answers requests. NewNative makes one of an engine, NewRemote one of a server.
type Model interface {
	// Describe says what is asked; it does not change during a run.
	Describe() Description
	// Supports says why a task cannot be done, nil if it can.
	Supports(t Task) error
	// PromptTokens counts the tokens of the rendered messages.
	PromptTokens(messages []chat.Message) (int, error)
	// Answer answers requests of one task. keep takes each answer as soon as it is there, in any
	// order but one at a time; an error from it ends the call.
	Answer(ctx context.Context, t Task, requests []Request, keep func(i int, a Answer) error) error
}

// Description identifies a model in results.
type Description struct {
	Name    string // path or address
	Digest  string // changes with the weights, the tokenizer and the chat template
	Context int    // most tokens of prompt and answer together, 0 if not known
	Chat    bool   // a chat template is used, so that the default is to give no examples
}

// Answer is what a model makes of a request. Which fields are filled depends on the method.
type Answer struct {
	Text     string    `json:"text,omitempty"`
	Tokens   int       `json:"tokens,omitempty"` // of Text, without the end token
	Probs    []float64 `json:"probs,omitempty"`  // by choice
	LogProbs []float64 `json:"logprobs,omitempty"`

	Prompt          string  `json:"prompt,omitempty"`
	PromptTokens    int     `json:"prompt_tokens,omitempty"`
	ReferenceTokens int     `json:"reference_tokens,omitempty"`
	Seconds         float64 `json:"seconds,omitempty"`
	// Unscored says why there is no answer, "" if there is one.
	Unscored string `json:"unscored,omitempty"`
}

// prediction is the answer as it stands in a sample.
func (a Answer) prediction(t Task, r Request) (json.RawMessage, error) {
	switch t.Method {
	case Choice:
		if len(a.Probs) != len(r.Choices) {
			return nil, fmt.Errorf("%d probabilities for %d choices", len(a.Probs), len(r.Choices))
		}
		return writeChoices(r.Choices, a.Probs), nil
	case LogProb:
		return mustJSON(a.LogProbs), nil
	}
	return mustJSON(a.Text), nil
}

// sample joins request and answer.
func sample(t Task, index int, r Request, a Answer) (Sample, error) {
	prediction, err := a.prediction(t, r)
	if err != nil {
		return Sample{}, fmt.Errorf("%s %d: %w", t.Name, index, err)
	}
	s := Sample{Index: index, ID: mustJSON(r.ID), Gold: mustJSON(r.Gold), Prediction: prediction, Fields: map[string]json.RawMessage{}}
	for name, v := range r.Fields {
		s.Fields[name] = mustJSON(v)
	}
	s.Fields["prompt_tokens"] = mustJSON(a.PromptTokens)
	if t.Method == Generate {
		s.Fields["predicted_tokens"] = mustJSON(a.Tokens)
		s.Fields["seconds"] = mustJSON(a.Seconds)
	}
	if r.Reference != "" {
		s.Fields["reference_tokens"] = mustJSON(a.ReferenceTokens)
	}
	return s, nil
}
