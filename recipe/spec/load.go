package spec

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"lep/internal/hint"
	"lep/internal/strictyaml"
)

// File is a recipe's text and where it was found.
type File struct {
	ID   string // tells files apart: an absolute path, or a bundled recipe's name
	Name string // as errors show it
	Dir  string // what relative paths in it are relative to
	Data []byte
}

// Find reads the file that name means in a recipe that lies in dir.
type Find func(dir, name string) (File, error)

// Resolve makes the paths in a document absolute: those in it are relative to dir.
type Resolve func(root *strictyaml.Node, dir string) error

const maxExtends = 16 // files, one extending the other

// Load reads a recipe and all that it extends. What the recipe says stands before what it
// inherits: maps are merged key by key, everything else is replaced; nothing (null) takes away.
func Load(name string, find Find, resolve Resolve) (*strictyaml.Node, error) {
	file, err := find("", name)
	if err != nil {
		return nil, err
	}
	return load(file, nil, find, resolve)
}

func load(file File, from []File, find Find, resolve Resolve) (*strictyaml.Node, error) {
	root, err := strictyaml.Parse(file.Name, file.Data)
	if err != nil {
		return nil, err
	}
	if root.Kind != strictyaml.Map {
		return nil, root.Errorf("", "a recipe is keys and values, got %s", root.Kind)
	}
	extends := take(root, "extends")
	if err := resolve(root, file.Dir); err != nil {
		return nil, err
	}
	if extends == nil || extends.Kind == strictyaml.Null {
		return root, nil
	}
	if extends.Kind != strictyaml.Scalar {
		return nil, extends.Errorf("", "extends: want the name of one recipe, got %s", extends.Kind)
	}
	parent, err := find(file.Dir, extends.Text)
	if err != nil {
		return nil, extends.Errorf(hint.Of(err), "extends: %v", err)
	}
	from = append(from, file)
	if i := slices.IndexFunc(from, func(f File) bool { return f.ID == parent.ID }); i >= 0 {
		var names []string
		for _, f := range from[i:] {
			names = append(names, f.Name)
		}
		return nil, extends.Errorf("take one extends out", "extends goes in a circle: %s", strings.Join(append(names, parent.Name), " -> "))
	}
	if len(from) >= maxExtends {
		return nil, extends.Errorf("", "more than %d recipes extend one another", maxExtends)
	}
	inherited, err := load(parent, from, find, resolve)
	if err != nil {
		return nil, err
	}
	Merge(inherited, root)
	return inherited, nil
}

// take removes a key of a map and returns its value, nil if there is none.
func take(n *strictyaml.Node, key string) *strictyaml.Node {
	value := n.Get(key)
	n.Map = slices.DeleteFunc(n.Map, func(p strictyaml.Pair) bool { return p.Key.Text == key })
	return value
}

// Merge lays over on base: maps key by key, everything else as a whole.
func Merge(base, over *strictyaml.Node) {
	base.Kind = strictyaml.Map
	for _, p := range over.Map {
		i := slices.IndexFunc(base.Map, func(old strictyaml.Pair) bool { return old.Key.Text == p.Key.Text })
		switch {
		case i < 0:
			base.Map = append(base.Map, p)
		case base.Map[i].Value.Kind == strictyaml.Map && p.Value.Kind == strictyaml.Map:
			Merge(base.Map[i].Value, p.Value)
		default:
			base.Map[i] = p // with its key, for the place in errors
		}
	}
}

// Set changes one value: "train.max_steps=10", "eval.tasks=[multiq, use]", "calibrate=null"; an entry of a grid
// goes by its name or number: "tokenizer.grid.extension.train_size=1000". Paths in it are relative to
// the current folder.
func Set(root *strictyaml.Node, assignment string, resolve Resolve) error {
	path, text, found := strings.Cut(assignment, "=")
	if !found || path == "" || strings.Contains("."+path+".", "..") {
		return hint.Errorf("write --set train.max_steps=10", "set %q: want KEY=VALUE, keys joined by dots", assignment)
	}
	value, err := strictyaml.Parse("--set "+path, []byte(text))
	if err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	keys := strings.Split(path, ".")
	if err := resolve(nest(keys, value), dir); err != nil { // changes the value in its place
		return err
	}
	at := root
	for i, key := range keys[:len(keys)-1] {
		if at, err = enter(at, key, value); err != nil {
			return fmt.Errorf("set %s: %s %w", path, strings.Join(keys[:i+1], "."), err)
		}
	}
	last := keys[len(keys)-1]
	if at.Kind != strictyaml.Map && at.Kind != strictyaml.Null {
		return fmt.Errorf("set %s: %s is %s and has no keys", path, strings.Join(keys[:len(keys)-1], "."), at.Kind)
	}
	if old := at.Get(last); old != nil && old.Kind == strictyaml.Map && value.Kind == strictyaml.Map {
		Merge(old, value)
		return nil
	}
	at.Set(last, value)
	return nil
}

// nest puts a value below keys, entries of a grid and of phases into a list.
func nest(keys []string, value *strictyaml.Node) *strictyaml.Node {
	for i, key := range slices.Backward(keys) {
		outer := &strictyaml.Node{Kind: strictyaml.Map}
		outer.Set(key, value)
		if i > 0 && (keys[i-1] == gridKey || keys[i-1] == phasesKey) {
			outer = &strictyaml.Node{Kind: strictyaml.List, List: []*strictyaml.Node{value}}
		}
		value = outer
	}
	return value
}

// enter returns the value of a key, or the entry of a list. A key that is not there is made; errors will
// speak of it as of value.
func enter(n *strictyaml.Node, key string, value *strictyaml.Node) (*strictyaml.Node, error) {
	switch n.Kind {
	case strictyaml.List:
		for i, item := range n.List {
			if name := item.Get(nameKey); name != nil && name.Text == key || strconv.Itoa(i) == key {
				return item, nil
			}
		}
		return nil, errors.New("is no entry of the list")
	case strictyaml.Scalar:
		return nil, errors.New("has no keys before it: there stands one value")
	}
	next := n.Get(key)
	if next == nil {
		made := *value
		made.Kind, made.Text, made.List, made.Map = strictyaml.Map, "", nil, nil
		next = &made
		n.Set(key, next)
	}
	return next, nil
}

// Interpolate replaces ${NAME} in all values by lookup's answer; an unknown name is an error.
func Interpolate(n *strictyaml.Node, lookup func(name string) (string, error)) error {
	for _, item := range n.List {
		if err := Interpolate(item, lookup); err != nil {
			return err
		}
	}
	for _, p := range n.Map {
		if err := Interpolate(p.Value, lookup); err != nil {
			return err
		}
	}
	var out strings.Builder
	rest := n.Text
	for {
		before, after, found := strings.Cut(rest, "${")
		out.WriteString(before)
		if !found {
			break
		}
		name, behind, closed := strings.Cut(after, "}")
		if !closed {
			return n.Errorf("", "${ without }")
		}
		value, err := lookup(name)
		if err != nil {
			return n.Errorf("there are ${run.dir} and ${env:NAME}", "${%s}: %v", name, err)
		}
		out.WriteString(value)
		rest = behind
	}
	n.Text = out.String()
	return nil
}
