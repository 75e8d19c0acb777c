#!/usr/bin/env bash
# Runs every fuzz target of the repository for FUZZTIME each (default 20s).
set -euo pipefail
cd "$(dirname "$0")/.."
for package in $(go list -f '{{if .TestGoFiles}}{{.ImportPath}}{{end}}{{if .XTestGoFiles}} {{.ImportPath}}{{end}}' ./... | sort -u); do
  for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
    echo "== $package $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-20s}" "$package"
  done
done
