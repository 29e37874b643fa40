"""What may not change when a run goes on: the files of the model that are read, and what computes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from custom_bert.bulk.identity import computed_by, model_digest
from custom_bert.errors import RunError


def model(directory: Path) -> Path:
    (directory / "floor").mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "floor/floor.json", "run.json", "metrics.jsonl"):
        (directory / name).write_bytes(name.encode())
    return directory


def test_a_model_is_known_by_the_files_that_predictions_depend_on(tmp_path: Path) -> None:
    one, other = model(tmp_path / "one"), model(tmp_path / "other")
    assert model_digest(one) == model_digest(other)
    for name in ("run.json", "metrics.jsonl", ".lock"):
        (other / name).write_bytes(b"other")
    (other / "checkpoints").mkdir()
    (other / "checkpoints" / "state").write_bytes(b"other")
    assert model_digest(one) == model_digest(other)
    for name in ("config.json", "model.safetensors", "floor/floor.json", "thresholds.json"):
        before = model_digest(other)
        (other / name).write_bytes(b"other")
        assert model_digest(other) != before, name
    with pytest.raises(RunError, match="no such run directory"):
        model_digest(tmp_path / "none")


def test_what_computes_is_said_also_where_torch_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(computed_by(None)) == {"device", "torch"}
    monkeypatch.setitem(sys.modules, "torch", None)
    found = computed_by(None)
    assert set(found) == {"device", "onnxruntime"} and found["device"] == "cpu"
