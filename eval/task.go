package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"lep/chat"
)

// Method is how a model is asked.
type Method string

const (
	Generate Method = "generate" // text that follows the prompt, greedily
	Choice   Method = "choice"   // probabilities of given strings behind the prompt
	LogProb  Method = "logprob"  // log-probabilities of the last message's tokens
)

// Task is a data set, the way to ask about it and the way to grade the answers.
type Task struct {
	Name, Group  string
	Version      int // changes when answers to the same data would differ
	Method       Method
	MaxNewTokens int
	Stop         []string // strings that end a generated answer, besides the model's own
	// NumFewshot is the number of examples where the options leave it open, nil for none.
	NumFewshot *int
	// Metrics are the names of the metrics, in the order of reports.
	Metrics []string

	// Requests reads the data and builds the requests.
	Requests func(ctx context.Context, p Plan) ([]Request, error)
	// Dialogue takes the place of Requests where questions depend on answers: ask answers some
	// requests, and the next ones may be made of the samples.
	Dialogue func(ctx context.Context, p Plan, ask func([]Request) ([]Sample, error)) error
	// Measure grades one answer.
	Measure func(s Sample) (Measured, error)
	// Aggregate makes the metrics of all graded answers.
	Aggregate func(list []Measured) (map[string]float64, error)
	// Score makes the task's one number of its metrics; nil is their mean.
	Score func(metrics map[string]float64) float64
	// Units says that answers with the same key are drawn together in resampling: both
	// directions of a question, the sentences of a document.
	Units bool

	sampling Generation // of Options, with its seed
	seed     int64
}

// score is the task's one number.
func (t *Task) score(metrics map[string]float64) float64 {
	if t.Score != nil {
		return t.Score(metrics)
	}
	sum := 0.0
	for _, name := range t.Metrics {
		sum += metrics[name]
	}
	return sum / float64(len(t.Metrics))
}

// Plan is what a task needs to build its requests.
type Plan struct {
	Data       Data
	NumFewshot int
	Limit      int // most records of the test split, 0 for all
	Wording    Wording
	// Fits reports whether a request is short enough.
	Fits func(messages []chat.Message) (bool, error)
	// Warn takes what is worth knowing of the data.
	Warn func(format string, args ...any)
}

// Wording holds the strings of tasks whose text is not in their data: task, name, text.
type Wording map[string]map[string]string

// Text returns a string of a task's wording; a missing one is an error.
func (w Wording) Text(task, name string) (string, error) {
	if text, ok := w[task][name]; ok {
		return text, nil
	}
	return "", fmt.Errorf("wording: %s: no %q", task, name)
}

// Request is one thing asked of the model.
type Request struct {
	Messages []chat.Message
	Choices  []string // of method choice
	// ID tells which record is asked about: requests of one record have the same.
	ID int
	// Gold is the right answer, in the form that the task's Measure reads.
	Gold any
	// Fields are what Measure needs besides, by name.
	Fields map[string]any
	// Reference is a text whose tokens are to be counted (field reference_tokens).
	Reference string
	// Answer is the right answer as it would follow the prompt, blank in front included; "" where
	// there is none. Options.AnswerLogProb scores it.
	Answer string
	// TooLong says that the request does not fit even without examples.
	TooLong bool
}

// Sample is a request that was answered, as it stands in samples/TASK.jsonl.
type Sample struct {
	Index      int
	ID         json.RawMessage // number or string
	Gold       json.RawMessage
	Prediction json.RawMessage // text, object choice → probability, or list of log-probabilities
	Fields     map[string]json.RawMessage
}

// MarshalJSON writes index, id, gold, prediction and the fields in order of their names.
func (s Sample) MarshalJSON() ([]byte, error) {
	b := fmt.Appendf(nil, `{"index":%d,"id":%s,"gold":%s,"prediction":%s`, s.Index, orNull(s.ID), orNull(s.Gold), orNull(s.Prediction))
	for _, name := range slices.Sorted(maps.Keys(s.Fields)) {
		b = fmt.Appendf(b, ",%s:%s", mustJSON(name), orNull(s.Fields[name]))
	}
	return append(b, '}'), nil
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}

