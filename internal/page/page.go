// Package page is the frame and the pencil of the HTML pages that lep writes: one
// style sheet for light, dark, phone and print, a content security policy under which
// nothing is loaded, charts as SVG, and characters that a browser would hide or obey made visible.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
)

//go:embed frame.html
var frameHTML string

//go:embed style.css
var styleCSS string

// Template puts the frame around the body of a page. body is an html/template; what it is executed
// with needs a Title. script may be "": the policy lets this script run and no other.
func Template(body, script string, funcs template.FuncMap) (*template.Template, error) {
	policy := "default-src 'none'; style-src " + digest(styleCSS) + "; base-uri 'none'; form-action 'none'"
	if script != "" {
		policy += "; script-src " + digest(script)
	}
	t := template.New("page").Funcs(template.FuncMap{
		"policy": func() template.HTMLAttr { return template.HTMLAttr(`content="` + policy + `"`) }, //nolint:gosec // ours
		"style":  func() template.CSS { return template.CSS(styleCSS) },                             //nolint:gosec // ours
		"script": func() template.JS { return template.JS(script) },                                 //nolint:gosec // ours
	}).Funcs(funcs)
	if _, err := t.Parse(frameHTML); err != nil {
		return nil, err
	}
	if _, err := t.New("body").Parse(body); err != nil {
		return nil, err
	}
	return t, nil
}

// Write executes a template. Whatever texts it is given, no control, direction mark or broken UTF-8
// gets into the page: they are made visible (see Reveal).
func Write(w io.Writer, t *template.Template, data any) error {
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	_, err := io.WriteString(w, Reveal(b.String(), "\n\t"))
	return err
}

// digest names an inline style or script for the policy.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Direction is the dir attribute for texts of a language.
func Direction(lang string) string {
	switch lang {
	case "ar", "he", "fa", "ur", "yi", "ps", "ug", "dv", "sd":
		return "rtl"
	}
	return "ltr"
}
