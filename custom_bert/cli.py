"""The command line: custom-bert COMMAND, with a class for each command below.

Options of `train` and `pretrain` are the fields of `TrainConfig`, made by tyro. Nothing here imports torch
until a command needs it. Errors are one line; exit codes are those of `errors.py`, 130 after Ctrl-C.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from custom_bert import __version__, files, terminal
from custom_bert import config as configuration
from custom_bert.config import Precision, TrainConfig
from custom_bert.config_sources import load as load_config
from custom_bert.config_sources import meant
from custom_bert.errors import ConfigError, RunError, UserError, WriteError, nearest
from custom_bert.places import expanded
from custom_bert.process import prepare_process
from custom_bert.terminal import DataOutput, complain, say

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class _Training:
    """What `train` and `pretrain` share."""

    config: str | None = None
    """A config.py (with get_config()) or a JSON file; options given here count more."""
    fresh: tyro.conf.FlagCreatePairsOff[bool] = False
    """Train anew, in a numbered sibling if the run directory exists; without it the same command continues a
    run."""
    max_minutes: float | None = None
    """The same as --optim.max-minutes."""
    settings: Annotated[TrainConfig, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff] = field(
        default_factory=TrainConfig
    )
    before: tyro.conf.Suppress[Mapping[str, Any]] = field(default_factory=dict)
    """The settings by name as they were before the command line's options."""

    def train(self, changes: Mapping[str, Any], others: Mapping[str, str], files: str) -> None:
        """Trains with the settings and some changes.

        Args:
            changes: to settings, by dotted name.
            others: name of a setting -> what else has set it; every name that is missing was set by `files`.
            files: the command's own argument.

        Raises:
            UserError: where a setting is given twice, and not alike.
        """
        from custom_bert.training.loop import train_model

        others = {"optim.max_minutes": "--max-minutes", **others}
        if self.max_minutes is not None:
            changes = {**changes, "optim.max_minutes": self.max_minutes}
        given = configuration.to_flat(self.settings)
        for name, value in changes.items():
            if given[name] not in (value, self.before[name]):
                option, other = f"--{name.replace('_', '-')}", others.get(name, files)
                raise UserError(f"{option} {given[name]} and {other} contradict each other; give one")
        train_model(configuration.replace(self.settings, changes), fresh=self.fresh)


@dataclass(frozen=True, kw_only=True)
class Train(_Training):
    """Train a classifier from text files."""

    directory: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")] = None
    """Folder with train_dataset.txt, train_labels.txt, val_dataset.txt and val_labels.txt."""

    def run(self) -> None:
        from custom_bert.data.reading import in_directory

        changes = {} if self.directory is None else in_directory(self.directory)
        self.train(changes, {}, f"DATA ({self.directory})")


