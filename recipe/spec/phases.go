package spec

import (
	"fmt"
	"reflect"

	"lep/internal/strictyaml"
)

const (
	phasesKey = "phases" // a list of settings laid over the variant's, to be done one after the other
	maxPhases = 64       // of a variant
)

// Phase is one of the steps that a section is done in: the variant's settings with those of the phase
// laid over them.
type Phase struct {
	Label string // its name, or its number from 1 on
	Node  *strictyaml.Node
}

// phasesOf lays the phases of a list, which may be nil, over the settings of a variant.
func phasesOf(list, settings *strictyaml.Node, t reflect.Type) ([]Phase, error) {
	if list == nil || list.Kind == strictyaml.Null {
		return nil, nil
	}
	if list.Kind != strictyaml.List || len(list.List) == 0 {
		return nil, list.Errorf("", "phases: want a list of settings, got %s", list.Kind)
	}
	if len(list.List) > maxPhases {
		return nil, list.Errorf("", "phases: %d of them, want %d at most", len(list.List), maxPhases)
	}
	var out []Phase
	var labels []string
	for i, item := range list.List {
		if item.Kind != strictyaml.Map {
			return nil, item.Errorf("", "phases: want keys and values, got %s", item.Kind)
		}
		own := item.Copy()
		label, err := takeName(own)
		if err != nil {
			return nil, err
		}
		if label == "" {
			label = fmt.Sprint(i + 1)
		}
		if err := refuseGrid(own, t); err != nil {
			return nil, err
		}
		merged := settings.Copy()
		Merge(merged, own)
		out, labels = append(out, Phase{label, merged}), append(labels, label)
	}
	return out, unique(list, phasesKey, labels)
}

// refuseGrid refuses lists in the place of one value: what varies stands outside the phases.
func refuseGrid(phase *strictyaml.Node, t reflect.Type) error {
	for _, f := range Fields(t) {
		if value := phase.Get(f.Name); value != nil && value.Kind == strictyaml.List && f.single() {
			return value.Errorf("let the section or its grid vary; an entry of the grid may have phases of its own", "phases: %s takes one value, got a list", f.Name)
		}
	}
	return nil
}

// Layers lists the maps of a section that hold settings: its own, those of its grid, and those of the
// phases of each.
func Layers(section *strictyaml.Node) []*strictyaml.Node {
	layers := []*strictyaml.Node{section}
	if grid := section.Get(gridKey); grid != nil {
		layers = append(layers, grid.List...)
	}
	for _, layer := range layers[:len(layers):len(layers)] {
		if phases := layer.Get(phasesKey); phases != nil {
			layers = append(layers, phases.List...)
		}
	}
	return layers
}
