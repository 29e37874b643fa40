"""`python -m custom_bert.bench ablation`: measurements with nothing but the core installed."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

from custom_bert.config import Size
from custom_bert.errors import ConfigError, UserError
from custom_bert.terminal import complain, say

PARTS = ("speed", "lengths", "learning")
"""Of the ablation; here too, because its module needs torch."""


VALUED = ("--config", "--device", "--repeats", "--out")
"""Options of `tune` that a value follows."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    top = _Parser(prog="custom-bert bench", description="Measurements on this machine, written as records.")
    commands = top.add_subparsers(dest="command", required=True, metavar="WHAT")
    ablation = commands.add_parser(
        "ablation", help="what each improvement buys here, alone, taken out, and on the ladder"
    )
    ablation.add_argument("--size", choices=get_args(Size), help="default: mini on a CPU, base on CUDA")
    ablation.add_argument("--only", nargs="+", choices=PARTS, help="some of its parts; default: all of them")
    scaling = commands.add_parser(
        "scaling", help="how time and memory grow with length, size, threads and number of examples"
    )
    roofline = commands.add_parser(
        "roofline", help="what share of the machine's own rate of matrix products a training step reaches"
    )
    tune = commands.add_parser(
        "tune",
        help="which settings that change speed only are the fastest here, for one's own texts; to paste",
    )
    tune.add_argument(
        "data", nargs="?", metavar="DATA", help="folder with the data files; default: the config's"
    )
    tune.add_argument(
        "--config", metavar="FILE", help="settings to start from, as in config.py; default: none"
    )
    for one in (ablation, scaling, roofline, tune):
        one.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda if there is one, else cpu")
        one.add_argument("--quick", action="store_true", help="a few minutes, to see that it works")
        one.add_argument("--repeats", type=_count, help="of each measurement, in turn; default 5, scaling 3")
        one.add_argument(
            "--out", type=Path, required=True, metavar="FILE", help="required: FILE.json, .md and mostly .svg"
        )
    return top


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text!r}")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one measurement; returns the exit code.

    Raises:
        UserError: for options that cannot be served.
    """
    options = parser().parse_args(argv)
    from custom_bert import files, machine
    from custom_bert.bench import ablation, roofline, scaling, tune
    from custom_bert.bench.measure import as_given
    from custom_bert.config import replace
    from custom_bert.config_sources import load
    from custom_bert.data.reading import in_directory
    from custom_bert.tasks.registry import TASKS

    config = None
    if options.command == "tune":
        config = load(options.config or {}, note=say)
        if options.data is not None and "data.train_texts" in TASKS[config.task].unread:
            raise ConfigError([f"bench tune: task {config.task} reads data.corpus; leave DATA out"])
        config = config if options.data is None else replace(config, in_directory(options.data))
    wanted = options.device or (config.runtime.device if config else None)
    device = machine.choose_device(wanted)[0].type
    out = options.out if options.out.suffix == ".json" else options.out.with_name(f"{options.out.name}.json")
    for path in (out, out.with_suffix(".md"), out.with_suffix(".svg")):
        if path.exists():
            raise ConfigError([f"{path}: exists already and is not overwritten; choose another --out"])
    files.check_writable(out.parent)

    words = list(sys.argv[1:] if argv is None else argv)
    if config and options.data is not None:
        pairs = itertools.pairwise(words)
        (place, *_) = (i for i, (a, b) in enumerate(pairs, 1) if b == options.data and a not in VALUED)
        words[place] = "DATA"
    command = as_given("custom-bert bench", words)
    common = {
        "command": command,
        "device": device,
        "quick": options.quick,
        "repeats": options.repeats,
        "out": out,
        "tell": say,
    }
    if options.command == "ablation":
        ablation.run(**common, size=options.size, parts=options.only or ablation.PARTS)
    elif config:
        tune.run(config, **common)
    else:
        {"scaling": scaling, "roofline": roofline}[options.command].run(**common)
    written = [path for path in (out, *(out.with_suffix(end) for end in (".md", ".svg"))) if path.exists()]
    say(", ".join(map(str, written)))
    return 0


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
        try:
            sys.exit(main())
        except UserError as error:
            for line in str(error).splitlines():
                complain(f"error: {line}")
            sys.exit(error.exit_code)