@dataclass(frozen=True, kw_only=True)
class Pretrain(_Training):
    """Pretrain an encoder on running text, or adapt a trained one to it."""

    texts: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="TEXT")] = ()
    """Files of UTF-8 text (.txt, .txt.gz, .txt.zst) or folders of them: a paragraph a line, a blank line
    between documents."""

    def run(self) -> None:
        changes: dict[str, Any] = {"task": "masked_lm"}
        if self.texts:
            changes["data.corpus"] = self.texts
        self.train(changes, {"task": "pretrain"}, "TEXT")


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure a trained classifier on labelled texts."""

    run_directory: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """What train wrote."""
    data: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """Folder with the data files."""
    split: Literal["val", "train"] = "val"
    """val: val_*.txt, or without them the rows that the run set aside; train: the rows that it trained on."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print one JSON object."""
    device: Device | None = None
    """None: cuda if there is one, else cpu."""
    precision: Precision = "fp32"
    """Of matrix products: fp32 as an exported model has it, bf16 or fp16 where the device computes it."""

    def run(self) -> None:
        from custom_bert.inference.evaluate import evaluate_run

        _say_doubts(self.precision, self.device)
        measured = evaluate_run(
            self.run_directory, self.data, split=self.split, device=self.device, precision=self.precision
        )
        if self.json:
            _print_json(measured.as_dict())
        else:
            say("\n".join(measured.lines()))


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Label texts: one line out for each line in, label<TAB>probability, in input order."""

    run_directory: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """What train wrote."""
    texts: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TEXTS")] = "-"
    """A text file, one text a line; - or nothing for standard input. Lines of standard input and of pipes are
    answered as they come."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """One JSON object a line: label and probability."""
    all_probabilities: tyro.conf.FlagCreatePairsOff[bool] = False
    """The probability of every label; without --json as label<TAB>probability pairs, best first."""
    device: Device | None = None
    """None: cuda if there is one, else cpu."""
    precision: Precision = "fp32"
    """Of matrix products: fp32 as an exported model has it, bf16 or fp16 where the device computes it."""

    def run(self) -> None:
        from custom_bert.data.text import STANDARD_INPUT, LineReader
        from custom_bert.data.unknown import OF_A_MODEL, UnknownText
        from custom_bert.inference.classifier import Classifier

        reader = LineReader(STANDARD_INPUT if self.texts == "-" else self.texts)
        classifier = Classifier.load(self.run_directory, device=self.device, precision=self.precision)
        _say_doubts(self.precision, self.device)
        output, unknown, told = DataOutput(), UnknownText(), 0

        def tell() -> None:
            complain(f"warning: {reader.path}: {unknown.message()}: {OF_A_MODEL}")

        for block in reader.blocks():
            for prediction in classifier.stream(block, every=self.all_probabilities, unknown=unknown):
                output.line(
                    json.dumps(prediction.as_dict(), ensure_ascii=False) if self.json else prediction.line()
                )
            output.flush()  # whoever feeds standard input may wait for an answer
            if unknown.spoils_predictions and not told:
                told = unknown.unknown
                tell()
        if unknown.unknown > told and told:
            tell()


@dataclass(frozen=True, kw_only=True)
class CheckData:
    """Check data files as train does, without training."""

    directory: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """Folder with the data files."""
    vocabulary: str | None = None
    """A tokenizer.json, a vocab.txt, a checkpoint or a run: what its vocabulary does not know of the texts.
    None: what the vocabulary that train would make does not know."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print one JSON object, with the line numbers of everything found."""

    def run(self) -> None:
        from custom_bert.data.findings import as_json, describe
        from custom_bert.training.check_data import check_data

        dataset = check_data(self.directory, self.vocabulary)
        if self.json:
            _print_json(as_json(dataset))
        else:
            say("\n".join(describe(dataset)))


@dataclass(frozen=True, kw_only=True)
class SampleData:
    """Write sample data: sentences of the standard library's documentation, labelled by area."""

    directory: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """Folder for the four files; existing files are not touched."""

    def run(self) -> None:
        from custom_bert.data.sample import write_sample_data

        report = write_sample_data(Path(self.directory))
        say(
            f"{self.directory}: {report.train:,} training and {report.val:,} validation sentences, "
            f"{len(report.labels)} labels"
        )


@dataclass(frozen=True, kw_only=True)
class Info:
    """Show a run: configuration, labels, sizes, data hashes and metrics."""

    run_directory: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """What train wrote."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print the run's record, run.json."""

    def run(self) -> None:
        from custom_bert.reports.info import info_lines

        directory = Path(self.run_directory)
        record = files.read_run_json(directory, "run.json")
        if self.json:
            _print_json(record, indent=2)
            return
        try:
            lines = info_lines(record)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise RunError(f"{directory / 'run.json'}: damaged: not the record of a run") from error
        say("\n".join(lines))


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write a run as one HTML page: curves, scores, settings."""

    run_directory: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """What train or pretrain wrote, finished or not."""
    out: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")] = None
    """The page. None: report.html in the run directory."""

    def run(self) -> None:
        from custom_bert.reports.page import write_report

        DataOutput().line(str(write_report(self.run_directory, self.out)))


@dataclass(frozen=True, kw_only=True)
class ProbeEncoder:
    """Measure what an encoder is worth on labelled texts.

    With a linear classifier on its vectors, and by fine-tuning it."""

    encoder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ENCODER")]
    """What pretrain wrote, a directory in Hugging Face's layout, or an id on the Hub."""
    data: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """Folder with the data files."""
    scratch: tyro.conf.FlagCreatePairsOff[bool] = False
    """Also train the same architecture from scratch, and say what pretraining adds."""
    seed: int = 0
    """Of training."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print one JSON object, and nothing else."""

    def run(self) -> None:
        from custom_bert.bench.probe import probe

        with contextlib.redirect_stdout(io.StringIO()) if self.json else contextlib.nullcontext():
            found = probe(self.encoder, self.data, from_scratch=self.scratch, seed=self.seed)
        if self.json:
            _print_json(found.as_dict())
            return
        say()
        for name, pair in (
            ("linear", found.linear),
            ("fine-tuned", found.fine_tuned),
            ("from scratch", found.from_scratch),
        ):
            if pair:
                say(f"{name:<12}  accuracy {pair[0]:.4f}  macro-F1 {pair[1]:.4f}")
        if found.gain is not None:
            say(f"pretraining adds {100 * found.gain:+.1f} points")


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a classifier or an encoder for other tools: a directory that transformers opens."""

    run_directory: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """What train wrote."""
    out: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Directory to write; it must not exist, or be empty."""
    format: Literal["hf"] = "hf"
    """hf: Hugging Face's, verified where transformers is installed."""

    def run(self) -> None:
        from custom_bert.inference.exports.hf import export_hugging_face

        for line in export_hugging_face(self.run_directory, self.out):
            say(line)


