package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"

	"lep/tokenizer/ucd"
)

// addedSet finds added tokens in a text: of the matches that begin leftmost the
// longest, then the next behind it. The contents form a trie; the bytes that begin one
// are a bitmap, so that a text without added tokens is passed over quickly.
type addedSet struct {
	tokens []AddedToken
	first  [256]bool
	single byte // the only byte that begins a token
	starts int  // number of such bytes
	nodes  []trieNode
}

// trieNode is a node of a small trie: children as sorted pairs of byte and node.
type trieNode struct {
	bytes []byte
	next  []int32
	token int32 // index in tokens, or -1
}

// newAddedSet takes tokens and the spelling under which each is searched.
func newAddedSet(tokens []AddedToken, spelling func(AddedToken) string) *addedSet {
	s := &addedSet{nodes: []trieNode{{token: -1}}}
	for _, t := range tokens {
		text := spelling(t)
		if text == "" {
			continue
		}
		s.tokens = append(s.tokens, t)
		if !s.first[text[0]] {
			s.first[text[0]] = true
			s.single = text[0]
			s.starts++
		}
		s.insert(text, int32(len(s.tokens)-1))
	}
	return s
}

func (s *addedSet) insert(text string, token int32) {
	node := int32(0)
	for i := range len(text) {
		n := &s.nodes[node]
		at, ok := slices.BinarySearch(n.bytes, text[i])
		if !ok {
			n.bytes = slices.Insert(n.bytes, at, text[i])
			n.next = slices.Insert(n.next, at, int32(len(s.nodes)))
			s.nodes = append(s.nodes, trieNode{token: -1})
			n = &s.nodes[node]
		}
		node = n.next[at]
	}
	if s.nodes[node].token < 0 { // of equal spellings the first counts
		s.nodes[node].token = token
	}
}

// find returns the leftmost-longest token in text from byte i on.
func (s *addedSet) find(text string, i int) (token, start, end int) {
	for ; i < len(text); i++ {
		if s.starts == 1 {
			at := strings.IndexByte(text[i:], s.single)
			if at < 0 {
				break
			}
			i += at
		} else if !s.first[text[i]] {
			continue
		}
		node, found, foundEnd := int32(0), int32(-1), 0
		for j := i; j < len(text); j++ {
			n := &s.nodes[node]
			at, ok := slices.BinarySearch(n.bytes, text[j])
			if !ok {
				break
			}
			node = n.next[at]
			if t := s.nodes[node].token; t >= 0 {
				found, foundEnd = t, j+1
			}
		}
		if found >= 0 {
			return int(found), i, foundEnd
		}
	}
	return -1, 0, 0
}

// part is a stretch of a text: an added token, or what lies between two (token -1).
type part struct{ token, start, end int }

// cut cuts text at its added tokens, with HF's rules for white space and whole words.
// plainSpecial leaves tokens with the flag special in the text.
func (s *addedSet) cut(dst []part, text string, plainSpecial bool) []part {
	done := 0
	space := span{-1, -1} // white space that was measured last
	for from := 0; ; {
		token, start, end := -1, 0, 0
		if s.starts > 0 {
			token, start, end = s.find(text, from)
		}
		if token < 0 {
			break
		}
		from = end
		t := &s.tokens[token]
		if plainSpecial && t.Special || t.SingleWord && !singleWord(text, start, end) {
			continue
		}
		if t.LStrip && start > done { // white space that an earlier rstrip took stays with it
			start = done + trimSpaceLeft(text[done:start])
		}
		if t.RStrip {
			if end < int(space.start) || end > int(space.end) {
				space = span{int32(end), int32(end + leadingSpace(text[end:]))}
			}
			end = int(space.end)
		}
		if done < start {
			dst = append(dst, part{-1, done, start})
		}
		dst = append(dst, part{token, start, end})
		done = end
	}
	if done < len(text) {
		dst = append(dst, part{-1, done, len(text)})
	}
	return dst
}

func singleWord(text string, start, end int) bool {
	if r, size := utf8.DecodeLastRuneInString(text[:start]); size > 0 && ucd.IsWord(r) {
		return false
	}
	r, size := utf8.DecodeRuneInString(text[end:])
	return size == 0 || !ucd.IsWord(r)
}

// trimSpaceLeft returns the length of text without the white space at its end.
func trimSpaceLeft(text string) int { return len(strings.TrimRightFunc(text, ucd.IsSpace)) }

// leadingSpace returns the length of the white space at the beginning of text.
func leadingSpace(text string) int { return len(text) - len(strings.TrimLeftFunc(text, ucd.IsSpace)) }
