"""The process in which the simulated GPU is: answers jobs, one JSON object a line, with what happened.

A job names a function of `jobs.py` and its arguments. Whatever the package prints goes nowhere but into the
answer.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback
from typing import Any

from gpu_simulated import guard

guard.load()  # before torch is imported

from custom_bert.errors import UserError  # noqa: E402
from gpu_simulated import device, jobs  # noqa: E402


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """Does a job, and returns what it returned, what it raised, what was printed, and what the GPU saw."""
    device.MACHINE.forget()
    said = io.StringIO()
    found: dict[str, Any] = {}
    try:
        with device.Simulated(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            found["returned"] = getattr(jobs, job["job"])(**job["arguments"])
    except UserError as error:
        found["refused"] = str(error)
    except BaseException:
        found["fault"] = traceback.format_exc()
    machine = device.MACHINE
    found |= {
        "said": said.getvalue().splitlines(),
        "waits": [[*place, count] for place, count in sorted(machine.waits.items())],
        "dispatched": machine.dispatched / max(1, machine.steps),
        "operations": sum(machine.operations.values()) / max(1, machine.steps),
        "by_name": {name: count / max(1, machine.steps) for name, count in machine.operations.most_common()},
        "seeded": sorted(machine.seeded),
    }
    return found


def main() -> None:
    """Answers the jobs of standard input."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdout = sys.stderr
    device.install()
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
