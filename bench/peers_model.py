"""The peers' side of the training and inference benchmarks: PyTorch and transformers. Prints one JSON line.

peers_model.py make DIR                  a Llama of 125 million parameters with random bfloat16 weights
peers_model.py train [--embeddings-only] [--bf16] [shape]     tokens a second of the fastest step, AdamW and clipping as lep bench train
peers_model.py infer DIR [--float32]     tokens a second of a prompt, of generation with it (greedy, batch 1), of scoring rows; bfloat16 arithmetic
                                         unless float32, which is lep's
"""

import argparse
import json
import time

import torch
import transformers

SHAPE = {"vocab": 8192, "hidden": 384, "layers": 6, "heads": 6, "kv": 2, "ffn": 1024, "seq": 512, "batch": 8, "steps": 6}


def llama(vocab, hidden, layers, heads, kv, ffn, seq):
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=vocab, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv,
        intermediate_size=ffn, max_position_embeddings=seq, tie_word_embeddings=False))


def make(a):
    llama(32000, 768, 12, 12, 4, 2048, 2048).to(torch.bfloat16).save_pretrained(a.dir)
    return {}


def train(a):
    model = llama(a.vocab, a.hidden, a.layers, a.heads, a.kv, a.ffn, a.seq).train()
    for name, p in model.named_parameters():
        p.requires_grad = not a.embeddings_only or "embed_tokens" in name or "lm_head" in name
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    ids = torch.randint(0, a.vocab, (a.batch, a.seq))

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=a.bf16):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return {"tokens_per_second": a.batch * a.seq / fastest(a.steps, step)}


def infer(a):
    model = transformers.AutoModelForCausalLM.from_pretrained(a.dir, dtype=torch.float32 if a.float32 else torch.bfloat16).eval()
    vocab = model.config.vocab_size
    short, prompt, rows = (torch.randint(5, vocab, s) for s in ((1, a.prompt), (1, a.prefill), (a.rows, a.seq)))

    def generate(ids, n):
        return lambda: model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, min_new_tokens=n, do_sample=False)

    def score():
        for i in range(0, len(rows), 4):  # 4 rows at a time: 2,048 tokens, as lep
            logits = model(input_ids=rows[i : i + 4]).logits
            torch.nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), rows[i : i + 4, 1:].flatten(), reduction="none")

    with torch.inference_mode():
        return {
            "generate_tokens_per_second": a.new / fastest(a.rounds, generate(short, a.new)),
            "prefill_tokens_per_second": a.prefill / fastest(a.rounds, generate(prompt, 1)),
            "score_tokens_per_second": rows.numel() / fastest(a.rounds, score),
        }


def fastest(n, work):
    best = float("inf")
    for _ in range(n):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--threads", type=int, default=2)
sub = p.add_subparsers(required=True)
q = sub.add_parser("make")
q.set_defaults(run=make)
q.add_argument("dir")
q = sub.add_parser("train")
q.set_defaults(run=train)
for key, value in SHAPE.items():
    q.add_argument("--" + key, type=int, default=value)
q.add_argument("--embeddings-only", action="store_true")
q.add_argument("--bf16", action="store_true")
q = sub.add_parser("infer")
q.set_defaults(run=infer)
q.add_argument("dir")
q.add_argument("--float32", action="store_true")
for key, value in {"prompt": 32, "new": 128, "prefill": 512, "rows": 8, "seq": 512, "rounds": 2}.items():
    q.add_argument("--" + key, type=int, default=value)
a = p.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(0)
transformers.utils.logging.disable_progress_bar()
print(json.dumps(a.run(a)))
