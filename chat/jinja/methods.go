package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type stringFunc func(s *state, text string, a args) any

// stringMethod returns Python's str method of that name, nil if there is none.
func stringMethod(name string) stringFunc {
	switch name {
	case "strip", "lstrip", "rstrip":
		return func(s *state, text string, a args) any {
			return s.strip(text, name, s.bind(name, a, "chars").or(0, nil))
		}
	case "split", "rsplit":
		return func(s *state, text string, a args) any {
			p := s.bind(name, a, "sep", "maxsplit")
			return s.split(text, p.or(0, nil), s.toInt(p.or(1, int64(-1)), "maxsplit"), name == "rsplit")
		}
	case "splitlines":
		return func(s *state, text string, a args) any {
			return s.strings(splitLines(text, s.truth(s.bind(name, a, "keepends").or(0, false))))
		}
	case "startswith", "endswith":
		return func(s *state, text string, a args) any { return s.affix(text, name, a) }
	case "removeprefix":
		return func(s *state, text string, a args) any {
			return strings.TrimPrefix(text, s.text(s.need(1, name, a, "prefix")[0], name))
		}
	case "removesuffix":
		return func(s *state, text string, a args) any {
			return strings.TrimSuffix(text, s.text(s.need(1, name, a, "suffix")[0], name))
		}
	case "replace":
		return func(s *state, text string, a args) any {
			p := s.need(2, name, a, "old", "new", "count")
			return s.replace(text, s.text(p[0], name), s.text(p[1], name), s.toInt(p.or(2, int64(-1)), name))
		}
	case "find", "rfind", "index", "rindex", "count":
		return func(s *state, text string, a args) any { return s.find(text, name, a) }
	case "join":
		return func(s *state, text string, a args) any {
			items := s.iterate(s.need(1, name, a, "iterable")[0])
			parts := make([]string, len(items))
			for i, item := range items {
				parts[i] = s.text(item, "item to join")
			}
			return s.join(parts, text)
		}
	case "partition", "rpartition":
		return func(s *state, text string, a args) any { return s.partition(text, name, a) }
	case "center", "ljust", "rjust", "zfill":
		return func(s *state, text string, a args) any { return s.pad(text, name, a) }
	case "format":
		return func(s *state, text string, a args) any { return s.format(text, a) }
	case "isdigit", "isdecimal", "isnumeric", "isalpha", "isalnum", "isspace", "islower", "isupper", "istitle", "isascii", "isidentifier":
		return func(s *state, text string, a args) any { s.bind(name, a); return is(name, text) }
	case "encode", "translate", "expandtabs", "format_map":
		return func(s *state, _ string, _ args) any { s.fail("str.%s is not known here", name); return nil }
	}
	if change := caseChange(name); change != nil {
		return func(s *state, text string, a args) any {
			s.bind(name, a)
			s.work(len(text) / 8)
			return change(text)
		}
	}
	return nil
}

func caseChange(name string) func(string) string {
	switch name {
	case "upper":
		return upper
	case "lower", "casefold":
		return strings.ToLower
	case "capitalize":
		return capitalize
	case "swapcase":
		return func(text string) string {
			return strings.Map(func(r rune) rune {
				if unicode.IsUpper(r) {
					return unicode.ToLower(r)
				}
				return unicode.ToUpper(r)
			}, text)
		}
	case "title":
		return func(text string) string {
			letter := false
			return strings.Map(func(r rune) rune {
				was := letter
				letter = unicode.IsLetter(r)
				if was {
					return unicode.ToLower(r)
				}
				return unicode.ToTitle(r)
			}, text)
		}
	}
	return nil
}

// upper is Python's str.upper; of the letters that become two, ß is in use.
func upper(text string) string {
	return strings.ReplaceAll(strings.ToUpper(text), "ß", "SS")
}

func capitalize(text string) string {
	r, n := utf8.DecodeRuneInString(text)
	if n == 0 {
		return ""
	}
	first := string(unicode.ToTitle(r))
	if r == 'ß' {
		first = "Ss"
	}
	return first + strings.ToLower(text[n:])
}

// strip cuts blanks, or the characters given, off the ends.
func (s *state) strip(text, name string, chars any) string {
	cut := isSpace
	if chars != nil {
		set := s.text(chars, name)
		s.work(len(set))
		cut = func(r rune) bool { return strings.ContainsRune(set, r) }
	}
	if name != "lstrip" {
		text = strings.TrimRightFunc(text, cut)
	}
	if name != "rstrip" {
		text = strings.TrimLeftFunc(text, cut)
	}
	return text
}