@dataclass(frozen=True, kw_only=True)
class Init:
    """Write a config.py and a train.py to edit."""

    directory: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Where to; existing files are not touched."""

    def run(self) -> None:
        from custom_bert import files
        from custom_bert.templates import template

        target = Path(self.directory)
        names = ("config.py", "train.py")
        for name in names:
            if (target / name).exists():
                raise WriteError(f"{target / name}: exists already and is not overwritten")
        files.make_directory(target)
        for name in names:
            files.write_text(target / name, template(name), replace=False)
        say(f"{target}: config.py and train.py; edit config.py, then run python train.py there")


COMMANDS: dict[str, type[Any]] = {
    "train": Train,
    "pretrain": Pretrain,
    "evaluate": Evaluate,
    "predict": Predict,
    "check-data": CheckData,
    "sample-data": SampleData,
    "info": Info,
    "report": Report,
    "probe": ProbeEncoder,
    "export": Export,
    "init": Init,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    prepare_process()
    runs = False
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            say(_overview())
            return 0 if arguments else 64
        if arguments[0] in ("-V", "--version"):
            say(f"custom-bert {__version__}")
            return 0
        if arguments[0] == "bench":
            from custom_bert.bench.__main__ import main as bench

            return bench(arguments[1:])
        if arguments[0] not in COMMANDS:
            from custom_bert.errors import did_you_mean

            hint = did_you_mean(arguments[0], [*COMMANDS, "bench"])
            raise UserError(f"unknown command {arguments[0]!r}{hint}; see custom-bert --help")
        command = _at_home(_parse(arguments[0], arguments[1:]))
        runs = True
        with terminal.warnings_told():
            command.run()
        terminal.flush()
        return 0
    except UserError as error:
        if _speaks() or (runs and not isinstance(error, ConfigError)):
            for line in str(error).splitlines():
                complain(f"error: {line}")
        return error.exit_code
    except SystemExit as end:  # --help
        return int(end.code or 0)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader went away, as `head` does
        terminal.discard_output()
        return 141
    except OSError as error:  # wherever the system refuses
        where = f"{error.filename}: " if error.filename else ""
        complain(f"error: {where}{error.strerror or error}")
        return 74


def _print_json(value: Any, indent: int | None = None) -> None:
    DataOutput().line(json.dumps(value, ensure_ascii=False, indent=indent))


def _say_doubts(precision: Precision, device: Device | None) -> None:
    from custom_bert.machine import choose_device
    from custom_bert.precision import doubts

    for line in doubts(precision, choose_device(device)[0]):
        complain(f"warning: {line}")


def _speaks() -> bool:
    """Whether this process says what all of torchrun's find in the same arguments: the first of a machine."""
    return "RANK" not in os.environ or os.environ.get("LOCAL_RANK", "0") == "0"


def _parse(name: str, arguments: list[str]) -> Any:
    command = COMMANDS[name]
    default = None
    if command in (Train, Pretrain):
        settings = load_config(_config_of(arguments), note=say if _speaks() else lambda line: None)
        _check_settings(name, arguments)
        default = command(settings=settings, before=configuration.to_flat(settings))

    def parse() -> Any:
        return tyro.cli(command, prog=f"custom-bert {name}", args=arguments, default=default)

    try:
        with contextlib.redirect_stdout(terminal.screen()), contextlib.redirect_stderr(io.StringIO()):
            return parse()
    except SystemExit as end:
        if not end.code:
            raise  # --help
        raise UserError(f"{_first_paragraph(_drawn(parse))}; see custom-bert {name} --help") from None


