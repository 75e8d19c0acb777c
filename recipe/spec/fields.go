package spec

import (
	"encoding"
	"reflect"
	"strings"
	"time"

	"lep/internal/strictyaml"
)

// Field is a key of a section.
type Field struct {
	Name string
	Type reflect.Type
	Path []int // of the field in the struct
}

var (
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
	nodeType = reflect.TypeFor[strictyaml.Unmarshaler]()
	timeType = reflect.TypeFor[time.Duration]()
)

// Fields lists the keys of a struct in its order, those of inlined structs among them. A key that
// stands both in a struct and in one inlined there is the outer one's.
func Fields(t reflect.Type) []Field {
	var out []Field
	index := map[string]int{}
	add := func(f Field) {
		if i, ok := index[f.Name]; ok {
			if len(f.Path) < len(out[i].Path) {
				out[i] = f
			}
			return
		}
		index[f.Name] = len(out)
		out = append(out, f)
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case strings.Contains(options, "inline"):
			for _, inner := range Fields(f.Type) {
				inner.Path = append([]int{i}, inner.Path...)
				add(inner)
			}
		default:
			if name == "" {
				name = strings.ToLower(f.Name)
			}
			add(Field{Name: name, Type: f.Type, Path: []int{i}})
		}
	}
	return out
}

// single reports that the field takes one value, so that a list makes a grid.
func (f Field) single() bool {
	if reflect.PointerTo(f.Type).Implements(nodeType) {
		return false
	}
	switch f.Type.Kind() {
	case reflect.Slice, reflect.Map, reflect.Struct, reflect.Pointer, reflect.Interface:
		return reflect.PointerTo(f.Type).Implements(textType)
	}
	return true
}

// label is how a value of the field names a variant: words by themselves, numbers with the key.
func (f Field) label(value *strictyaml.Node) string {
	text := Label(value.Text)
	if f.Type.Kind() == reflect.String || reflect.PointerTo(f.Type).Implements(textType) {
		return text
	}
	return f.Name + "_" + text
}
