package spec

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Form says which keys a section may hold beside those of its type.
type Form struct {
	Grid   bool // grid, name, skip and only; and lists in the place of one value
	Phases bool
}

// Schema describes a struct as JSON Schema, with the values of defaults (a struct of that type), and the keys
// of grids and phases as form has them. Keys in without are left out.
func Schema(defaults reflect.Value, form Form, without []string) map[string]any {
	properties := map[string]any{}
	for _, f := range Fields(defaults.Type()) {
		if slices.Contains(without, f.Name) {
			continue
		}
		s := typeSchema(defaults.FieldByIndex(f.Path))
		if f.single() && form.Grid {
			s = map[string]any{"anyOf": []any{s, map[string]any{"type": "array", "items": s, "minItems": 1}}}
		}
		properties[f.Name] = s
	}
	out := map[string]any{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	if form.Phases {
		phase := Schema(defaults, Form{}, without)
		phase["properties"].(map[string]any)[nameKey] = map[string]any{"type": "string", "description": "names the phase"}
		properties[phasesKey] = map[string]any{"type": []string{"array", "null"}, "items": phase, "minItems": 1, "maxItems": maxPhases,
			"description": "done one after the other, each from what the one before has made: settings laid over the section's own"}
	}
	if form.Grid {
		properties[nameKey] = map[string]any{"type": "string", "description": "names the variant"}
		properties[skipKey] = map[string]any{"type": "boolean", "description": "leaves the stage out"}
		properties[onlyKey] = map[string]any{"type": []string{"string", "array"}, "items": map[string]any{"type": "string"},
			"description": "the chains of stages that the variant is for, by patterns of their names so far"}
		item := Schema(defaults, Form{}, without)
		maps.Copy(item["properties"].(map[string]any), properties)
		properties[gridKey] = map[string]any{"type": "array", "items": item, "minItems": 1, "description": "variants: settings laid over the section's own"}
	}
	return out
}

// typeSchema describes one value; what it holds is the default.
func typeSchema(v reflect.Value) map[string]any {
	t := v.Type()
	out := map[string]any{}
	switch {
	case t == timeType:
		return map[string]any{"type": "string", "default": fmt.Sprint(v.Interface())}
	case reflect.PointerTo(t).Implements(nodeType):
		return out
	case reflect.PointerTo(t).Implements(textType):
		out["type"] = "string"
	}
	switch t.Kind() {
	case reflect.Bool:
		out["type"] = "boolean"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		out["type"] = "integer"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		out["type"], out["minimum"] = "integer", 0
	case reflect.Float32, reflect.Float64:
		out["type"] = "number"
	case reflect.String:
		out["type"] = "string"
	case reflect.Slice:
		out["type"], out["items"] = "array", typeSchema(reflect.New(t.Elem()).Elem())
		if v.Len() > 0 {
			out["default"] = v.Interface()
		}
		return out
	case reflect.Map:
		out["type"], out["additionalProperties"] = "object", typeSchema(reflect.New(t.Elem()).Elem())
		return out
	case reflect.Struct:
		return Schema(v, Form{}, nil)
	}
	if out["type"] != nil && v.CanInterface() {
		out["default"] = v.Interface()
	}
	return out
}
