"""The values that settings can have: their types, their ranges, and which exclude each other.

Only the standard library is imported, as in `config`.
"""

from __future__ import annotations

import json
import math
import os
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from custom_bert.attention_kernels import KERNELS, with_dropout
from custom_bert.config import SCRATCH, DataConfig, TrainConfig, field_types, to_flat
from custom_bert.errors import did_you_mean, shown


def coerce(value: Any, annotation: Any) -> Any:
    """Returns `value` as the type `annotation` if nothing is lost by that.

    3.0 becomes 3, and a Path its text. Scalars of numpy and torch become Python's own numbers and strings,
    which can be written as JSON.

    Raises:
        ValueError: if the value is of another type; it says what is expected.
    """
    value = plain(value)
    if get_origin(annotation) in (typing.Union, types.UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        if value is None and len(options) < len(get_args(annotation)):
            return None
        if is_table(options[-1]):
            return _table(value) if isinstance(value, Mapping) else _word_or_table(value, options[0])
        return coerce(value, options[0])
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        if not isinstance(value, str) or value not in choices:
            nearest = did_you_mean(value, choices) if isinstance(value, str) else ""
            raise ValueError(f"expected one of {', '.join(choices)}{nearest}")
        return str.__str__(value)  # a subclass of str, such as numpy's, becomes a plain string
    if annotation is bool:
        if not isinstance(value, bool):
            raise ValueError("expected True or False")
        return value
    if get_origin(annotation) is tuple:
        values = (value,) if isinstance(value, (str, os.PathLike)) else value
        if not isinstance(values, (list, tuple)):
            raise ValueError("expected a list of texts")
        return tuple(coerce(one, str) for one in values)
    if isinstance(value, bool):  # in Python a bool is an int too
        raise ValueError(f"expected {'a number' if annotation in (int, float) else 'text'}")
    if annotation is int:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if not isinstance(value, int):
            raise ValueError("expected a whole number")
        return int(value)
    if annotation is float:
        try:
            number = float(value) if isinstance(value, (int, float)) else math.nan
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError("expected a finite number")
        return number
    return _text(os.fspath(value) if isinstance(value, os.PathLike) else value)


def is_table(annotation: Any) -> bool:
    """Returns whether a type is that of labels with numbers."""
    return get_origin(annotation) is dict


def _word_or_table(value: Any, words: Any) -> Any:
    """Returns one of some words, or the table that a text means, which is JSON on the command line."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return _table(json.loads(value, object_pairs_hook=_without_repetition))
        except json.JSONDecodeError as error:
            raise ValueError(f"expected a table in JSON, such as {EXAMPLE}, but {error}") from None
    try:
        return coerce(value, words)
    except ValueError as error:
        raise ValueError(f"{error}, or a table such as {EXAMPLE}") from None


EXAMPLE = '{"spam": 5}'
"""A table of labels and numbers, for messages."""


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"{shown(twice)} occurs twice in the table")
    return table


def _table(value: Mapping[Any, Any]) -> dict[str, float]:
    """Returns a mapping of labels to weights above 0 with Python's own strings and numbers."""
    if not value:
        raise ValueError(f"expected a table with a label, such as {EXAMPLE}")
    table = {}
    for label, weight in value.items():
        try:
            table[coerce(label, str)] = coerce(weight, float)
        except ValueError as error:
            raise ValueError(f"{shown(label)}: {error}") from None
        if table[label] <= 0:
            raise ValueError(f"{shown(label)}: expected a number above 0")
    return table


def plain(value: Any) -> Any:
    """Returns the number or string in a scalar of numpy or torch, and any other value as it is.

    Scalars are recognised by `ndim` and `item`, since this module imports neither library.
    """
    if getattr(value, "ndim", None) != 0 or not callable(getattr(value, "item", None)):
        return value
    try:
        return value.item()
    except (RuntimeError, TypeError, ValueError):  # a tensor without values, on torch's meta device
        return value


def _text(value: Any) -> str:
    """Returns a string that can be the name of a file.

    A file's name may hold bytes that are not UTF-8. Python writes these as halves of surrogate pairs (PEP
    383), which are accepted. No other halves are.

    Raises:
        ValueError: if the value is not such a string.
    """
    if isinstance(value, bytes):
        raise ValueError("expected text (decode bytes first)")
    if not isinstance(value, str):
        raise ValueError("expected text")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("expected text without half of a surrogate pair") from None
    if "\0" in value:
        raise ValueError("expected text without a NUL character")
    return str.__str__(value)


def from_text(text: str, annotation: Any) -> Any:
    """Returns a word of the command line as a number or truth value where `annotation` asks for one.

    A word that cannot be read as one is returned as it is, so that `coerce` refuses it.
    """
    if get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(option for option in get_args(annotation) if option is not type(None))
    if annotation is bool:
        return {"True": True, "False": False}.get(text, text)
    for kind in (int, float):
        if annotation in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


RANGES: dict[str, tuple[float, float, str]] = {
    "data.val_fraction": (0, 0.9, "between 0 and 0.9"),
    "data.max_length": (3, 1 << 20, "at least 3"),
    "model.vocab_size": (100, 1 << 22, "between 100 and 4,194,304"),
    "model.hidden_size": (8, 1 << 16, "between 8 and 65,536"),
    "model.num_hidden_layers": (1, 1024, "between 1 and 1,024"),
    "model.num_attention_heads": (1, 1024, "between 1 and 1,024"),
    "model.intermediate_size": (1, 1 << 20, "at least 1"),
    "model.hidden_dropout": (0, 0.95, "between 0 and 0.95"),
    "model.attention_dropout": (0, 0.95, "between 0 and 0.95"),
    "model.local_attention": (0, 1 << 20, "0 or more"),
    "model.global_attn_every_n_layers": (1, 1024, "at least 1"),
    "model.rope_theta": (1, 1e12, "at least 1"),
    "model.local_rope_theta": (1, 1e12, "at least 1"),
    "batch.token_budget": (16, 1 << 24, "at least 16"),
    "batch.batch_size": (1, 1 << 20, "at least 1"),
    "batch.accumulation": (1, 1 << 16, "at least 1"),
    "optim.mask_rate": (0.05, 0.6, "between 0.05 and 0.6"),
    "optim.decay": (0, 1, "between 0 and 1"),
    "optim.lr": (1e-9, 10, "above 0 and at most 10"),
    "optim.embedding_lr_factor": (0, 100, "between 0 and 100"),
    "optim.layer_lr_decay": (1e-3, 1, "above 0 and at most 1"),
    "optim.freeze_layers": (0, 1024, "between 0 and 1,024"),
    "optim.epochs": (1, 100_000, "at least 1"),
    "optim.pretrain_epochs": (0, 100_000, "0 or more"),
    "optim.warmup": (0, 1, "between 0 and 1"),
    "optim.weight_decay": (0, 10, "between 0 and 10"),
    "optim.clip_norm": (1e-9, 1e9, "above 0"),
    "optim.token_dropout": (0, 0.9, "between 0 and 0.9"),
    "optim.r_drop": (0, 1000, "between 0 and 1,000"),
    "optim.label_smoothing": (0, 0.99, "between 0 and 0.99"),
    "optim.eval_every": (1, 1 << 40, "at least 1"),
    "optim.patience": (1, 1 << 40, "at least 1"),
    "optim.max_minutes": (1e-3, 1e6, "above 0"),
    "runtime.threads": (1, 1024, "between 1 and 1,024"),
    "runtime.checkpoint_every": (0, 1 << 40, "0 or more"),
    "runtime.log_every": (1, 1 << 40, "at least 1"),
    "seed": (0, (1 << 63) - 1, "between 0 and 2**63 - 1"),
}
"""The smallest and the largest value of each setting that is a number, and the range in words.

The words are part of messages and of the help. They leave out largest values that only keep later arithmetic
safe."""


def _outside(name: str, value: float) -> list[str]:
    """Returns one line if a number is outside the range of its setting."""
    low, high, words = RANGES[name]
    if low <= value <= high:
        return []
    says_the_largest = words.startswith("between") or "at most" in words
    allowed = words if value < low or says_the_largest else f"at most {high:,.0f}"
    return [f"{name} must be {allowed}, got {value}"]


def check(config: TrainConfig) -> list[str]:
    """Returns every fault that shows without the data and the machine, one line each."""
    flat, types_by_name, faults = to_flat(config), field_types(), []
    for name, value in flat.items():
        try:
            value = coerce(value, types_by_name[name])
        except ValueError as error:
            faults.append(f"{name}: {error}, got {shown(value)}")
            continue
        if name in RANGES and value is not None:
            faults += _outside(name, value)
    if faults:  # values of wrong types cannot be compared with each other
        return faults
    model, runtime = config.model, config.runtime
    if model.hidden_size and model.num_attention_heads and model.hidden_size % model.num_attention_heads:
        faults.append(
            f"model.hidden_size {model.hidden_size} is not divisible by "
            f"model.num_attention_heads {model.num_attention_heads}"
        )
    if model.size and (model.hidden_size or model.num_hidden_layers):
        faults.append("model.size and model.hidden_size / num_hidden_layers exclude each other")
    if model.attention_dropout and runtime.attention and not KERNELS[runtime.attention].drops_weights:
        faults.append(
            f"model.attention_dropout: the {runtime.attention} kernel has no dropout; "
            f"set it to 0 or runtime.attention to {with_dropout()}"
        )
    if model.attention_dropout and config.batch.plan == "packed" and runtime.attention is None:
        faults.append(
            "model.attention_dropout: packed batches have no kernel with dropout; "
            "set it to 0 or batch.plan to uniform_length"
        )
    if not config.data.label_separator or config.data.label_separator in "\r\n":
        faults.append("data.label_separator: expected a character that stands between labels, not a line end")
    faults += _about_tables(config.data)
    if runtime.shard and config.optim.pretrain_epochs:
        faults.append("runtime.shard: one model is divided, not two; set optim.pretrain_epochs to 0")
    if config.optim.freeze_layers and model.init_from == SCRATCH:
        faults.append("optim.freeze_layers: nothing is trained yet; name a model.init_from, or leave it out")
    if config.optim.r_drop and model.hidden_dropout == 0 and not model.attention_dropout:
        faults.append(
            "optim.r_drop compares two passes under dropout; raise model.hidden_dropout or set it to 0"
        )
    if runtime.precision == "fp16" and runtime.device == "cpu":
        faults.append("runtime.precision: fp16 is 10 x slower than fp32 on a CPU; use bf16 or fp32")
    if runtime.attention and KERNELS[runtime.attention].needs_flash and runtime.device == "cpu":
        faults.append(f"runtime.attention: {runtime.attention} needs a CUDA device; use grouped on a CPU")
    return faults


def _about_tables(data: DataConfig) -> list[str]:
    """Returns the faults of the settings about tables."""
    faults = []
    if data.pairs and data.table is not None:
        faults.append(
            "data.pairs is for text files; name the column of the second texts by data.second_text_column"
        )
    if data.table is None:
        faults += [
            f"data.{name}: only a table has it; give a table as DATA or by data.table, or leave it out"
            for name in ("val_table", "test_table", *OF_COLUMNS)
            if getattr(data, name) is not None
        ]
    elif data.split_column is not None:
        faults += [
            f"data.split_column and data.{name} exclude each other"
            for name in ("val_table", "test_table")
            if getattr(data, name) is not None
        ]
    given = [name for name in OF_COLUMNS[:-1] if getattr(data, name) is not None]
    for i, name in enumerate(given):
        for other in given[:i]:
            if getattr(data, name) == getattr(data, other):
                faults.append(
                    f"data.{other} and data.{name} are one column, {getattr(data, name)!r}; name two"
                )
    if data.encoding is not None:
        try:
            "a".encode(data.encoding)
        except (LookupError, ValueError):
            faults.append(
                f"data.encoding: Python knows no encoding {data.encoding!r}, such as cp1252 or utf-16"
            )
    return faults


OF_COLUMNS = (
    *("text_column", "second_text_column", "label_column", "split_column", "group_column"),
    "encoding",
)
"""The settings, without their group, that say how a table is read. The last one is no column."""
