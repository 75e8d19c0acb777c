package darumeru

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"lep/chat"
	"lep/eval"
)

// words are a task's strings with their places filled.
type words struct {
	wording eval.Wording
	task    string
}

// fill replaces {name} by values, plainly: braces in the values do no harm.
func (w words) fill(name string, pairs ...string) (string, error) {
	text, err := w.wording.Text(w.task, name)
	if err != nil {
		return "", err
	}
	for i := 0; i < len(pairs); i += 2 {
		pairs[i] = "{" + pairs[i] + "}"
	}
	return strings.NewReplacer(pairs...).Replace(text), nil
}

// turns makes a user turn and the assistant's, which stays open for a question.
func turns(user, assistant string) []chat.Message {
	return []chat.Message{{Role: "user", Content: user}, {Role: "assistant", Content: assistant}}
}

// mmluRecord serves both languages.
type mmluRecord struct {
	QuestionEN string   `json:"question_en"`
	QuestionRU string   `json:"question_ru"`
	ChoicesEN  []string `json:"choices_en"`
	ChoicesRU  []string `json:"choices_ru"`
	Answer     int
	Subject    string
	place      string
}

// bySubjects reads a split of MMLU as subject → records.
func bySubjects(p eval.Plan, s spec, name string) (map[string][]mmluRecord, error) {
	rows, err := p.Data.Read(s.set, name)
	if err != nil {
		return nil, err
	}
	out := map[string][]mmluRecord{}
	for _, row := range rows {
		r := mmluRecord{place: row.Place()}
		if err := row.Decode(&r, "question_en", "question_ru", "choices_en", "choices_ru", "answer", "subject"); err != nil {
			return nil, err
		}
		if _, ok := category(r.Subject); !ok {
			return nil, fmt.Errorf("%s: unknown subject %q", r.place, r.Subject)
		}
		if len(r.ChoicesEN) != 4 || len(r.ChoicesRU) != 4 || r.Answer < 0 || r.Answer > 3 {
			return nil, fmt.Errorf("%s: want 4 choices and an answer from 0 to 3, got %d, %d and %d", r.place, len(r.ChoicesEN), len(r.ChoicesRU), r.Answer)
		}
		out[r.Subject] = append(out[r.Subject], r)
	}
	return out, nil
}

// mmlu asks subject by subject; the examples are of the same subject, in natural order, the
// headline stands in the first turn only, and examples are dropped from the end.
func mmlu(s spec) requests {
	return func(ctx context.Context, p eval.Plan) ([]eval.Request, error) {
		test, err := bySubjects(p, s, "test")
		if err != nil {
			return nil, err
		}
		var dev map[string][]mmluRecord
		if p.NumFewshot > 0 {
			if dev, err = bySubjects(p, s, "dev"); err != nil {
				return nil, err
			}
		}
		limit := 0
		if p.Limit > 0 {
			limit = p.Limit/len(subjects) + 1
		}
		var list []eval.Request
		for _, sub := range subjects {
			if len(test[sub.id]) == 0 {
				continue
			}
			var shots []mmluRecord
			if p.NumFewshot > 0 {
				shots = few(p, s.name+" "+sub.id, dev[sub.id])
			}
			for _, r := range limited(test[sub.id], limit) {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				q, err := s.mmluQuestion(p, sub, shots, r)
				if err != nil {
					return nil, err
				}
				q.ID = len(list)
				list = append(list, q)
			}
		}
		return list, nil
	}
}

func (s spec) mmluQuestion(p eval.Plan, sub subject, shots []mmluRecord, r mmluRecord) (eval.Request, error) {
	w := words{p.Wording, s.name}
	q := eval.Request{Choices: s.choices, Gold: letters[r.Answer], Answer: " " + letters[r.Answer], Fields: map[string]any{"subject": r.Subject}}
	for n := len(shots); ; n-- {
		q.Messages = nil
		for i, e := range append(slices.Clone(shots[:n]), r) {
			user, err := s.mmluText(w, sub, e, i == 0)
			if err != nil {
				return q, err
			}
			name := "closed"
			if i == n {
				name = "open"
			}
			assistant, err := w.fill(name, "answer", letters[e.Answer])
			if err != nil {
				return q, err
			}
			q.Messages = append(q.Messages, turns(user, assistant)...)
		}
		ok, err := p.Fits(q.Messages)
		if err != nil || ok || n == 0 {
			q.TooLong = !ok
			return q, err
		}
	}
}

func (s spec) mmluText(w words, sub subject, r mmluRecord, first bool) (string, error) {
	question, choices, name := r.QuestionRU, r.ChoicesRU, sub.russian
	if s.name == "nlpcore_enmmlu" {
		question, choices, name = r.QuestionEN, r.ChoicesEN, sub.english
	}
	text, err := w.fill("user", "question", question, "a", choices[0], "b", choices[1], "c", choices[2], "d", choices[3])
	if err != nil || !first {
		return text, err
	}
	headline, err := w.fill("headline", "subject", name)
	return headline + text, err
}

// document is a record of the summaries.
type document struct {
	SrcSents     []string `json:"src_sents"`
	SummarySents []string `json:"summary_sents"`
	Extractive   []int    `json:"extractive_summary"`
	place        string
}

