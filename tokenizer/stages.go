package tokenizer

import (
	"encoding/json"
	"fmt"
)

// stage is the fields of a component of tokenizer.json: what it is, and the components
// in it if it is a Sequence.
type stage[C any] interface {
	*C
	parts() (kind string, sequence []json.RawMessage)
}

// compileStages makes the stages of a component, in order; none for null. name is its key
// in tokenizer.json.
func compileStages[C, S any, P stage[C]](name string, raw json.RawMessage, compile func(P) (S, error)) ([]S, error) {
	var stages []S
	err := eachStage(name, raw, 0, func(c P) error {
		s, err := compile(c)
		stages = append(stages, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	return stages, nil
}

// eachStage calls add for a component, or in place of a Sequence for all that is in it.
func eachStage[C any, P stage[C]](name string, raw json.RawMessage, depth int, add func(P) error) error {
	if raw == nil || string(raw) == "null" {
		return nil
	}
	if depth > maxJSONDepth {
		return fmt.Errorf("%s: nested deeper than %d", name, maxJSONDepth)
	}
	c := P(new(C))
	if err := json.Unmarshal(raw, c); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	kind, sequence := c.parts()
	if kind == "Sequence" {
		for _, r := range sequence {
			if err := eachStage(name, r, depth+1, add); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(c); err != nil {
		return fmt.Errorf("%s %s: %w", name, kind, err)
	}
	return nil
}
