package trainer

import (
	"maps"
	"slices"
	"sync"
	"unicode"
)

// inheritedScript is the script of marks, which take that of the character before.
const inheritedScript int16 = -2

// scriptNumbers numbers the scripts by their names' order.
var scriptNumbers = sync.OnceValue(func() map[string]int16 {
	numbers := map[string]int16{}
	for i, name := range slices.Sorted(maps.Keys(unicode.Scripts)) {
		numbers[name] = int16(i)
	}
	numbers["Hiragana"], numbers["Katakana"] = numbers["Han"], numbers["Han"]
	numbers["Inherited"] = inheritedScript
	return numbers
})

// scriptOf returns the number of a character's script. Kana count as Han, as
// SentencePiece has it; characters without a script count as Common.
func scriptOf(r rune) int16 {
	name := "Common"
	if r == 0x30FC { // the long vowel mark of kana
		name = "Han"
	} else {
		for n, table := range unicode.Scripts {
			if unicode.Is(table, r) {
				name = n
				break
			}
		}
	}
	return scriptNumbers()[name]
}
