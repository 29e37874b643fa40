"""The command that shows what a classifier does with texts that one types: `demo`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from custom_bert import files, terminal
from custom_bert.errors import RunError, UserError
from custom_bert.options.option import Command, Mark
from custom_bert.terminal import complain, say

if TYPE_CHECKING:
    from custom_bert.inference.answers import Answers

SAMPLE_RUN = Path("runs/demo")
"""Where the demo trains, and what it opens again."""

MINUTES = 2
"""At most this many minutes the demo trains."""

SETTINGS: Mapping[str, Any] = MappingProxyType({"optim.max_minutes": float(MINUTES)})
"""The settings of the demo's run; all others are left open."""

EXAMPLES = (
    "Return the number of days between the first of January and the given day, as the week begins on Monday.",
    "Wait until the lock is released by the thread that holds it, or until the number of seconds is over.",
    "Draw a circle with the given radius, and fill it with the current colour of the pen.",
)
"""Texts to try on the sample data."""

MOST_EXAMPLES = 3

PROMPT = "> "

SECOND_PROMPT = "second> "
"""What asks for the second text of a pair."""


@dataclass(frozen=True, kw_only=True)
class Demo(Command):
    """Type texts and see their labels, and which words count.

    For each line, the most probable labels are printed, and the words whose absence would change the
    probability most. The number beside a word is how much the logarithm of the probability would fall
    without it. Ctrl-D ends. Standard input may also be a pipe or a file. A model of pairs asks for two texts,
    and reads lines of two texts with a tab between them."""

    run_directory: Annotated[str | None, Mark(word="RUN", positional=True, path=True)] = None
    """The run directory that train wrote, or a directory that export wrote. Without it, a classifier of the
    sample data is trained, for 2 minutes at most, into runs/demo. After that, runs/demo is opened."""

    def run(self) -> None:
        directory = Path(self.run_directory) if self.run_directory is not None else _sample_run()
        from custom_bert.inference.answers import Answers

        answers = Answers.load(directory)
        if not terminal.is_dialogue():
            _answer_lines(answers, directory)
            return
        examples = EXAMPLES if self.run_directory is None else _examples_of(directory, pairs=answers.pairs)
        try:
            _talk(answers, examples)
        except (EOFError, KeyboardInterrupt):
            say()
            say("\n".join(answers.ending(directory)))


def _sample_run() -> Path:
    """Returns the directory of the run on the sample data, which is trained if it is not finished yet.

    Raises:
        RunError: if the directory holds something else.
    """
    from custom_bert.data.sample import AREAS, divide, make_examples

    record = _record_of(SAMPLE_RUN)
    if record is not None and list(record.get("data", {}).get("labels", [])) != sorted(AREAS):
        raise RunError(
            f"{SAMPLE_RUN}: holds another run than that of the demo, which trains there; move it away, or "
            f"open it with custom-bert demo {SAMPLE_RUN}"
        )
    if record is not None and record.get("status") == "finished":
        say(f"{SAMPLE_RUN}: opened, a classifier of the sample data")
        return SAMPLE_RUN
    say(
        f"Without RUN, a classifier of the sample data is trained, for {MINUTES} minutes at most, into "
        f"{SAMPLE_RUN}. The next custom-bert demo opens it at once.\n"
    )
    from custom_bert.data.memory import in_memory
    from custom_bert.training.loop import train_model

    train, val = divide(make_examples())
    source = in_memory(
        [row.text for row in train],
        [row.area for row in train],
        val_texts=[row.text for row in val],
        val_labels=[row.area for row in val],
    )
    train_model({"out": str(SAMPLE_RUN), **SETTINGS}, source=source)
    say()
    return SAMPLE_RUN


def _record_of(directory: Path) -> dict[str, Any] | None:
    """Returns the content of run.json; None if the directory does not exist or is empty.

    Raises:
        RunError: if the directory holds something that is no run.
    """
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return None
    try:
        record = files.read_run_json(directory, "run.json")
        if isinstance(record, dict) and isinstance(record.get("data", {}), dict):
            return record
    except RunError:
        pass
    raise RunError(
        f"{directory}: exists and is not a run directory, and the demo trains there; move it away, or give a "
        f"RUN"
    )


def _examples_of(directory: Path, *, pairs: bool) -> tuple[str, ...]:
    """Returns the first texts, or pairs, of the last file of texts that a run has read; none if it is not
    there."""
    from custom_bert.data.pair_files import tabbed
    from custom_bert.data.text import LineReader, is_blank

    try:
        record = files.read_run_json(directory, "run.json")
        path = list(record["data"]["files"])[-2]  # after the texts come their labels
        reader = LineReader(path)
        block = next((tabbed(reader, "") if pairs else reader).blocks())
    except (UserError, LookupError, TypeError, AttributeError, StopIteration):
        return ()
    return tuple(line for line in block if not is_blank(line))[:MOST_EXAMPLES]


def _answer_lines(answers: Answers, directory: Path) -> None:
    """Answers the lines of standard input, without a prompt."""
    from custom_bert.data.lines import Lines
    from custom_bert.data.pair_files import tabbed
    from custom_bert.data.text import STANDARD_INPUT, LineReader

    reader: Lines = LineReader(STANDARD_INPUT)
    if answers.pairs:
        reader = tabbed(reader, f"{directory} was trained on pairs")
    for block in reader.blocks():
        for text in block:
            say("\n".join([*answers.to(text, repeat=True), ""]))


def _talk(answers: Answers, examples: tuple[str, ...]) -> None:
    """Answers what is typed at a terminal.

    Raises:
        EOFError, KeyboardInterrupt: if the person ends.
    """
    for line in answers.introduction(examples):
        say(line)
    while True:
        typed = _typed(PROMPT)
        number = typed.strip()
        chosen = number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= len(examples)
        text = examples[int(number) - 1] if chosen else _pair(typed) if answers.pairs else typed
        say("\n".join([*answers.to(text, repeat=chosen), ""]))


def _pair(typed: str) -> str:
    """Returns what was typed as a pair: a line with one tab, as it is pasted from a file, or a first text,
    after which the second one is asked for."""
    from custom_bert.data.text_pairs import paired

    first, tab, second = typed.partition("\t")
    return paired(first, second) if tab and "\t" not in second else paired(typed, _typed(SECOND_PROMPT))


def _typed(prompt: str) -> str:
    """Returns the next line that is typed."""
    while True:
        try:
            return terminal.asked(prompt)
        except UnicodeDecodeError:
            complain("this line is not text in the terminal's encoding; type it again")
