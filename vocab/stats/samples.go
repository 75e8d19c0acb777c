package stats

import (
	_ "embed"
	"strings"
)

// Sample is a language with texts in it.
type Sample struct {
	Code  string // ISO 639-1, or "code" for program text
	Name  string // in English
	Texts []string
}

//go:embed samples.txt
var samplesText string

// Samples returns the built-in texts, which were written for lep.
func Samples() []Sample {
	var list []Sample
	unescape := strings.NewReplacer(`\n`, "\n", `\t`, "\t")
	for line := range strings.Lines(samplesText) {
		line = strings.TrimSuffix(line, "\n")
		if head, ok := strings.CutPrefix(line, "= "); ok {
			code, name, _ := strings.Cut(head, " ")
			list = append(list, Sample{Code: code, Name: name})
			continue
		}
		if line == "" || strings.HasPrefix(line, "# ") {
			continue
		}
		last := &list[len(list)-1]
		if last.Code == "code" {
			line = unescape.Replace(line)
		}
		last.Texts = append(last.Texts, line)
	}
	return list
}
