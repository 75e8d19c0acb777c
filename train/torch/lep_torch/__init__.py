"""The driver that lep starts with torchrun: one training on PyTorch FSDP2.

lep decides everything beforehand (data, order of rows, schedule, trained parameters) and
writes it to job.json; it also writes the resulting model. What is left for this package
is arithmetic: load, shard, step, evaluate, save.

    job.py         the job, read strictly
    rows.py        packed rows of token ids, mapped from lep's shards
    network.py     the model: what is trained, low-rank terms, sharding
    loss.py        cross-entropy that never holds all logits
    optimizer.py   AdamW and SGD as lep's own engine computes them
    checkpoint.py  distributed checkpoints, and the file with the result
    training.py    the loop over steps
"""
