// Package recipes holds the recipes that come with lep, so that `lep run NAME` finds them anywhere.
package recipes

import "embed"

// Files are the recipes, by NAME.yaml.
//
//go:embed *.yaml
var Files embed.FS
