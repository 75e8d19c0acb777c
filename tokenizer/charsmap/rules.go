package charsmap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"lep/tokenizer/ucd"
)

// named are the maps by the names of SentencePiece's normalization rules, each made when it is
// first asked for: that takes half a second.
var named = map[string]func() ([]byte, error){
	"nfkc":        compileOnce(false, false),
	"nmt_nfkc":    compileOnce(true, false),
	"nfkc_cf":     compileOnce(false, true),
	"nmt_nfkc_cf": compileOnce(true, true),
	"identity":    func() ([]byte, error) { return nil, nil },
}

func compileOnce(nmt, fold bool) func() ([]byte, error) {
	return sync.OnceValues(func() ([]byte, error) {
		rules := nfkcRules()
		if nmt {
			rules.addNMT()
		}
		if fold {
			rules.foldCase()
		}
		return Compile(rules)
	})
}

// Named returns the precompiled charsmap of one of SentencePiece's
// normalization rules: nmt_nfkc, nfkc, nmt_nfkc_cf, nfkc_cf, or nothing for
// identity. It replaces what the one of SentencePiece 0.2.3 does (Unicode 17).
// The caller may change what it gets.
func Named(rule string) ([]byte, error) {
	compiled, ok := named[rule]
	if !ok {
		return nil, fmt.Errorf("sentencepiece: unknown normalization rule %q, want nmt_nfkc, nfkc, nmt_nfkc_cf, nfkc_cf or identity", rule)
	}
	blob, err := compiled()
	return slices.Clone(blob), err
}

// charRules maps sequences of characters to what replaces them.
type charRules map[string]string

// youngCompatibility: compatibility mappings of Unicode 16 and 17, which x/text lacks.
func youngCompatibility(r rune) (rune, bool) {
	switch {
	case r == 0xA7F1:
		return 'S', true
	case r >= 0x1CCD6 && r <= 0x1CCEF:
		return 'A' + r - 0x1CCD6, true
	case r >= 0x1CCF0 && r <= 0x1CCF9:
		return '0' + r - 0x1CCF0, true
	}
	return 0, false
}

// youngComposites are the canonical composites of Unicode 16.
var youngComposites = map[rune][]rune{
	0x105C9: {0x105D2, 0x307}, 0x105E4: {0x105DA, 0x307}, 0x11383: {0x11382, 0x113C9}, 0x11385: {0x11384, 0x113BB},
	0x1138E: {0x1138B, 0x113C2}, 0x11391: {0x11390, 0x113C9}, 0x113C5: {0x113C2, 0x113C2}, 0x113C7: {0x113C2, 0x113B8},
	0x113C8: {0x113C2, 0x113C9}, 0x16121: {0x1611E, 0x1611E}, 0x16122: {0x1611E, 0x16129}, 0x16123: {0x1611E, 0x1611F},
	0x16124: {0x16129, 0x1611F}, 0x16125: {0x1611E, 0x16120}, 0x16126: {0x1611E, 0x1611E, 0x1611F},
	0x16127: {0x1611E, 0x16129, 0x1611F}, 0x16128: {0x1611E, 0x1611E, 0x16120}, 0x16D68: {0x16D67, 0x16D67},
	0x16D69: {0x16D63, 0x16D67}, 0x16D6A: {0x16D63, 0x16D67, 0x16D67},
}

// nfkcRules are SentencePiece's: every character that NFKC changes, and every
// sequence of characters, themselves normal or not, that NFKC composes into one
// that a single character decomposes to.
func nfkcRules() charRules {
	rules := charRules{}
	unnormalized := map[rune][]rune{} // other characters whose NFKD is this one
	decomposed := map[string]string{} // NFKD of more characters, and its NFC
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) || r >= 0xFDD0 && r <= 0xFDEF || r&0xFFFE == 0xFFFE {
			continue
		}
		s := string(r)
		if parts := youngComposites[r]; parts != nil {
			decomposed[string(parts)] = s
			continue
		}
		var nfkc, nfkd string
		if to, ok := youngCompatibility(r); ok {
			nfkc, nfkd = string(to), string(to)
		} else if isHangul := r >= 0xAC00 && r <= 0xD7A3; isHangul || norm.NFKC.PropertiesString(s).Decomposition() != nil {
			nfkc, nfkd = norm.NFKC.String(s), norm.NFKD.String(s)
		} else {
			continue
		}
		if nfkc != s {
			rules[s] = nfkc
		}
		if utf8.RuneCountInString(nfkd) == 1 {
			d, _ := utf8.DecodeRuneInString(nfkd)
			unnormalized[d] = append(unnormalized[d], r)
		} else if nfc := norm.NFC.String(nfkd); nfc != nfkd {
			decomposed[nfkd] = nfc
		}
	}
	for nfkd, nfc := range decomposed {
		sequences := []string{""}
		for _, r := range nfkd {
			var longer []string
			for _, s := range sequences {
				longer = append(longer, s+string(r))
				for _, u := range unnormalized[r] {
					longer = append(longer, s+string(u))
				}
			}
			sequences = longer
		}
		for _, s := range sequences {
			if s != nfc {
				rules[s] = nfc
			}
		}
	}
	return rules
}

