package recipe

import (
	"fmt"

	"lep/eval"
	"lep/modelcard"
	"lep/report"
)

// resultsTitle is the section of a card that the run writes when all is measured.
const resultsTitle = "Results"

// card is what is to be written into the card of a model that a stage has made.
type card struct {
	stage *Stage
	model int // place in the report's models
	tasks *eval.Result
}

// writeCards completes the cards of the models that the run has made by what it has measured. A card only
// tells of a model: digests leave it out, and nothing is made anew for it.
func (g *gathering) writeCards(s *Stage) error {
	var original *report.Model
	for i := range g.out.Models {
		if g.out.Models[i].Name == g.out.Reference {
			original = &g.out.Models[i]
		}
	}
	for _, todo := range g.cards {
		dir := todo.stage.Out()
		c, err := modelcard.Read(dir)
		if err == nil && c != nil {
			err = g.complete(c, &g.out.Models[todo.model], original, todo.tasks)
		}
		if err != nil { // it was changed by hand
			g.warn(s)("the card of %s stays as it is: %v", todo.stage.Name, err)
			continue
		}
		if c == nil {
			continue
		}
		if err := c.WriteFile(dir); err != nil {
			return err
		}
	}
	return nil
}

// complete puts the results of a model into its card: into the head, as the hub reads them, and as a table beside
// those of the original.
func (g *gathering) complete(c *modelcard.Card, m, original *report.Model, tasks *eval.Result) error {
	head := []string{"", "this model"}
	if original != nil {
		head = append(head, modelcard.Ticked(g.originalName))
	}
	rows := [][]string{head}
	add := func(name, format string, of func(m *report.Model) *report.Figure) {
		row := []string{name, cell(of(m), format)}
		if original != nil {
			row = append(row, cell(of(original), format))
		}
		if of(m) != nil {
			rows = append(rows, row)
		}
	}
	var list []modelcard.Evaluation
	for _, name := range sortedKeys(m.Languages) {
		add(name+", bits per byte", "%.3f", func(m *report.Model) *report.Figure { return m.Languages[name].BitsPerByte })
		add(name+", characters per token", "%.2f", func(m *report.Model) *report.Figure { return m.Languages[name].CharactersPerToken })
		list = append(list, texts(name, m.Languages[name]))
	}
	for _, t := range g.out.Tasks {
		add(t.Name, "%.3f", func(m *report.Model) *report.Figure {
			if f, ok := m.Tasks[t.Name]; ok {
				return &f
			}
			return nil
		})
	}
	if tasks != nil {
		list = append(list, tasks.Evaluations()...)
	}
	c.Put(modelcard.Section{Title: resultsTitle, Text: "Texts that no training has seen, by language, and tasks by their scores; in brackets, 95 % intervals.\n\n" + modelcard.Table(rows...)})
	return c.AddEvaluations(list...)
}

// texts are the figures of a held-out set for the head of a card.
func texts(name string, l report.Language) modelcard.Evaluation {
	e := modelcard.Evaluation{Task: modelcard.Task{Type: "text-generation", Name: "held-out texts"}, Dataset: modelcard.Dataset{Type: name, Name: name}}
	for _, m := range []struct {
		name   string
		figure *report.Figure
	}{{"bits_per_byte", l.BitsPerByte}, {"characters_per_token", l.CharactersPerToken}} {
		if m.figure != nil {
			e.Metrics = append(e.Metrics, modelcard.Metric{Type: m.name, Value: float64(m.figure.Value)})
		}
	}
	return e
}

func cell(f *report.Figure, format string) string {
	if f == nil {
		return ""
	}
	text := fmt.Sprintf(format, float64(f.Value))
	if f.Spread != nil {
		text += fmt.Sprintf(" ("+format+"–"+format+")", float64(f.Spread.Low), float64(f.Spread.High))
	}
	return text
}
