"""F1, F3: model directories made to harm, and files with spoilt bytes."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training_runs import write_data

from custom_bert.checkpoints.native import load_checkpoint
from custom_bert.checkpoints.tensor_files import parse_tensors
from custom_bert.data.tokenizer import load_tokenizer
from custom_bert.errors import UserError
from torture.experiment import Experiment, Trial
from torture.runs import ended, forked, recipe, train

Spoil = Callable[[Path], None]


class Marks:
    """An object whose unpickling leaves a file."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self._path, "w"))


def prepare_model(shared: Path) -> None:
    """A trained run, complete."""
    write_data(shared / "data", train=90, val=30)
    changes = {"optim.pretrain_epochs": 0, "optim.epochs": 1, "runtime.checkpoint_every": 0}
    train(recipe(shared, shared / "run", **changes), shared / "log")


def _json(name: str, change: Callable[[Any], Any]) -> Spoil:
    def spoil(run: Path) -> None:
        value = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps(change(value)))

    return spoil


def _set(*keys: str, to: Any) -> Callable[[Any], Any]:
    def change(value: Any) -> Any:
        inner = value
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = to
        return value

    return change


def _without(*keys: str) -> Callable[[Any], Any]:
    def change(value: Any) -> Any:
        inner = value
        for key in keys[:-1]:
            inner = inner[key]
        del inner[keys[-1]]
        return value

    return change


def _bytes(name: str, content: bytes) -> Spoil:
    return lambda run: (run / name).write_bytes(content) and None


def _pickled(name: str) -> Spoil:
    return lambda run: (run / name).write_bytes(pickle.dumps(Marks(run.parent / "ran"))) and None


def _zipped(name: str) -> Spoil:
    """As torch.save writes."""

    def spoil(run: Path) -> None:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Marks(run.parent / "ran")))
            archive.writestr("archive/version", "3\n")
        (run / name).write_bytes(content.getvalue())

    return spoil


def _link(name: str) -> Spoil:
    def spoil(run: Path) -> None:
        outside = run.parent / f"outside-{name}"
        (run / name).rename(outside)
        (run / name).symlink_to(outside)

    return spoil


def _fifo(name: str) -> Spoil:
    def spoil(run: Path) -> None:
        (run / name).unlink()
        os.mkfifo(run / name)

    return spoil


def _directory(name: str) -> Spoil:
    def spoil(run: Path) -> None:
        (run / name).unlink()
        (run / name).mkdir()

    return spoil


def _header(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Spoil:
    """Of model.safetensors."""

    def spoil(run: Path) -> None:
        content = (run / WEIGHTS).read_bytes()
        size = int.from_bytes(content[:8], "little")
        text = json.dumps(change(json.loads(content[8 : 8 + size]))).encode()
        (run / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])

    return spoil


def _size(number: int) -> Spoil:
    def spoil(run: Path) -> None:
        content = (run / WEIGHTS).read_bytes()
        (run / WEIGHTS).write_bytes(number.to_bytes(8, "little") + content[8:])

    return spoil


def _doubled(name: str) -> Spoil:
    """The first key of the object, twice."""

    def spoil(run: Path) -> None:
        value = json.loads((run / name).read_text())
        key = next(iter(value))
        (run / name).write_text(f"{{{json.dumps(key)}: {json.dumps(value[key])}, " + json.dumps(value)[1:])

    return spoil


def _value(number: float) -> Spoil:
    """One weight becomes it."""

    def spoil(run: Path) -> None:
        content = bytearray((run / WEIGHTS).read_bytes())
        content[-4:] = np.array([number], dtype="<f4").tobytes()
        (run / WEIGHTS).write_bytes(content)

    return spoil


