"""F1: model directories made to harm, a run's and a published checkpoint's."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from training_runs import write_data

from custom_bert.errors import UserError
from custom_bert.inference.exports.hf import export_hugging_face
from custom_bert.model_files.native import load_model
from custom_bert.model_files.pretrained import load_pretrained
from torture.experiment import Experiment, Trial
from torture.runs import ended, forked, recipe, train
from torture.spoil import (
    BAD,
    CONFIG,
    NUMBERS,
    TOKENIZER,
    WEIGHTS,
    Spoil,
    content,
    edit_json,
    every_file,
    every_json,
    every_tokenizer,
    every_weights,
    pickled,
    saved_by_torch,
    setting,
    without,
)

LABELS = "labels.json"
FILES = (WEIGHTS, CONFIG, LABELS, TOKENIZER)
INDEX = "model.safetensors.index.json"


def prepare_model(shared: Path) -> None:
    """A trained run, complete."""
    write_data(shared / "data", train=90, val=30)
    changes = {"optim.pretrain_epochs": 0, "optim.epochs": 1, "runtime.checkpoint_every": 0}
    train(recipe(shared, shared / "run", **changes), shared / "log")


def prepare_published(shared: Path) -> None:
    """The same model as transformers would have it."""
    prepare_model(shared)
    errors = shared / "errors"  # a child, so that what verifies the export leaves no trace here
    exported = forked(lambda: print(export_hugging_face(shared / "run", shared / "published")), errors)
    assert ended(exported, errors) == 0
    shutil.rmtree(shared / "run")
    (shared / "published").rename(shared / "run")
    load_pretrained(shared / "run")


def run_cases() -> dict[str, Spoil]:
    """Every way in which a run directory is spoilt, by name."""
    found: dict[str, Spoil] = {}
    for key in NUMBERS:
        for name, value in BAD.items():
            found[f"config.json: {key} {name}"] = edit_json(CONFIG, setting("encoder", key, to=value))
        found[f"config.json: no {key}"] = edit_json(CONFIG, without("encoder", key))
    for key in ("num_labels", "max_length"):
        for name, value in BAD.items():
            found[f"config.json: {key} {name}"] = edit_json(CONFIG, setting(key, to=value))
    for name, change in {
        "auto_map": setting("auto_map", to={"AutoModel": "evil.Model"}),
        "an unknown preset of norms": setting("encoder", "norm", to="sandwich"),
        "an unknown activation": setting("encoder", "hidden_act", to="__import__('os')"),
        "an encoder that is a list": setting("encoder", to=[]),
        "another format": setting("format", to="custom-bert/99"),
        "an unknown key": setting("encoder", "trust_remote_code", to=True),
        "a dropout of 2": setting("encoder", "hidden_dropout", to=2.0),
        "long_texts unknown": setting("long_texts", to="tail"),
    }.items():
        found[f"config.json: {name}"] = edit_json(CONFIG, change)
    found |= every_file(FILES)
    found |= every_json((CONFIG, LABELS, TOKENIZER), (CONFIG, TOKENIZER))
    for name, labels in {
        "one too few": lambda labels: labels[:-1],
        "one too many": lambda labels: [*labels, "more"],
        "one twice": lambda labels: [labels[0], *labels[:-1]],
        "a number": lambda labels: [1, *labels[1:]],
        "an object": lambda labels: dict(enumerate(labels)),
    }.items():
        found[f"labels.json: {name}"] = edit_json(LABELS, labels)  # type: ignore[no-untyped-call]
    return {**found, **every_tokenizer(), **every_weights()}


def published_cases() -> dict[str, Spoil]:
    """Every way in which a published checkpoint is spoilt, by name."""
    found: dict[str, Spoil] = {}
    for key in NUMBERS:
        for name, value in BAD.items():
            found[f"config.json: {key} {name}"] = edit_json(CONFIG, setting(key, to=value))
    for name, change in {
        "auto_map": setting("auto_map", to={"AutoModel": "evil.Model"}),
        "an unknown type of model": setting("model_type", to="evil"),
        "a type that is a list": setting("model_type", to=["bert"]),
        "no type": without("model_type"),
        "a decoder": setting("is_decoder", to=True),
        "cross attention": setting("add_cross_attention", to=True),
        "relative positions": setting("position_embedding_type", to="relative_key"),
        "an unknown activation": setting("hidden_act", to="__import__('os')"),
        "a dropout of 2": setting("hidden_dropout_prob", to=2.0),
        "an epsilon that is a word": setting("layer_norm_eps", to="small"),
    }.items():
        found[f"config.json: {name}"] = edit_json(CONFIG, change)
    found |= every_file((WEIGHTS, CONFIG, TOKENIZER))
    found |= every_json((CONFIG, TOKENIZER), (CONFIG, TOKENIZER))
    for name, value in {
        "a parent's file": {"x": "../outside.safetensors"},
        "an absolute path": {"x": "/etc/passwd"},
        "a folder's file": {"x": "a/model.safetensors"},
        "the directory": {"x": "."},
        "no name": {"x": ""},
        "a shard that is not there": {"x": "model-00001-of-00002.safetensors"},
        "a shard that is no safetensors": {"x": CONFIG},
        "a number": {"x": 7},
        "a list": ["model.safetensors"],
        "nothing": {},
    }.items():
        found[f"{INDEX}: {name}"] = _sharded(value)
    for file in ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "model.pt"):
        found[f"{file}: a pickle and no safetensors"] = _instead(WEIGHTS, pickled(file))
        found[f"{file}: by torch.save and no safetensors"] = _instead(WEIGHTS, saved_by_torch(file))
    for name, text in {
        "empty": b"",
        "no special tokens": b"a\nb\nc\n",
        "invalid UTF-8": b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n\xff\xfe\n",
        "a million entries, all alike": b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n" + b"a\n" * 10**6,
        "a million entries": b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
        + b"".join(b"%d\n" % i for i in range(10**6)),
        "a pickle": b"\x80\x04K\x01.",
    }.items():
        found[f"vocab.txt: {name}"] = _instead(TOKENIZER, content("vocab.txt", text))
    for name, (vocabulary, merges) in {
        "merges of unknown parts": (b'{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4}', b"x y\n"),
        "a merge of three": (b'{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4}', b"a a a\n"),
        "an id of -1": (b'{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": -1}', b""),
        "a gap of 2**21 ids": (b'{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 2097152}', b""),
        "an id of 2**40": (b'{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 1099511627776}', b""),
        "a list": (b'["a"]', b""),
    }.items():
        found[f"vocab.json: {name}"] = _instead(TOKENIZER, _byte_level(vocabulary, merges))
    return {**found, **every_tokenizer(), **every_weights()}


def _instead(name: str, spoil: Spoil) -> Spoil:
    """One file goes, others come."""

    def both(run: Path) -> None:
        (run / name).unlink()
        (run / "tokenizer_config.json").unlink()
        spoil(run)

    return both


def _sharded(weight_map: Any) -> Spoil:
    def spoil(run: Path) -> None:
        (run / WEIGHTS).rename(run.parent / "outside.safetensors")
        (run / INDEX).write_text(json.dumps({"weight_map": weight_map}))

    return spoil


def _byte_level(vocabulary: bytes, merges: bytes) -> Spoil:
    def spoil(run: Path) -> None:
        (run / "vocab.json").write_bytes(vocabulary)
        (run / "merges.txt").write_bytes(merges)

    return spoil


RUN_CASES, PUBLISHED_CASES = run_cases(), published_cases()


def refused(trial: Trial, cases: dict[str, Spoil], load: Callable[[Path], object]) -> None:
    """One line, soon, in little memory, without running anything or opening anything outside."""
    name = list(cases)[trial.number]
    run = trial.directory / "run"
    shutil.copytree(trial.shared / "run", run)
    cases[name](run)
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
            load(run)
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


EXPERIMENTS = (
    Experiment(
        "F1",
        f"{len(RUN_CASES)} hostile run directories: one line, 2 s, 100 MB, no code, nothing opened outside",
        len(RUN_CASES),
        len(RUN_CASES),
        prepare_model,
        partial(refused, cases=RUN_CASES, load=load_model),
    ),
    Experiment(
        "F1-published",
        f"{len(PUBLISHED_CASES)} hostile published checkpoints: the same",
        len(PUBLISHED_CASES),
        len(PUBLISHED_CASES),
        prepare_published,
        partial(refused, cases=PUBLISHED_CASES, load=load_pretrained),
    ),
)
