package darumeru

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"lep/eval"
)

// conversation is what eval.Task.Dialogue is.
type conversation = func(ctx context.Context, p eval.Plan, ask func([]eval.Request) ([]eval.Sample, error)) error

// dialogue builds ruTiE: every question after the gold answers of those before it.
func dialogue(s spec) requests {
	return func(ctx context.Context, p eval.Plan) ([]eval.Request, error) {
		var list []eval.Request
		err := s.talk(ctx, p, func(pair []eval.Request) (string, error) {
			list = append(list, pair...)
			return pair[0].Gold.(string), nil
		})
		return list, err
	}
}

// ownDialogue asks ruTiE as MERA does: the context holds what the model itself has answered to
// the questions as they stand, so they are asked one after another.
func ownDialogue(s spec) conversation {
	return func(ctx context.Context, p eval.Plan, ask func([]eval.Request) ([]eval.Sample, error)) error {
		return s.talk(ctx, p, func(pair []eval.Request) (string, error) {
			samples, err := ask(pair)
			if err != nil {
				return "", err
			}
			return samples[0].Picked()
		})
	}
}

// talk goes through the dialogues of the data. answer takes a question in both orders and returns
// the answer that later questions see.
func (s spec) talk(ctx context.Context, p eval.Plan, answer func(pair []eval.Request) (string, error)) error {
	records, err := split(p, s.set, "test")
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Meta.QuestionID == nil {
			return fmt.Errorf("%s: no field \"meta.question_id\"", r.place)
		}
	}
	slices.SortStableFunc(records, func(a, b record) int {
		return cmp.Or(strings.Compare(a.Meta.DialogID.String(), b.Meta.DialogID.String()), cmp.Compare(*a.Meta.QuestionID, *b.Meta.QuestionID))
	})
	var before []string // the earlier questions of the dialogue with their answers
	for i, r := range limited(records, p.Limit) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i > 0 && records[i-1].Meta.DialogID != r.Meta.DialogID {
			before = nil
		}
		pair, kept, err := s.turn(p, r, before)
		if err != nil {
			return err
		}
		pair[0].ID, pair[1].ID = i, i
		said, err := answer(pair)
		if err != nil {
			return err
		}
		line, err := format("{question}\n1. {choice1}\n2. {choice2}\nОтвет: {answer}", map[string]any{
			"question": r.Inputs["question"], "choice1": r.Inputs["choice1"], "choice2": r.Inputs["choice2"], "answer": said})
		if err != nil {
			return fmt.Errorf("%s: inputs: %w", r.place, err)
		}
		before = append(kept, line)
	}
	return nil
}

// turn asks one question of a dialogue in both orders. The oldest questions leave the context
// until the request fits, and stay out.
func (s spec) turn(p eval.Plan, r record, before []string) (pair []eval.Request, kept []string, err error) {
	q := eval.Request{Choices: s.choices}
	if err := s.gold(r, &q); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", r.place, err)
	}
	swapped, err := r.exchange()
	if err != nil {
		return nil, nil, err
	}
	for {
		r.Inputs["context"], swapped["context"] = strings.Join(before, "\n"), strings.Join(before, "\n")
		if q.Messages, err = r.fill(r.Inputs); err != nil {
			return nil, nil, err
		}
		ok, err := p.Fits(q.Messages)
		if err != nil {
			return nil, nil, err
		}
		if !ok && len(before) > 0 {
			before = before[1:]
			continue
		}
		second := q
		if second.Messages, err = r.fill(swapped); err != nil {
			return nil, nil, err
		}
		q.TooLong, second.TooLong = !ok, !ok
		flip(&second)
		return []eval.Request{q, second}, before, nil
	}
}