class _Page(io.StringIO):
    """For tyro: no terminal, which would have colours, and with an encoding that has lines for its frame."""

    encoding = "utf-8"


WIDEST_PAGE = 10_000
"""Columns on which no message of tyro's is broken into several lines."""


def _drawn(parse: Callable[[], Any]) -> str:
    """What tyro prints on standard error when it parses once more, in the same form in every terminal.

    By itself it chooses the frame by standard output's encoding, colours by whether that is a terminal, and
    breaks lines, and in them long words, at the terminal's width.
    """
    shown, columns = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(WIDEST_PAGE)
    try:
        with (
            contextlib.redirect_stdout(_Page()),
            contextlib.redirect_stderr(shown),
            contextlib.suppress(SystemExit),
        ):
            parse()
    finally:
        del os.environ["COLUMNS"]
        if columns is not None:
            os.environ["COLUMNS"] = columns
    return shown.getvalue()


PATHS = ("directory", "run_directory", "data", "texts", "out", "encoder")
"""Arguments of commands that name files or directories; settings see to their own."""


def _at_home(command: Any) -> Any:
    """The command with `~` in its paths as the home directory, which a shell without one leaves as it is."""
    found: dict[str, str] = {}
    for name in PATHS:
        value = getattr(command, name, None)
        if isinstance(value, str):
            try:
                found[name] = expanded(value)
            except ValueError as error:
                raise UserError(f"{value}: {error}") from error
    return dataclasses.replace(command, **found)


def _first_paragraph(box: str) -> str:
    """What tyro's framed message says first, on one line; its hint at the nearest option stays."""
    said: list[str] = []
    for line in box.splitlines():
        words = line.strip("│╭╰─╮╯ ").strip()
        if line.startswith("│") and not set(line) - set("│─ "):
            if not (said and "Unrecognized" in said[0]) or "Perhaps you meant" in " ".join(said):
                break
        elif line.startswith("│") and words:
            said.append(words)
    text = " ".join(said).partition(" Got errors:")[0].partition(" For full helptext")[0]
    return text.rstrip(".:") or "the options cannot be understood"


OWN_OPTIONS = ("config", "fresh", "max_minutes", "help")
"""Options of `train` and `pretrain` that are no settings."""


def _options(arguments: list[str]) -> Iterator[tuple[str, str]]:
    """(name, value) of every --name value and --name=value."""
    for argument, following in itertools.zip_longest(arguments, arguments[1:], fillvalue=""):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            yield name.replace("-", "_"), value if equals else following


def _config_of(arguments: list[str]) -> TrainConfig | str:
    """The value of --config, read before the other options because it is their default."""
    given = [value for name, value in _options(arguments) if name == "config" and value]
    if len(given) > 1:
        raise UserError(f"--config is given {len(given)} times; give one")
    return given[0] if given else TrainConfig()


def _check_settings(command: str, arguments: list[str]) -> None:
    """Says what is wrong with the name or value of a setting in the words that a config file gets."""
    types = configuration.field_types()
    for name, text in _options(arguments):
        if name in OWN_OPTIONS or text == "None":
            continue
        if name not in types:
            near = nearest(name, [*types, *(full.rpartition(".")[2] for full in types)])
            options = [f"--{full.replace('_', '-')}" for full in meant(name) or (meant(near) if near else [])]
            hint = f" (did you mean {' or '.join(options)}?)" if options else ""
            raise UserError(
                f"unknown option --{name.replace('_', '-')}{hint}; see custom-bert {command} --help"
            )
        try:
            configuration.coerce(configuration.from_text(text, types[name]), types[name])
        except ValueError as error:
            raise UserError(f"--{name.replace('_', '-')}: {error}, got {text!r}") from error


def _overview() -> str:
    about = {name: (command.__doc__ or "").splitlines()[0] for name, command in COMMANDS.items()}
    about["bench"] = "Measure on this machine: what each improvement buys, how time grows, what is fastest."
    width = max(map(len, about))
    commands = "\n".join(f"  {name:<{width}}  {line}" for name, line in about.items())
    return (
        "usage: custom-bert COMMAND ... (custom-bert COMMAND --help for its options)\n\n"
        f"{commands}\n\n  --version  print the version"
    )
