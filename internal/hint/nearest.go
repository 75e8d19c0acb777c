package hint

import "strings"

// DidYouMean advises on a word that is not known: it names the nearest of those that are, or all
// where none is near and they are no more than 30; "" otherwise.
func DidYouMean(word string, known []string) string {
	if near := Nearest(word, known, max(2, len(word)/3)); near != "" {
		return "did you mean " + near + "?"
	}
	if len(known) == 0 || len(known) > 30 {
		return ""
	}
	return "known are " + strings.Join(known, ", ")
}

// Nearest returns the word among some that is most like another, by Levenshtein's distance, the
// first of equals; "" if every one is more than limit edits away.
func Nearest(word string, among []string, limit int) string {
	best, near := limit+1, ""
	for _, w := range among {
		if d := distance(word, w); d < best {
			best, near = d, w
		}
	}
	return near
}

// distance counts the insertions, deletions and substitutions between two words, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal, row[j+1] = row[j+1], min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
