package recipe

import (
	"lep/model"
	"lep/train"
)

// Training is a stage that trains, with the shape of the model that it will get.
type Training struct {
	Stage   string
	Options train.Options
	Config  *model.Config
	// Tokens to train on in all, about, by the size of the data; 0 where max_steps decides or the data is not there yet.
	Tokens float64
}

// Trainings lists the trainings of a recipe, for planning; nothing is written. A vocabulary that is still
// to be made counts with the largest size that it can have.
func Trainings(r *Recipe, opts Options) ([]Training, error) {
	run, err := lay(r, opts)
	if err != nil {
		return nil, err
	}
	if err := run.look(); err != nil {
		return nil, err
	}
	base, err := openShape(r.Models.Source)
	if err != nil || base == nil {
		return nil, err
	}
	shapes := map[*Stage]*shape{}
	var list []Training
	for _, s := range run.graph.Stages {
		run.foresee(s, base, shapes, &Foreseen{})
		t := Training{Stage: s.Name, Config: shapes[s].cfg}
		switch o := s.options.(type) {
		case train.Options:
			t.Options = o
		case Tune:
			t.Options = o.Options
		default:
			continue
		}
		if t.Options.MaxSteps == 0 {
			t.Tokens = t.Options.NumEpochs * dataBytes(t.Options.Data) / textBytesPerToken
		}
		list = append(list, t)
	}
	return list, nil
}
