"""Help is readable in every terminal, the same for every Python, and quick."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from custom_bert.cli import COMMANDS, PROGRAM, main
from custom_bert.config import GROUPS, TrainConfig, to_flat
from custom_bert.options import page
from custom_bert.options.option import Command, Group, all_options

ROOT = Path(__file__).resolve().parents[3]
DEFAULTS = to_flat(TrainConfig())


def commands(group: Group = PROGRAM, called: str = "custom-bert") -> dict[str, type[Command]]:
    """Every command by how it is called."""
    found: dict[str, type[Command]] = {}
    for name, one in group.commands.items():
        if isinstance(one, Group):
            found |= commands(one, f"{called} {name}")
        else:
            found[f"{called} {name}"] = one
    return found


def pages(columns: int) -> dict[str, str]:
    found = {
        called: page.command_page(command, called, DEFAULTS, columns)
        for called, command in commands().items()
    }
    return {**found, "custom-bert": page.group_page(PROGRAM, "custom-bert", columns)}


@pytest.mark.parametrize("columns", [40, 60, 80, 100])
def test_no_line_is_wider_than_the_terminal_and_no_column_has_one_word(columns: int) -> None:
    for called, text in pages(columns).items():
        lines = text.splitlines()
        assert max(map(len, lines)) <= columns, called
        assert all(line == line.rstrip() for line in lines)
        begins = {len(line) - len(line.lstrip()) for line in lines}
        assert columns - max(begins) >= 30, called


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_every_option_is_there_with_its_whole_description(columns: int) -> None:
    for called, text in pages(columns).items():
        words = " ".join(text.split())
        for option in all_options(commands()[called]) if called in commands() else ():
            values = "" if option.mark.positional else f" {option.values}".rstrip()
            assert f" {option.label}{values} {option.text}" in words and option.text
            if option.setting:
                assert "(default: " in words.partition(f"{option.label} ")[2]


def test_settings_stand_in_groups_with_a_line_about_each() -> None:
    lines = page.command_page(COMMANDS["train"], "custom-bert train", DEFAULTS, 80).splitlines()  # type: ignore[arg-type]
    heads = [line.partition(" settings: ") for line in lines if " settings: " in line]
    assert [name for name, _, _ in heads] == ["run", *GROUPS] and all(about for _, _, about in heads)
    begins = lines.index("batch settings: How examples are grouped into batches.")
    assert lines[begins + 1].startswith("  --batch.plan ")


@pytest.mark.parametrize(
    ("given", "columns"),
    [
        ("1", 40),
        ("0", 80),
        ("", 80),
        ("-5", 80),
        ("x", 80),
        ("9" * 5000, 80),
        ("100000", 100),
        ("60", 60),
        ("80", 80),
        ("120", 100),
        ("200", 100),
    ],
)
def test_a_page_is_bounded_whatever_columns_says(
    given: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((80, 24)))
    monkeypatch.setenv("COLUMNS", given)
    assert main(["train", "--help"]) == 0
    said = capsys.readouterr().out
    assert said == page.command_page(COMMANDS["train"], "custom-bert train", DEFAULTS, columns) + "\n"  # type: ignore[arg-type]


ALL_HELP = """
import sys
from custom_bert.cli import COMMANDS, main
lines = [["--help"], ["bench", "tune", "-h"], *([name, "--help"] for name in COMMANDS)]
codes = [main(words) for words in lines]
print(*{"torch", "numpy", "tokenizers", "rich"}.intersection(sys.modules), file=sys.stderr, end="")
sys.exit(any(codes))
"""


def all_help(*options: str, **environment: str) -> str:
    def bound_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    done = subprocess.run(
        [sys.executable, *options, "-c", ALL_HELP],
        capture_output=True,
        encoding="utf-8",
        check=False,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80", **environment},
        timeout=30,
        preexec_fn=bound_memory,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_help_is_the_same_for_an_optimising_python_and_loads_nothing_large() -> None:
    assert all_help() == all_help("-OO") == all_help(PYTHONOPTIMIZE="2")


def test_help_takes_little_time_and_memory_in_a_terminal_of_one_column() -> None:
    assert max(map(len, all_help(COLUMNS="1").splitlines())) == page.NARROWEST


def test_without_sources_help_has_names_without_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    from custom_bert.options import descriptions

    monkeypatch.setattr(descriptions, "_bodies", lambda module: {})
    text = page.command_page(COMMANDS["evaluate"], "custom-bert evaluate", {}, 80)  # type: ignore[arg-type]
    assert "--split val | train" in text and "None" not in text
