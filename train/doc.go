// Package train trains a model: embeddings and head (the donor of Learned Embedding
// Propagation), all parameters, or low-rank terms; on texts or on conversations. It resumes
// to the bit, writes a Hugging Face model folder or a PEFT adapter, and keeps the course of
// the run in metrics.jsonl.
//
// The main names are [Options] with [DefaultOptions], [Run], and for a model in memory
// [Trainer]:
//
//	opts := train.DefaultOptions()
//	opts.Model, opts.Data, opts.Out = "./extended", []string{"ru.jsonl.zst=0.7", "en.jsonl.zst=0.3"}, "./donor"
//	result, err := train.Run(ctx, opts)
//
// What is stored where: trained parameters are float32 (master weights over a bfloat16
// file), their gradients and moments too; losses and norms are summed in float64. A run
// with the same settings, data and number of threads of the BLAS gives the same bytes.
package train
