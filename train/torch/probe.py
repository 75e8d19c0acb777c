"""Prints what this interpreter offers, as JSON, with the argument gpus those of torch; it must run on any Python 3."""

import contextlib
import json
import sys

out = {"executable": sys.executable, "python": sys.version.split()[0], "packages": {}}
try:
    from importlib import metadata

    for name in ("torch", "transformers", "peft", "safetensors", "numpy"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            out["packages"][name] = metadata.version(name)
    if "gpus" in sys.argv and "torch" in out["packages"]:
        import torch

        out["cuda"] = torch.version.cuda or ""
        gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        out["gpus"] = [{"name": g.name, "memory": g.total_memory} for g in gpus]
        if gpus:
            out["nccl"] = ".".join(str(n) for n in torch.cuda.nccl.version())
except Exception as e:
    out["error"] = f"{type(e).__name__}: {e}"
print(json.dumps(out))
