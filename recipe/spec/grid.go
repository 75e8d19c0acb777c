package spec

import (
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"lep/internal/strictyaml"
)

// Keys of a section that belong to the grid, not to its type.
const (
	gridKey = "grid" // a list of settings laid over the section's own
	nameKey = "name" // of a variant
	skipKey = "skip" // true: the variant leaves the stage out
	onlyKey = "only" // a pattern, or a list of them: the variant is for chains of these names alone
)

// Variant is a section with one value everywhere.
type Variant struct {
	Label string // tells it apart from the section's others; "" if there is only one without a name
	Skip  bool
	Only  []string // patterns of path.Match; none: for all
	Node  *strictyaml.Node
	// Phases, if there are any, are done one after the other in the place of the section.
	Phases []Phase
}

// Applies reports whether the variant is for a chain of stages whose choices so far are label.
func (v Variant) Applies(label string) bool {
	return v.Only == nil || slices.ContainsFunc(v.Only, func(pattern string) bool {
		ok, _ := path.Match(pattern, label) // the pattern was checked when it was read
		return ok
	})
}

const maxVariants = 256 // of a section

// Variants spreads a section of the given type out: the entries of its grid, and every combination
// of values where a list stands in the place of one; each with its phases, where the section is
// one that may have them. nil for a section that is not there.
func Variants(section *strictyaml.Node, t reflect.Type, phased bool) ([]Variant, error) {
	if section == nil || section.Kind == strictyaml.Null {
		return nil, nil
	}
	if section.Kind != strictyaml.Map {
		return nil, section.Errorf("", "want keys and values, got %s", section.Kind)
	}
	common := section.Copy()
	grid := take(common, gridKey)
	list := []*strictyaml.Node{common}
	if grid != nil {
		if grid.Kind != strictyaml.List || len(grid.List) == 0 {
			return nil, grid.Errorf("", "grid: want a list of settings, got %s", grid.Kind)
		}
		list = nil
		for _, item := range grid.List {
			if item.Kind != strictyaml.Map {
				return nil, item.Errorf("", "grid: want keys and values, got %s", item.Kind)
			}
			merged := common.Copy()
			Merge(merged, item.Copy())
			list = append(list, merged)
		}
	}
	var out []Variant
	for i, n := range list {
		variants, err := spread(n, t, phased)
		if err != nil {
			return nil, err
		}
		for _, v := range variants {
			if v.Label == "" && len(list) > 1 {
				v.Label = fmt.Sprint(i + 1)
			}
			out = append(out, v)
		}
		if len(out) > maxVariants {
			return nil, section.Errorf("", "the grid has more than %d variants", maxVariants)
		}
	}
	labels := make([]string, len(out))
	for i, v := range out {
		labels[i] = v.Label
	}
	return out, unique(section, "variants", labels)
}

func unique(place *strictyaml.Node, what string, labels []string) error {
	seen := map[string]bool{}
	for _, label := range labels {
		if seen[label] {
			return place.Errorf("give each a name of its own", "two %s are called %q", what, label)
		}
		seen[label] = true
	}
	return nil
}

// takeName removes the key name and returns its value, "" if there is none.
func takeName(n *strictyaml.Node) (string, error) {
	name := take(n, nameKey)
	if name == nil {
		return "", nil
	}
	if name.Kind != strictyaml.Scalar || Label(name.Text) != name.Text || name.Text == "" {
		return "", name.Errorf("letters, digits, _ and . will do", "name %q cannot name a folder", name.Text)
	}
	return name.Text, nil
}

// spread makes a variant of every combination of values.
func spread(n *strictyaml.Node, t reflect.Type, phased bool) ([]Variant, error) {
	name, err := takeName(n)
	if err != nil {
		return nil, err
	}
	first := Variant{Label: name, Node: n}
	if skip := take(n, skipKey); skip != nil {
		if err := skip.Decode(&first.Skip); err != nil {
			return nil, err
		}
	}
	if only := take(n, onlyKey); only != nil {
		var err error
		if first.Only, err = patterns(only); err != nil {
			return nil, err
		}
	}
	var phases *strictyaml.Node
	if phased {
		phases = take(n, phasesKey)
	}
	out, err := combine(first, t)
	if err != nil {
		return nil, err
	}
	for i := range out {
		if out[i].Phases, err = phasesOf(phases, out[i].Node, t); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// combine makes every combination of values where lists stand in the place of one.
func combine(first Variant, t reflect.Type) ([]Variant, error) {
	out := []Variant{first}
	for _, f := range Fields(t) {
		values := first.Node.Get(f.Name)
		if values == nil || values.Kind != strictyaml.List || !f.single() {
			continue
		}
		if len(values.List) == 0 {
			return nil, values.Errorf("", "%s: an empty list", f.Name)
		}
		if len(out)*len(values.List) > maxVariants { // before any copy is made
			return nil, values.Errorf("", "the grid has more than %d variants", maxVariants)
		}
		var next []Variant
		for _, v := range out {
			for _, value := range values.List {
				with := Variant{Label: v.Label, Skip: v.Skip, Only: v.Only, Node: v.Node.Copy()}
				with.Node.Set(f.Name, value.Copy())
				if len(values.List) > 1 {
					with.Label = join(v.Label, f.label(value))
				}
				next = append(next, with)
			}
		}
		out = next
	}
	return out, nil
}

// patterns reads one pattern or a list of them.
func patterns(n *strictyaml.Node) ([]string, error) {
	list := n.List
	if n.Kind == strictyaml.Scalar {
		list = []*strictyaml.Node{n}
	}
	if len(list) == 0 {
		return nil, n.Errorf("", "only: want a pattern or a list of them, got %s", n.Kind)
	}
	var out []string
	for _, item := range list {
		if _, err := path.Match(item.Text, ""); err != nil || item.Kind != strictyaml.Scalar || item.Text == "" {
			return nil, item.Errorf("* stands for anything, [ab] for one of these", "only: %q is no pattern", item.Text)
		}
		out = append(out, item.Text)
	}
	return out, nil
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "-" + b
}

// Label turns a text into one that can be part of a folder's name.
func Label(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, strings.Trim(text, "./"))
}
