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
	known := shapes{}
	var list []Training
	for _, s := range run.graph.Stages {
		if _, err := run.foresee(s, known); err != nil {
			return nil, err
		}
		o, ok := s.options.(Train)
		if !ok {
			continue
		}
		t := Training{Stage: s.Name, Options: o.Options, Config: known[s].cfg}
		if t.Options.MaxSteps == 0 {
			t.Tokens = t.Options.NumEpochs * dataBytes(t.Options.Data) / textBytesPerToken
		}
		list = append(list, t)
	}
	return list, nil
}
