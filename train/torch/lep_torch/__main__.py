"""One rank. Started by torchrun: python -m torch.distributed.run … -m lep_torch JOB.json DEVICE."""

from __future__ import annotations

import json
import os
import pathlib
import sys
import time
import traceback


def fail(message: str, trace: str) -> None:
    """Leaves a note on why this rank ended, beside its log; the first one tells the cause."""
    note = {"rank": int(os.environ["RANK"]), "time": time.time(), "error": message, "trace": trace}
    path = pathlib.Path(sys.argv[1]).parent / f"failed-{note['rank']}.json"
    path.write_text(json.dumps(note) + "\n")


def main() -> int:
    from .job import JobError

    try:
        import torch

        from .training import start

        device = torch.device(sys.argv[2])
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        text = pathlib.Path(sys.argv[1]).read_text() if os.environ["RANK"] == "0" else ""
        start(text, device)
    except JobError as e:
        fail(str(e), "")
        print(e, file=sys.stderr)
        return 1
    except Exception as e:
        fail(f"{type(e).__name__}: {e}", traceback.format_exc())
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
