"""What torchrun starts for `e2e/test_ranks.py`: trains as a JSON file says, and notes what each step saw.

    python -m torch.distributed.run --nproc-per-node 2 tests/ranks_worker.py CONFIG LOG [STOP SIGNAL]

A line of LOG.RANK is (phase, step, example ids, loss). At step STOP, rank 1 gets SIGNAL.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from custom_bert.cli import main
from custom_bert.process import prepare_process


def work(config: str, log: str, stop: str = "0", number: str = "15") -> int:
    """Returns the exit code."""
    prepare_process()
    from custom_bert.data.batching import EVALUATION_ROWS
    from custom_bert.training import fit

    EVALUATION_ROWS["cpu"] = 72  # several batches, an odd number: a rank has one less, and stands in
    rank, real = int(os.environ.get("RANK", "0")), fit.step_within_memory
    steps = 0

    def step(state: Any, phase: Any, step: Any, *rest: Any, **options: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == int(stop) and rank == 1:
            os.kill(os.getpid(), int(number))
        result = real(state, phase, step, *rest, **options)
        ids = [int(i) for batch in step.microbatches if not batch.stands_in for i in batch.indices]
        with Path(f"{log}.{rank}").open("a") as stream:
            stream.write(json.dumps([phase.name, state.progress.step, ids, float(result.loss)]) + "\n")
        return result

    fit.step_within_memory = step
    return main(["train", "--config", config])


if __name__ == "__main__":
    sys.exit(work(*sys.argv[1:]))
