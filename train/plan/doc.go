// Package plan foretells what a training takes on GPUs: memory by part, tokens per second, hours and
// cost, whether it fits, and what to change if it does not. It describes the driver of lep/train/torch
// (FSDP2, bf16 with float32 for what is trained); docs/on-gpus.md explains the formulas, and tests hold
// them to published figures.
//
//	cluster, err := plan.ParseCluster("8xH100")
//	p, err := plan.Foresee(cfg, plan.Options{Train: train.DefaultOptions(), Cluster: cluster, Tokens: 9e9})
//
// All of it is an estimate: memory within about 15 %, speed within about 30 % of what others measured.
package plan
