"""Reads a configuration from what the user has: a mapping, a module or a file. Older names are understood.

Only the standard library is imported, as in `config.py`.
"""

from __future__ import annotations

import dataclasses
import importlib.abc
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, get_type_hints

from custom_bert import files
from custom_bert.config import GROUPS, TrainConfig, field_types, replace, to_flat
from custom_bert.config_checks import check
from custom_bert.config_values import coerce
from custom_bert.errors import ConfigError, did_you_mean, shown
from custom_bert.places import expanded

ALIASES: dict[str, str] = {
    "emb_dim": "model.hidden_size",
    "d_model": "model.hidden_size",
    "num_blocks": "model.num_hidden_layers",
    "num_layers": "model.num_hidden_layers",
    "num_heads": "model.num_attention_heads",
    "ff_dim": "model.intermediate_size",
    "activation": "model.hidden_act",
    "dropout": "model.hidden_dropout",
    "max_seq_len": "data.max_length",
    "max_len": "data.max_length",
    "train_dataset": "data.train_texts",
    "val_dataset": "data.val_texts",
    "learning_rate": "optim.lr",
    "num_epochs": "optim.epochs",
    "warmup_ratio": "optim.warmup",
    "max_grad_norm": "optim.clip_norm",
    "gradient_accumulation_steps": "batch.accumulation",
    "attention_kernel": "runtime.attention",
    "objective": "task",
    "held_out": "data.val_fraction",
    "data.held_out": "data.val_fraction",
    "output": "out",
    "output_dir": "out",
}
"""Older names, and names from other libraries, with the settings that they mean. Each use gives a note."""

REMOVED: dict[str, str] = {
    "batch.warmup": "steps have one size",
    "batch.length_warmup": "sequences have one length from the first step on",
    "optim.pretrain_lr": "the model's width decides it",
    "runtime.compile_mode": "torch.compile's default mode is taken",
    "length_warmup": "sequences have one length from the first step on",
    "pretrain_lr": "the model's width decides it",
    "compile_mode": "torch.compile's default mode is taken",
}
"""Settings of earlier versions that no longer exist, and what holds instead (CHANGELOG.md)."""

PATHS = (
    "out",
    "data.corpus",
    "data.train_texts",
    "data.train_labels",
    "data.val_texts",
    "data.val_labels",
    "data.test_texts",
    "data.test_labels",
    "data.train_spans",
    "data.val_spans",
    "data.test_spans",
    "data.table",
    "data.val_table",
    "data.test_table",
    "data.tokenizer",
    "data.cache_dir",
    "model.init_from",
)
"""The settings whose values are paths of files or directories."""


def from_mapping(
    mapping: Mapping[str, Any], *, where: str = "config", note: Callable[[str], None] | None = None
) -> TrainConfig:
    """Builds a checked `TrainConfig` from nested groups, dotted names, flat names, or a mixture.

    Args:
        mapping: for example `{"optim": {"lr": 1e-3}, "model.hidden_size": 256, "num_epochs": 3}`.
        where: the name of the mapping in messages.
        note: called with one line for each older name that was accepted.

    Raises:
        ConfigError: with every fault at once. For an unknown name it names the nearest valid one.
    """
    types_by_name = field_types()
    faults: list[str] = []
    values: dict[str, Any] = {}
    for given, value in _flatten(mapping):
        if given in GROUPS:
            faults.append(f"{where}: {given}: expected settings by name, as a dict, got {shown(value)}")
            continue
        matches = meant(given)
        if len(matches) > 1:
            faults.append(f"{where}: {given!r} is {' or '.join(matches)}; write which")
            continue
        if not matches and given in REMOVED:
            faults.append(f"{where}: {given} no longer exists: {REMOVED[given]}; leave it out")
            continue
        if not matches:
            known = [*types_by_name, *GROUPS, *ALIASES]
            known += [dotted.rpartition(".")[2] for dotted in types_by_name]
            faults.append(f"{where}: unknown setting {given!r}{did_you_mean(given, known)}")
            continue
        (name,) = matches
        if note and given in ALIASES:
            note(f"{where}: {given!r} is read as {name!r}")
        if name in values:
            faults.append(f"{where}: {name!r} is set twice (the second time as {given!r})")
            continue
        try:
            values[name] = coerce(value, types_by_name[name])
        except ValueError as error:
            faults.append(f"{where}: {given}: {error}, got {shown(value)}")
    config = replace(TrainConfig(), values)
    faults += [f"{where}: {fault}" for fault in check(config)]
    if faults:
        raise ConfigError(faults)
    return _at_home(config, where)


def load(
    source: TrainConfig | Mapping[str, Any] | ModuleType | str | Path,
    *,
    note: Callable[[str], None] | None = None,
) -> TrainConfig:
    """Reads a configuration and checks it.

    Args:
        source: a `TrainConfig`, a mapping, a module with a function `get_config()` (such as `import config`
            gives), or the path of such a Python file or of a JSON file.
        note: called with one line for each older name that was accepted.

    Raises:
        ConfigError: with every fault at once.
    """
    if isinstance(source, TrainConfig):
        return _checked(source, "config")
    if isinstance(source, Mapping):
        return from_mapping(source, note=note)
    if isinstance(source, ModuleType):
        return _from_module(source, Path(getattr(source, "__file__", None) or source.__name__).name, note)
    if isinstance(source, (str, Path)):
        return _from_path(Path(source), note)
    raise ConfigError(
        [f"config: expected a module, mapping, TrainConfig or path, got {type(source).__name__}"]
    )


