"""Words on the command line mean what they say, or are refused in one line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from custom_bert.cli import main
from custom_bert.commands.predict import Predict
from custom_bert.commands.training import Pretrain, Train
from custom_bert.errors import UserError
from custom_bert.options.option import Command, Group, all_options, setting_sections
from custom_bert.options.parsing import read_command, sort_words, with_current_names
from custom_bert.options.program import run_program


def read(command: type[Command], *words: str) -> Any:
    return read_command(command, "custom-bert x", sort_words(command, words))


def given_settings(*words: str) -> dict[str, Any]:
    return dict(read(Train, *words).given.settings)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("--optim.lr 1e-3", {"optim.lr": 1e-3}),
        ("--optim.lr=1e-3", {"optim.lr": 1e-3}),
        ("--optim.lr -1e-3", {"optim.lr": -1e-3}),
        ("--seed -5", {"seed": -5}),
        ("--seed=-5", {"seed": -5}),
        ("--optim.epochs 3.0", {"optim.epochs": 3}),
        ("--out -x", {"out": "-x"}),
        ("--out=--x", {"out": "--x"}),
        ("--out=a=b", {"out": "a=b"}),
        ("--out -", {"out": "-"}),
        ("--data.lowercase False", {"data.lowercase": False}),
        ("--runtime.compile=True", {"runtime.compile": True}),
        ("--runtime.compile None --out None", {"runtime.compile": None, "out": None}),
        ("--optim.max_minutes 2 --optim.eval-every 3", {"optim.max_minutes": 2.0, "optim.eval_every": 3}),
        ("--data.corpus a -b - c --seed 1", {"data.corpus": ("a", "-b", "-", "c"), "seed": 1}),
        ("--data.corpus=--b", {"data.corpus": ("--b",)}),
        ("--data.corpus=--", {"data.corpus": ("--",)}),
    ],
)
def test_values_are_read_in_either_form(line: str, found: dict[str, Any]) -> None:
    assert given_settings(*line.split()) == found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("RUN", ("RUN", "-", False)),
        ("RUN --json", ("RUN", "-", True)),
        ("RUN --json TEXTS", ("RUN", "TEXTS", True)),
        ("--json RUN - --device cpu", ("RUN", "-", True)),
        ("--json -- RUN -texts", ("RUN", "-texts", True)),
        ("-- RUN --json", ("RUN", "--json", False)),
    ],
)
def test_arguments_stand_before_between_and_after_options(line: str, found: tuple[str, str, bool]) -> None:
    predict = read(Predict, *line.split())
    assert (predict.run_directory, predict.texts, predict.json) == found


@pytest.mark.parametrize(
    ("line", "corpus", "directory"),
    [
        ("--data.corpus a b -- c", ("a", "b"), "c"),
        ("--data.corpus a b --", ("a", "b"), None),
        ("--data.corpus a --fresh -- --c", ("a",), "--c"),
        ("--data.corpus=-- c", ("--",), "c"),
        ("--data.corpus=a c", ("a",), "c"),
    ],
)
def test_the_values_of_an_option_end_at_a_lone_double_dash(
    line: str, corpus: tuple[str, ...], directory: str | None
) -> None:
    command = read(Train, *line.split())
    assert (command.given.settings, command.directory) == ({"data.corpus": corpus}, directory)


def test_what_was_given_is_known_in_its_order_with_names_for_arguments() -> None:
    words = ["one", "--data.corpus", "a", "-b", "two", "--fresh", "--config=c", "--max_minutes", "2"]
    pretrain = read(Pretrain, *words)
    assert pretrain.texts == ("one",) and pretrain.given.settings == {"data.corpus": ("a", "-b", "two")}
    assert pretrain.given.words == (
        *("TEXT", "--data.corpus", "a", "-b", "two", "--fresh", "--config", "c", "--max-minutes", "2"),
    )


def test_an_argument_with_a_tilde_is_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    train = read(Train, "~/data", "--config", "~/c.py")
    assert (train.directory, train.config) == ("/home/someone/data", "/home/someone/c.py")
    assert read(Predict, "~/run", "~/texts").texts == "/home/someone/texts"


REFUSED = {
    "train --opt.lr 1": "unknown option --opt.lr (did you mean --optim.lr?); see custom-bert train --help",
    "train --lr=1": "unknown option --lr (did you mean --optim.lr?); see custom-bert train --help",
    "train -lr 1": "unknown option -lr (did you mean --optim.lr?); see custom-bert train --help",
    "train --clip_nrm 1": (
        "unknown option --clip_nrm (did you mean --optim.clip-norm?); see custom-bert train --help"
    ),
    "train --frsh": "unknown option --frsh (did you mean --fresh?); see custom-bert train --help",
    "train --optim.epoch 1": (
        "unknown option --optim.epoch (did you mean --optim.epochs?); see custom-bert train --help"
    ),
    "train --out --fres": "unknown option --fres (did you mean --fresh?); see custom-bert train --help",
    "train -v": "unknown option -v; see custom-bert train --help",
    "predict RUN --js": "unknown option --js (did you mean --json?); see custom-bert predict --help",
    "predict RUN --zzz=1": "unknown option --zzz; see custom-bert predict --help",
    "train --seed 1 --seed=1": "--seed is given 2 times; give one",
    "train --optim.eval_every 1 --optim.eval-every 2": "--optim.eval-every is given 2 times; give one",
    "train --data.corpus a --data.corpus b": "--data.corpus is given 2 times; give one",
    "evaluate a b --json --json --json": "--json is given 3 times; give one",
    "evaluate a b --json=True": "--json takes no value; leave it out",
    "train --fresh=": "--fresh takes no value; leave it out",
    "train --fresh=-- a": "--fresh takes no value; leave it out",
    "train --data.corpus -- a": (
        "--data.corpus needs a value: text; what begins with -- is written --data.corpus=VALUE"
    ),
    "predict RUN --device -- a": "--device needs a value: one of cpu, cuda",
    "train --seed": "--seed needs a value: a whole number",
    "train --optim.lr --fresh": "--optim.lr needs a value: a number",
    "train --data.lowercase": "--data.lowercase needs a value: True or False",
    "train --out": "--out needs a value: text; what begins with -- is written --out=VALUE",
    "train --data.corpus": (
        "--data.corpus needs a value: text; what begins with -- is written --data.corpus=VALUE"
    ),
    "train --config": "--config needs a value: text; what begins with -- is written --config=VALUE",
    "train --optim.lr fast": "--optim.lr: expected a finite number, got 'fast'",
    "train --optim.lr=": "--optim.lr: expected a finite number, got ''",
    "train --max-minutes nan": "--max-minutes: expected a finite number, got 'nan'",
    "train --seed None": "--seed: expected a whole number, got 'None'",
    "train --runtime.shard true": "--runtime.shard: expected True or False, got 'true'",
    "train --preset modren": (
        "--preset: expected one of legacy, custom, modern (did you mean 'modern'?), got 'modren'"
    ),
    "train --optim.lr -1": "config: optim.lr must be above 0 and at most 10, got -1.0",
    "train --config=": "--config: expected a path, got ''",
    "evaluate a b --split vla": "--split: expected one of val, train, test (did you mean 'val'?), got 'vla'",
    "probe a b --seed 1.5": "--seed: expected a whole number, got '1.5'",
    "evaluate": "RUN is missing (the run directory that train wrote, or a directory that export wrote); see "
    "custom-bert evaluate --help",
    "evaluate a": "DATA is missing (folder with the data files, or a table); see custom-bert evaluate --help",
    "info a b": "unexpected argument 'b'; custom-bert info takes RUN; see custom-bert info --help",
    "bench scaling a --out x": (
        "unexpected argument 'a'; custom-bert bench scaling takes no arguments; "
        "see custom-bert bench scaling --help"
    ),
    "bench scaling": "--out is missing (file for the record); see custom-bert bench scaling --help",
    "bench tune --out x --repeats 0": "--repeats must be at least 1, got 0",
    "bench ablation --out x --only speed lenths": (
        "--only: expected one of speed, lengths, learning (did you mean 'lengths'?), got 'lenths'"
    ),
    "bench ablation --out x --size huge": (
        "--size: expected one of tiny, mini, small, medium, base, got 'huge'"
    ),
    "bench tun": "unknown command 'tun' (did you mean 'tune'?); see custom-bert bench --help",
    "--bogus": "unknown command '--bogus'; see custom-bert --help",
    "pretrain a --task classification": (
        "--task classification and pretrain contradict each other; give one"
    ),
    "pretrain a --data.corpus b c": "--data.corpus b c and TEXT contradict each other; give one",
    "train a --data.train-texts data/train_dataset.txt": (
        "--data.train-texts data/train_dataset.txt and DATA (a) contradict each other; give one"
    ),
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_usage_error_is_one_line_with_code_64(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 64
    assert capsys.readouterr() == ("", f"error: {REFUSED[line]}\n")
    assert not list(tmp_path.iterdir())


def test_no_abbreviation_of_any_setting_is_taken() -> None:
    names = {option.label for option in all_options(Train)}
    for section in setting_sections():
        for option in section.options:
            short = option.label[:-1]
            if short not in names:
                with pytest.raises(UserError, match="unknown option"):
                    read(Train, short, "1")


def test_what_an_option_may_hold_spoils_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--a\nb"]) == main(["train", "--lr 1\n2"]) == main(["a\nb"]) == 64
    assert main(["train", "--seed", "x" * 1000]) == 64
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4 and all(line.startswith("error: ") and len(line) < 150 for line in said)


WORDS = st.lists(
    st.one_of(
        st.sampled_from([name for option in all_options(Pretrain) for name in (option.label, option.name)]),
        st.sampled_from(["--", "-", "-h", "-5", "None", "--seed=", "--fresh=1", "-x", "\0-x", "=", ""]),
        st.text(max_size=6),
        st.text(max_size=6).map("--".__add__),
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(words=WORDS)
def test_any_words_are_a_command_or_one_line(words: list[str]) -> None:
    try:
        read(Pretrain, *words)
    except UserError as error:
        assert len(str(error).splitlines()) == 1


@settings(max_examples=100, deadline=None)
@given(value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@example("-1e-5")
@example("-h")
@example("- x")
@example("--out")
@example("--")
@example("--out=x --seed")
def test_any_text_is_a_value_after_an_equals_sign(value: str) -> None:
    assert given_settings(f"--data.train-texts={value}", "--seed", "1") == {
        "data.train_texts": value,
        "seed": 1,
    }


@pytest.mark.parametrize("before", [True, False])
def test_the_command_line_counts_more_than_config_in_any_order(
    before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from custom_bert.training import loop

    trained: list[Any] = []
    monkeypatch.setattr(loop, "train_model", lambda config, **_: trained.append(config))
    (tmp_path / "c.json").write_text('{"seed": 1, "optim.epochs": 7, "model.size": "tiny", "out": "x"}')
    config, options = ["--config", str(tmp_path / "c.json")], ["--seed", "2", "--model.size", "None"]
    assert main(["train", *(config + options if before else options + config)]) == 0
    (found,) = trained
    assert (found.seed, found.optim.epochs, found.model.size, found.out) == (2, 7, None, "x")


def test_the_same_said_twice_is_no_contradiction(monkeypatch: pytest.MonkeyPatch) -> None:
    from custom_bert.training import loop

    trained: list[Any] = []
    monkeypatch.setattr(loop, "train_model", lambda config, fresh, **_: trained.append((config, fresh)))
    line = "train a --data.train-texts a/train_dataset.txt --max-minutes 2 --optim.max-minutes 2 --fresh"
    assert main(line.split()) == 0
    ((config, fresh),) = trained
    assert config.optim.max_minutes == 2 and config.data.val_labels == "a/val_labels.txt" and fresh


@pytest.mark.parametrize(("local", "told"), [("0", 1), ("1", 0)])
def test_of_several_processes_one_says_what_is_wrong_with_the_words(
    local: str, told: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", local)
    monkeypatch.setenv("LOCAL_RANK", local)
    for line in ("train --bogus", "train --optim.lr -1", "train --max-minutes 1 --optim.max-minutes 2"):
        assert main(line.split()) == 64
        assert len(capsys.readouterr().err.splitlines()) == told, line


@dataclass(frozen=True, kw_only=True)
class Fail(Command):
    """Fail."""

    kind: str = "interrupt"
    """How to fail."""

    def run(self) -> None:
        raise {
            "interrupt": KeyboardInterrupt(),
            "pipe": BrokenPipeError(),
            "system": PermissionError(13, "Permission denied", "here"),
            "user": UserError("one\ntwo"),
        }[self.kind]


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [
        ("interrupt", 130, ""),
        ("pipe", 141, ""),
        ("system", 74, "error: here: Permission denied\n"),
        ("user", 64, "error: one\nerror: two\n"),
    ],
)
def test_a_program_ends_with_the_code_of_what_stopped_it(
    kind: str, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    group = Group(about="Fails.", commands={"fail": Fail})
    assert run_program(group, "program", ["fail", "--kind", kind]) == code
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("line", "current", "notes"),
    [
        ("--objective masked_lm", "--task masked_lm", ["--objective is read as --task"]),
        ("--objective=masked_lm", "--task=masked_lm", ["--objective is read as --task"]),
        (
            "--data.held-out 0.1",
            "--data.val-fraction 0.1",
            ["--data.held-out is read as --data.val-fraction"],
        ),
        (
            "--num_epochs 3 --max-len 9",
            "--optim.epochs 3 --data.max-length 9",
            ["--num_epochs is read as --optim.epochs", "--max-len is read as --data.max-length"],
        ),
        ("--out=--objective", "--out=--objective", []),
        ("-- --objective", "-- --objective", []),
        ("--optim.lr 1", "--optim.lr 1", []),
    ],
)
def test_older_names_of_settings_are_read_with_a_note(line: str, current: str, notes: list[str]) -> None:
    told: list[str] = []
    assert with_current_names(Train, line.split(), told.append) == tuple(current.split())
    assert told == notes


def test_older_names_belong_to_commands_with_settings() -> None:
    assert with_current_names(Predict, ["--objective", "x"], pytest.fail) == ("--objective", "x")
