package recipe

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"lep/checkpoint"
	"lep/corpus"
	"lep/propagate"
	"lep/tokenizer"
	"lep/train"
)

// speechless says that a stage wants conversations of a model that has no chat template, "" for any other. It is
// better known before hours of training than behind them.
func (s *Stage) speechless() (string, error) {
	switch o := s.options.(type) {
	case Calibrate:
		if o.Model == "" {
			return "", nil // a server has its own
		}
	case Train:
		if o.Task != train.SFT {
			return "", nil
		}
		if tokenized, err := s.readsIDs(o.Text); err != nil || tokenized {
			return "", err
		}
	default:
		return "", nil
	}
	path := s.templateOf()
	if path == "" {
		return "", nil
	}
	dir, err := checkpoint.Resolve(path)
	if err != nil {
		return "", err
	}
	c, err := tokenizer.ReadConfig(dir)
	if err != nil || c.ChatTemplate != "" {
		return "", err
	}
	return fmt.Sprintf("%s: has no chat template", path), nil
}

// templateOf is the given model whose chat template the model has that a stage begins with; "" if it has one from
// elsewhere.
func (s *Stage) templateOf() string {
	if o, ok := s.options.(propagate.Options); ok {
		if o.ChatTemplate != "" {
			return ""
		}
		return o.Targets[0].Model
	}
	for _, n := range s.Needs {
		if n.Kind != KindCalibrate {
			return n.templateOf()
		}
	}
	return s.givenModel()
}

// givenModel is the model from outside the run that a stage begins with, "" for none.
func (s *Stage) givenModel() string {
	i := slices.IndexFunc(s.inputs, func(in input) bool {
		return in.kind == modelPath && slices.Contains([]string{"model", "base", "donor"}, in.name)
	})
	if i < 0 {
		return ""
	}
	return s.inputs[i].path
}

// readsIDs reports that the data of a training holds token ids, which need no template: by its first row.
func (s *Stage) readsIDs(text corpus.Options) (bool, error) {
	text.RawJSON, text.MaxBadRows = true, -1
	for _, in := range s.inputs {
		if in.name != "data" {
			continue
		}
		reader, err := corpus.Open([]string{in.path}, text)
		if err != nil {
			return false, err
		}
		for doc, err := range reader.Documents(context.Background()) { // of which one is read
			if err != nil {
				return false, err
			}
			var row struct {
				InputIDs json.RawMessage `json:"input_ids"`
			}
			return json.Unmarshal([]byte(doc.Text), &row) == nil && row.InputIDs != nil, nil
		}
	}
	return false, nil
}