WEIGHTS, CONFIG, LABELS, TOKENIZER = "model.safetensors", "config.json", "labels.json", "tokenizer.json"
FILES = (WEIGHTS, CONFIG, LABELS, TOKENIZER)
NUMBERS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)
BAD: dict[str, Any] = {"-1": -1, "0": 0, "2**40": 1 << 40, "10**30": 10**30, "true": True, '"nan"': "nan"}


def cases() -> dict[str, Spoil]:
    """Every way in which a run directory is spoilt, by name."""
    found: dict[str, Spoil] = {}
    for key in NUMBERS:
        for name, value in BAD.items():
            found[f"config.json: {key} {name}"] = _json(CONFIG, _set("encoder", key, to=value))
        found[f"config.json: no {key}"] = _json(CONFIG, _without("encoder", key))
    for key in ("num_labels", "max_length"):
        for name, value in BAD.items():
            found[f"config.json: {key} {name}"] = _json(CONFIG, _set(key, to=value))
    for name, change in {
        "auto_map": _set("auto_map", to={"AutoModel": "evil.Model"}),
        "an unknown preset of norms": _set("encoder", "norm", to="sandwich"),
        "an unknown activation": _set("encoder", "hidden_act", to="__import__('os')"),
        "an encoder that is a list": _set("encoder", to=[]),
        "another format": _set("format", to="custom-bert/99"),
        "an unknown key": _set("encoder", "trust_remote_code", to=True),
        "a dropout of 2": _set("encoder", "hidden_dropout", to=2.0),
        "long_texts unknown": _set("long_texts", to="tail"),
    }.items():
        found[f"config.json: {name}"] = _json(CONFIG, change)
    for file in FILES:
        found[f"{file}: missing"] = lambda run, file=file: (run / file).unlink()  # type: ignore[misc]
        found[f"{file}: empty"] = _bytes(file, b"")
        found[f"{file}: random"] = _bytes(file, bytes(range(256)) * 4)
        found[f"{file}: a pickle"] = _pickled(file)
        found[f"{file}: what torch.save writes"] = _zipped(file)
        found[f"{file}: a link out of the directory"] = _link(file)
        found[f"{file}: a pipe"] = _fifo(file)
        found[f"{file}: a directory"] = _directory(file)
    for file in (CONFIG, LABELS, TOKENIZER):
        found[f"{file}: nested 100,000 deep"] = _bytes(file, b"[" * 100_000 + b"]" * 100_000)
        found[f"{file}: NaN"] = _bytes(file, b'{"format": NaN}')
        found[f"{file}: a number of 10,000 digits"] = _bytes(file, b'{"format": ' + b"9" * 10_000 + b"}")
        found[f"{file}: UTF-16"] = _bytes(file, '{"format": 1}'.encode("utf-16"))
        found[f"{file}: null"] = _bytes(file, b"null")
    for file in (CONFIG, TOKENIZER):
        found[f"{file}: a key twice"] = _doubled(file)
    for name, labels in {
        "one too few": lambda labels: labels[:-1],
        "one too many": lambda labels: [*labels, "more"],
        "one twice": lambda labels: [labels[0], *labels[:-1]],
        "a number": lambda labels: [1, *labels[1:]],
        "an object": lambda labels: dict(enumerate(labels)),
    }.items():
        found[f"labels.json: {name}"] = _json(LABELS, labels)  # type: ignore[no-untyped-call]
    for name, change in {
        "an unknown model": _set("model", "type", to="Evil"),
        "an id beyond the model": _set("model", "vocab", "more", to=1 << 21),
        "an id of -1": _set("model", "vocab", "more", to=-1),
        "an id twice": _set("model", "vocab", "more", to=3),
        "a fraction as an id": _set("model", "vocab", "more", to=1.5),
        "a regular expression": _set(
            "pre_tokenizer",
            to={"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False},
        ),
        "an unknown normalizer": _set("normalizer", to={"type": "Python", "code": "1"}),
        "words of any length": _set("model", "max_input_chars_per_word", to=-1),
        "no unknown token": _set("model", "unk_token", to="[NOWHERE]"),
        "a frame of unknown ids": _set(
            "post_processor",
            to={"type": "BertProcessing", "sep": ["[SEP]", 99_999], "cls": ["[CLS]", 2]},
        ),
        "half a character": _set("model", "vocab", "\ud800", to=40),
        "no vocabulary": _set("model", "vocab", to={}),
        "an added token of no letters": lambda v: {
            **v,
            "added_tokens": [{**v["added_tokens"][0], "content": ""}],
        },
    }.items():
        found[f"tokenizer.json: {name}"] = _json(TOKENIZER, change)
    for name, spoil in {
        "a header of 2**63 bytes": _size(1 << 63),
        "a header of 0 bytes": _size(0),
        "a header of 100 MB": _size(100_000_000),
        "a tensor too many": _header(
            lambda h: {**h, "more": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}
        ),
        "a tensor missing": _header(lambda h: dict(list(h.items())[1:])),
        "another name": _header(lambda h: {f"x.{k}": v for k, v in h.items()}),
        "a name of two lines": _header(lambda h: {"a\nerror: b": next(iter(h.values())), **h}),
        "a name of a million letters": _header(lambda h: {**h, "x" * 10**6: list(h.values())[-1]}),
        "offsets that overlap": _header(
            lambda h: {k: {**v, "data_offsets": [0, v["data_offsets"][1]]} for k, v in h.items()}
        ),
        "offsets backwards": _header(
            lambda h: {k: {**v, "data_offsets": v["data_offsets"][::-1]} for k, v in h.items()}
        ),
        "shapes of 2**62": _header(lambda h: {k: {**v, "shape": [1 << 62, 4]} for k, v in h.items()}),
        "negative shapes": _header(lambda h: {k: {**v, "shape": [-1]} for k, v in h.items()}),
        "other shapes": _header(lambda h: {k: {**v, "shape": v["shape"][::-1]} for k, v in h.items()}),
        "integers": _header(lambda h: {k: {**v, "dtype": "I32"} for k, v in h.items()}),
        "an unknown type": _header(lambda h: {k: {**v, "dtype": "X99"} for k, v in h.items()}),
        "NaN": _value(float("nan")),
        "infinity": _value(float("inf")),
    }.items():
        found[f"model.safetensors: {name}"] = spoil
    return found


CASES = cases()


def refused(trial: Trial) -> None:
    """One line, soon, in little memory, without running anything or opening anything outside."""
    name = list(CASES)[trial.number]
    run = trial.directory / "run"
    shutil.copytree(trial.shared / "run", run)
    CASES[name](run)
    opened: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path = os.fsdecode(arguments[0])
            if arguments[2] & os.O_NOFOLLOW:  # told before it is refused
                path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
            else:
                path = os.path.realpath(path)
            if str(trial.directory) in path and not path.startswith(str(run) + os.sep):
                opened.append(path)
        elif event in ("subprocess.Popen", "os.system", "os.exec", "socket.connect", "pickle.find_class"):
            opened.append(event)

    def work() -> None:
        sys.addaudithook(watch)
        begun = time.perf_counter()
        before = resident()
        try:
            load_checkpoint(run)
        except UserError as error:
            words = str(error)
            assert "\n" not in words and str(run) in words and len(words) < 1000, words
        else:
            raise AssertionError(f"{name}: accepted")
        assert time.perf_counter() - begun < 2, f"{name}: {time.perf_counter() - begun:.1f} s"
        assert resident() - before < 100 << 20, f"{name}: {resident() - before:,} bytes"
        assert not opened, f"{name}: {opened}"

    errors = trial.directory / "errors"
    assert ended(forked(work, errors), errors, 30.0) == 0
    assert not (trial.directory / "ran").exists(), f"{name}: ran code"


def resident() -> int:
    """Largest resident set of this process so far, in bytes."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


BATCH = 100


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """A few bytes changed, removed, doubled, or a number replaced by a worse one."""
    found = bytearray(content)
    for _ in range(int(random.integers(1, 5))):
        at = int(random.integers(max(1, len(found))))
        way = random.integers(5)
        if way == 0:
            found[at : at + 1] = bytes([random.integers(256)])
        elif way == 1:
            del found[at : at + int(random.integers(1, 20))]
        elif way == 2:
            found[at:at] = found[at : at + int(random.integers(1, 20))]
        elif way == 3:
            words = (
                b"-1",
                b"1e999",
                b"null",
                b"{}",
                b"[]",
                b'""',
                b"4294967296",
                b"true",
                b"\\ud800",
                b"NaN",
            )
            found[at:at] = words[random.integers(len(words))]
        else:
            digits = [i for i, b in enumerate(found[:20_000]) if 48 <= b <= 57]
            if digits:
                found[digits[random.integers(len(digits))]] = 48 + int(random.integers(10))
    return bytes(found)


def fuzzed(name: str, load: Callable[[Path], None]) -> Callable[[Trial], None]:
    """A trial of `BATCH` spoilt files in a child, which a crash of a library cannot hide in."""

    def trial_of(trial: Trial) -> None:
        content = (trial.shared / "run" / name).read_bytes()
        log = trial.directory / "log"
        shutil.copytree(trial.shared / "run", trial.directory / "whole")

        def work() -> None:
            for i in range(BATCH):
                path = trial.directory / name
                path.write_bytes(mutated(content, trial.random))
                try:
                    load(path)
                    result = "taken"
                except UserError as error:
                    assert "\n" not in str(error), str(error)
                    result = "refused"
                with log.open("a") as stream:
                    stream.write(f"{i} {result}\n")

        errors = trial.directory / "errors"
        code = ended(forked(work, errors), errors, 120.0)
        assert code == 0, f"the process ended with {code} after {log.read_text().splitlines()[-1:]}"
        for line in log.read_text().splitlines():
            trial.note(line.split()[1])

    return trial_of


def load_tensors(path: Path) -> None:
    """Tensors that are taken can be read."""
    for tensor in parse_tensors(path, path.read_bytes()).values():
        tensor.flatten()[:1].to(torch.float32)


def load_and_encode(path: Path) -> None:
    """A tokenizer that is taken gives ids of its vocabulary."""
    tokenizer = load_tokenizer(path)
    texts = ["the cat sleeps 123", "", "\u0000\ud7ff é 价格 [MASK] ##x", "a" * 5000]
    arrays, _ = tokenizer.encode(texts, 32)
    assert all((ids >= 0).all() and (ids < tokenizer.vocab_size).all() for ids in arrays)


def load_config(path: Path) -> None:
    """A configuration, beside the other files of the run."""
    run = path.parent
    for name in FILES:
        if not (run / name).exists():
            (run / name).write_bytes((run / "whole" / name).read_bytes())
    load_checkpoint(run)


EXPERIMENTS = (
    Experiment(
        "F1",
        f"{len(CASES)} hostile run directories: one line, 2 s, 100 MB, no code, nothing opened outside",
        len(CASES),
        len(CASES),
        prepare_model,
        refused,
    ),
    Experiment(
        "F3-safetensors",
        f"spoilt model.safetensors, {BATCH} each: one line or tensors",
        5,
        1000,
        prepare_model,
        fuzzed(WEIGHTS, load_tensors),
    ),
    Experiment(
        "F3-config",
        f"spoilt config.json, {BATCH} each: one line",
        2,
        100,
        prepare_model,
        fuzzed(CONFIG, load_config),
    ),
    Experiment(
        "F3-tokenizer",
        f"spoilt tokenizer.json, {BATCH} each: one line, or ids of the vocabulary",
        2,
        100,
        prepare_model,
        fuzzed(TOKENIZER, load_and_encode),
    ),
)
