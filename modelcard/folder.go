package modelcard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"lep/checkpoint"
	"lep/internal/atomic"
	"lep/internal/orderedjson"
)

// Finding is what one check of a folder came to.
type Finding struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"`
}

// Folder is what is known of a folder that is to be published.
type Folder struct {
	Findings []Finding `json:"findings"`
	Files    int       `json:"files"` // that are uploaded
	Bytes    int64     `json:"bytes"`
	// Exclude are patterns for what runs leave in a folder and nobody else needs: locks, checkpoints.
	Exclude []string `json:"exclude"`
}

// Passed reports that nothing was found amiss.
func (f *Folder) Passed() bool {
	return !slices.ContainsFunc(f.Findings, func(x Finding) bool { return !x.OK })
}

// leftovers are what runs of lep leave in a folder, as patterns for an upload to leave out.
var leftovers = []string{".lock", "*.lock", "save", "stop", "checkpoints/*", "checkpoint-*/*", "runs/*", "logs/*", ".cache/*", ".git/*", "events.out.tfevents.*"}

// maxFile is the largest file that the hub takes in one piece.
const maxFile = 50_000_000_000

// CheckFolder looks whether a model or adapter folder can be published as it is: whole, with a card that
// the hub takes, without temporary files, secrets or paths of this machine. It does not run the model.
func CheckFolder(ctx context.Context, dir string) (*Folder, error) {
	f := &Folder{Exclude: []string{}}
	files, err := f.files(dir)
	if err != nil {
		return nil, err
	}
	f.weights(dir)
	f.jsons(dir, files)
	if err := f.texts(ctx, dir, files); err != nil {
		return nil, err
	}
	f.card(dir)
	return f, nil
}

// found notes a check: it passed if there are no faults.
func (f *Folder) found(name, fine, advice string, faults []string) {
	if len(faults) == 0 {
		f.Findings = append(f.Findings, Finding{Name: name, OK: true, Detail: fine})
		return
	}
	const most = 5
	detail := strings.Join(faults[:min(len(faults), most)], "; ")
	if more := len(faults) - most; more > 0 {
		detail += fmt.Sprintf("; and %d more", more)
	}
	f.Findings = append(f.Findings, Finding{Name: name, Detail: detail, Advice: advice})
}

func matches(patterns []string, name string) string {
	for _, p := range patterns {
		prefix, all := strings.CutSuffix(p, "/*")
		if ok, _ := filepath.Match(p, name); ok {
			return p
		} else if first, _, deep := strings.Cut(name, "/"); all && deep {
			if ok, _ := filepath.Match(prefix, first); ok {
				return p
			}
		}
	}
	return ""
}

// temporary is how names look that a killed program left behind.
var temporary = regexp.MustCompile(`(^|/)\.[^/]*\.lep-|(^|/)\.model(/|$)|\.(tmp|temp|part|partial|journal|swp|bak|orig)$|~$|(^|/)(__pycache__|\.DS_Store|Thumbs\.db)(/|$)`)

// files lists what is to be uploaded and judges names, kinds and sizes.
func (f *Folder) files(dir string) (files []string, err error) {
	var faults []string
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == "." || d.IsDir() {
			return err
		}
		name = filepath.ToSlash(name)
		if p := matches(leftovers, name); p != "" {
			f.Exclude = union(f.Exclude, p)
			return nil
		}
		info, err := os.Stat(path) // of what a link leads to
		switch {
		case errors.Is(err, fs.ErrNotExist):
			faults = append(faults, fmt.Sprintf("%s: leads nowhere", name))
			return nil
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			faults = append(faults, fmt.Sprintf("%s: neither a file nor a folder", name))
			return nil
		case temporary.MatchString(name):
			faults = append(faults, fmt.Sprintf("%s: a temporary file", name))
		case strings.ContainsAny(name, "\\:*?\"<>|") || len(name) > 255:
			faults = append(faults, fmt.Sprintf("%q: not every system can have this name", name))
		case strings.HasSuffix(name, ".bin") || strings.HasSuffix(name, ".pth") || strings.HasSuffix(name, ".pt"):
			faults = append(faults, fmt.Sprintf("%s: a pickle, which can run code where it is opened", name))
		}
		if info.Size() > maxFile {
			faults = append(faults, fmt.Sprintf("%s: %d bytes, the hub takes at most %d", name, info.Size(), int64(maxFile)))
		}
		f.Files++
		f.Bytes += info.Size()
		files = append(files, name)
		return nil
	})
	f.found("files", fmt.Sprintf("%d files, %.3f GB", f.Files, float64(f.Bytes)/1e9), "remove them, or write the model anew with a smaller max_shard_size", faults)
	return files, err
}

