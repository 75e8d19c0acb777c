// Package model runs and trains decoder language models: Llama, Mistral, Qwen2, Qwen3 and
// Gemma 2. Forward and hand-written backward stand side by side, in float32 over the matrix
// products of a [linalg.BLAS]; losses and norms are summed in float64. It opens no file: a
// [Source] gives it tensors.
//
// The main names are [ParseConfig], [New] and [Model], whose methods are [Model.Score] (loss of
// a [Batch]), [Model.Backward] (loss and gradients), and [Model.Extend] with [Model.Logits]
// (generation over a [Cache]); a [Sampler] picks tokens.
//
//	cfg, err := model.ParseConfig(configJSON)
//	m, err := model.New(cfg, source, model.Options{Trainable: model.TrainEmbeddings})
//	batch := &model.Batch{B: 8, T: 512, InputIDs: ids}
//	sum, scored, err := m.Backward(batch, 1/float64(batch.Scored()), nil)
//	for _, p := range m.Trained() {
//		// p.Data -= learningRate * p.Grad
//	}
//
// What is stored where: trained parameters and their gradients are float32 in one arena each;
// frozen weights are views of the mapped file, bfloat16 and float16 widened tile by tile while they
// are multiplied; activations lie in one arena that is kept from step to step.
package model
