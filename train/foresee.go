package train

import "lep/model"

// Forecast is what a training takes, told from the model's shape alone.
type Forecast struct {
	Memory
	TokensPerStep   int
	FLOPsPerToken   float64
	CheckpointBytes int64 // of one checkpoint on disk
}

// Foresee tells what a training of a model of this shape takes, before the model is there. Settings that
// cannot fit into the memory are an error that says what to change, with the forecast beside it.
func Foresee(o Options, cfg *model.Config) (Forecast, error) {
	if o.Train == NewRows { // which rows are new is not known yet; the arenas hold all
		o.Train = Embeddings
	}
	o.FreezeRowsBelow = 0
	if o.SequenceLen == 0 {
		o.SequenceLen = min(1024, cfg.MaxPositionEmbeddings)
	}
	p, err := newPlan(&o, cfg, "")
	if err != nil {
		return Forecast{}, err
	}
	f := Forecast{
		TokensPerStep: o.PerDeviceBatchSize * o.GradientAccumulationSteps * o.SequenceLen,
		FLOPsPerToken: flopsPerToken(cfg, p.trainable, p.lora, o.SequenceLen),
	}
	f.Memory, err = p.estimate(&o, cfg)
	f.CheckpointBytes = f.Trained + f.Optimizer
	return f, err
}
