package recipe

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/goccy/go-yaml"
)

type lockedStage struct {
	Kind    Kind              `yaml:"kind"`
	Needs   []string          `yaml:"needs,omitempty"`
	Inputs  map[string]string `yaml:"inputs,omitempty"`
	Hash    string            `yaml:"hash"`
	Options any               `yaml:"options,omitempty"`
}

// locked spells out what will be done: every stage with all its settings.
func (r *Run) locked() ([]byte, error) {
	stages := yaml.MapSlice{}
	for _, s := range r.graph.Stages {
		st := r.state[s]
		l := lockedStage{Kind: s.Kind, Inputs: st.inputs, Hash: st.hash, Options: s.options}
		for _, n := range s.Needs {
			l.Needs = append(l.Needs, n.Name)
		}
		stages = append(stages, yaml.MapItem{Key: s.Name, Value: l})
	}
	text, err := yaml.Marshal(yaml.MapSlice{
		{Key: "lep", Value: r.opts.Version}, {Key: "recipe", Value: r.recipe.File}, {Key: "name", Value: r.recipe.Name},
		{Key: "seeds", Value: []uint64(r.recipe.Seeds)}, {Key: "stages", Value: stages},
	})
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("# What %s comes to: every stage with all its settings. Written by lep, read by lep status and by people.\n", filepath.Base(r.recipe.File))
	return bytes.Join([][]byte{[]byte(head), text}, nil), nil
}

func (r *Run) foreseeMemory(map[*Stage]bool) error { return nil }
func (r *Run) mayStart(_ *Stage, running map[*Stage]bool) bool {
	return len(running) < max(1, r.opts.Jobs)
}
