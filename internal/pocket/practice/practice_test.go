package practice

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

const (
	english = "Nobody sees this. The grey horse stood at the gate all day. Did you hear what the old man said to her? " +
		"She went down to the river in the morning. Nobody came back that night, they say! The lamp burned low, and the wind rose. " +
		"We shall see about that tomorrow. It was late before anybody slept. Nor this."
	russian = "Этого никто не видит. Серая лошадь целый день стояла у самых ворот. Слышали ли вы, что вчера сказал ей тот старик? " +
		"Рано утром она пошла вниз к самой реке. Никто в ту ночь не вернулся, говорят люди! Лампа горела слабо, и поднимался ветер. " +
		"Об этом мы ещё поговорим завтра. Было уже поздно, когда все уснули. И этого."
)

func maker(t *testing.T, seed uint64) *Maker {
	t.Helper()
	var pools []*Pool
	for _, text := range [][2]string{{"en", english}, {"ru", russian}} {
		p, err := NewPool(text[0], []string{text[1]})
		if err != nil {
			t.Fatal(err)
		}
		pools = append(pools, p)
	}
	return NewMaker(seed, pools...)
}

func TestPoolWantsSentences(t *testing.T) {
	for _, c := range []struct{ lang, text, want string }{
		{"en", "Too short. No. Yes.", `1 texts in "en": 0 sentences of 20 to 90 characters, 0 passages of 160 to 400, want some of both`},
		{"de", english, `language "de", want en or ru`},
	} {
		if _, err := NewPool(c.lang, []string{c.text}); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.lang, err, c.want)
		}
	}
}

func TestSamplesAreRight(t *testing.T) {
	m := maker(t, 1)
	for range 200 {
		for _, lang := range []string{"en", "ru"} {
			for _, kind := range Kinds {
				s := m.Sample(kind, lang)
				head, body, _ := strings.Cut(s.Prompt(), "\n\n")
				if ok := right(kind, head, body, s.Answer()); !ok {
					t.Fatalf("%s %s: %q answered by %q", lang, kind, s.Prompt(), s.Answer())
				}
				if strings.Contains(body, "Nobody sees") || strings.Contains(body, "И этого") {
					t.Fatalf("%q: the first and last sentence may be cut off", body)
				}
			}
		}
	}
}

// right judges an answer by other means than the ones it was made by.
func right(kind, head, body, answer string) bool {
	line, options, _ := strings.Cut(body, "\n")
	fields := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" ,.!?", r) })
	switch kind {
	case "copy":
		return answer == body
	case "first":
		return answer == fields[0]
	case "last":
		return answer == fields[len(fields)-1]
	case "choice":
		return strings.Count(options, "\n") == 3 && strings.Contains("\n"+options+"\n", "\n"+answer+". "+fields[len(fields)-1]+"\n")
	case "contains":
		_, quoted, _ := strings.Cut(head, "\"")
		key, _, _ := strings.Cut(quoted, "\"")
		return slices.Contains(fields, key) == (answer == "yes" || answer == "да")
	case "continue":
		return strings.Contains(blanks.ReplaceAllString(english+russian, " "), body+" "+answer)
	}
	return false
}

func TestSeedDecides(t *testing.T) {
	make := func(seed uint64) string {
		m := maker(t, seed)
		var all []any
		for range 20 {
			all = append(all, m.Sample(m.Kind(DefaultShares()), m.Language(0.5)), m.Copying("en", 50, 90))
		}
		out, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if first, again := make(3), make(3); first != again {
		t.Error("the same seed gave different practice")
	}
	if make(3) == make(4) {
		t.Error("two seeds gave the same practice")
	}
}

func TestCopyingRepeats(t *testing.T) {
	m := maker(t, 2)
	for range 300 {
		text := m.Copying("ru", 60, 200)
		// Whatever the piece is, the end of the text stood in it before.
		end := text[len(text)*4/5:]
		if strings.Count(text, strings.TrimSpace(end)) < 2 {
			t.Fatalf("%q is no repetition", text)
		}
		if n := len([]rune(text)); n < 60 || n > 420 {
			t.Fatalf("%d characters, want about 60 to 200: %q", n, text)
		}
	}
}

func TestSharesAreKept(t *testing.T) {
	m, n := maker(t, 5), map[string]int{}
	for range 10000 {
		n[m.Kind(Shares{"copy": 3, "last": 1})]++
	}
	if len(n) != 2 || n["copy"] < 7300 || n["copy"] > 7700 {
		t.Errorf("drawn %v, want copy three times as often as last", n)
	}
}
