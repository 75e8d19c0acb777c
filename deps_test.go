// Package lep holds nothing but the test of the import policy: which package may
// import which (ARCHITECTURE.md tells why).
package lep

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed lists for each package the packages of lep that it may import. Data
// flows to the right, imports point down; a folder may import its children's
// parent. Change this table first, on purpose, and say why in ARCHITECTURE.md.
var allowed = map[string][]string{
	// Level –: small tools that any package may use.
	"internal/hint":        {},
	"internal/atomic":      {"internal/hint"},
	"internal/orderedjson": {},
	"internal/strictyaml":  {"internal/hint"},
	"internal/page":        {},

	// Level 0
	"tensor":             {},
	"tokenizer/ucd":      {},
	"tokenizer/regex":    {"tokenizer/ucd"},
	"tokenizer/charsmap": {"tokenizer/ucd"},
	"tokenizer":          {"tokenizer/ucd", "tokenizer/regex", "tokenizer/charsmap"},
	"tokenizer/trainer":  {"tokenizer"},

	// Level 1
	"linalg":         {"tensor"},
	"checkpoint":     {"tensor"},
	"vocab":          {"tokenizer"},
	"vocab/scenario": {"tokenizer", "vocab"},
	"vocab/stats":    {"tokenizer", "vocab", "internal/page"},
	"vocab/build":    {"tokenizer", "tokenizer/trainer", "corpus", "checkpoint", "vocab", "vocab/scenario", "vocab/stats"},
	"corpus":         {"tokenizer"},
	"chat":           {"tokenizer", "chat/jinja"},
	"chat/jinja":     {},
	"gguf":           {"tensor"},
	"corpus/shard":   {"corpus"},
	"modelcard":      {"checkpoint", "internal/strictyaml"},

	// Level 2
	"embedding": {"tensor", "linalg", "vocab", "tokenizer"},
	"model":     {"tensor", "linalg"},

	// Level 3
	"propagate":   {"embedding", "vocab", "linalg", "checkpoint", "tokenizer", "tensor", "chat", "modelcard"},
	"train":       {"model", "corpus", "corpus/shard", "chat", "checkpoint", "tokenizer", "tensor", "linalg", "modelcard"},
	"train/torch": {"train", "model", "corpus", "corpus/shard", "chat", "checkpoint", "tokenizer", "tensor"},
	"train/plan":  {"train", "model", "checkpoint"},
	"export":      {"gguf", "checkpoint", "tokenizer", "model", "tensor", "chat"},
	"infer":       {"model", "checkpoint", "tokenizer", "chat", "linalg", "tensor"},

	// Level 4
	"eval/lemma":          {},
	"eval/lemma/makedata": {"eval/lemma"},
	"eval/metric":         {"eval/lemma"},
	"eval":                {"infer", "chat", "chat/jinja", "corpus", "tokenizer", "eval/metric", "modelcard", "internal/strictyaml"},
	"eval/darumeru":       {"eval", "eval/metric", "corpus", "chat"},
	"calibrate":           {"infer", "chat", "corpus", "tokenizer", "model", "checkpoint"},
	"serve":               {"infer", "chat"},

	// Level 5
	"report": {"eval", "train", "propagate", "vocab", "vocab/stats", "infer", "tokenizer", "internal/page"},

	// Level 6: anything below but serve.
	"recipe/spec": {"internal/strictyaml"},
	"recipes":     {},
	"recipe": {"recipe/spec", "recipes", "tensor", "tokenizer", "tokenizer/trainer", "linalg", "checkpoint", "modelcard", "vocab", "vocab/build", "vocab/scenario", "vocab/stats", "corpus", "chat",
		"embedding", "model", "propagate", "train", "train/torch", "train/plan", "infer", "export", "calibrate", "eval", "eval/metric", "eval/darumeru",
		"report", "internal/strictyaml"},

	// Level 7
	"internal/pocket":          {"tensor", "checkpoint", "model", "internal/pocket/practice"},
	"internal/pocket/practice": {},
	"internal/cli":             {"*"},
	"cmd/lep":                  {"internal/cli"},

	// For tests only.
	"internal/golden":    {},
	"internal/testmodel": {"*"},
}

// everywhere may be imported from any level.
var everywhere = []string{"internal/hint", "internal/atomic", "internal/orderedjson"}

func TestImportsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, "lep/")
		may, known := allowed[name]
		if name == "lep" {
			continue
		}
		if !known {
			t.Errorf("package %s is not in the table of deps_test.go", name)
			continue
		}
		for _, imp := range p.Imports {
			dep, ours := strings.CutPrefix(imp, "lep/")
			if !ours || slices.Contains(everywhere, dep) && !slices.Contains(everywhere, name) {
				continue
			}
			if !slices.Contains(may, "*") && !slices.Contains(may, dep) {
				t.Errorf("%s may not import %s", name, dep)
			}
			if strings.HasPrefix(dep, "internal/golden") || strings.HasPrefix(dep, "internal/testmodel") {
				t.Errorf("%s imports %s, which is for tests only", name, dep)
			}
		}
	}
}

// TestLibraryPackagesAreQuiet keeps the promise that only the command line
// (and the programs that make bundled data) reads flags, prints and exits.
func TestLibraryPackagesAreQuiet(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, "lep/")
		if name == "internal/cli" || name == "cmd/lep" || strings.HasSuffix(name, "/makedata") {
			continue
		}
		for _, imp := range p.Imports {
			if imp == "flag" || strings.HasPrefix(imp, "github.com/spf13/") || imp == "log" {
				t.Errorf("%s imports %s: flags and logs belong to internal/cli", name, imp)
			}
		}
	}
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}