// addNMT adds the rules for white space and control characters.
func (rules charRules) addNMT() {
	for _, r := range []rune{0x9, 0xA, 0xC, 0xD, 0x61C, 0x1680, 0x200B, 0x200C, 0x200E, 0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD} {
		rules[string(r)] = " "
	}
	for r := rune(1); r < 0xA0; r++ {
		switch {
		case r <= 0x8, r == 0xB, r >= 0xE && r <= 0x1F, r == 0x7F, r == 0x8F, r == 0x9F:
			rules[string(r)] = ""
		}
	}
	delete(rules, "\uFF5E") // the full-width tilde is another sign than ~ in Japanese
}

// foldCase folds what the rules give, and every other character.
func (rules charRules) foldCase() {
	for s, to := range rules {
		folded := []rune(to)
		for i, r := range folded {
			folded[i] = simpleFold(r)
		}
		rules[s] = string(folded)
	}
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		if _, ok := rules[string(r)]; !ok && simpleFold(r) != r {
			rules[string(r)] = string(simpleFold(r))
		}
	}
}

// simpleFold is the simple case folding of Unicode 17 (CaseFolding.txt, C and S).
func simpleFold(r rune) rune {
	switch {
	case r == 'İ' || r == 'ı': // theirs is Turkic only
		return r
	case r >= 0x13A0 && r <= 0x13F5: // Cherokee folds to capitals
		return r
	case r >= 0x13F8 && r <= 0x13FD:
		return r - 8
	case r >= 0xAB70 && r <= 0xABBF:
		return r - 0xAB70 + 0x13A0
	}
	return ucd.ToLower(unicode.ToUpper(r))
}

// Compile writes rules, what is replaced and by what, as a precompiled charsmap; rules that
// shorter ones imply are left out. No key may be empty, or longer than 256 bytes, or have a
// NUL; no replacement may have one.
func Compile(rules map[string]string) ([]byte, error) {
	byLength := map[int][]string{}
	longest := 0
	for s := range rules {
		if s == "" {
			return nil, errors.New("charsmap: a key is empty")
		}
		n := utf8.RuneCountInString(s)
		byLength[n] = append(byLength[n], s)
		longest = max(longest, n)
	}
	kept := make(charRules, len(rules))
	for n := 1; n <= longest; n++ {
		var add []string
		for _, s := range byLength[n] {
			if n == 1 || kept.apply(s, n-1) != rules[s] {
				add = append(add, s)
			}
		}
		for _, s := range add {
			kept[s] = rules[s]
		}
	}
	var texts []byte
	place := map[string]uint32{}
	entries := make([]Entry, 0, len(kept))
	keys := make([]string, 0, len(kept))
	for s := range kept {
		keys = append(keys, s)
	}
	slices.Sort(keys)
	for _, s := range keys {
		to := kept[s]
		if strings.IndexByte(to, 0) >= 0 {
			return nil, fmt.Errorf("charsmap: the replacement %q of %q has a NUL", to, s)
		}
		at, ok := place[to]
		if !ok {
			at = uint32(len(texts))
			place[to] = at
			texts = append(append(texts, to...), 0)
		}
		entries = append(entries, Entry{s, at})
	}
	trie, err := BuildTrie(entries, true)
	if err != nil {
		return nil, err
	}
	blob := binary.LittleEndian.AppendUint32(nil, uint32(4*len(trie)))
	for _, u := range trie {
		blob = binary.LittleEndian.AppendUint32(blob, u)
	}
	blob = append(blob, texts...)
	if _, err := Read(blob); err != nil {
		return nil, fmt.Errorf("what was built does not read back: %w", err)
	}
	return blob, nil
}

// apply replaces the longest keys of at most limit characters in s.
func (rules charRules) apply(s string, limit int) string {
	var out []byte
	for len(s) > 0 {
		end, best := 0, 0
		for range limit {
			if end == len(s) {
				break
			}
			_, size := utf8.DecodeRuneInString(s[end:])
			end += size
			if _, ok := rules[s[:end]]; ok {
				best = end
			}
		}
		if best == 0 {
			_, best = utf8.DecodeRuneInString(s)
			out = append(out, s[:best]...)
		} else {
			out = append(out, rules[s[:best]]...)
		}
		s = s[best:]
	}
	return string(out)
}
