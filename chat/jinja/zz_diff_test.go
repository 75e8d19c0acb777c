package jinja

import (
	"encoding/json"
	"os"
	"testing"
)

func TestZZDiff(t *testing.T) {
	data, _ := os.ReadFile("/tmp/jdiff/out.json")
	var f caseFile
	json.Unmarshal(data, &f)
	for _, c := range f.Cases {
		if !c.Opaque {
			checkOutcome(t, c.Template, c, f.Vars)
		}
	}
}
