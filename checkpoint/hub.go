package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"lep/internal/hint"
)

// Hub says where downloaded models lie. The fields are what the environment of
// the Hugging Face tools sets.
type Hub struct {
	Cache   string // folder of the models--org--name folders
	Offline bool   // HF_HUB_OFFLINE: nothing may be fetched
}

// HubFromEnv reads HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and HF_HUB_OFFLINE, with
// the defaults of huggingface_hub.
func HubFromEnv(getenv func(string) string) (Hub, error) {
	h := Hub{Offline: truthy(getenv("HF_HUB_OFFLINE"))}
	for _, key := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} {
		if h.Cache = getenv(key); h.Cache != "" {
			return h, nil
		}
	}
	home := getenv("HF_HOME")
	if home == "" {
		cache := getenv("XDG_CACHE_HOME")
		if cache == "" {
			user, err := os.UserHomeDir()
			if err != nil {
				return h, err
			}
			cache = filepath.Join(user, ".cache")
		}
		home = filepath.Join(cache, "huggingface")
	}
	h.Cache = filepath.Join(home, "hub")
	return h, nil
}

func truthy(s string) bool {
	switch strings.ToUpper(s) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// Resolve returns the folder that a model argument means, by the hub cache of the
// process environment; see [Hub.Resolve].
func Resolve(pathOrID string) (string, error) {
	h, err := HubFromEnv(os.Getenv)
	if err != nil {
		return "", err
	}
	return h.Resolve(pathOrID)
}

// hubID is org/name or name, perhaps @revision. The hub allows no "--" and no
// ".." in names, which also keeps an id inside the cache folder.
var hubID = regexp.MustCompile(`^[A-Za-z0-9_][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?(@[\w./-]{1,200})?$`)

// Resolve returns the folder that pathOrID means: an existing folder as it is,
// else the snapshot of a hub id such as "Qwen/Qwen3-8B" or "Qwen/Qwen3-8B@main"
// in the cache. Nothing is fetched.
func (h Hub) Resolve(pathOrID string) (string, error) {
	info, err := os.Stat(pathOrID)
	switch {
	case err == nil && info.IsDir():
		return pathOrID, nil
	case err == nil:
		return "", hint.Errorf("give the folder that it lies in", "%s: is a file, want a model folder", pathOrID)
	case !errors.Is(err, fs.ErrNotExist) && !hubID.MatchString(pathOrID):
		return "", err
	}
	if !hubID.MatchString(pathOrID) || strings.Contains(pathOrID, "--") || strings.Contains(pathOrID, "..") {
		return "", fmt.Errorf("%s: no such folder (and no hub id)", pathOrID)
	}
	id, revision, _ := strings.Cut(pathOrID, "@")
	if revision == "" {
		revision = "main"
	}
	repo := filepath.Join(h.Cache, "models--"+strings.ReplaceAll(id, "/", "--"))
	if _, err := os.Stat(repo); err != nil {
		return "", h.missing(pathOrID, id, revision, "there is no such folder, and no "+repo)
	}
	commit, err := readRef(repo, revision)
	if err != nil {
		return "", fmt.Errorf("%s: %w", pathOrID, err)
	}
	dir := filepath.Join(repo, "snapshots", commit)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", h.missing(pathOrID, id, revision, "there is no "+dir)
	}
	return dir, nil
}

func (h Hub) missing(arg, id, revision, looked string) error {
	advice := fmt.Sprintf("check the path, or fetch the model: hf download %s --revision %s", id, revision)
	if h.Offline {
		advice += " (HF_HUB_OFFLINE is set: unset it first)"
	}
	return hint.Errorf(advice, "%s: not found: %s", arg, looked)
}

// readRef returns the commit that a revision names: the content of refs/REVISION,
// or the revision itself, which may be a commit.
func readRef(repo, revision string) (string, error) {
	if !filepath.IsLocal(revision) {
		return "", fmt.Errorf("revision %q points outside the cache", revision)
	}
	root, err := os.OpenRoot(repo)
	if err != nil {
		return "", err
	}
	defer root.Close()
	f, err := root.Open(filepath.Join("refs", filepath.FromSlash(revision)))
	if errors.Is(err, fs.ErrNotExist) {
		if strings.ContainsAny(revision, `/\`) {
			return "", fmt.Errorf("revision %q is not in %s", revision, filepath.Join(repo, "refs"))
		}
		return revision, nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil {
		return "", err
	}
	commit := strings.TrimSpace(string(data))
	if commit == "" || commit == "." || strings.ContainsAny(commit, `/\:`) || !filepath.IsLocal(commit) {
		return "", fmt.Errorf("%s: %q is no commit", filepath.Join(repo, "refs", revision), commit)
	}
	return commit, nil
}

// cutSnapshot splits …/models--org--name/snapshots/COMMIT into the repository's
// folder and the commit.
func cutSnapshot(dir string) (repo, commit string, ok bool) {
	snapshots, commit := filepath.Split(filepath.Clean(dir))
	snapshots = filepath.Clean(snapshots)
	repo = filepath.Dir(snapshots)
	return repo, commit, filepath.Base(snapshots) == "snapshots" && strings.HasPrefix(filepath.Base(repo), "models--")
}

// PublicName is how others know a model: a hub id without its revision, a folder of the hub cache
// by its id, another folder as FolderName has it. It holds no path of this machine.
func PublicName(pathOrID string) string {
	if _, err := os.Stat(pathOrID); err != nil && !filepath.IsAbs(pathOrID) {
		id, _, _ := strings.Cut(pathOrID, "@")
		return id
	}
	abs, err := filepath.Abs(pathOrID)
	if err != nil {
		return filepath.Base(pathOrID)
	}
	snapshots := filepath.Dir(abs)
	if id, ok := strings.CutPrefix(filepath.Base(filepath.Dir(snapshots)), "models--"); ok && filepath.Base(snapshots) == "snapshots" {
		return strings.ReplaceAll(id, "--", "/")
	}
	return FolderName(abs)
}

// FolderName is what a model is called by the folder that it lies or will lie in: its last part; or the name of the
// stage, for a model that the stage of a recipe made, stages/NAME/model.
func FolderName(dir string) string {
	dir = filepath.Clean(dir)
	if stage := filepath.Dir(dir); filepath.Base(dir) == "model" && filepath.Base(filepath.Dir(stage)) == "stages" {
		return filepath.Base(stage)
	}
	return filepath.Base(dir)
}
