"""The choice tasks of `lep eval`, beside a plain transformers loop over the same prompts.

    python bench/eval_tasks.py MODEL DATA [--lep ./lep] [--shots 5] [--tasks parus,rcb,...]

runs `lep eval --log-samples`, then asks transformers the prompts that it saved: first one pass for
each prompt and choice, as evaluation harnesses do, then one pass for each prompt. It prints the
seconds of processor time of all three, without loading the model, and how often the answers agree.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import tempfile

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TASKS = "rummlu,nlpcore_rummlu,nlpcore_enmmlu,parus,rcb,rwsd,ruopenbookqa,ruworldtree,rucola"


def cpu(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def run_lep(args, out, limit):
    before = cpu(resource.RUSAGE_CHILDREN)
    subprocess.run([args.lep, "eval", "--model", args.model, "--data", args.data, "--tasks", args.tasks, "--num-fewshot", str(args.shots),
                    "--out", out, "--log-samples", "--threads", str(args.threads), *limit], check=True, stdout=subprocess.DEVNULL)
    return cpu(resource.RUSAGE_CHILDREN) - before


def samples(out):
    for path in sorted(pathlib.Path(out, "samples").glob("*.jsonl")):
        for line in path.read_text().splitlines():
            yield json.loads(line)


def continuations(tokenizer, prompt, choices):
    """Ids of the prompt and, for each choice, of what is scored: SPEC's rule for one telling token."""
    prompt = prompt.rstrip(" ")
    blank = "" if prompt.endswith("\n") else " "
    ids = [tokenizer(prompt + blank + c, add_special_tokens=False).input_ids for c in choices]
    n = 0
    while all(n < len(i) - 1 and i[n] == ids[0][n] for i in ids):
        n += 1
    return ids[0][:n], [i[n] for i in ids]


def passes(model, tokenizer, rows, each_choice):
    picks, before = [], cpu(resource.RUSAGE_SELF)
    with torch.inference_mode():
        for row in rows:
            choices = list(row["prediction"])
            prompt, telling = continuations(tokenizer, row["prompt"], choices)
            if each_choice:
                scores = []
                for token in telling:
                    logits = model(torch.tensor([prompt + [token]])).logits[0, -2]
                    scores.append(float(torch.log_softmax(logits.float(), -1)[token]))
            else:
                logits = model(torch.tensor([prompt]), logits_to_keep=1).logits[0, -1]
                scores = torch.log_softmax(logits.float(), -1)[torch.tensor(telling)].tolist()
            picks.append(choices[max(range(len(choices)), key=lambda i: scores[i])])
    return cpu(resource.RUSAGE_SELF) - before, picks


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("data")
    p.add_argument("--lep", default="./lep")
    p.add_argument("--shots", type=int, default=5)
    p.add_argument("--tasks", default=TASKS)
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as tmp:
        # What stays when almost nothing is asked: start, weights, data, statistics.
        idle = run_lep(args, f"{tmp}/one", ["--limit", "1"])
        ours = run_lep(args, f"{tmp}/all", [])
        rows = list(samples(f"{tmp}/all"))
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    passes(model, tokenizer, rows[:3], False)
    picked = [max(r["prediction"], key=r["prediction"].get) for r in rows]
    print(f"{len(rows)} requests, {args.shots} examples, {args.threads} threads; lep {ours:.2f} CPU s, of which with one record a task {idle:.2f}")
    for name, each in (("one pass a choice", True), ("one pass a prompt", False)):
        seconds, picks = passes(model, tokenizer, rows, each)
        same = sum(a == b for a, b in zip(picked, picks))
        print(f"transformers, {name}: {seconds:.2f} CPU s, {seconds / ours:.1f}x; answers agree {same}/{len(rows)}")


if __name__ == "__main__":
    main()
