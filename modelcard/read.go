package modelcard

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"lep/internal/hint"
	"lep/internal/strictyaml"
)

// maxCard bounds a card in bytes; the hub takes no larger ones.
const maxCard = 4 << 20

// Read reads the card of a folder, nil if it has none. A link that leads out of the folder counts as none.
func Read(dir string) (*Card, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	path := filepath.Join(dir, File)
	info, err := root.Stat(File)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, nil
	}
	if err != nil {
		if inCache(path) { // the hub's cache keeps files as links to their contents
			return readFile(path)
		}
		return nil, nil
	}
	return readFile(path)
}

// inCache reports a file of the hub's cache: a link into the blobs beside its snapshot.
func inCache(path string) bool {
	to, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	snapshots := filepath.Dir(filepath.Dir(path))
	blobs, err := filepath.EvalSymlinks(filepath.Join(filepath.Dir(snapshots), "blobs"))
	return err == nil && filepath.Base(snapshots) == "snapshots" && filepath.Dir(to) == blobs
}

func readFile(path string) (*Card, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxCard {
		return nil, fmt.Errorf("%s: %d bytes, want at most %d", path, info.Size(), maxCard)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Parse reads a card; name stands in errors. A card may lack its head. Keys of the head that Card has
// no field for are kept in Extra, and so is a model-index that holds more than evaluations do.
func Parse(name string, data []byte) (*Card, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%s: not UTF-8", name)
	}
	c := &Card{}
	head, body := split(strings.ReplaceAll(string(data), "\r\n", "\n"))
	if head != "" {
		// The first line is --- : errors count the lines of the file.
		root, err := strictyaml.Parse(name, []byte("\n"+head))
		if err != nil {
			return nil, err
		}
		if err := c.readHead(root); err != nil {
			return nil, err
		}
	}
	c.readBody(body)
	return c, nil
}

// split cuts a card at the lines of three dashes.
func split(text string) (head, body string) {
	rest, ok := strings.CutPrefix(strings.TrimLeft(text, "\n"), "---\n")
	if !ok {
		return "", text
	}
	if body, ok := strings.CutPrefix(rest, "---\n"); ok {
		return "", body
	}
	if at := strings.Index(rest, "\n---\n"); at >= 0 {
		return rest[:at+1], rest[at+5:]
	}
	if head, ok := strings.CutSuffix(rest, "\n---"); ok {
		return head + "\n", ""
	}
	return "", text
}

func (c *Card) readHead(root *strictyaml.Node) error {
	if root.Kind == strictyaml.Null {
		return nil
	}
	if root.Kind != strictyaml.Map {
		return root.Errorf("", "the head of a card is keys and values, not a %s", root.Kind)
	}
	for _, p := range root.Map {
		known := true
		var err error
		switch p.Key.Text {
		case "language":
			c.Language, err = texts(p)
		case "base_model":
			c.BaseModel, err = texts(p)
		case "datasets":
			c.Datasets, err = texts(p)
		case "tags":
			c.Tags, err = texts(p)
		case "license":
			c.License, err = text(p)
		case "license_name":
			c.LicenseName, err = text(p)
		case "license_link":
			c.LicenseLink, err = text(p)
		case "base_model_relation":
			c.BaseModelRelation, err = text(p)
		case "library_name":
			c.LibraryName, err = text(p)
		case "pipeline_tag":
			c.PipelineTag, err = text(p)
		case "model-index":
			known = c.readEvaluations(p.Value)
		default:
			known = false
		}
		if err != nil {
			return err
		}
		if !known {
			c.Extra = append(c.Extra, p)
		}
	}
	return nil
}

// text takes a scalar as it is written; older cards give license as a list of one.
func text(p strictyaml.Pair) (string, error) {
	list, err := texts(p)
	if err != nil || len(list) > 1 {
		return "", p.Value.Errorf("", "%s: want one value", p.Key.Text)
	}
	return strings.Join(list, ""), nil
}

// texts takes a list of scalars, or one.
func texts(p strictyaml.Pair) ([]string, error) {
	switch n := p.Value; n.Kind {
	case strictyaml.Null:
		return nil, nil
	case strictyaml.Scalar:
		return []string{n.Text}, nil
	case strictyaml.List:
		var list []string
		for _, item := range n.List {
			if item.Kind != strictyaml.Scalar {
				return nil, item.Errorf("", "%s: want texts", p.Key.Text)
			}
			list = append(list, item.Text)
		}
		return list, nil
	}
	return nil, p.Value.Errorf("", "%s: want one value or a list", p.Key.Text)
}

// readEvaluations reports whether a model-index is what Evaluations can hold.
func (c *Card) readEvaluations(n *strictyaml.Node) bool {
	var index []struct {
		Name    string       `yaml:"name"`
		Results []Evaluation `yaml:"results"`
	}
	if err := n.Decode(&index); err != nil || len(index) != 1 {
		return false
	}
	c.Evaluations = index[0].Results
	return true
}

// AddEvaluations puts results into the model-index; those of the same data set and task are replaced.
func (c *Card) AddEvaluations(list ...Evaluation) error {
	for _, p := range c.Extra {
		if p.Key.Text == "model-index" {
			return hint.Wrap(p.Key.Errorf("", "the model-index holds more than can be kept"), "remove it from the card, or add the results by hand")
		}
	}
	for _, e := range list {
		at := -1
		for i, old := range c.Evaluations {
			if old.Task == e.Task && old.Dataset == e.Dataset {
				at = i
			}
		}
		if at < 0 {
			c.Evaluations = append(c.Evaluations, e)
		} else {
			c.Evaluations[at] = e
		}
	}
	return nil
}

// readBody cuts the body at its headings; headings inside code stay where they are.
func (c *Card) readBody(body string) {
	var intro, current strings.Builder
	to, code := &intro, false
	flush := func() {
		if n := len(c.Sections); n > 0 {
			c.Sections[n-1].Text = strings.TrimSpace(current.String())
			current.Reset()
		}
	}
	for line := range strings.Lines(body) {
		heading := strings.TrimRight(line, "\n")
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
		}
		switch {
		case !code && strings.HasPrefix(heading, "# ") && c.Title == "" && len(c.Sections) == 0 && strings.TrimSpace(intro.String()) == "":
			c.Title = strings.TrimSpace(heading[2:])
		case !code && strings.HasPrefix(heading, "## "):
			flush()
			c.Sections = append(c.Sections, Section{Title: strings.TrimSpace(heading[3:])})
			to = &current
		default:
			to.WriteString(line)
		}
	}
	flush()
	c.Intro = strings.TrimSpace(intro.String())
}
