package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"lep/internal/atomic"
	"lep/internal/pocket"
)

// pocketVariable names, in recipes, the folder that holds the bundled models and texts.
const pocketVariable = "LEP_POCKET"

// recipeEnv answers ${env:NAME} of recipes. The bundle is unpacked into the user's cache when a recipe first asks for it
// and the environment does not say that it is elsewhere.
func (a *app) recipeEnv(ctx context.Context) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := os.LookupEnv(name)
		if ok || name != pocketVariable {
			return value, ok
		}
		dir, err := a.unpackPocket(ctx)
		if err != nil {
			a.notef("the bundled models cannot be unpacked: %v", err)
			return "", false
		}
		return dir, true
	}
}

// unpackPocket returns the folder of the bundle, which is written once for each version of it.
func (a *app) unpackPocket(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "lep", "pocket-"+pocket.Digest()[:12])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	a.notef("unpacking the bundled models to %s", dir)
	err = a.writeDir(dir, func(temp string) error {
		_, err := pocket.Materialize(ctx, temp)
		return err
	})
	if errors.Is(err, atomic.ErrExists) { // another process was faster
		err = nil
	}
	return dir, err
}
