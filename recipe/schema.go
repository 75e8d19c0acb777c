package recipe

import (
	"reflect"

	"lep/recipe/spec"
)

// Schema is the JSON Schema of recipes, with all defaults.
func Schema() map[string]any {
	properties := map[string]any{
		"extends": map[string]any{"type": "string", "description": "a recipe whose values hold where this one says nothing"},
		"name":    map[string]any{"type": "string", "description": "of the run; default: that of the file"},
		"run_dir": map[string]any{"type": "string", "description": "the run folder; default: runs/NAME"},
		"seed": map[string]any{"description": "of training, answers and tuning; a list makes a grid", "default": 1,
			"anyOf": []any{map[string]any{"type": "integer", "minimum": 0}, map[string]any{"type": "array", "minItems": 1, "items": map[string]any{"type": "integer", "minimum": 0}}}},
	}
	for _, s := range sections() {
		one := spec.Schema(reflect.ValueOf(s.value), s.form, s.managed)
		one["description"] = s.about
		properties[s.name] = one
	}
	return map[string]any{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "recipe of lep run", "type": "object",
		"properties": properties, "additionalProperties": false}
}
