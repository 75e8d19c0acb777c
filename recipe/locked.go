package recipe

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"

	"lep/internal/atomic"
)

// lockedStage is a stage as recipe.lock.yaml spells it.
type lockedStage struct {
	Kind    Kind              `yaml:"kind"`
	Needs   []string          `yaml:"needs,omitempty"`
	Inputs  map[string]string `yaml:"inputs,omitempty"`
	Hash    string            `yaml:"hash,omitempty"`
	Options any               `yaml:"options,omitempty"`
}

// Explain spells out what a recipe comes to: every stage with all its settings, defaults filled in.
func Explain(r *Recipe) ([]byte, error) {
	g, err := NewGraph(r)
	if err != nil {
		return nil, err
	}
	return spell(r, g, "", func(*Stage) *stageState { return &stageState{} })
}

// spell writes the stages of a recipe as YAML.
func spell(r *Recipe, g *Graph, version string, state func(s *Stage) *stageState) ([]byte, error) {
	stages := yaml.MapSlice{}
	for _, s := range g.Stages {
		st := state(s)
		l := lockedStage{Kind: s.Kind, Inputs: st.inputs, Hash: st.hash, Options: s.options}
		for _, n := range s.Needs {
			l.Needs = append(l.Needs, n.Name)
		}
		stages = append(stages, yaml.MapItem{Key: s.Name, Value: l})
	}
	all := yaml.MapSlice{{Key: "recipe", Value: r.File}, {Key: "set", Value: append([]string{}, r.Set...)}, {Key: "name", Value: r.Name}, {Key: "seeds", Value: []uint64(r.Seeds)}, {Key: "stages", Value: stages}}
	if version != "" {
		all = append(yaml.MapSlice{{Key: "lep", Value: version}}, all...)
	}
	text, err := yaml.Marshal(all)
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("# What %s comes to: every stage with all its settings.\n", filepath.Base(r.File))
	return bytes.Join([][]byte{[]byte(head), text}, nil), nil
}

// writeLocked keeps the recipe with all defaults filled in, the version and the inputs' digests.
func (r *Run) writeLocked() error {
	text, err := spell(r.recipe, r.graph, r.opts.Version, func(s *Stage) *stageState { return r.state[s] })
	if err != nil {
		return err
	}
	path := filepath.Join(r.recipe.RunDir, LockedName)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return atomic.WriteFile(path, text, true)
}