func (s *state) strings(parts []string) *list {
	s.work(len(parts))
	l := &list{items: make([]any, len(parts))}
	for i, p := range parts {
		l.items[i] = p
	}
	return l
}

// split is str.split and str.rsplit: sep nil means runs of blanks.
func (s *state) split(text string, sep any, most int64, right bool) *list {
	s.work(len(text) / 8)
	if sep == nil {
		return s.splitBlanks(text, most, right)
	}
	cut := s.text(sep, "separator")
	if cut == "" {
		s.fail("empty separator")
	}
	n := int64(strings.Count(text, cut))
	s.work(int(n))
	if most < 0 || most > n {
		most = n
	}
	if !right {
		return s.strings(strings.SplitN(text, cut, int(most)+1))
	}
	parts := make([]string, most+1)
	for i := most; i > 0; i-- {
		at := strings.LastIndex(text, cut)
		parts[i], text = text[at+len(cut):], text[:at]
	}
	parts[0] = text
	return s.strings(parts)
}

func (s *state) splitBlanks(text string, most int64, right bool) *list {
	if most < 0 {
		return s.strings(strings.FieldsFunc(text, isSpace))
	}
	var parts []string
	ahead := "lstrip"
	if right {
		ahead = "rstrip"
	}
	for text = s.strip(text, ahead, nil); text != ""; {
		at := strings.IndexFunc(text, isSpace)
		if right {
			at = strings.LastIndexFunc(text, isSpace)
		}
		if at < 0 || int64(len(parts)) == most {
			parts = append(parts, text)
			break
		}
		_, width := utf8.DecodeRuneInString(text[at:])
		if right {
			parts = append(parts, text[at+width:])
			text = text[:at]
		} else {
			parts = append(parts, text[:at])
			text = text[at:]
		}
		text = s.strip(text, ahead, nil)
		s.work(1)
	}
	if right {
		for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
			parts[i], parts[j] = parts[j], parts[i]
		}
	}
	return s.strings(parts)
}

// splitLines is str.splitlines.
func splitLines(text string, keep bool) []string {
	var lines []string
	for text != "" {
		at := strings.IndexFunc(text, func(r rune) bool {
			return r >= '\n' && r <= '\r' || r >= 0x1c && r <= 0x1e || r == 0x85 || r == 0x2028 || r == 0x2029
		})
		if at < 0 {
			return append(lines, text)
		}
		_, width := utf8.DecodeRuneInString(text[at:])
		if strings.HasPrefix(text[at:], "\r\n") {
			width = 2
		}
		line := text[:at]
		if keep {
			line = text[:at+width]
		}
		lines = append(lines, line)
		text = text[at+width:]
	}
	return lines
}

// window is text[start:end] in characters, for methods that take such limits.
func (s *state) window(text string, start, end any) (part string, skipped int64, ok bool) {
	if start == nil && end == nil {
		return text, 0, true
	}
	s.work(len(text) / 8)
	runes := []rune(text)
	n := int64(len(runes))
	clamp := func(v any, other int64) int64 {
		if v == nil {
			return other
		}
		i := s.toInt(v, "index")
		if i < 0 {
			i = max(0, i+n)
		}
		return i
	}
	from, to := clamp(start, 0), min(clamp(end, n), n)
	if from > to {
		return "", from, false
	}
	return string(runes[from:to]), from, true
}

func (s *state) affix(text, name string, a args) any {
	p := s.need(1, name, a, "prefix", "start", "end")
	text, _, ok := s.window(text, p.or(1, nil), p.or(2, nil))
	if !ok {
		return false
	}
	has := strings.HasPrefix
	if name == "endswith" {
		has = strings.HasSuffix
	}
	if l, ok := p[0].(*list); ok && l.tuple {
		for _, item := range l.items {
			if has(text, s.text(item, name)) {
				return true
			}
		}
		return false
	}
	return has(text, s.text(p[0], name+" first arg"))
}

