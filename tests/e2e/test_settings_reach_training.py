"""What the settings say is what trains: objective, optimizer, schedule, kernels, precision and dropout."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from training_runs import Ready, ready, settings, write_data, write_lines
from training_runs import built as built_of

from custom_bert import train_model
from custom_bert.models.layers import EncoderLayer
from custom_bert.ops.fused.library import compiler
from custom_bert.rules.schedule import lr_factor
from custom_bert.tasks.classification import CrossEntropy
from custom_bert.tasks.predicting_tokens import masker
from custom_bert.training import fit, outcome
from custom_bert.training.state import State
from custom_bert.training.step import train_step


@pytest.fixture
def unbalanced(tmp_path: Path) -> Path:
    """Three labels, of 60, 20 and 5 texts."""
    data = write_data(tmp_path / "data")
    counts = {"animals": 60, "machines": 20, "weather": 5}
    texts = [f"{label} text number {i}" for label, count in counts.items() for i in range(count)]
    write_lines(data / "train_dataset.txt", texts)
    write_lines(data / "train_labels.txt", [label for label, count in counts.items() for _ in range(count)])
    return data


def built(data: Path, **changes: Any) -> tuple[State, Ready]:
    prepared = ready(settings(data, None, **changes))
    return built_of(prepared), prepared


def test_the_objective_is_the_one_asked_for(unbalanced: Path) -> None:
    changes = {"optim.class_weights": "balanced", "optim.label_smoothing": 0.2, "optim.r_drop": 3.0}
    state, prepared = built(unbalanced, **changes)
    objective = state.phases[-1].objective
    assert isinstance(objective, CrossEntropy)
    assert (objective.label_smoothing, objective.r_drop) == (0.2, 3.0)
    assert objective.class_weights_C is not None
    assert prepared.labels == ("animals", "machines", "weather")
    assert objective.class_weights_C.tolist() == pytest.approx([85 / 3 / n for n in (60, 20, 5)])
    plain = built(unbalanced)[0].phases[-1].objective
    assert isinstance(plain, CrossEntropy) and plain.class_weights_C is None


def test_unequal_classes_are_told(unbalanced: Path) -> None:
    assert any("class_weights" in line for line in built(unbalanced)[1].warnings)
    assert not any(
        "class_weights" in line for line in built(write_data(unbalanced.parent / "even"))[1].warnings
    )


def test_the_optimizer_decays_and_slows_what_it_is_told(unbalanced: Path) -> None:
    changes = {"optim.weight_decay": 0.07, "optim.layer_lr_decay": 0.5, "optim.embedding_lr_factor": 0.25}
    state, _ = built(unbalanced, **changes)
    groups = {
        id(parameter): (group["weight_decay"], group["lr_factor"])
        for group in state.phases[-1].optimizer.param_groups
        for parameter in group["params"]
    }
    named = state.phases[-1].model.named_parameters()
    found = {name: groups[id(parameter)] for name, parameter in named if parameter.requires_grad}
    tokens = [value for name, value in found.items() if name.startswith("encoder.embeddings.token.")]
    assert set(tokens) == {(0.0, 0.5**2 * 0.25)}
    assert found["encoder.layers.0.mlp.up.weight"] == (0.07, 0.5)
    assert found["encoder.layers.0.mlp.up.bias"] == (0.0, 0.5)
    assert found["head.projection.weight"] == (0.07, 1.0)


def test_masks_are_drawn_as_asked(unbalanced: Path) -> None:
    changes = {"optim.pretrain_epochs": 1, "optim.mask_rate": 0.17, "optim.whole_words": True}
    one, plain = (ready(settings(unbalanced, None, **given)) for given in (changes, {}))
    found = masker(one.config, one.tokenizer, seed=5)
    assert (found.rate, found.seed) == (0.17, 5) and found.continues_V is not None
    assert masker(plain.config, plain.tokenizer, seed=5).continues_V is None


def test_a_share_is_set_aside_and_no_other(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", val=None)
    assert len(built(data, **{"data.val_fraction": 0.3})[1].val.rows_N) == 72


def test_deterministic_mode_is_switched_on(unbalanced: Path) -> None:
    try:
        built(unbalanced, **{"runtime.deterministic": True})
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_every_step_has_the_rate_of_the_schedule_and_clips_as_asked(
    unbalanced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedule: Any
) -> None:
    real, seen, clips = fit.step_within_memory, [], set()

    def step(state: State, phase: Any, *rest: Any, **options: Any) -> Any:
        seen.append({round(g["lr"] / g["lr_factor"], 12) for g in phase.optimizer.param_groups})
        clips.add(options["clip_norm"])
        return real(state, phase, *rest, **options)

    monkeypatch.setattr(fit, "step_within_memory", step)
    changes = {"optim.lr": 2e-3, "optim.schedule": schedule, "optim.warmup": 0.25, "optim.clip_norm": 0.3}
    train_model(settings(unbalanced, tmp_path / "run", **changes, **{"optim.layer_lr_decay": 0.5}))
    total = len(seen)
    rates = [2e-3 * lr_factor((i + 0.5) / total, warmup=0.25, schedule=schedule) for i in range(total)]
    assert total >= 8 and all(len(one) == 1 for one in seen)
    assert [one.pop() for one in seen] == pytest.approx(rates, rel=1e-6)
    assert clips == {0.3}


@pytest.mark.parametrize(
    ("preset", "kernel", "skips", "dropout"),
    [("legacy", "naive", False, 0.1), ("custom", None, True, 0.2), ("modern", None, True, 0.2)],
)
def test_each_phase_trains_with_the_presets_kernel_rows_and_dropout(
    unbalanced: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    preset: str,
    kernel: str | None,
    skips: bool,
    dropout: float,
) -> None:
    real, seen = fit.step_within_memory, {}

    def step(state: State, phase: Any, *rest: Any, **options: Any) -> Any:
        encoder = state.model.encoder
        layer = encoder.layers[0]
        assert isinstance(layer, EncoderLayer)
        found = (layer.attn.kernel, encoder.skip_unread, encoder.embeddings.dropout.p, layer.dropout.p)
        seen.setdefault(phase.name, set()).add((*found, layer.attn.dropout))
        return real(state, phase, *rest, **options)

    monkeypatch.setattr(fit, "step_within_memory", step)
    changes = {
        "preset": preset,
        "optim.pretrain_epochs": 1,
        "optim.epochs": 1,
        "model.attention_dropout": 0.05,
    }
    train_model(settings(unbalanced, tmp_path / "run", **changes))
    assert seen["pretrain"] == {(kernel, skips, 0.0, 0.0, 0.0)}
    assert seen["train"] == {(kernel, skips, dropout, dropout, 0.05)}


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_products_are_computed_in_the_precision_asked_for(
    unbalanced: Path, monkeypatch: pytest.MonkeyPatch, precision: str, dtype: torch.dtype, fused: bool
) -> None:
    """Of the last layer, of one or two, the product that ends an MLP."""
    if fused and compiler() is None:
        pytest.skip("there is no C++ compiler")
    state, _ = built(unbalanced, **{"runtime.precision": precision, "runtime.compile": fused})
    phase, seen = state.phases[-1], []
    down, linear = state.model.encoder.layers[-1].mlp.down, F.linear  # type: ignore[union-attr]

    def noted(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        out = linear(x, weight, bias)
        if weight is down.weight:
            seen.append(out.dtype)
        return out

    monkeypatch.setattr(F, "linear", noted)
    batch = phase.build(phase.plan(0)[0], 0)
    train_step(
        phase.model, phase.optimizer, [batch], phase.objective, precision=state.precision, clip_norm=1.0
    )
    assert seen == [dtype]
    assert {p.dtype for p in phase.model.parameters()} == {torch.float32}


@pytest.mark.parametrize(("metric", "best"), [("accuracy", 1), ("macro_f1", 2)])
def test_the_best_weights_are_those_of_the_metric(
    unbalanced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str, best: int
) -> None:
    """The first evaluation has the better accuracy, the second the better macro-F1."""
    real, count = outcome.measure, 0

    def evaluate(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        found = real(*arguments, **options)
        accuracy, macro_f1 = {1: (0.9, 0.5), 2: (0.8, 0.6)}.get(count, (0.1, 0.1))
        return replace(found, scores=replace(found.scores, accuracy=accuracy, macro_f1=macro_f1))

    monkeypatch.setattr(outcome, "measure", evaluate)
    changes = {"optim.metric": metric, "optim.eval_every": 2}
    result = train_model(settings(unbalanced, tmp_path / "run", **changes))
    assert result.step == 2 * best


def test_phases_share_the_minutes(unbalanced: Path) -> None:
    changes = {"optim.max_minutes": 0.5, "optim.pretrain_epochs": 2, "optim.epochs": 4}
    state, prepared = built(unbalanced, **changes)
    limits = []
    for state.progress.phase in range(2):
        limits.append(fit.Fit(state, *prepared, *[SimpleNamespace()] * 3).limit)  # type: ignore[arg-type]
    assert limits == pytest.approx([10.0, 20.0])


def test_a_continued_run_has_the_minutes_that_are_left(
    unbalanced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ctrl_c: None
) -> None:
    """By a clock that each step moves by a second, of which there are twenty."""
    real, now, rates = fit.step_within_memory, 100.0, []

    def step(state: State, phase: Any, *rest: Any, **options: Any) -> Any:
        nonlocal now
        now += 1.0
        rates.append(phase.optimizer.param_groups[0]["lr"])
        if len(rates) == 10:
            os.kill(os.getpid(), signal.SIGINT)
        return real(state, phase, *rest, **options)

    monkeypatch.setattr(fit, "step_within_memory", step)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    changes = {"optim.max_minutes": 20 / 60, "optim.epochs": 100_000, "optim.schedule": "linear"}
    config = settings(unbalanced, tmp_path / "run", **changes, **{"optim.warmup": 0.0, "optim.lr": 1e-3})
    with pytest.raises(KeyboardInterrupt):
        train_model(config)
    assert len(rates) == 10
    train_model(config)
    assert 19 <= len(rates) <= 22
    assert rates[10] == pytest.approx(0.5e-3, abs=0.06e-3) and rates == sorted(rates, reverse=True)