// mustJSON writes strings, numbers, and maps and lists of them, which always works.
func mustJSON(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("eval: %v", err))
	}
	return bytes.TrimSpace(b.Bytes())
}

// UnmarshalJSON reads a line of predictions: the named fields, every other one as it stands;
// those inside "meta" or "args" count like the line's own.
func (s *Sample) UnmarshalJSON(data []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	s.Fields = map[string]json.RawMessage{}
	for _, nested := range []string{"meta", "args"} {
		var inner map[string]json.RawMessage
		if json.Unmarshal(all[nested], &inner) == nil {
			maps.Copy(s.Fields, inner)
		}
	}
	for name, value := range all {
		switch name {
		case "index":
			if err := json.Unmarshal(value, &s.Index); err != nil {
				return fmt.Errorf("index: %w", err)
			}
		case "id":
			s.ID = value
		case "gold":
			s.Gold = value
		case "prediction":
			s.Prediction = value
		case "meta", "args":
		default:
			s.Fields[name] = value
		}
	}
	if s.Prediction == nil {
		return fmt.Errorf("no \"prediction\"")
	}
	return nil
}

// Field decodes a field of the sample; a missing one is an error.
func (s Sample) Field(name string, to any) error {
	raw, ok := s.Fields[name]
	if !ok {
		return fmt.Errorf("no %q", name)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// GoldText returns a gold answer that is a string (or a number, written out).
func (s Sample) GoldText() (string, error) { return text("gold", s.Gold) }

// Text returns a prediction that is a string.
func (s Sample) Text() (string, error) {
	var out string
	if err := json.Unmarshal(s.Prediction, &out); err != nil {
		return "", fmt.Errorf("prediction: want a text: %w", err)
	}
	return out, nil
}

// Key is the record's id as a text.
func (s Sample) Key() (string, error) { return text("id", s.ID) }

func text(name string, raw json.RawMessage) (string, error) {
	var out string
	if err := json.Unmarshal(raw, &out); err == nil {
		return out, nil
	}
	var n json.Number
	if err := json.Unmarshal(raw, &n); err != nil || n == "" {
		return "", fmt.Errorf("%s: want a string or a number, got %.40s", name, raw)
	}
	return n.String(), nil
}

// Picked returns the choice with the highest probability, the first listed of equal ones.
func (s Sample) Picked() (string, error) {
	choices, scores, err := ReadChoices(s.Prediction)
	if err != nil {
		return "", fmt.Errorf("prediction: %w", err)
	}
	best := 0
	for i := range scores {
		if scores[i] > scores[best] {
			best = i
		}
	}
	return choices[best], nil
}

// ReadChoices reads an object choice → probability in the order of its keys.
func ReadChoices(raw json.RawMessage) (choices []string, scores []float64, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, fmt.Errorf("want an object of choices and their probabilities, got %.40s", raw)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		var p float64
		if err := d.Decode(&p); err != nil {
			return nil, nil, fmt.Errorf("choice %q: %w", key, err)
		}
		choices, scores = append(choices, key.(string)), append(scores, p)
	}
	if len(choices) == 0 {
		return nil, nil, fmt.Errorf("no choices")
	}
	return choices, scores, nil
}

// writeChoices writes what ReadChoices reads.
func writeChoices(choices []string, scores []float64) json.RawMessage {
	b := []byte{'{'}
	for i, c := range choices {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%s:%s", mustJSON(c), mustJSON(scores[i]))
	}
	return append(b, '}')
}

// Measured is a graded answer, before aggregation.
type Measured struct {
	Values          map[string]float64 // by metric
	Gold, Predicted string             // labels, for measures over all of them
	Key             string             // what Aggregate groups by
	LogProbs        []float64
	Positive        bool
}

// Extra is the group of tasks that never enter the total.
const Extra = "extra"
