package recipe

import (
	"fmt"
	"path/filepath"

	"lep/propagate"
	"lep/vocab/build"
)

// donors lays out what stands before propagation, for every seed: given donors; vocabularies, first rows
// and training; or, without a section tokenizer, the training of the base as it is.
func (g *graph) donors() []point {
	switch r := g.r; {
	case len(r.Models.Donor) > 0:
		return g.given("donor", r.Models.Donor)
	case r.tokenizer != nil:
		return g.adapted()
	case !g.follows():
		return nil
	case r.Models.Source != "":
		return g.given("source", Names{r.Models.Source})
	default:
		return g.given("target", r.Models.Target)
	}
}

// follows reports that there is a section which begins with a base or a donor.
func (g *graph) follows() bool {
	r := g.r
	return r.propagate != nil || r.train != nil || r.calibrate != nil || r.tune != nil || r.instruct != nil
}

// given are the chains that begin with models from outside the run.
func (g *graph) given(role string, models Names) []point {
	var out []point
	for i, path := range models {
		label := ""
		if len(models) > 1 {
			label = filepath.Base(path)
		}
		if role == "donor" {
			g.Models = append(g.Models, &Model{Name: dash(role, label), Role: role, Vocabulary: label, path: path})
		}
		for _, seed := range g.r.Seeds {
			p := point{label: label, choices: label, seed: seed, at: place{path: path}}
			switch role {
			case "donor":
				p.vocabulary = label
			case "target":
				p.target = models[i]
			}
			out = append(out, g.trained(p)...)
		}
	}
	return out
}

// adapted are the chains of every vocabulary that the run makes.
func (g *graph) adapted() []point {
	r := g.r
	var out []point
	for _, v := range r.tokenizer {
		vocab := g.vocab(v)
		vocabulary := v.label
		if vocabulary == "" {
			vocabulary = string(v.opts.Scenario)
		}
		if r.init == nil && !g.follows() {
			continue
		}
		for _, i := range orDefault(r.init, "init") {
			first := place{stage: g.init(v.label, vocab, i)}
			for _, seed := range r.Seeds {
				p := point{label: dash(v.label, i.label), choices: dash(v.label, i.label), vocabulary: dash(vocabulary, i.label), seed: seed, at: first}
				out = append(out, g.trained(p)...)
			}
		}
	}
	return out
}

func (g *graph) vocab(v variant[build.Options]) *Stage {
	o := v.opts
	o.Base = g.r.Models.Source
	s := g.add(KindVocab, v.label, "vocabulary", o)
	g.valid(s, o.Validate())
	s.reads("base", modelPath, o.Base)
	s.reads("add", modelPath, o.Add)
	s.reads("corpus", dataPath, o.Files...)
	s.reads("held_out", dataPath, o.HeldOut...)
	return s
}

func (g *graph) init(label string, vocab *Stage, v variant[propagate.EmbedOptions]) *Stage {
	o := v.opts
	s := g.add(KindInit, dash(label, v.label), "model", nil, vocab)
	o.Model, o.Tokenizer, o.Out = g.r.Models.Source, vocab.Out(), s.Out()
	s.options = o
	g.valid(s, o.Validate())
	s.reads("model", modelPath, o.Model)
	return s
}

// trained lays out the trainings that begin at a point; without a section train the model goes on as it
// is, be it a donor or first rows.
func (g *graph) trained(p point) []point {
	variants := applying(g.r.train, p.choices)
	p.label = g.withSeed(p.label, p.seed)
	if len(variants) == 0 {
		if p.at.stage != nil {
			p.control = true
			g.Models = append(g.Models, g.model("donor", p, ""))
		}
		return []point{p}
	}
	var out []point
	for _, v := range variants {
		q := p
		q.label, q.choices, q.method = dash(p.label, v.label), dash(p.choices, v.label), v.label
		if q.control = v.skip; !v.skip {
			q.at = g.training(KindTrain, q, v, nil)
			g.Models = append(g.Models, g.model("donor", q, ""))
		}
		out = append(out, q)
	}
	return out
}

// training lays out the phases of a training, each from what the one before has made, and returns what
// the last one makes.
func (g *graph) training(kind Kind, p point, v variant[Train], answers *Stage) place {
	steps := v.steps()
	for i, step := range steps {
		q := p
		q.label, q.method = dash(p.label, step.label), dash(p.method, step.label)
		p.at = place{stage: g.phase(kind, q, step.opts, answers)}
		if i < len(steps)-1 {
			q.at = p.at
			role := "result"
			if kind == KindTrain {
				role = "donor"
			}
			g.Models = append(g.Models, g.model(role, q, stepPhase))
		}
	}
	return p.at
}

// phase adds a stage that trains the model of a point.
func (g *graph) phase(kind Kind, p point, o Train, answers *Stage) *Stage {
	s := g.add(kind, p.label, "model", nil)
	s.begins("model", p.at)
	s.reads("data", dataPath, o.Data...)
	s.reads("eval_data", dataPath, o.EvalData...)
	if answers != nil && o.AnswersWeight != 0 {
		s.Needs = append(s.Needs, answers)
		spec := answers.Out()
		if o.AnswersWeight != 1 {
			spec = fmt.Sprintf("%s=%g", spec, o.AnswersWeight)
		}
		o.Data = append([]string{spec}, o.Data...)
	}
	o.Model, o.Out, o.Seed, s.seed = p.at.dir(), s.Out(), p.seed, p.seed
	s.options = o
	g.valid(s, o.Validate())
	return s
}
