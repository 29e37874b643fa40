"""The share of the limit counts what it says and stays a share."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from custom_bert.batch import Batch
from custom_bert.bench import roofline
from custom_bert.bench.speed import build_model, defaults_here
from custom_bert.config import ModelConfig

CPU = torch.device("cpu")


def test_the_formula_counts_what_torch_counts() -> None:
    """Encoder layers of texts of two lengths, forward and backward, by torch's own counter."""
    lengths, width, layers = [16, 16, 40], 128, 3
    switches = roofline.replace(
        defaults_here(CPU, 256), skip_unread=False, precision="fp32", attention="naive"
    )
    wishes = ModelConfig(hidden_size=width, num_hidden_layers=layers, hidden_dropout=0.0)
    model = build_model(switches, 64, wishes)
    batch = Batch.build([torch.arange(5, 5 + n).numpy() for n in lengths])
    with FlopCounterMode(display=False) as counter:
        model.encoder(batch).sum().backward()
    assert roofline.training_flops(lengths, width, layers) == pytest.approx(
        counter.get_total_flops(), rel=0.01
    )


def test_bare_products_have_a_rate() -> None:
    assert roofline.gemm_rate(32, 64, torch.float32, CPU, tries=2) > 1e6


def test_a_child_gives_a_share() -> None:
    switches = asdict(defaults_here(CPU, 256)) | {"skip_unread": False, "precision": "fp32"}
    found = roofline.reach({"device": "cpu", "switches": switches, "shape": (64, 1), "steps": 2})
    assert 0 < found["share"] < 1.5
    assert found["share"] == pytest.approx(found["step_gflops"] / found["gemm_gflops"])


def test_the_record_states_each_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(program: Any, task: str, arguments: dict[str, Any]) -> dict[str, Any]:
        share = 0.5 + arguments["shape"][1] / 100
        return {"share": share, "step_gflops": 100 * share, "gemm_gflops": 100.0}

    monkeypatch.setattr(roofline, "in_child", measured)
    out = tmp_path / "record.json"
    roofline.run(device="cpu", quick=False, repeats=2, out=out, command="bench", say=lambda line: None)
    record = json.loads(out.read_text())
    assert [(r["id"], r["ratio_median"], r["repeats"]) for r in record["results"]] == [
        ("C3-d256", 0.54, 2),
        ("C3-d384", 0.56, 2),
        ("C3-d768", 0.62, 2),
    ]
    assert "56 (56 to 56)" in out.with_suffix(".md").read_text()
