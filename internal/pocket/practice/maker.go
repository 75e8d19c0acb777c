package practice

import (
	"fmt"
	"math/rand/v2"
)

// Kinds of instructions, in the order in which they are listed everywhere.
var Kinds = []string{"copy", "first", "last", "choice", "contains", "continue"}

// Shares says how often each kind occurs in a mix; they need not add up to one.
type Shares map[string]float64

// DefaultShares is the mix that a small model is calibrated and tuned on. Kinds that are answered by a word
// have few tokens in the loss.
func DefaultShares() Shares {
	return Shares{"copy": .40, "first": .30, "last": .07, "choice": .08, "contains": .07, "continue": .08}
}

// ShortShares is a mix with more of the kinds that are answered by a word.
func ShortShares() Shares {
	return Shares{"copy": .15, "first": .25, "last": .20, "choice": .20, "contains": .20}
}

// Message is a turn of a conversation, as OpenAI's API has it.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Sample is an instruction with its right answer.
type Sample struct {
	Messages [2]Message `json:"messages"` // user, assistant
	Kind     string     `json:"task"`
	Language string     `json:"lang"`
}

// Prompt returns the instruction.
func (s Sample) Prompt() string { return s.Messages[0].Content }

// Answer returns the right answer.
func (s Sample) Answer() string { return s.Messages[1].Content }

// wording is how a language asks.
var wording = map[string]map[string][]string{
	"en": {
		"copy":     {"Repeat the text exactly.", "Copy the text below word for word.", "Write the same text again."},
		"first":    {"Write the first word of the sentence.", "What is the first word of this sentence?"},
		"last":     {"Write the last word of the sentence.", "What is the last word of this sentence?"},
		"choice":   {"Which option is the last word of the sentence? Answer with one letter."},
		"contains": {"Does the sentence contain the word \"%s\"? Answer yes or no.", "Is the word \"%s\" in the sentence? Answer yes or no."},
		"continue": {"Continue the passage.", "Go on with the story."},
	},
	"ru": {
		"copy":     {"Повтори текст точно.", "Перепиши текст ниже слово в слово.", "Напиши тот же текст ещё раз."},
		"first":    {"Напиши первое слово предложения.", "Какое слово в этом предложении первое?"},
		"last":     {"Напиши последнее слово предложения.", "Какое слово в этом предложении последнее?"},
		"choice":   {"Какой вариант - последнее слово предложения? Ответь одной буквой."},
		"contains": {"Есть ли в предложении слово \"%s\"? Ответь да или нет.", "Встречается ли слово \"%s\" в предложении? Ответь да или нет."},
		"continue": {"Продолжи отрывок.", "Расскажи, что было дальше."},
	},
}

// Maker makes practice at random.
type Maker struct {
	pools map[string]*Pool
	rng   *rand.Rand
}

// NewMaker returns a Maker over the pools of different languages; it can be asked for these alone.
func NewMaker(seed uint64, pools ...*Pool) *Maker {
	m := &Maker{pools: map[string]*Pool{}, rng: rand.New(rand.NewPCG(seed, 0x706f636b6574))}
	for _, p := range pools {
		m.pools[p.Language] = p
	}
	return m
}

// Language returns "ru" with the given probability, else "en".
func (m *Maker) Language(ru float64) string {
	if m.rng.Float64() < ru {
		return "ru"
	}
	return "en"
}

// Kind draws a kind.
func (m *Maker) Kind(shares Shares) string {
	sum := 0.0
	for _, k := range Kinds {
		sum += shares[k]
	}
	at := m.rng.Float64() * sum
	for _, k := range Kinds {
		if at -= shares[k]; at < 0 {
			return k
		}
	}
	return Kinds[0]
}

// Sample makes an instruction of a kind in a language.
func (m *Maker) Sample(kind, language string) Sample {
	p := m.pools[language]
	ask, body := pick(m.rng, wording[language][kind]), pick(m.rng, p.sentences)
	answer := body
	switch kind {
	case "first":
		answer = word.FindString(body)
	case "last":
		all := words(body)
		answer = all[len(all)-1]
	case "choice":
		body, answer = m.options(p, body)
	case "contains":
		var key string
		key, answer = m.member(p, body)
		ask = fmt.Sprintf(ask, key)
	case "continue":
		body, answer = m.halves(p)
	}
	return Sample{[2]Message{{"user", ask + "\n\n" + body}, {"assistant", answer}}, kind, language}
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }
