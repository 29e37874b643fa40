"""Configuration: every source, every fault at once, aliases, precedence."""

import dataclasses
import json
import os
import threading
import types
from pathlib import Path, PurePosixPath
from typing import get_type_hints

import numpy as np
import pytest
import torch

from custom_bert import config as configuration
from custom_bert import config_sources, files
from custom_bert.config import GROUPS, TrainConfig, field_types, replace, to_flat
from custom_bert.config_sources import ALIASES, PATHS, REMOVED, from_mapping, load
from custom_bert.errors import ConfigError, shown

ROOT = Path(__file__).resolve().parents[2]
GROUP_TYPES = get_type_hints(TrainConfig)


def faults_of(mapping: dict) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        from_mapping(mapping)
    return caught.value.faults


def test_every_fault_is_reported_at_once() -> None:
    faults = faults_of({"model": {"hiden_size": 3}, "optim.lr": "x", "num_epochs": 0, "preset": "modren"})
    assert faults == (
        "config: unknown setting 'model.hiden_size' (did you mean 'model.hidden_size'?)",
        "config: optim.lr: expected a finite number, got 'x'",
        "config: preset: expected one of legacy, custom, modern (did you mean 'modern'?), got 'modren'",
        "config: optim.epochs must be at least 1, got 0",
    )


def test_nested_dotted_flat_and_older_names_mean_the_same() -> None:
    expected = replace(TrainConfig(), {"optim.epochs": 3, "model.hidden_size": 128})
    notes: list[str] = []
    assert from_mapping({"optim": {"epochs": 3}, "model": {"hidden_size": 128}}) == expected
    assert from_mapping({"optim.epochs": 3, "hidden_size": 128}) == expected
    assert from_mapping({"num_epochs": 3, "emb_dim": 128}, note=notes.append) == expected
    assert notes == [
        "config: 'num_epochs' is read as 'optim.epochs'",
        "config: 'emb_dim' is read as 'model.hidden_size'",
    ]


def test_a_plain_name_of_two_settings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two settings share their last part today; the rule is for those to come."""
    names = field_types()
    assert len({name.rpartition(".")[2] for name in names}) == len(names)
    monkeypatch.setattr(config_sources, "field_types", lambda: {**names, "batch.warmup": float})
    assert faults_of({"warmup": 0.1}) == ("config: 'warmup' is optim.warmup or batch.warmup; write which",)


def test_a_setting_that_is_gone_is_told_with_what_holds_instead() -> None:
    assert faults_of({"batch.length_warmup": 0.1, "pretrain_lr": 1e-3}) == (
        "config: batch.length_warmup no longer exists: sequences have one length from the first step "
        "on; leave it out",
        "config: pretrain_lr no longer exists: the model's width decides it; leave it out",
    )
    assert not set(REMOVED) & {*field_types(), *ALIASES}


def test_the_settings_are_these() -> None:
    """A new one is added here on purpose, if no rule can decide it, and then to the changelog."""
    assert sorted(field_types()) == (Path(__file__).parent / "settings.txt").read_text().split()


def test_every_alias_leads_to_a_field_and_hides_none() -> None:
    names = field_types()
    assert set(ALIASES.values()) <= names.keys()
    assert not set(ALIASES) & {name.rpartition(".")[2] for name in names}


def test_a_setting_given_twice_is_refused() -> None:
    assert "is set twice" in faults_of({"optim.lr": 1e-3, "learning_rate": 1e-4})[0]


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"seed": True}, "expected a number"),
        ({"seed": 1.5}, "expected a whole number"),
        ({"optim.lr": float("nan")}, "expected a finite number"),
        ({"data.lowercase": 1}, "expected True or False"),
        ({"out": 3}, "expected text"),
        ({"model.hidden_size": 100, "model.num_attention_heads": 3}, "not divisible"),
        ({"model.size": "mini", "model.hidden_size": 64}, "exclude each other"),
        ({"model.attention_dropout": 0.1, "runtime.attention": "grouped"}, "has no dropout"),
        ({"model.attention_dropout": 0.1, "batch.plan": "packed"}, "no kernel with dropout"),
        ({"optim.r_drop": 6.0, "model.hidden_dropout": 0.0}, "raise model.hidden_dropout"),
        ({"runtime.precision": "fp16", "runtime.device": "cpu"}, "use bf16 or fp32"),
        ({"runtime.attention": "varlen", "runtime.device": "cpu"}, "use grouped"),
        ({"runtime.device": "gpu"}, "cpu, cuda, mps"),
        ({"optim": 3}, "optim: expected settings by name"),
    ],
)
def test_faults_say_what_to_do(mapping: dict, words: str) -> None:
    faults = faults_of(mapping)
    assert any(words in fault for fault in faults), faults


def test_numbers_that_lose_nothing_are_taken() -> None:
    config = from_mapping({"optim.epochs": 3.0, "optim.lr": 1, "data.train_texts": Path("a/b")})
    assert config.optim.epochs == 3 and isinstance(config.optim.epochs, int)
    assert config.optim.lr == 1.0 and config.data.train_texts == str(Path("a/b"))


SCALARS: list[tuple[str, object, object]] = [
    ("optim.lr", np.float64(1e-3), 1e-3),
    ("optim.lr", np.float32(0.5), 0.5),
    ("optim.lr", np.int64(1), 1.0),
    ("optim.lr", torch.tensor(0.5), 0.5),
    ("optim.epochs", np.int64(3), 3),
    ("optim.epochs", np.uint8(3), 3),
    ("optim.epochs", np.float64(3.0), 3),
    ("optim.epochs", np.array(3), 3),
    ("optim.epochs", torch.tensor(3), 3),
    ("seed", np.int32(7), 7),
    ("data.lowercase", np.bool_(False), False),
    ("data.lowercase", torch.tensor(False), False),
    ("preset", np.str_("modern"), "modern"),
    ("out", np.str_("runs/a"), str(Path("runs/a"))),
    ("out", PurePosixPath("runs/a"), "runs/a"),
    ("data.corpus", np.str_("a.txt"), ("a.txt",)),
    ("data.corpus", [np.str_("a.txt"), Path("b.txt")], ("a.txt", "b.txt")),
]


@pytest.mark.parametrize(("name", "value", "expected"), SCALARS, ids=repr)
def test_scalars_of_numpy_and_torch_become_pythons_own(name: str, value: object, expected: object) -> None:
    group, _, inner = name.rpartition(".")
    built = TrainConfig(**({group: GROUP_TYPES[group](**{inner: value})} if group else {inner: value}))
    for config in (from_mapping({name: value}), load({name: value}), load(built)):
        found = to_flat(config)[name]
        assert found == expected and type(found) is type(expected)
        json.dumps(to_flat(config))


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("optim.epochs", np.float64(2.5), "expected a whole number"),
        ("optim.lr", np.float64("nan"), "expected a finite number"),
        ("optim.epochs", np.bool_(True), "expected a number"),
        ("data.lowercase", np.int64(1), "expected True or False"),
        ("optim.epochs", np.str_("3"), "expected a whole number"),
        ("optim.epochs", np.array([3]), "expected a whole number"),
        ("optim.lr", torch.empty((), device="meta"), "expected a finite number"),
        ("preset", np.array(["custom", "modern"]), "expected one of legacy, custom, modern"),
        ("preset", b"custom", "expected one of legacy, custom, modern"),
        ("out", b"runs/a", "expected text (decode bytes first)"),
        ("out", "a\ud83c", "expected text without half of a surrogate pair"),
        ("data.corpus", ["a", "\ud83c"], "expected text without half of a surrogate pair"),
        ("data.corpus", [b"a"], "expected text (decode bytes first)"),
        ("out", "a\0b", "expected text without a NUL character"),
        ("data.train_texts", None, "expected text"),
    ],
    ids=repr,
)
def test_a_value_that_is_none_is_one_line_that_names_the_setting(
    name: str, value: object, fault: str
) -> None:
    (found,) = faults_of({name: value})
    assert found == f"config: {name}: {fault}, got {shown(value)}" and "\n" not in found


def test_a_missing_value_of_a_table_is_a_fault_and_no_traceback() -> None:
    pandas = pytest.importorskip("pandas")
    for name in ("preset", "optim.lr", "optim.epochs", "data.lowercase", "out"):
        (fault,) = faults_of({name: pandas.NA})
        assert fault.startswith(f"config: {name}: expected ") and fault.endswith(", got <NA>")


def test_a_large_value_is_told_on_one_short_line() -> None:
    for value in (np.zeros((40, 40)), torch.zeros(40, 40), [[1] * 100] * 100):
        for mapping in ({"optim.lr": value}, {"optim": value}):
            (fault,) = faults_of(mapping)
            assert "\n" not in fault and len(fault) < 160


def test_names_of_files_with_bytes_that_are_no_utf8_stay() -> None:
    assert from_mapping({"out": os.fsdecode(b"runs/\xff")}).out == os.fsdecode(b"runs/\xff")


def test_defaults_are_values_that_need_no_conversion() -> None:
    kinds = field_types()
    for name, value in to_flat(TrainConfig()).items():
        found = configuration.coerce(value, kinds[name])
        assert found == value and type(found) is type(value), name


def test_a_module_a_mapping_a_config_and_a_path_are_one(tmp_path: Path) -> None:
    wanted = from_mapping({"optim": {"lr": 1e-3}})
    module = types.ModuleType("config")
    module.get_config = lambda: {"optim": {"lr": 1e-3}}  # type: ignore[attr-defined]
    path = tmp_path / "settings.py"
    path.write_text("def get_config():\n    return {'optim': {'lr': 1e-3}}\n", encoding="utf-8")
    as_json = tmp_path / "settings.json"
    as_json.write_text(json.dumps({"optim": {"lr": 1e-3}}), encoding="utf-8")
    for source in (module, {"lr": 1e-3}, wanted, path, str(path), as_json):
        assert load(source) == wanted


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.py", "x = 1\n", "a.py: no function get_config() that returns the settings"),
        ("b.py", "def get_config():\n    return 3\n", "b.py: get_config() returned int, not a dict"),
        ("c.py", "import os\nboom\n", "c.py:2: NameError: name 'boom' is not defined"),
        ("d.py", "x = (\n", "d.py:1: SyntaxError: '(' was never closed (d.py, line 1)"),
        ("e.json", "{", "e.json: not valid JSON"),
        ("f.json", "[1]", "f.json: expected an object of settings"),
        ("g.txt", "lr=3", "g.txt: expected a .py file with get_config(), or a .json file"),
    ],
)
def test_config_files_that_cannot_be_read_say_why(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(message)


@pytest.mark.parametrize(
    ("content", "lr"),
    [
        (b'{"lr": 0.25}', 0.25),
        (b' \n{"optim.lr": 0.25}\n', 0.25),
        (b"\xef\xbb\xbfdef get_config():\n    return {'lr': 0.25}\n", 0.25),
        (b"# -*- coding: latin-1 -*-\n# \xe9\ndef get_config():\n    return {'lr': 0.25}\n", 0.25),
    ],
)
def test_a_pipe_is_a_config_file_and_its_beginning_tells_which(content: bytes, lr: float) -> None:
    """As the shell's <( ) gives it, which can be opened and read once."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    try:
        assert load(f"/dev/fd/{reading}").optim.lr == lr
    finally:
        os.close(reading)


def test_a_named_pipe_is_a_config_file_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b'{"lr": 0.25}',))
    writer.start()
    assert load(path).optim.lr == 0.25
    writer.join()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/dev/null", "/dev/null: no function get_config() that returns the settings"),
        ("/dev/zero", "/dev/zero: cannot read: larger than 100 bytes"),
        ("/", "/: cannot read: Is a directory"),
        ("/dev/null/x", "/dev/null/x: no such config file"),
        ("a\0b", "a\0b: no such config file"),
    ],
)
def test_what_is_no_config_file_is_told_apart(
    name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LARGEST_JSON", 100)
    with pytest.raises(ConfigError) as caught:
        load(name)
    assert str(caught.value) == message


def test_a_config_file_that_was_edited_is_read_anew(tmp_path: Path) -> None:
    """Within the same second, and of the same length: no compiled file beside it is taken for it."""
    path = tmp_path / "config.py"
    for seed in (1, 2):
        path.write_bytes(b"def get_config():\n    return {'seed': %d}\n" % seed)
        os.utime(path, (1_700_000_000, 1_700_000_000))
        assert load(path).seed == seed
    assert list(tmp_path.iterdir()) == [path]


def test_the_repositorys_own_config_is_valid_and_short() -> None:
    text = (ROOT / "config.py").read_text(encoding="utf-8")
    config = load(ROOT / "config.py")
    assert config == TrainConfig()  # what it sets are the defaults, spelled out
    assert len(text.splitlines()) < 60


def test_every_setting_named_in_the_repositorys_config_exists_even_if_commented_out() -> None:
    import re

    text = (ROOT / "config.py").read_text(encoding="utf-8")
    leaves = {name.rpartition(".")[2] for name in field_types()} | set(GROUPS)
    named = set(re.findall(r'^ *#? ?"(\w+)":', text, flags=re.MULTILINE))
    assert named and named <= leaves


def test_flat_and_replace_are_inverse() -> None:
    config = from_mapping({"seed": 7, "optim.lr": 1e-3, "model.norm": "post"})
    assert replace(TrainConfig(), to_flat(config)) == config


def test_configs_are_frozen_and_every_field_is_documented() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().seed = 3  # type: ignore[misc]
    source = Path(configuration.__file__).read_text(encoding="utf-8")
    for name in field_types():
        leaf = name.rpartition(".")[2]
        assert f"    {leaf}: " in source
        after = source.split(f"    {leaf}: ", 1)[1].split("\n", 1)[1].lstrip()
        assert after.startswith('"""'), f"{name} has no description beneath it"


def test_a_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    config = from_mapping(
        {"out": "~/run", "data.corpus": ["~/a.txt", "b~.txt"], "data.train_texts": "~/x.txt"}
    )
    assert config.out == "/home/me/run" and config.data.train_texts == "/home/me/x.txt"
    assert config.data.corpus == ("/home/me/a.txt", "b~.txt")
    assert load(TrainConfig(out="~/run")).out == "/home/me/run"


def test_every_path_among_the_settings_is_a_setting() -> None:
    assert set(PATHS) <= set(field_types())
