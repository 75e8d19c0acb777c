package modelcard

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// Inherit takes from the cards of the models that a model was made of what holds for it too: the
// license of the first that names one, and the languages of all. What is set already stays. A card that
// cannot be read is left out and named in the notes.
func (c *Card) Inherit(dirs ...string) (notes []string) {
	given := len(c.Language) > 0
	for _, dir := range dirs {
		from, err := Read(dir)
		if err != nil {
			notes = append(notes, fmt.Sprintf("the card of an input was left out: %v", err))
		}
		if from == nil {
			continue
		}
		if c.License == "" && c.LicenseName == "" {
			c.License, c.LicenseName, c.LicenseLink = from.License, from.LicenseName, from.LicenseLink
		}
		if !given {
			c.Language = union(c.Language, from.Language...)
		}
	}
	return notes
}

// linked reports whether a license_link leads somewhere: an address, or a file of the folder.
func linked(dir, link string) bool {
	if u, err := url.Parse(link); err == nil && u.Scheme == "https" || err == nil && u.Scheme == "http" {
		return u.Host != ""
	}
	if !filepath.IsLocal(link) {
		return false
	}
	info, err := os.Stat(filepath.Join(dir, link))
	return err == nil && info.Mode().IsRegular()
}
