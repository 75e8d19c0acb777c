package modelcard

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lep/internal/testmodel"
	"lep/tensor"
)

// good is a folder that can be published.
func good(t *testing.T) string {
	t.Helper()
	dir := testmodel.New(t, "llama", 1, tensor.BF16, nil).Folder(t)
	write(t, dir, "LICENSE", "terms")
	if err := full().WriteFile(dir); err != nil {
		t.Fatal(err)
	}
	card, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	card.Put(Usage("org/result", true))
	if err := card.WriteFile(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCheckFolder(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, dir string)
		check  string // that fails
		want   string // in its detail
	}{
		{"good", func(*testing.T, string) {}, "", ""},
		{"left over from a run", func(t *testing.T, dir string) { write(t, dir, ".lock", ""); write(t, dir, "checkpoints/step-1/x", "") }, "", ""},
		{"temporary", func(t *testing.T, dir string) { write(t, dir, ".model.lep-123/x", "") }, "files", ".model.lep-123/x: a temporary file"},
		{"pickle", func(t *testing.T, dir string) { write(t, dir, "pytorch_model.bin", "") }, "files", "pytorch_model.bin: a pickle"},
		{"dead link", func(t *testing.T, dir string) {
			if err := os.Symlink("nothing", filepath.Join(dir, "a.json")); err != nil {
				t.Fatal(err)
			}
		}, "files", "a.json: leads nowhere"},
		{"no weights", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "model.safetensors")) }, "weights", "safetensors"},
		{"broken json", func(t *testing.T, dir string) { write(t, dir, "generation_config.json", `{"a": NaN}`) }, "json", "generation_config.json: invalid character"},
		{"a key", func(t *testing.T, dir string) {
			write(t, dir, "notes.txt", "\nexport HF_TOKEN=hf_"+strings.Repeat("aB3", 12)+"\n")
		}, "secrets", "notes.txt:2: looks like a key"},
		{"a path", func(t *testing.T, dir string) {
			write(t, dir, "lep.json", `{"options": {"model": "/home/me/models/base"}}`)
		}, "paths", "lep.json:1: /home/me/models/base"},
		{"a path of Windows", func(t *testing.T, dir string) { write(t, dir, "lep.json", `{"model": "C:\\Users\\me\\base"}`) }, "paths", `C:\\Users\\me\\base`},
		{"no card", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, File)) }, "card", "no README.md"},
		{"an empty card", func(t *testing.T, dir string) { write(t, dir, File, "") }, "card", "no title; no language; no license"},
		{"no such license file", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "LICENSE")) }, "card", `license_link "LICENSE"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := good(t)
			tt.change(t, dir)
			f, err := CheckFolder(context.Background(), dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range f.Findings {
				if want := x.Name != tt.check; x.OK != want && (tt.check != "weights" || x.OK) {
					t.Errorf("%s: ok %t (%s), want %t", x.Name, x.OK, x.Detail, want)
				}
				if x.Name == tt.check && !strings.Contains(x.Detail, tt.want) {
					t.Errorf("%s: %s, want %q", x.Name, x.Detail, tt.want)
				}
			}
			if f.Passed() != (tt.check == "") {
				t.Errorf("passed: %t", f.Passed())
			}
			if strings.Contains(tt.name, "left over") && strings.Join(f.Exclude, " ") != ".lock checkpoints/*" {
				t.Errorf("excluded %q", f.Exclude)
			}
		})
	}
}

func TestTidy(t *testing.T) {
	dir := good(t)
	write(t, dir, "lep.json", `{"source": "/data/models/base", "donor": "/home/ada/.cache/hub/models--org--donor/snapshots/0123", "lines": "a/b /n"}`)
	write(t, dir, "recipe.yaml", "model: /scratch/me/base  # of /tmp\nout: ./relative/x\n")
	changed, err := Tidy(dir)
	if err != nil || strings.Join(changed, " ") != "lep.json recipe.yaml" {
		t.Errorf("changed %q, %v", changed, err)
	}
	for name, want := range map[string]string{
		"lep.json":    `{"source": "base", "donor": "org/donor", "lines": "a/b /n"}`,
		"recipe.yaml": "model: base  # of /tmp\nout: ./relative/x\n",
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s (%v), want %s", name, got, err, want)
		}
	}
	if f, err := CheckFolder(context.Background(), dir); err != nil || !f.Passed() {
		t.Errorf("behind it: %+v, %v", f, err)
	}
}
