package checkpoint

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lep/internal/hint"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// fakeHub makes a cache with one model, laid out as huggingface_hub does: files
// are links into blobs.
func fakeHub(t *testing.T) Hub {
	t.Helper()
	h := Hub{Cache: filepath.Join(t.TempDir(), "hub")}
	repo := filepath.Join(h.Cache, "models--org--tiny")
	snapshot := filepath.Join(repo, "snapshots", commit)
	for _, dir := range []string{snapshot, filepath.Join(repo, "refs", "refs", "pr"), filepath.Join(repo, "blobs")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(repo, "refs", "main"), []byte(commit))
	writeFile(t, filepath.Join(repo, "refs", "refs", "pr", "1"), []byte(commit+"\n"))
	writeFile(t, filepath.Join(repo, "refs", "evil"), []byte("../../../secret"))
	writeFile(t, filepath.Join(repo, "refs", "gone"), []byte(strings.Repeat("f", 40)))
	writeFile(t, filepath.Join(repo, "blobs", "c"), []byte(`{"model_type":"llama"}`))
	writeFile(t, filepath.Join(repo, "blobs", "w"), tiny(t))
	for name, blob := range map[string]string{ConfigFile: "c", weightsFile: "w"} {
		if err := os.Symlink(filepath.Join("..", "..", "blobs", blob), filepath.Join(snapshot, name)); err != nil {
			t.Skip(err)
		}
	}
	return h
}

func TestResolve(t *testing.T) {
	h := fakeHub(t)
	snapshot := filepath.Join(h.Cache, "models--org--tiny", "snapshots", commit)
	folder := t.TempDir()
	for arg, want := range map[string]string{
		"org/tiny": snapshot, "org/tiny@main": snapshot, "org/tiny@" + commit: snapshot, "org/tiny@refs/pr/1": snapshot, folder: folder,
	} {
		got, err := h.Resolve(arg)
		if err != nil || got != want {
			t.Errorf("Resolve(%q) = %q, %v, want %q", arg, got, err, want)
		}
	}
	m, err := Open(snapshot) // its files are links out of the folder, but inside the repository
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	for _, tt := range []struct{ arg, want, hint string }{
		{"org/other", "org/other: not found: there is no such folder, and no " + filepath.Join(h.Cache, "models--org--other"), "hf download org/other --revision main"},
		{"gpt2", "models--gpt2", "hf download gpt2"},
		{"org/tiny@gone", "there is no " + filepath.Join(h.Cache, "models--org--tiny", "snapshots", strings.Repeat("f", 40)), "hf download"},
		{"org/tiny@nowhere", "snapshots/nowhere", "--revision nowhere"},
		{"org/tiny@a/b", `revision "a/b" is not in`, ""},
		{"org/tiny@evil", "is no commit", ""},
		{"org/tiny@../../x", "no such folder", ""},
		{"../x/y", "no such folder", ""},
		{"../../etc", "no such folder", ""},
		{"/nowhere/at/all", "no such folder", ""},
		{"org/ti--ny", "no such folder", ""},
		{"org/..", "no such folder", ""},
		{"", "no such folder", ""},
	} {
		dir, err := h.Resolve(tt.arg)
		if err == nil || !strings.Contains(err.Error(), filepath.FromSlash(tt.want)) || !strings.Contains(hint.Of(err), tt.hint) {
			t.Errorf("Resolve(%q) = %q, %v (%s), want %q", tt.arg, dir, err, hint.Of(err), tt.want)
		}
	}
	h.Offline = true
	if _, err := h.Resolve("org/other"); !strings.Contains(hint.Of(err), "HF_HUB_OFFLINE is set: unset") {
		t.Errorf("offline: %v (%s)", err, hint.Of(err))
	}
	file := filepath.Join(folder, "tokenizer.json")
	writeFile(t, file, []byte("{}"))
	if _, err := h.Resolve(file); err == nil || !strings.Contains(err.Error(), "is a file, want a model folder") {
		t.Errorf("a file: %v", err)
	}
}

func TestHubFromEnv(t *testing.T) {
	home, err := os.UserHomeDir()
	if err != nil {
		t.Skip(err)
	}
	for _, tt := range []struct {
		env  map[string]string
		want string
	}{
		{nil, filepath.Join(home, ".cache", "huggingface", "hub")},
		{map[string]string{"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"},
		{map[string]string{"XDG_CACHE_HOME": "/x", "HF_HOME": "/h"}, "/h/hub"},
		{map[string]string{"HF_HOME": "/h", "HF_HUB_CACHE": "/c"}, "/c"},
	} {
		h, err := HubFromEnv(func(key string) string { return tt.env[key] })
		if err != nil || h.Cache != filepath.FromSlash(tt.want) || h.Offline {
			t.Errorf("%v: %+v, %v, want %s", tt.env, h, err, tt.want)
		}
	}
	h, _ := HubFromEnv(func(key string) string { return map[string]string{"HF_HUB_OFFLINE": "yes", "HF_HOME": "/h"}[key] })
	if !h.Offline {
		t.Error("HF_HUB_OFFLINE=yes is not offline")
	}
}

func TestHubLinksOutOfTheRepository(t *testing.T) {
	h := fakeHub(t)
	snapshot := filepath.Join(h.Cache, "models--org--tiny", "snapshots", commit)
	outside := filepath.Join(t.TempDir(), "outside.json")
	writeFile(t, outside, []byte("{}"))
	if err := os.Remove(filepath.Join(snapshot, ConfigFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(snapshot, ConfigFile)); err != nil {
		t.Fatal(err)
	}
	_, err := Open(snapshot)
	if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(hint.Of(err), "links out of it are not followed") {
		t.Errorf("got %v (%s)", err, hint.Of(err))
	}
}

func TestPublicName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "models--org--name", "snapshots", "0123")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"org/name@main": "org/name", "name": "name", dir: "org/name", filepath.Dir(dir): "snapshots",
		"/nowhere/models--org--other/snapshots/9": "org/other", "/nowhere/base/": "base",
		"/runs/x/stages/train-1/model": "train-1", "/runs/x/stages/model": "model",
	} {
		if got := PublicName(in); got != want {
			t.Errorf("PublicName(%q) = %q, want %q", in, got, want)
		}
	}
}
