// Package strictyaml reads YAML that people write by hand: recipes, tasks, settings. Whatever is
// not understood is an error with its place, never ignored.
//
// An unknown or repeated key, a value of the wrong type, a quoted number, a tag, a merge key and a
// second document are errors; the message names file, line, column and the path of keys, shows
// the line, and the hint names the nearest key. Plain scalars are read by YAML 1.2's core schema:
// 2e-5 is a number, yes is a text. Size, depth and what aliases expand to are bounded, and the
// parser's panics become errors.
//
//	var opts train.Options
//	err := strictyaml.Unmarshal("train.yaml", data, &opts)
//
// [Parse] gives the tree instead, for programs that change it before they decode its parts
// ([Node.Decode]) and report errors at its places ([Node.Errorf]).
package strictyaml
