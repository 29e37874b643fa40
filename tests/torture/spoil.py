"""Ways to spoil the files of a model directory, and the groups of them that every such directory shares."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Spoil = Callable[[Path], None]

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
NUMBERS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)
BAD: dict[str, Any] = {"-1": -1, "0": 0, "2**40": 1 << 40, "10**30": 10**30, "true": True, '"nan"': "nan"}


class Marks:
    """An object whose unpickling leaves a file."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self._path, "w"))


def edit_json(name: str, change: Callable[[Any], Any]) -> Spoil:
    """Its value becomes another one."""

    def spoil(run: Path) -> None:
        value = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps(change(value)))

    return spoil


def setting(*keys: str, to: Any) -> Callable[[Any], Any]:
    """An inner value."""

    def change(value: Any) -> Any:
        inner = value
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = to
        return value

    return change


def without(*keys: str) -> Callable[[Any], Any]:
    """An inner key goes."""

    def change(value: Any) -> Any:
        inner = value
        for key in keys[:-1]:
            inner = inner[key]
        del inner[keys[-1]]
        return value

    return change


def content(name: str, data: bytes) -> Spoil:
    """A file of these bytes."""
    return lambda run: (run / name).write_bytes(data) and None


def pickled(name: str) -> Spoil:
    """A pickle that leaves a mark when it is read."""
    return lambda run: (run / name).write_bytes(pickle.dumps(Marks(run.parent / "ran"))) and None


def saved_by_torch(name: str) -> Spoil:
    """As torch.save writes."""

    def spoil(run: Path) -> None:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Marks(run.parent / "ran")))
            archive.writestr("archive/version", "3\n")
        (run / name).write_bytes(content.getvalue())

    return spoil


def link(name: str) -> Spoil:
    """The file is moved out, and a link leads there."""

    def spoil(run: Path) -> None:
        outside = run.parent / f"outside-{name}"
        (run / name).rename(outside)
        (run / name).symlink_to(outside)

    return spoil


def pipe(name: str) -> Spoil:
    """Which nobody writes into."""

    def spoil(run: Path) -> None:
        (run / name).unlink()
        os.mkfifo(run / name)

    return spoil


def directory(name: str) -> Spoil:
    """In the file's place."""

    def spoil(run: Path) -> None:
        (run / name).unlink()
        (run / name).mkdir()

    return spoil


def header(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Spoil:
    """Of model.safetensors."""

    def spoil(run: Path) -> None:
        content = (run / WEIGHTS).read_bytes()
        size = int.from_bytes(content[:8], "little")
        found = json.loads(content[8 : 8 + size])
        about = {key: found.pop(key) for key in ("__metadata__",) if key in found}
        text = json.dumps({**about, **change(found)}).encode()
        (run / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])

    return spoil


def header_size(number: int) -> Spoil:
    """What model.safetensors says of its header."""

    def spoil(run: Path) -> None:
        content = (run / WEIGHTS).read_bytes()
        (run / WEIGHTS).write_bytes(number.to_bytes(8, "little") + content[8:])

    return spoil


def key_twice(name: str) -> Spoil:
    """The first key of the object, twice."""

    def spoil(run: Path) -> None:
        value = json.loads((run / name).read_text())
        key = next(iter(value))
        (run / name).write_text(f"{{{json.dumps(key)}: {json.dumps(value[key])}, " + json.dumps(value)[1:])

    return spoil


def last_value(number: float) -> Spoil:
    """One weight becomes it."""

    def spoil(run: Path) -> None:
        content = bytearray((run / WEIGHTS).read_bytes())
        content[-4:] = np.array([number], dtype="<f4").tobytes()
        (run / WEIGHTS).write_bytes(content)

    return spoil


def every_file(names: tuple[str, ...]) -> dict[str, Spoil]:
    """What may stand in a file's place."""
    found: dict[str, Spoil] = {}
    for file in names:
        found[f"{file}: missing"] = lambda run, file=file: (run / file).unlink()  # type: ignore[misc]
        found[f"{file}: empty"] = content(file, b"")
        found[f"{file}: random"] = content(file, bytes(range(256)) * 4)
        found[f"{file}: a pickle"] = pickled(file)
        found[f"{file}: what torch.save writes"] = saved_by_torch(file)
        found[f"{file}: a link out of the directory"] = link(file)
        found[f"{file}: a pipe"] = pipe(file)
        found[f"{file}: a directory"] = directory(file)
    return found


