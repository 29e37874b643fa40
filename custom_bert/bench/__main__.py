"""`python -m custom_bert.bench` does what `custom-bert bench` does. With --child it runs one measurement for
the process that started it."""

from __future__ import annotations

import sys
from typing import Any

from custom_bert.bench.commands import BENCH
from custom_bert.options.program import run_program


def _tasks() -> dict[str, Any]:
    from custom_bert.bench import convergence, roofline, scaling, speed, tune

    return {
        "speed": speed.train_some_steps,
        "train": convergence.train_once,
        "plan": scaling.plan_an_epoch,
        "attend": scaling.attend,
        "reach": roofline.reach,
        "tune": tune.time_settings,
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        from custom_bert.bench.measure import answer_as_child

        answer_as_child(sys.argv[1:], _tasks())
    else:
        sys.exit(run_program(BENCH, "custom-bert bench"))
