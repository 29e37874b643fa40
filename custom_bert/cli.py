"""The command line, custom-bert COMMAND: the table of all commands.

Each command is a class of `custom_bert.commands` or `custom_bert.bench.commands`. None of these modules
imports torch before a command runs, so that the help is fast.
"""

from __future__ import annotations

from collections.abc import Sequence

from custom_bert import __version__
from custom_bert.bench.commands import BENCH
from custom_bert.commands.checkpoints import Fetch
from custom_bert.commands.demo import Demo
from custom_bert.commands.export import Export
from custom_bert.commands.measuring import Evaluate, ProbeEncoder
from custom_bert.commands.predict import Predict
from custom_bert.commands.runs import Info, Report
from custom_bert.commands.serve import Serve
from custom_bert.commands.starting import CheckData, Init, SampleData
from custom_bert.commands.training import Pretrain, Train
from custom_bert.options.option import Command, Group
from custom_bert.options.program import run_program

COMMANDS: dict[str, type[Command] | Group] = {
    "train": Train,
    "pretrain": Pretrain,
    "evaluate": Evaluate,
    "predict": Predict,
    "serve": Serve,
    "demo": Demo,
    "fetch": Fetch,
    "check-data": CheckData,
    "sample-data": SampleData,
    "info": Info,
    "report": Report,
    "probe": ProbeEncoder,
    "export": Export,
    "init": Init,
    "bench": BENCH,
}

PROGRAM = Group(about="Train, evaluate and use text classifiers.", commands=COMMANDS, version=__version__)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code.

    Args:
        argv: the words after `custom-bert`; None for those that this process was given.
    """
    return run_program(PROGRAM, "custom-bert", argv)
