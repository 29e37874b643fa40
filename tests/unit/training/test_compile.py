"""Kernel fusion changes nothing but speed, and a machine without a compiler trains on with one line."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_runs import settings, write_data

from custom_bert import train_model
from custom_bert.batch import Batch
from custom_bert.config import ModelConfig
from custom_bert.models.heads import SequenceClassifier
from custom_bert.presets import encoder_config
from custom_bert.torch_internals import graphs_compiled
from custom_bert.training.compile import (
    GRAPHS,
    choose_compile,
    compile_layers,
    compiler_fault,
    fusion_line,
)
from custom_bert.training.log import Reporter

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("preset", ["custom", "modern"])
def test_compiled_layers_give_the_same_loss_and_gradients(preset: str) -> None:
    if fault := compiler_fault(torch.device("cpu")):
        pytest.skip(f"torch.compile does not work here: {fault}")
    config = encoder_config(
        preset,  # type: ignore[arg-type]
        ModelConfig(hidden_dropout=0.0, num_attention_heads=2),
        vocab_size=50,
        pad_token_id=0,
        max_length=32,
        default_shape=(32, 2),
    )
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = SequenceClassifier(config, 3)
        if compiled:
            compile_layers(model.encoder)
        for lengths in ((5, 9, 3), (7, 7), (12, 1, 4, 8)):  # other shapes, the same graph
            batch = Batch.build([torch.arange(5, 5 + n).numpy() for n in lengths])
            model(batch).square().sum().backward()
        found.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    for name, wanted in found[0].items():
        assert (found[1][name] - wanted).norm() <= 1e-5 * max(float(wanted.norm()), 1e-6), name


def test_without_a_compiler_training_goes_on_with_one_line(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    values = settings(data, tmp_path / "run", **{"runtime.compile": True, "optim.epochs": 1})
    code = f"from custom_bert import train_model; train_model({values!r})"
    environment = {
        **os.environ,
        "CXX": "/nonexistent/compiler",
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor"),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    (line,) = [x for x in done.stdout.splitlines() if "torch.compile" in x and x.startswith("warning")]
    assert line.startswith("warning: training goes on without torch.compile: ")
    assert "accuracy" in done.stdout


def test_the_choice_has_a_reason() -> None:
    wanted, reason = choose_compile(torch.device("cpu"))
    assert wanted is False and reason


def test_a_compiled_run_saves_and_reloads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if fault := compiler_fault(torch.device("cpu")):
        pytest.skip(f"torch.compile does not work here: {fault}")
    data = write_data(tmp_path / "data")
    result = train_model(
        settings(data, tmp_path / "run", **{"runtime.compile": True, "runtime.log_every": 1}),
        reporter=Reporter(verbose=True),
    )
    assert result.accuracy > 0.6
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("kernel fusion: ")]
    assert re.fullmatch(
        r"kernel fusion: \d+ s to compile; a pass takes \d+\.\d\d of its time, "
        r"(pays back after [\d,]+ batches|does not pay back)",
        line,
    )
    metrics = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    graphs = [m["graphs"] for m in metrics if m["kind"] == "train"]
    assert len(graphs) > 20 and 0 < graphs[-1] - graphs[0] + 1 <= GRAPHS


def test_shapes_of_many_kinds_stay_within_the_bound_of_graphs() -> None:
    if fault := compiler_fault(torch.device("cpu")):
        pytest.skip(f"torch.compile does not work here: {fault}")
    config = encoder_config(
        "custom", ModelConfig(), vocab_size=50, pad_token_id=0, max_length=64, default_shape=(32, 4)
    )
    model = SequenceClassifier(config, 3)
    compile_layers(model.encoder)
    torch.compiler.reset()
    before = graphs_compiled()
    for rows in range(2, 40, 3):  # every batch another number of rows, and other ones that are read
        model(Batch.build([torch.arange(5, 5 + rows).numpy()] * (1 + rows % 3))).sum().backward()
    assert 0 < graphs_compiled() - before <= GRAPHS


def test_the_line_about_fusion_counts_honestly() -> None:
    assert fusion_line(2.0, 11.0, 1.0).endswith(
        "10 s to compile; a pass takes 0.50 of its time, pays back after 10 batches"
    )
    assert fusion_line(1.0, 11.0, 1.5).endswith("a pass takes 1.50 of its time, does not pay back")
