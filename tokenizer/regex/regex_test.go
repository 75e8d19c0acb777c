package regex

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestRegex: the dialect is Oniguruma's with Ruby's syntax, which differs from Go's
// and .NET's where why says so.
func TestRegex(t *testing.T) {
	for _, tt := range []struct {
		expr, text string
		want       []string // the matches
		why        string
	}{
		{`\d{1,3}+`, "1234567", []string{"1234567"}, "{n,m}+ is a repeated repetition, not a possessive one"},
		{`\d{1,3}`, "1234567", []string{"123", "456", "7"}, ""},
		{`a++b|a`, "aab aa", []string{"aab", "a", "a"}, "++ is possessive"},
		{`a*+a`, "aaa", nil, "*+ gives nothing back"},
		{`(?>a|ab)c`, "abc ac", []string{"ac"}, "an atomic group keeps its first way"},
		{`a$`, "a\na", []string{"a", "a"}, "$ matches before any line feed"},
		{`^a`, "a\na", []string{"a", "a"}, "^ matches behind any line feed"},
		{`\Aa|a\z`, "a\na", []string{"a", "a"}, ""},
		{`a.b`, "a\nb acb", []string{"acb"}, ". is no line feed"},
		{`(?m:a.b)`, "a\nb", []string{"a\nb"}, "(?m) is dot-all"},
		{`(?i:'s|к)`, "'S 'ſ К к", []string{"'S", "'ſ", "К", "к"}, "case folding is Unicode's"},
		{`(?i)k`, "kK\u212a", []string{"k", "K", "\u212a"}, "the Kelvin sign folds to k"},
		{`(?i:a)b|(?-i:C)`, "Ab AB c C", []string{"Ab", "C"}, "flags end with their group"},
		{`\s+(?!\S)|\s+`, "a  b ", []string{" ", " ", " "}, ""},
		{`\s`, "\u0085\u00a0\u2028\u3000\u200b\u180e\ufeff\x1c", []string{"\u0085", "\u00a0", "\u2028", "\u3000"}, "White_Space"},
		{`(?<=a)b`, "ab cb", []string{"b"}, ""},
		{`(?<!a|cd)b`, "ab cdb xb", []string{"b"}, "look-behind with sides of different lengths"},
		{`[\p{L}&&[^\p{Han}]]+`, "ab中c", []string{"ab", "c"}, "intersection"},
		{`[a-c[x-z]]+`, "abxdz", []string{"abx", "z"}, "a class in a class"},
		{`[[:alpha:]_]+`, "ab_1", []string{"ab_"}, ""},
		{`[^\r\n\p{L}\p{N}]+`, "a\r -b", []string{" -"}, ""},
		{`\p{^L}+|\P{N}`, "a12b", []string{"a", "12", "b"}, ""},
		{`[\]\-a]+`, "]-a^", []string{"]-a"}, ""},
		{`[]a]`, "]a", []string{"]", "a"}, "a bracket that comes first is a member"},
		{`[a-]`, "a-", []string{"a", "-"}, ""},
		{`\x{1F600}|\u0416|\x41|\t`, "😀ЖA\t", []string{"😀", "Ж", "A", "\t"}, ""},
		{`[一-龥぀-ゟ゠-ヿ]+`, "ab中かカ", []string{"中かカ"}, "DeepSeek's"},
		{`x{,2}y`, "xxxy", []string{"xxy"}, "{,n} begins at none"},
		{`x{2}?y`, "xxy y", []string{"xxy", "y"}, "{n}? is optional, not lazy"},
		{`x{,y`, "x{,y", []string{"x{,y"}, "no interval: the brace is itself"},
		{`a+?`, "aa", []string{"a", "a"}, ""},
		{`\w+`, "½a²_٣x-Ⅷ\u200c", []string{"½a²_٣x", "Ⅷ"}, "Oniguruma counts the raised and broken numbers of Latin-1"},
		{`\d|\p{P}|\p{S}|\p{Lm}|\p{Alpha}`, "\U00010D40\u1b4e\u2427\U00016D40\u0363\u0300", []string{"\U00010D40", "\u1b4e", "\u2427", "\U00016D40", "\u0363"}, "Unicode 16"},
		{`\bмир\b`, "мир мира", []string{"мир"}, ""},
		{`\p{Script_X}|a`, "", nil, "unknown"},
		{`(a|b)*c(?#comment)`, "abac", []string{"abac"}, ""},
		{"\u1c8a|\\p{L}", "\u1c89", []string{"\u1c89"}, "a letter since Unicode 16"},
	} {
		r, err := Compile(tt.expr)
		if tt.why == "unknown" {
			if err == nil || !strings.Contains(err.Error(), "unknown property") {
				t.Errorf("%s: error %v", tt.expr, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.expr, err)
			continue
		}
		var got []string
		for _, at := range matches(r, tt.text) {
			got = append(got, tt.text[at[0]:at[1]])
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s in %q: got %q, want %q. %s", tt.expr, tt.text, got, tt.want, tt.why)
		}
	}
}

func TestBadRegex(t *testing.T) {
	for _, tt := range []struct{ expr, want string }{
		{`(a`, "'(' without ')'"},
		{`a)`, "')' without '('"},
		{`[a`, "'[' without ']'"},
		{`*a`, "'*' has nothing to repeat"},
		{`a\`, "a backslash at the end"},
		{`(a)\1`, `\1 is not supported`},
		{`(?<x>a)`, "named groups are not supported"},
		{`(?~a)`, "the group (?~ is not supported"},
		{`\R`, `\R is not supported`},
		{`\p{Foo}`, `unknown property "Foo"`},
		{`\pL`, `\p without {name}`},
		{`[b-a]`, "is empty"},
		{`(?<=a+)b`, "a look-behind without bound"},
		{`a{1001}`, "repeats more than 1000 times"},
		{`a{3,2}`, "ends below its beginning"},
		{`((a{1000}){1000}){1000}`, "compiles to more than"},
		{`(((((){1000}){1000}){1000}){1000}){1000}`, "compiles to more than"},
		{strings.Repeat("(", 200) + strings.Repeat(")", 200), "nested deeper"},
		{strings.Repeat("[", 200), "nested deeper"},
		{strings.Repeat("a", 20000), "a pattern of 20000 bytes"},
	} {
		if _, err := Compile(tt.expr); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40s: got %v, want %s", tt.expr, err, tt.want)
		}
	}
}

// TestRegexEnds: patterns with exponentially many ways end soon.
func TestRegexEnds(t *testing.T) {
	text := strings.Repeat("a", 2000) + "!"
	for _, expr := range []string{`(a+)+$b`, `(a|a)*c`, `(a|aa)+\z`, `(a*)*b`, `((a?){30}){30}b`, `(?=(a+)+b)a`} {
		r, err := Compile(expr)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		r.Next(text, len(text)-200)
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("%s took %v", expr, took)
		}
	}
}

// matches finds all matches: behind an empty one the search goes on a character further.
func matches(r *Regexp, text string) (all [][2]int) {
	for from := 0; from <= len(text); {
		start, end, ok := r.Next(text, from)
		if !ok {
			break
		}
		all = append(all, [2]int{start, end})
		if from = end; start == end {
			_, size := utf8.DecodeRuneInString(text[end:])
			from += max(size, 1)
		}
	}
	return all
}

func FuzzRegex(f *testing.F) {
	for _, expr := range []string{
		`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
		`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|\p{N}`,
	} {
		f.Add(expr, "don't 123 \r\n мир")
	}
	f.Add(`(?<=[^\p{Lu}&&a-z])(?>x*?|y{2,3}+)\b$`, "axyy\n")
	f.Fuzz(func(t *testing.T, expr, text string) {
		r, err := Compile(expr)
		if err != nil {
			return
		}
		if len(text) > 64 {
			text = text[:64]
		}
		last := 0
		for _, at := range matches(r, text) {
			if at[0] < last || at[1] < at[0] || at[1] > len(text) {
				t.Fatalf("%q in %q: a match at %v behind one that ends at %d", expr, text, at, last)
			}
			last = at[1]
		}
	})
}

// TestSearchIsLinear searches 256 KB in which a backtracking engine would never end and one that
// forgets between starts would take some 10^10 steps.
func TestSearchIsLinear(t *testing.T) {
	for _, tt := range []struct{ expr, text string }{
		{`(a+)+$|(x+x+)+y`, strings.Repeat("a", 1<<17) + "!" + strings.Repeat("x", 1<<17)},
		{`(?:\p{L}+\p{L}+)+\d`, strings.Repeat("ж", 1<<17)},
	} {
		r, err := Compile(tt.expr)
		if err != nil {
			t.Fatal(err)
		}
		if start, end, ok := r.Next(tt.text, 0); ok {
			t.Errorf("%s matches %d bytes at %d", tt.expr, end-start, start)
		}
	}
}