func (s *state) find(text, name string, a args) any {
	p := s.need(1, name, a, "sub", "start", "end")
	part := s.text(p[0], name)
	s.work(len(text) / 8)
	in, skipped, ok := s.window(text, p.or(1, nil), p.or(2, nil))
	if name == "count" {
		if !ok {
			return int64(0)
		}
		return int64(strings.Count(in, part))
	}
	at := -1
	if ok {
		at = strings.Index(in, part)
		if name[0] == 'r' {
			at = strings.LastIndex(in, part)
		}
	}
	if at >= 0 {
		return skipped + int64(utf8.RuneCountInString(in[:at]))
	}
	if strings.HasSuffix(name, "index") {
		s.fail("substring not found")
	}
	return int64(-1)
}

func (s *state) partition(text, name string, a args) any {
	sep := s.text(s.need(1, name, a, "sep")[0], name)
	if sep == "" {
		s.fail("empty separator")
	}
	at := strings.Index(text, sep)
	if name == "rpartition" {
		at = strings.LastIndex(text, sep)
	}
	switch {
	case at >= 0:
		return &list{[]any{text[:at], sep, text[at+len(sep):]}, true}
	case name == "partition":
		return &list{[]any{text, "", ""}, true}
	}
	return &list{[]any{"", "", text}, true}
}

// replace replaces the first count places, all if count is negative.
func (s *state) replace(text, old, new string, count int64) string {
	n := int64(strings.Count(text, old))
	s.work(len(text) / 8)
	if count < 0 || count > n {
		count = n
	}
	if grow := int64(len(new) - len(old)); grow > 0 && count > 0 {
		s.limitString(len(text))
		if grow > int64(s.limits.Output)/count {
			s.limitString(s.limits.Output + 1)
		}
		s.limitString(len(text) + int(grow*count))
	}
	return strings.Replace(text, old, new, int(count))
}

func (s *state) join(parts []string, sep string) string {
	s.work(len(parts))
	size := int64(len(sep)) * int64(max(0, len(parts)-1))
	for _, p := range parts {
		if size += int64(len(p)); size > int64(s.limits.Output) {
			break
		}
	}
	s.limitString(int(min(size, 1<<40)))
	return strings.Join(parts, sep)
}

func (s *state) pad(text, name string, a args) any {
	p := s.need(1, name, a, "width", "fillchar")
	fill := s.text(p.or(1, " "), name)
	if utf8.RuneCountInString(fill) != 1 {
		s.fail("%s: the fill character must be exactly one character long", name)
	}
	n := s.toInt(p[0], "width") - int64(utf8.RuneCountInString(text))
	if n <= 0 {
		return text
	}
	s.limitString(len(text) + int(min(n, 1<<40))*len(fill))
	switch name {
	case "ljust":
		return text + strings.Repeat(fill, int(n))
	case "rjust":
		return strings.Repeat(fill, int(n)) + text
	case "center":
		left := n/2 + n&(n+int64(utf8.RuneCountInString(text)))&1
		return strings.Repeat(fill, int(left)) + text + strings.Repeat(fill, int(n-left))
	}
	if text != "" && (text[0] == '-' || text[0] == '+') { // zfill
		return text[:1] + strings.Repeat("0", int(n)) + text[1:]
	}
	return strings.Repeat("0", int(n)) + text
}

// is answers Python's str.isdigit and its kin; none holds for the empty string
// but isascii.
func is(name, text string) bool {
	all := func(ok func(r rune) bool) bool {
		return text != "" && strings.IndexFunc(text, func(r rune) bool { return !ok(r) }) < 0
	}
	cased := strings.IndexFunc(text, func(r rune) bool { return unicode.IsUpper(r) || unicode.IsLower(r) }) >= 0
	switch name {
	case "isdigit", "isdecimal":
		return all(unicode.IsDigit)
	case "isnumeric":
		return all(unicode.IsNumber)
	case "isalpha":
		return all(unicode.IsLetter)
	case "isalnum":
		return all(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) })
	case "isspace":
		return all(isSpace)
	case "islower":
		return cased && strings.IndexFunc(text, func(r rune) bool { return unicode.IsUpper(r) || unicode.IsTitle(r) }) < 0
	case "isupper":
		return cased && strings.IndexFunc(text, func(r rune) bool { return unicode.IsLower(r) || unicode.IsTitle(r) }) < 0
	case "istitle":
		return cased && caseChange("title")(text) == text
	case "isidentifier":
		r, _ := utf8.DecodeRuneInString(text)
		return !unicode.IsDigit(r) && all(func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) })
	}
	return strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 // isascii
}