func documents(p eval.Plan, s spec, name string) ([]document, error) {
	rows, err := p.Data.Read(s.set, name)
	if err != nil {
		return nil, err
	}
	list := make([]document, len(rows))
	for i, row := range rows {
		list[i].place = row.Place()
		if err := row.Decode(&list[i], "src_sents", "summary_sents", "extractive_summary"); err != nil {
			return nil, err
		}
		for _, n := range list[i].Extractive {
			if n < 0 || n >= len(list[i].SrcSents) {
				return nil, fmt.Errorf("%s: extractive_summary: %d, want 0 to %d", list[i].place, n, len(list[i].SrcSents)-1)
			}
		}
	}
	return list, nil
}

func abstractive(s spec) requests {
	return func(ctx context.Context, p eval.Plan) ([]eval.Request, error) {
		test, err := documents(p, s, "test")
		if err != nil {
			return nil, err
		}
		w := words{p.Wording, s.name}
		one := func(d document, name string) ([]chat.Message, string, error) {
			summary := strings.Join(d.SummarySents, " ")
			user, err := w.fill("user", "text", strings.Join(d.SrcSents, " "))
			if err != nil {
				return nil, "", err
			}
			assistant, err := w.fill(name, "summary", summary)
			return turns(user, assistant), summary, err
		}
		var shots [][]chat.Message
		if p.NumFewshot > 0 {
			prompt, err := documents(p, s, "prompt")
			if err != nil {
				return nil, err
			}
			for _, d := range few(p, s.name, prompt) {
				m, _, err := one(d, "closed")
				if err != nil {
					return nil, err
				}
				shots = append(shots, m)
			}
		}
		var list []eval.Request
		for i, d := range limited(test, p.Limit) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			question, summary, err := one(d, "open")
			if err != nil {
				return nil, err
			}
			q, err := ask(p, shots, question, eval.Request{ID: i, Gold: summary, Answer: " " + summary})
			if err != nil {
				return nil, err
			}
			list = append(list, q)
		}
		return list, nil
	}
}

// extractiveDocuments is how many documents treewayextractive asks about.
const extractiveDocuments = 500

// extractive asks for the log-probability of every sentence of a document.
func extractive(s spec) requests {
	return func(ctx context.Context, p eval.Plan) ([]eval.Request, error) {
		test, err := documents(p, s, "test")
		if err != nil {
			return nil, err
		}
		w := words{p.Wording, s.name}
		var list []eval.Request
		for i, d := range limited(limited(test, extractiveDocuments), p.Limit) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if len(d.Extractive) == 0 {
				return nil, fmt.Errorf("%s: extractive_summary: no sentence, so R-precision has no value", d.place)
			}
			user, err := w.fill("user", "text", strings.Join(d.SrcSents, " "))
			if err != nil {
				return nil, err
			}
			for n, sentence := range d.SrcSents {
				open, err := w.fill("open", "sentence", sentence)
				if err != nil {
					return nil, err
				}
				q, err := ask(p, nil, turns(user, open), eval.Request{ID: i,
					Gold: map[string]any{"label": slices.Contains(d.Extractive, n), "group_id": i, "sentence": sentence}})
				if err != nil {
					return nil, err
				}
				list = append(list, q)
			}
		}
		return list, nil
	}
}

// sentence is a record of RuCoLA, whose CSV calls the label acceptable.
type sentence struct {
	Sentence          string
	Label, Acceptable json.RawMessage
	place, label      string
}

func sentences(p eval.Plan, s spec, name string) ([]sentence, error) {
	rows, err := p.Data.Read(s.set, name)
	if err != nil {
		return nil, err
	}
	list := make([]sentence, len(rows))
	for i, row := range rows {
		r := sentence{place: row.Place()}
		if err := row.Decode(&r, "sentence"); err != nil {
			return nil, err
		}
		raw := r.Label
		if raw == nil {
			raw = r.Acceptable
		}
		if raw == nil {
			return nil, fmt.Errorf("%s: no field \"label\"", r.place)
		}
		if r.label = strings.Trim(string(raw), `"`); !slices.Contains(zeroOne, r.label) {
			return nil, fmt.Errorf("%s: label: %s, want 0 or 1", r.place, raw)
		}
		list[i] = r
	}
	return list, nil
}

// firstExample is where RuCoLA's examples begin: from there the labels alternate.
const firstExample = 29

func acceptability(s spec) requests {
	return func(ctx context.Context, p eval.Plan) ([]eval.Request, error) {
		test, err := sentences(p, s, "validation")
		if err != nil {
			return nil, err
		}
		w := words{p.Wording, s.name}
		one := func(r sentence, name string) ([]chat.Message, error) {
			user, err := w.fill("user", "sentence", r.Sentence)
			if err != nil {
				return nil, err
			}
			assistant, err := w.fill(name, "label", r.label)
			return turns(user, assistant), err
		}
		var shots [][]chat.Message
		if p.NumFewshot > 0 {
			train, err := sentences(p, s, "train")
			if err != nil {
				return nil, err
			}
			for _, r := range few(p, s.name, train[min(firstExample, len(train)):]) {
				m, err := one(r, "closed")
				if err != nil {
					return nil, err
				}
				shots = append(shots, m)
			}
		}
		var list []eval.Request
		for i, r := range limited(test, p.Limit) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			question, err := one(r, "open")
			if err != nil {
				return nil, err
			}
			q, err := ask(p, shots, question, eval.Request{ID: i, Choices: s.choices, Gold: r.label, Answer: r.label})
			if err != nil {
				return nil, err
			}
			list = append(list, q)
		}
		return list, nil
	}
}
