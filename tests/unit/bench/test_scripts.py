"""The scripts in benchmarks/ load, begin, and give the peer what its own collator would."""

import ast
import importlib
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from custom_bert.config import field_types

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if path.name != "common.py")
common: dict[str, Any] = runpy.run_path(str(ROOT / "benchmarks" / "common.py"))


def test_every_script_loads_from_any_folder(tmp_path: Path) -> None:
    code = (
        "import runpy, sys; sys.path.insert(0, sys.argv[1]); "
        "[runpy.run_path(path, run_name='script') for path in sys.argv[2:]]"
    )
    command = [sys.executable, "-c", code, str(ROOT / "benchmarks"), *map(str, SCRIPTS)]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_script_imports_when_it_runs_exists(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("custom_bert"):
            module = importlib.import_module(str(node.module))
            for name in node.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{node.module}.{name.name}")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_setting_that_a_script_names_exists(script: Path) -> None:
    strings = {
        node.value
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    setting = re.compile(r"(data|model|batch|optim|runtime)\.[a-z_]+")
    files = {"model.safetensors"}
    assert {text for text in strings if setting.fullmatch(text)} - files <= set(field_types())


def test_a_record_is_called_like_its_script() -> None:
    parser = common["options_of"]("/somewhere/peers_mlm.py", "What is measured.")
    assert parser.parse_args([]).out == Path("benchmarks/results/new/peers_mlm.json")


def test_the_peers_batches_are_those_of_its_own_collator() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[PAD]": 0, "[UNK]": 1}, unk_token="[UNK]"))
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]"
    )
    features = [{"input_ids": [5] * n, "attention_mask": [1] * n, "labels": n % 2} for n in (3, 11, 1, 8)]
    for multiple in (1, 8):
        theirs = transformers.DataCollatorWithPadding(fast, pad_to_multiple_of=multiple)
        wanted = theirs([dict(feature) for feature in features])
        found = common["padded"](features, multiple=multiple)
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in found)
    assert common["padded"](features, at_least=32)["input_ids"].shape == (4, 32)


def test_the_trainer_gets_its_best_rate_and_the_fewest_epochs_near_its_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    module = importlib.import_module("trainer_search")
    scores = {
        (5e-5, 4): (0.90, 0.92),
        (1e-4, 4): (0.93, 0.95),
        (2e-4, 4): (0.96, 0.91),
        (1e-4, 3): (0.945, 0.945),
        (1e-4, 2): (0.9425, 0.942),
        (1e-4, 1): (0.90, 0.95),
    }
    tried: list[dict[str, Any]] = [{"seed": 1, "lr": 1e-4, "epochs": 3, "score": 0.95}]
    asked, written = [], []

    def score(seed: int, lr: float, epochs: int) -> float:
        asked.append((seed, lr, epochs))
        return scores[lr, epochs][seed]

    def search() -> None:
        module.search(
            tried, score, rates=(5e-5, 1e-4, 2e-4), seeds=2, written=lambda: written.append(len(tried))
        )

    search()
    # by the mean of the seeds; 2 epochs are 0.52 points below 3, which are the best
    assert module.chosen(tried) == (1e-4, 3)
    assert (
        (1, 1e-4, 3) not in asked and (0, 1e-4, 2) in asked and not any(epochs == 1 for *_, epochs in asked)
    )
    assert written == list(range(2, len(tried) + 1))
    tried = [one for one in tried if one["epochs"] != 3]
    scores[1e-4, 3] = (0.94, 0.94)
    search()
    # 2 epochs are within 0.3 points of the best, 1 is not
    assert module.chosen(tried) == (1e-4, 2) and (1, 1e-4, 1) in asked