def every_json(names: tuple[str, ...], objects: tuple[str, ...]) -> dict[str, Spoil]:
    """JSON that is none, or none to take; `objects` are those whose value is an object."""
    found: dict[str, Spoil] = {}
    for file in names:
        found[f"{file}: nested 100,000 deep"] = content(file, b"[" * 100_000 + b"]" * 100_000)
        found[f"{file}: NaN"] = content(file, b'{"format": NaN}')
        found[f"{file}: a number of 10,000 digits"] = content(file, b'{"format": ' + b"9" * 10_000 + b"}")
        found[f"{file}: UTF-16"] = content(file, '{"format": 1}'.encode("utf-16"))
        found[f"{file}: null"] = content(file, b"null")
    for file in objects:
        found[f"{file}: a key twice"] = key_twice(file)
    return found


def every_tokenizer() -> dict[str, Spoil]:
    """What a tokenizer.json may say that no tokenizer does."""
    found: dict[str, Spoil] = {}
    for name, change in {
        "an unknown model": setting("model", "type", to="Evil"),
        "an id beyond the model": setting("model", "vocab", "more", to=1 << 21),
        "an id of -1": setting("model", "vocab", "more", to=-1),
        "an id twice": setting("model", "vocab", "more", to=3),
        "a fraction as an id": setting("model", "vocab", "more", to=1.5),
        "a regular expression": setting(
            "pre_tokenizer",
            to={"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False},
        ),
        "an unknown normalizer": setting("normalizer", to={"type": "Python", "code": "1"}),
        "words of any length": setting("model", "max_input_chars_per_word", to=-1),
        "no unknown token": setting("model", "unk_token", to="[NOWHERE]"),
        "a frame of unknown ids": setting(
            "post_processor",
            to={"type": "BertProcessing", "sep": ["[SEP]", 99_999], "cls": ["[CLS]", 2]},
        ),
        "half a character": setting("model", "vocab", "\ud800", to=40),
        "no vocabulary": setting("model", "vocab", to={}),
        "an added token of no letters": lambda v: {
            **v,
            "added_tokens": [{**v["added_tokens"][0], "content": ""}],
        },
    }.items():
        found[f"tokenizer.json: {name}"] = edit_json(TOKENIZER, change)
    return found


def every_weights() -> dict[str, Spoil]:
    """What model.safetensors may say."""
    found: dict[str, Spoil] = {}
    for name, spoil in {
        "a header of 2**63 bytes": header_size(1 << 63),
        "a header of 0 bytes": header_size(0),
        "a header of 100 MB": header_size(100_000_000),
        "a tensor too many": header(
            lambda h: {**h, "more": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}
        ),
        "the token vectors missing": header(
            lambda h: {k: v for k, v in h.items() if "embeddings.token.w" not in k and "word_emb" not in k}
        ),
        "another name": header(lambda h: {f"x.{k}": v for k, v in h.items()}),
        "a name of two lines": header(lambda h: {"a\nerror: b": next(iter(h.values())), **h}),
        "a name of a million letters": header(lambda h: {**h, "x" * 10**6: list(h.values())[-1]}),
        "offsets that overlap": header(
            lambda h: {k: {**v, "data_offsets": [0, v["data_offsets"][1]]} for k, v in h.items()}
        ),
        "offsets backwards": header(
            lambda h: {k: {**v, "data_offsets": v["data_offsets"][::-1]} for k, v in h.items()}
        ),
        "shapes of 2**62": header(lambda h: {k: {**v, "shape": [1 << 62, 4]} for k, v in h.items()}),
        "negative shapes": header(lambda h: {k: {**v, "shape": [-1]} for k, v in h.items()}),
        "other shapes": header(lambda h: {k: {**v, "shape": v["shape"][::-1]} for k, v in h.items()}),
        "integers": header(lambda h: {k: {**v, "dtype": "I32"} for k, v in h.items()}),
        "an unknown type": header(lambda h: {k: {**v, "dtype": "X99"} for k, v in h.items()}),
        "NaN": last_value(float("nan")),
        "infinity": last_value(float("inf")),
    }.items():
        found[f"model.safetensors: {name}"] = spoil
    return found
