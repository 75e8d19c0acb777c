// Package spec is the language of recipes: YAML files that extend one another, are changed from the
// command line, and hold grids. It knows sections and their types, but not what they are for.
//
//	root, err := spec.Load("llama3-ru.yaml", find, resolve)     // with all that it extends
//	err = spec.Set(root, "train.max_steps=10", resolve)
//	variants, err := spec.Variants(root.Get("propagate"), reflect.TypeFor[propagate.Options](), false)
//
// A list in the place of one value makes a grid, and so does the key grid: a list of settings that are
// laid over the section's own, each with a name. Phases are such a list too, of what is done one after
// the other.
package spec
