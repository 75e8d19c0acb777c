package stats

import (
	_ "embed"
	"html/template"
	"io"
	"slices"
	"strings"
)

//go:embed page.html
var pageHTML string

// WriteHTML writes the report as one page that needs nothing else: no script, no
// network, light and dark. Texts of tokens are escaped, with controls and direction marks made
// visible before (see Visible).
func (p *Page) WriteHTML(w io.Writer) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		// Colours show the borders, so spaces may be spaces and lines break at them.
		"spaces": func(text string) string { return strings.ReplaceAll(text, "␣", " ") },
		"hidden": func(text string) bool { return strings.HasPrefix(text, "‹") },
		"stripe": func(i int) int { return i % 6 },
		"direction": func(lang string) string {
			if slices.Contains([]string{"ar", "he", "fa", "ur"}, lang) {
				return "rtl"
			}
			return "ltr"
		},
		"numeric": func(cell string) bool { return strings.Trim(cell, "0123456789.,-–+×% ") == "" },
	}).Parse(pageHTML)
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}
