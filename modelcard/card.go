package modelcard

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"lep/internal/atomic"
	"lep/internal/strictyaml"
)

// File is the name of a card in its folder.
const File = "README.md"

// Card is a model card. Empty fields are left out of it.
type Card struct {
	Language    []string // ISO 639-1 codes
	License     string   // the hub's identifier (apache-2.0, llama3, …); other goes with name and link
	LicenseName string
	LicenseLink string
	BaseModel   []string // hub ids, or names of folders
	// BaseModelRelation is finetune, adapter, merge or quantized.
	BaseModelRelation string
	Datasets          []string
	LibraryName       string
	PipelineTag       string
	Tags              []string
	Evaluations       []Evaluation
	// Extra are other keys of the head, as they were read.
	Extra []strictyaml.Pair

	Title    string
	Intro    string // below the title, Markdown
	Sections []Section
}

// Section is a part of the body under a heading of its own.
type Section struct {
	Title string
	Text  string // Markdown
}

// Evaluation is a result in the head's model-index.
type Evaluation struct {
	Task    Task     `yaml:"task"`
	Dataset Dataset  `yaml:"dataset"`
	Metrics []Metric `yaml:"metrics"`
	Source  Source   `yaml:"source"`
}

// Task is what was asked: the hub's name of the kind, text-generation for instance.
type Task struct {
	Type string `yaml:"type"`
	Name string `yaml:"name"`
}

// Dataset is what it was asked on: the hub's id as the type, and a name for people.
type Dataset struct {
	Type     string `yaml:"type"`
	Name     string `yaml:"name"`
	Config   string `yaml:"config"`
	Split    string `yaml:"split"`
	Revision string `yaml:"revision"`
}

// Metric is a figure.
type Metric struct {
	Type     string  `yaml:"type"`
	Name     string  `yaml:"name"`
	Value    float64 `yaml:"value"`
	Verified bool    `yaml:"verified"`
}

// Source says where a figure comes from; the hub wants the address beside a name.
type Source struct {
	Name string `yaml:"name"`
	URL  string `yaml:"url"`
}

// Put replaces the section of the same title, or adds one at the end.
func (c *Card) Put(s Section) {
	for i := range c.Sections {
		if c.Sections[i].Title == s.Title {
			c.Sections[i] = s
			return
		}
	}
	c.Sections = append(c.Sections, s)
}

// Bytes writes the card.
func (c *Card) Bytes() []byte {
	var b strings.Builder
	b.WriteString("---\n")
	list(&b, "language", c.Language)
	for _, f := range []struct{ key, value string }{{"license", c.License}, {"license_name", c.LicenseName}, {"license_link", c.LicenseLink}} {
		field(&b, f.key, f.value)
	}
	list(&b, "base_model", c.BaseModel)
	field(&b, "base_model_relation", c.BaseModelRelation)
	list(&b, "datasets", c.Datasets)
	field(&b, "library_name", c.LibraryName)
	field(&b, "pipeline_tag", c.PipelineTag)
	list(&b, "tags", c.Tags)
	c.writeEvaluations(&b)
	for _, p := range c.Extra {
		writePair(&b, p, 0)
	}
	b.WriteString("---\n\n")
	if c.Title != "" {
		fmt.Fprintf(&b, "# %s\n\n", c.Title)
	}
	parts := []string{}
	if c.Intro != "" {
		parts = append(parts, strings.TrimSpace(c.Intro)+"\n")
	}
	for _, s := range c.Sections {
		parts = append(parts, fmt.Sprintf("## %s\n\n%s\n", s.Title, strings.TrimSpace(s.Text)))
	}
	b.WriteString(strings.Join(parts, "\n"))
	return []byte(b.String())
}

// writeEvaluations writes model-index, the form in which the hub takes results.
func (c *Card) writeEvaluations(b *strings.Builder) {
	if len(c.Evaluations) == 0 {
		return
	}
	name := c.Title
	if name == "" {
		name = "model"
	}
	fmt.Fprintf(b, "model-index:\n- name: %s\n  results:\n", quote(name))
	for _, e := range c.Evaluations {
		fmt.Fprintf(b, "  - task:\n      type: %s\n", quote(e.Task.Type))
		indented(b, 6, "name", e.Task.Name)
		fmt.Fprintf(b, "    dataset:\n      type: %s\n      name: %s\n", quote(e.Dataset.Type), quote(e.Dataset.Name))
		indented(b, 6, "config", e.Dataset.Config)
		indented(b, 6, "split", e.Dataset.Split)
		indented(b, 6, "revision", e.Dataset.Revision)
		b.WriteString("    metrics:\n")
		for _, m := range e.Metrics {
			fmt.Fprintf(b, "    - type: %s\n      value: %s\n", quote(m.Type), number(m.Value))
			indented(b, 6, "name", m.Name)
			if m.Verified {
				b.WriteString("      verified: true\n")
			}
		}
		if e.Source != (Source{}) {
			b.WriteString("    source:\n")
			indented(b, 6, "name", e.Source.Name)
			indented(b, 6, "url", e.Source.URL)
		}
	}
}

// WriteFile writes the card into a folder, in place of one that is there.
func (c *Card) WriteFile(dir string) error {
	return atomic.WriteFile(filepath.Join(dir, File), c.Bytes(), true)
}

// union appends what is not there yet.
func union(list []string, more ...string) []string {
	for _, s := range more {
		if s != "" && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}
