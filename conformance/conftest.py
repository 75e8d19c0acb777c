"""What all conformance checks share: the lep binary, the demo's folder, sample texts.

LEP names the binary and DEMO the folder that `lep demo --out` wrote. Every check here asks
a library that users have (transformers, tokenizers, sentencepiece, tiktoken) and holds lep against its answer.
"""

import json
import os
import pathlib
import subprocess

import pytest

SHARED = pathlib.Path(os.environ.get("LEP_SHARED", pathlib.Path(__file__).parents[2] / "shared"))

TEXTS = [
    "",
    " ",
    "Hello, world! It's 2026 and 1234567 things don't fit.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Ёлка, подъезд, объявление — «кавычки», тире и 3,14.",
    "  leading and trailing  \n\n\t tabs\r\nand line ends \n",
    "def f(x):\n    return [y**2 for y in range(x) if y % 2]  # код\n",
    "emoji 👩‍👩‍👧‍👦 🇷🇺 ❤️ and 漢字, العربية, हिन्दी, ไทย, 한국어",
    "e\u0301 vs \u00e9, ﬁ ligature, ① Ⅳ ½ ²",
    "<|im_start|>user\nПривет<|im_end|>\n",
    "a\u0000b\u200bc\ufeffd",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
]


@pytest.fixture(scope="session")
def lep():
    """Runs lep with arguments and optional lines on standard input; returns what it prints."""
    binary = os.environ["LEP"]

    def run(*args, lines=None, check=True):
        data = None if lines is None else "".join(json.dumps(x, ensure_ascii=False) + "\n" for x in lines)
        p = subprocess.run([binary, *map(str, args)], input=data, capture_output=True, encoding="utf-8")
        assert not check or p.returncode == 0, f"lep {args}: {p.stderr}"
        return p if not check else p.stdout

    return run


@pytest.fixture(scope="session")
def encode(lep):
    """Ids of texts by `lep vocab encode`."""

    def run(tokenizer, texts, *flags):
        out = lep("vocab", "encode", "--tokenizer", tokenizer, "--json", *flags, lines=[{"text": t} for t in texts])
        return [json.loads(x) for x in out.splitlines()]

    return run


class Demo:
    """The folders of a demo: the bundled models, and the models that its stages made."""

    def __init__(self, folder):
        self.base = folder / "bundle" / "base"
        self.instruct = folder / "bundle" / "instruct"
        self.stages = folder / "pocket" / "stages"

    def donor(self, vocabulary):
        return self.stages / f"train-{vocabulary}-all_rows" / "model"

    def result(self, vocabulary, method="conversion"):
        return self.stages / f"propagate-{vocabulary}-all_rows-{method}" / "model"


@pytest.fixture(scope="session")
def demo():
    return Demo(pathlib.Path(os.environ["DEMO"]))
