package recipe

import (
	"path/filepath"
	"slices"

	"lep/propagate"
)

// propagate lays out what follows from a donor.
func (g *graph) propagate(p point) {
	r := g.r
	for _, target := range r.Models.Target {
		for _, v := range applying(r.propagate, p.choices) {
			q := p
			q.label, q.choices = dash(p.label, g.targetLabel(target), v.label), dash(p.choices, g.targetLabel(target), v.label)
			method := v.label
			if method == "" {
				method = string(v.opts.Method)
			}
			q.method = dash(method, p.method)
			q.target, q.at = target, place{stage: g.propagation(q, target, v.opts)}
			g.Models = append(g.Models, g.model("result", q, ""))
			g.tunings(q)
		}
	}
}

func (g *graph) propagation(p point, target string, o propagate.Options) *Stage {
	m := &g.r.Models
	s := g.add(KindPropagate, p.label, "model", nil)
	s.begins("donor", p.at)
	o.Source, o.Donor = m.Source, p.at.dir()
	o.Targets = []propagate.Target{{Model: target, Out: s.Out()}}
	o.Language, o.License, o.Datasets = m.Language, m.License, m.Datasets
	s.options = o
	g.valid(s, o.Validate())
	s.reads("source", modelPath, m.Source)
	s.reads("target", modelPath, target)
	s.reads("occurrences", filePath, o.Occurrences)
	s.reads("chat_template", filePath, o.ChatTemplate)
	return s
}

// tunings lays out self-calibration and instruction tuning of what a chain has come to.
func (g *graph) tunings(p point) {
	r := g.r
	if targets := r.Models.Target; p.target == "" && len(targets) == 1 { // nothing is propagated into it
		p.target = targets[0]
	}
	calibrations, tunings := applying(r.calibrate, p.choices), applying(r.tune, p.choices)
	if len(tunings) == 0 {
		for _, c := range calibrations {
			if r.tune == nil && !c.skip {
				g.answers(p, c) // they are wanted for themselves
			}
		}
		calibrations = nil
	}
	for _, c := range orSkip(calibrations) {
		var answers *Stage
		if !c.skip {
			answers = g.answers(p, c)
		}
		for _, t := range orSkip(tunings) {
			q := p
			if !t.skip {
				q.label, q.choices = dash(p.label, c.label, t.label), dash(p.choices, c.label, t.label)
				q.method = dash(p.method, c.label, t.label)
				q.at = g.training(KindTune, q, t, answers)
				g.Models = append(g.Models, g.model("result", q, stepTuned))
			}
			for _, i := range applying(r.instruct, q.choices) {
				if i.skip {
					continue
				}
				last := q
				last.label, last.method = dash(q.label, i.label), dash(q.method, i.label)
				last.at = g.training(KindInstruct, last, i, nil)
				g.Models = append(g.Models, g.model("result", last, stepInstructed))
			}
		}
	}
}

func orSkip[T any](list []variant[T]) []variant[T] {
	if len(list) > 0 {
		return list
	}
	return []variant[T]{{skip: true}}
}

// answers adds the stage that asks a model; the original instruct model is asked once for the whole grid.
func (g *graph) answers(p point, v variant[Calibrate]) *Stage {
	o := v.opts
	asked, label := p.at, dash(p.label, v.label)
	if o.From == fromTarget {
		asked, label = place{path: p.target}, dash(g.withSeed("", p.seed), g.targetLabel(p.target), v.label)
		if i := slices.IndexFunc(g.Stages, func(s *Stage) bool { return s.Name == dash(string(KindCalibrate), label) }); i >= 0 {
			return g.Stages[i]
		}
	}
	s := g.add(KindCalibrate, label, "answers.jsonl", nil)
	o.Seed, s.seed = p.seed, p.seed
	if o.API == "" || o.From == fromResult {
		s.begins("model", asked)
		o.Model = asked.dir()
	}
	o.Out, o.Rejected = s.Out(), filepath.Join(s.dir, "rejected.jsonl")
	s.options = o
	g.valid(s, o.Options.Validate())
	s.reads("prompts", dataPath, o.Prompts...)
	return s
}
