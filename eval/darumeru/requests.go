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

type requests = func(ctx context.Context, p eval.Plan) ([]eval.Request, error)

// record is a row of RefalMachine/darumeru: templates and what to fill them with.
type record struct {
	Messages []struct{ Role, Content string }
	Inputs   map[string]any
	Outputs  json.RawMessage
	Meta     struct {
		ID         json.Number
		Type       string
		IDTask     string `json:"id_task"`
		Variant    json.Number
		DialogID   json.Number `json:"dialog_id"`
		QuestionID *int        `json:"question_id"`
	}
	place string
}

func readRecord(r eval.Record) (record, error) {
	out := record{place: r.Place()}
	if err := r.Decode(&out, "messages", "inputs", "outputs"); err != nil {
		return out, err
	}
	if len(out.Messages) == 0 {
		return out, fmt.Errorf("%s: messages: empty", out.place)
	}
	return out, nil
}

// fill makes messages of the record's templates.
func (r record) fill(inputs map[string]any) ([]chat.Message, error) {
	out := make([]chat.Message, len(r.Messages))
	for i, m := range r.Messages {
		switch m.Role {
		case "bot":
			m.Role = "assistant"
		case "system", "user", "assistant":
		default:
			return nil, fmt.Errorf("%s: messages: unknown role %q", r.place, m.Role)
		}
		text, err := format(m.Content, inputs)
		if err != nil {
			return nil, fmt.Errorf("%s: messages: %w", r.place, err)
		}
		out[i] = chat.Message{Role: m.Role, Content: text}
	}
	return out, nil
}

