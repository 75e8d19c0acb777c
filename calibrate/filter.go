package calibrate

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Reason says why a conversation is not kept.
type Reason string

// The reasons, in the order in which they are looked for.
const (
	TooLong       Reason = "prompt_too_long"       // the prompt leaves no room in the model's context
	Refused       Reason = "prompt_refused"        // the server does not take the prompt
	Empty         Reason = "empty_answer"          // nothing but white space
	CutOff        Reason = "answer_cut_off"        // by max_new_tokens
	Short         Reason = "answer_too_short"      // min_chars
	Long          Reason = "answer_too_long"       // max_chars
	Repetitive    Reason = "repetitive_answer"     // max_repetition
	Refusal       Reason = "refusal"               // a phrase by which answers decline
	WrongLanguage Reason = "wrong_language"        // languages, same_language
	NearDuplicate Reason = "near_duplicate"        // near_duplicates
	Duplicate     Reason = "duplicate_of_a_prompt" // the prompt stood in the files before; it was not asked again
)

// Reasons lists them all.
var Reasons = []Reason{Duplicate, TooLong, Refused, Empty, CutOff, Short, Long, Repetitive, Refusal, WrongLanguage, NearDuplicate}

// DefaultRefusals are phrases that answers decline with, in lower case with straight apostrophes and
// е for ё. They are looked for in the first 200 characters of an answer.
var DefaultRefusals = []string{
	"as an ai", "as a language model", "as a large language model", "i'm an ai", "i am an ai", "i'm just an ai",
	"i can't assist", "i cannot assist", "i can't help with", "i cannot help with", "i'm not able to help", "i am not able to help",
	"i can't provide", "i cannot provide", "i can't fulfill", "i cannot fulfill", "i can't create", "i cannot create",
	"i won't be able to", "i'm unable to", "i am unable to", "i must decline", "i'm sorry, but i can", "i apologize, but i can",
	"как языковая модель", "как ии", "как искусственный интеллект", "я всего лишь языковая модель", "я — языковая модель", "я языковая модель",
	"я не могу помочь", "я не могу предоставить", "я не могу выполнить", "я не могу ответить", "я не могу создать", "не могу помочь с этим",
	"к сожалению, я не могу", "извините, но я не могу", "простите, но я не могу", "я не в состоянии",
}

// refusalReach is how far into an answer a refusal is looked for, in code points.
const refusalReach = 200

// filter judges conversations one after another.
type filter struct {
	Filters
	refusals []string
	seen     *nearDuplicates // nil: the filter is off
}

func newFilter(f Filters) *filter {
	n := &filter{Filters: f}
	for _, phrase := range slices.Concat(DefaultRefusals, f.Refusals) {
		if phrase = plain(phrase); phrase != "" {
			n.refusals = append(n.refusals, phrase)
		}
	}
	if f.NearDuplicates > 0 {
		n.seen = newNearDuplicates(f.NearDuplicates)
	}
	return n
}

// judge returns "" for a conversation that is kept, else the reason with what was seen.
func (f *filter) judge(q *prompt, t *talk) (Reason, string) {
	if t.Unasked != "" {
		return t.Unasked, t.Finish
	}
	for turn, answer := range t.Answers {
		if why, detail := f.judgeAnswer(q.users[turn], answer); why != "" {
			return why, detail
		}
	}
	if len(t.Answers) == 0 {
		return Empty, ""
	}
	if t.Finish != "stop" && (!f.KeepCutOff || len(t.Answers) < len(q.users)) {
		return CutOff, fmt.Sprintf("answer %d ended by %q", len(t.Answers), t.Finish)
	}
	if f.seen != nil {
		all := strings.Join(slices.Concat(q.users, t.Answers), "\n")
		if twin, similarity := f.seen.add(t.Index, all); twin >= 0 {
			return NearDuplicate, fmt.Sprintf("%.2f like conversation %d", similarity, twin)
		}
	}
	return "", ""
}

func (f *filter) judgeAnswer(question, answer string) (Reason, string) {
	n := utf8.RuneCountInString(answer)
	switch {
	case strings.TrimSpace(answer) == "":
		return Empty, ""
	case n < f.MinChars:
		return Short, fmt.Sprintf("%d characters", n)
	case f.MaxChars > 0 && n > f.MaxChars:
		return Long, fmt.Sprintf("%d characters", n)
	}
	if share := repetition(words(answer)); share > f.MaxRepetition {
		return Repetitive, fmt.Sprintf("%.2f of the words", share)
	}
	if !f.KeepRefusals {
		if phrase := f.refusal(answer); phrase != "" {
			return Refusal, phrase
		}
	}
	return f.judgeLanguage(question, answer)
}

func (f *filter) judgeLanguage(question, answer string) (Reason, string) {
	if len(f.Languages) == 0 && !f.SameLanguage {
		return "", ""
	}
	is := Identify(answer)
	if is == "" {
		return "", ""
	}
	if len(f.Languages) > 0 && !slices.Contains(f.Languages, is) {
		return WrongLanguage, is
	}
	if was := Identify(question); f.SameLanguage && was != "" && was != is {
		return WrongLanguage, fmt.Sprintf("%s to a question in %s", is, was)
	}
	return "", ""
}

// refusal returns the phrase by which an answer declines, "" if there is none.
func (f *filter) refusal(answer string) string {
	head := []rune(answer)
	start := plain(string(head[:min(len(head), refusalReach)]))
	for _, phrase := range f.refusals {
		if strings.Contains(start, phrase) {
			return phrase
		}
	}
	return ""
}

// plain writes a text so that spellings of the same phrase are equal.
func plain(text string) string {
	return strings.Join(strings.Fields(strings.NewReplacer("’", "'", "‘", "'", "ё", "е").Replace(strings.ToLower(text))), " ")
}

// words cuts a text at white space and punctuation, in lower case. Texts of scripts that put no space
// between words (20 letters a word on average) fall into code points.
func words(text string) []string {
	text = strings.ToLower(text)
	list := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r) })
	letters := 0
	for _, w := range list {
		letters += utf8.RuneCountInString(w)
	}
	if letters < 20*len(list) {
		return list
	}
	list = list[:0]
	for _, r := range text {
		if unicode.IsLetter(r) || unicode.IsNumber(r) {
			list = append(list, string(r))
		}
	}
	return list
}

// fewestWords is how many words a text needs for its repetition to mean something.
const fewestWords = 16

// repetition returns the share of a text's word 4-grams that occurred before in it.
func repetition(words []string) float64 {
	const n = 4
	if len(words) < fewestWords {
		return 0
	}
	seen := map[[n]string]bool{}
	again := 0
	for i := range len(words) - n + 1 {
		gram := [n]string(words[i : i+n])
		if seen[gram] {
			again++
		}
		seen[gram] = true
	}
	return float64(again) / float64(len(words)-n+1)
}