def _checked(config: TrainConfig, where: str) -> TrainConfig:
    kinds = get_type_hints(TrainConfig)
    faults = [
        f"{name}: expected a {kinds[name].__name__}, got {shown(getattr(config, name))}"
        for name in GROUPS
        if not isinstance(getattr(config, name), kinds[name])
    ]
    faults = faults or check(config)
    if faults:
        raise ConfigError([f"{where}: {fault}" for fault in faults])
    kinds = field_types()
    plain = {name: coerce(value, kinds[name]) for name, value in to_flat(config).items()}
    return _at_home(replace(config, plain), where)


def _at_home(config: TrainConfig, where: str) -> TrainConfig:
    """Returns the configuration with the home directory in place of `~` in paths.

    A shell does this only where a word of the command line begins with `~`, and never in a config file.

    Raises:
        ConfigError: for every path whose home directory cannot be found.
    """
    given = to_flat(config)
    homes: dict[str, str | tuple[str, ...]] = {}
    faults = []
    for name in PATHS:
        value: str | tuple[str, ...] | None = given[name]
        try:
            if isinstance(value, str):
                homes[name] = expanded(value)
            elif value:
                homes[name] = tuple(map(expanded, value))
        except ValueError as error:
            faults.append(f"{where}: {name} {value!r}: {error}")
    if faults:
        raise ConfigError(faults)
    return replace(config, homes)


def _from_path(path: Path, note: Callable[[str], None] | None) -> TrainConfig:
    try:
        content = files.read_once(path, files.LARGEST_JSON)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise ConfigError([f"{path}: no such config file"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot read: {error.strerror}"]) from error
    if files.is_json(path, content):
        try:
            value = files.parse_json(content)
        except ValueError as error:
            raise ConfigError([f"{path}: not valid JSON: {error}"]) from error
        if not isinstance(value, dict):
            raise ConfigError([f"{path}: expected an object of settings"])
        return from_mapping(value, where=str(path), note=note)
    if path.suffix not in (".py", ""):
        raise ConfigError([f"{path}: expected a .py file with get_config(), or a .json file"])
    loader = _Loader(path, content)
    spec = importlib.util.spec_from_loader("custom_bert_user_config", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    try:
        loader.exec_module(module)
    except Exception as error:
        line = _line_in(error, path)
        raise ConfigError([f"{path}{line}: {type(error).__name__}: {error}"]) from error
    return _from_module(module, str(path), note)


class _Loader(importlib.abc.ExecutionLoader):
    """Makes a module from the content of a Python file.

    Python's own loader would open the file again, which a pipe such as `<(...)` does not allow.
    """

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self._content = path, content

    def get_filename(self, fullname: str) -> str:
        """Returns the path, which becomes the module's `__file__` and is shown in tracebacks."""
        return str(self._path)

    def get_source(self, fullname: str) -> str:
        """Returns the text of the file, decoded as its coding line says, or as UTF-8."""
        return importlib.util.decode_source(self._content)

    def get_code(self, fullname: str) -> CodeType:
        """Returns the compiled bytes. The compiler decodes them, so that its errors name the line."""
        return self.source_to_code(self._content, str(self._path))


def _line_in(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.lineno:
        return f":{error.lineno}"
    line, trace = "", error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = f":{trace.tb_lineno}"
        trace = trace.tb_next
    return line


def _from_module(module: ModuleType, where: str, note: Callable[[str], None] | None) -> TrainConfig:
    get_config = getattr(module, "get_config", None)
    if not callable(get_config):
        raise ConfigError([f"{where}: no function get_config() that returns the settings"])
    try:
        value = get_config()
    except Exception as error:
        line = _line_in(error, Path(getattr(module, "__file__", None) or where))
        raise ConfigError([f"{where}{line}: get_config(): {type(error).__name__}: {error}"]) from error
    if isinstance(value, TrainConfig):
        return _checked(value, where)
    if not isinstance(value, Mapping):
        raise ConfigError([f"{where}: get_config() returned {type(value).__name__}, not a dict"])
    return from_mapping(value, where=where, note=note)


def _flatten(mapping: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for key, value in mapping.items():
        if key in GROUPS and isinstance(value, Mapping):
            for inner, inner_value in value.items():
                yield f"{key}.{inner}", inner_value
        elif key in GROUPS and dataclasses.is_dataclass(value):
            for inner, inner_value in vars(value).items():
                yield f"{key}.{inner}", inner_value
        else:
            yield str(key), value


def named_in(mapping: Mapping[str, Any]) -> set[str]:
    """Returns the dotted names of all settings that a mapping gives."""
    return {name for given, _ in _flatten(mapping) for name in meant(given)}


def meant(given: str) -> list[str]:
    """Returns the settings that a dotted, older or plain name can mean: one, none, or several of one name."""
    names = field_types()
    if given in names:
        return [given]
    if given in ALIASES:
        return [ALIASES[given]]
    return [name for name in names if name.rpartition(".")[2] == given]