// format fills {names} as Python's str.format does; {{ and }} are braces, values are not
// scanned again, an unknown name is an error.
func format(template string, inputs map[string]any) (string, error) {
	var b strings.Builder
	for {
		i := strings.IndexAny(template, "{}")
		if i < 0 {
			b.WriteString(template)
			return b.String(), nil
		}
		b.WriteString(template[:i])
		rest := template[i+1:]
		if strings.HasPrefix(rest, template[i:i+1]) {
			b.WriteByte(template[i])
			template = rest[1:]
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		if template[i] == '}' || !closed {
			return "", fmt.Errorf("a single %q in the template", template[i])
		}
		value, ok := inputs[name]
		if !ok {
			return "", fmt.Errorf("the template wants {%s}, which inputs lack", name)
		}
		switch v := value.(type) {
		case string:
			b.WriteString(v)
		case json.Number:
			b.WriteString(v.String())
		case float64:
			fmt.Fprintf(&b, "%v", v)
		default:
			return "", fmt.Errorf("inputs: %s is neither text nor number", name)
		}
		template = after
	}
}

// split reads the records of a split of the darumeru data.
func split(p eval.Plan, set eval.Dataset, name string) ([]record, error) {
	rows, err := p.Data.Read(set, name)
	if err != nil {
		return nil, err
	}
	list := make([]record, len(rows))
	for i, r := range rows {
		if list[i], err = readRecord(r); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// limited returns the first records as the plan's limit says.
func limited[T any](list []T, limit int) []T {
	if limit > 0 && limit < len(list) {
		return list[:limit]
	}
	return list
}

// few returns the first k examples and warns if there are fewer.
func few[T any](p eval.Plan, task string, list []T) []T {
	if len(list) < p.NumFewshot {
		p.Warn("%s: %d examples asked for, the data has %d", task, p.NumFewshot, len(list))
	}
	return list[:min(p.NumFewshot, len(list))]
}

// examples builds the messages of a task's examples.
func examples(p eval.Plan, s spec) ([][]chat.Message, error) {
	if p.NumFewshot == 0 {
		return nil, nil
	}
	list, err := split(p, s.set, "prompt")
	if err != nil {
		return nil, err
	}
	var out [][]chat.Message
	for _, r := range few(p, s.name, list) {
		m, err := r.fill(r.Inputs)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// ask puts a question together with its examples.
func ask(p eval.Plan, shots [][]chat.Message, question []chat.Message, r eval.Request) (eval.Request, error) {
	var err error
	r.Messages, r.TooLong, err = eval.Assemble(shots, question, p.Fits)
	return r, err
}

// templated builds the tasks whose records bring their own templates, one request a record.
func templated(s spec) requests {
	return func(ctx context.Context, p eval.Plan) ([]eval.Request, error) {
		return fromTemplates(ctx, p, s, false)
	}
}

// exchanged asks every record twice, the second time with choice1 and choice2 exchanged.
func exchanged(s spec) requests {
	return func(ctx context.Context, p eval.Plan) ([]eval.Request, error) {
		return fromTemplates(ctx, p, s, true)
	}
}

func fromTemplates(ctx context.Context, p eval.Plan, s spec, twice bool) ([]eval.Request, error) {
	records, err := split(p, s.set, "test")
	if err != nil {
		return nil, err
	}
	shots, err := examples(p, s)
	if err != nil {
		return nil, err
	}
	var list []eval.Request
	for i, r := range limited(records, p.Limit) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		request := eval.Request{Choices: s.choices, ID: i}
		if err := s.gold(r, &request); err != nil {
			return nil, fmt.Errorf("%s: %w", r.place, err)
		}
		all := []map[string]any{r.Inputs}
		if twice {
			swapped, err := r.exchange()
			if err != nil {
				return nil, err
			}
			all = append(all, swapped)
		}
		for turn, inputs := range all {
			if turn == 1 {
				flip(&request)
			}
			question, err := r.fill(inputs)
			if err != nil {
				return nil, err
			}
			done, err := ask(p, shots, question, request)
			if err != nil {
				return nil, err
			}
			list = append(list, done)
		}
	}
	return list, nil
}

// exchange returns the inputs with their two choices exchanged.
func (r record) exchange() (map[string]any, error) {
	one, has := r.Inputs["choice1"]
	two, both := r.Inputs["choice2"]
	if !has || !both {
		return nil, fmt.Errorf("%s: no field \"inputs.choice1\" or \"inputs.choice2\"", r.place)
	}
	out := map[string]any{}
	for k, v := range r.Inputs {
		out[k] = v
	}
	out["choice1"], out["choice2"] = two, one
	return out, nil
}

// flip exchanges the right answers "1" and "2".
func flip(q *eval.Request) {
	gold := "1"
	if q.Gold == gold {
		gold = "2"
	}
	q.Gold, q.Answer = gold, " "+gold
}

// gold fills in the right answer and what grading needs.
func (s spec) gold(r record, q *eval.Request) error {
	if s.name == "multiq" {
		var spans []struct{ Segment *string }
		if err := json.Unmarshal(r.Outputs, &spans); err != nil {
			return fmt.Errorf("outputs: %w", err)
		}
		var answers []string
		for _, a := range spans {
			if a.Segment == nil {
				return fmt.Errorf("no field \"outputs.segment\"")
			}
			answers = append(answers, *a.Segment)
		}
		if len(answers) == 0 {
			return fmt.Errorf("outputs: no answer")
		}
		q.Gold, q.Answer = answers, " "+answers[0]
		return nil
	}
	if strings.HasPrefix(s.name, "cp_") {
		text, ok := r.Inputs["text"].(string)
		if !ok {
			return fmt.Errorf("no field \"inputs.text\"")
		}
		q.Gold, q.Reference, q.Answer = text, text, " "+text
		return nil
	}
	var answer string
	if err := json.Unmarshal(r.Outputs, &answer); err != nil {
		return fmt.Errorf("outputs: %w", err)
	}
	q.Gold, q.Answer = answer, " "+answer
	switch s.name {
	case "use":
		if r.Meta.Type == "" || r.Meta.IDTask == "" || r.Meta.Variant == "" {
			return fmt.Errorf("no field \"meta.type\", \"meta.id_task\" or \"meta.variant\"")
		}
		q.Fields = map[string]any{"type": r.Meta.Type, "id_task": r.Meta.IDTask, "variant": r.Meta.Variant}
	case "rwsd":
		// Graded by the beginning: an answer may go on behind the choice.
	default:
		if s.choices != nil && !slices.Contains(s.choices, answer) {
			return fmt.Errorf("outputs: %q is none of %s", answer, strings.Join(s.choices, ", "))
		}
	}
	if s.name == "parus" {
		id, err := r.Meta.ID.Int64()
		if err != nil {
			return fmt.Errorf("no field \"meta.id\"")
		}
		q.ID = int(id)
	}
	return nil
}
