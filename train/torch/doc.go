// Package torch does a training of package train on PyTorch: fully sharded (FSDP2) over GPUs and
// machines, or on processors. lep prepares everything (rows in the order of the steps, learning rates, what is
// trained, first values of low-rank terms) and writes the result; the steps are done by lep_torch, a Python
// package that is part of the binary, written to the run folder and started with torchrun.
//
//	opts := train.DefaultOptions()
//	opts.Model, opts.Data, opts.Out = "./extended", []string{"ru.jsonl.zst"}, "./donor"
//	opts.Backend, opts.Torch.NProc = train.PyTorch, 8
//	result, err := torch.Run(ctx, opts)
//
// A run has the same loss, metrics and result as one of lep's own engine, up to rounding. The folder
// OUT/torch holds while it runs:
//
//	lep_torch/            the driver
//	job.json              what it is told; schedule.f64 and start.safetensors belong to it
//	tokens/, held-out/    the rows (package corpus/shard)
//	events.jsonl          what it tells: lep writes metrics.jsonl from it
//	failed-RANK.json      why a rank ended
//	logs/                 what the ranks printed
//	final.json            where the run stands at its end
package torch
