package stats

import (
	_ "embed"
	"html/template"
	"io"
	"strings"

	"lep/internal/page"
)

//go:embed page.html
var pageHTML string

// WriteHTML writes the report as one page that needs nothing else: no script, no
// network, light and dark. Texts of tokens are escaped, with controls and direction marks made
// visible before (see Visible).
func (p *Page) WriteHTML(w io.Writer) error {
	t, err := page.Template(pageHTML, "", template.FuncMap{
		// Colours show the borders, so spaces may be spaces and lines break at them.
		"spaces":    func(text string) string { return strings.ReplaceAll(text, "␣", " ") },
		"hidden":    func(text string) bool { return strings.HasPrefix(text, "‹") },
		"stripe":    func(i int) int { return i % 6 },
		"direction": page.Direction,
		"numeric":   func(cell string) bool { return strings.Trim(cell, "0123456789.,-–+×% ") == "" },
	})
	if err != nil {
		return err
	}
	return page.Write(w, t, p)
}