// weights opens the model or adapter, which reads every header and holds the index against the files.
func (f *Folder) weights(dir string) {
	if _, err := os.Stat(filepath.Join(dir, checkpoint.ConfigFile)); err == nil {
		m, err := checkpoint.Open(dir)
		if err != nil {
			f.found("weights", "", "", []string{err.Error()})
			return
		}
		defer m.Close()
		f.found("weights", fmt.Sprintf("%d tensors in %d files", len(m.Names()), len(m.Files())), "", nil)
		return
	}
	a, err := checkpoint.OpenAdapter(dir)
	if err != nil {
		f.found("weights", "", "give the folder of a model or of an adapter", []string{err.Error()})
		return
	}
	defer a.Close()
	var faults []string
	if !IsRepoID(a.Config.BaseModel) {
		faults = []string{fmt.Sprintf("adapter_config.json: base_model_name_or_path %q: others cannot find it, want a hub id", a.Config.BaseModel)}
	}
	f.found("weights", fmt.Sprintf("an adapter of %d modules for %s", len(a.Modules), a.Config.BaseModel), "lep publish --base-model writes it", faults)
}

// SetBase names the model that an adapter belongs to by its hub id. It reports whether that is news.
func SetBase(dir, repoID string) (bool, error) {
	path := filepath.Join(dir, checkpoint.AdapterConfigFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	o, err := orderedjson.Parse(data)
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	const key = "base_model_name_or_path"
	if o.Text(key) == repoID {
		return false, nil
	}
	if err := o.Set(key, repoID); err != nil {
		return false, err
	}
	text, err := o.Indent()
	if err != nil {
		return false, err
	}
	return true, atomic.WriteFile(path, text, true)
}

// jsons finds files that only tolerant readers understand.
func (f *Folder) jsons(dir string, files []string) {
	var faults []string
	n := 0
	for _, name := range files {
		if filepath.Ext(name) != ".json" {
			continue
		}
		n++
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			faults = append(faults, err.Error())
		} else if !json.Valid(data) {
			var v any
			faults = append(faults, fmt.Sprintf("%s: %v", name, json.Unmarshal(data, &v)))
		}
	}
	f.found("json", fmt.Sprintf("%d files are valid", n), "", faults)
}

// card holds README.md to what the hub asks for.
func (f *Folder) card(dir string) {
	const advice = "lep publish writes what is missing: --license, --language, --base-model, --title"
	c, err := Read(dir)
	if err != nil {
		f.found("card", "", "", []string{err.Error()})
		return
	}
	if c == nil {
		f.found("card", "", advice, []string{"no " + File})
		return
	}
	f.found("card", fmt.Sprintf("%s, %s, made from %s, %d results", c.License, strings.Join(c.Language, " and "), strings.Join(c.BaseModel, " and "), len(c.Evaluations)),
		advice, c.Missing(dir))
}

var (
	languageCode = regexp.MustCompile(`^([a-z]{2,3}(-[A-Za-z0-9]+)*|multilingual|code)$`)
	repoID       = regexp.MustCompile(`^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$`)
)

// IsRepoID reports whether a name is one of the hub: organisation/name.
func IsRepoID(name string) bool { return repoID.MatchString(name) }

// Relations are the values of base_model_relation.
var Relations = []string{"finetune", "adapter", "merge", "quantized"}

// Missing lists what a card lacks, or has in a form that the hub refuses. dir is where license_link is looked for.
func (c *Card) Missing(dir string) []string {
	var faults []string
	miss := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	miss(c.Title == "", "no title")
	miss(len(c.Language) == 0, "no language")
	for _, l := range c.Language {
		miss(!languageCode.MatchString(l), "language %q: want a code such as ru", l)
	}
	miss(c.License == "", "no license")
	miss(c.License == "other" && c.LicenseName == "", "license other without a license_name")
	miss(c.License == "other" && c.LicenseLink == "", "license other without a license_link")
	miss(c.LicenseLink != "" && !linked(dir, c.LicenseLink), "license_link %q: neither an address nor a file of the folder", c.LicenseLink)
	miss(len(c.BaseModel) == 0, "no base_model")
	for _, m := range c.BaseModel {
		miss(!IsRepoID(m), "base_model %q: want a hub id (organisation/name)", m)
	}
	miss(!slices.Contains(Relations, c.BaseModelRelation), "base_model_relation %q: want one of %s", c.BaseModelRelation, strings.Join(Relations, ", "))
	miss(c.LibraryName == "", "no library_name")
	miss(c.PipelineTag == "", "no pipeline_tag")
	miss(!slices.ContainsFunc(c.Sections, func(s Section) bool { return s.Title == UsageTitle }), "no section %q", UsageTitle)
	for _, e := range c.Evaluations {
		miss(e.Source.Name != "" && e.Source.URL == "", "model-index: source %q has no url", e.Source.Name)
		miss(e.Task.Type == "" || e.Dataset.Type == "" || e.Dataset.Name == "" || len(e.Metrics) == 0, "model-index: a result lacks its task, data set or metrics")
	}
	return faults
}
