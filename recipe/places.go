package recipe

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
)

// abroad spells the places in a text as a reader on another machine can use them: in the run folder and beside the
// recipe relative to these, below a folder that an environment variable names as ${env:NAME}, anything else by its
// name alone.
func (r *Recipe) abroad(text string, given []input) string {
	type root struct{ path, name string }
	roots := []root{{r.RunDir, ""}, {r.dir, ""}}
	for _, name := range sortedKeys(r.env) {
		roots = append(roots, root{r.env[name], "${env:" + name + "}/"})
	}
	slices.SortStableFunc(roots, func(a, b root) int { return cmp.Compare(len(b.path), len(a.path)) }) // the innermost first
	for _, root := range roots {
		if filepath.IsAbs(root.path) && filepath.Dir(root.path) != root.path {
			text = rename(text, strings.TrimSuffix(root.path, string(filepath.Separator))+string(filepath.Separator), root.name)
		}
	}
	for _, in := range given {
		if filepath.IsAbs(in.path) {
			text = rename(text, in.path, filepath.Base(in.path))
		}
	}
	return text
}

// rename puts a name in the place of a path, where the path begins: not in the middle of another one.
func rename(text, path, name string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, path)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		if before == "" && out.Len() == 0 || before != "" && strings.ContainsAny(before[len(before)-1:], `"'=[{(,: `) {
			out.WriteString(name)
		} else {
			out.WriteString(path)
		}
		text = after
	}
}
