"""On a CUDA device: flash attention over packed rows agrees with the formula, and a run trains."""

from pathlib import Path

import numpy as np
import pytest
import torch
from training_runs import built, ready, settings, write_data

from custom_bert import Classifier, train_model
from custom_bert.batch import Batch
from custom_bert.ops import kernels
from custom_bert.ops.attention import attention, first_token_attention
from custom_bert.training.phases import steps_of
from custom_bert.training.step import train_step

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: GPU kernels are not tested"),
]


@pytest.mark.parametrize("window", [-1, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_varlen_agrees_with_the_formula(dtype: torch.dtype, window: int) -> None:
    device = torch.device("cuda")
    batch = Batch.build([np.ones(n, dtype=np.int64) for n in (5, 70, 1, 33)]).to(device)
    exact = [torch.randn(batch.num_rows, 4, 64, device=device, dtype=torch.float64) for _ in range(3)]
    probe = torch.randn_like(exact[0])
    found = {}
    for name, kernel, kind in (
        ("exact", "naive", torch.float64),
        ("own", "naive", dtype),
        ("varlen", "varlen", dtype),
    ):
        # clones, since `to` returns a tensor that has the type already, and stack's inputs need gradients
        q, k, v = (x.to(kind, copy=True).requires_grad_() for x in exact)
        qkv = torch.stack([q, k, v], dim=1)
        out = attention(qkv, batch.layout, kernel=kernel, window=window)  # type: ignore[arg-type]
        (out * probe.to(kind)).sum().backward()
        found[name] = [x.detach().double() for x in (out, q.grad, k.grad, v.grad)]  # type: ignore[union-attr]
    for e, o, f in zip(found["exact"], found["own"], found["varlen"], strict=True):
        assert (f - e).abs().max() <= 4 * (o - e).abs().max() + 1e-6


@pytest.mark.parametrize("rows", [None, 128])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_flash_attention_of_first_tokens_agrees_with_the_formula(
    dtype: torch.dtype, rows: int | None
) -> None:
    device = torch.device("cuda")
    batch = Batch.build([np.ones(n, dtype=np.int64) for n in (5, 70, 1, 33)], rows=rows).to(device)
    used = batch.num_tokens
    exact = [torch.randn(n, 4, 64, device=device, dtype=torch.float64) for n in (4, *2 * [batch.num_rows])]
    probe = torch.randn_like(exact[0])
    found = {}
    for name, kind, flash in (("exact", torch.float64, False), ("own", dtype, False), ("flash", dtype, True)):
        q, k, v = (x.to(kind, copy=True).requires_grad_() for x in exact)
        if flash:
            out = kernels.varlen_of_first(q, k, v, batch.layout)
        else:  # a window as wide as the batch keeps flash attention away
            out = first_token_attention(q, k, v, batch.layout, window=batch.num_rows)
        (out * probe.to(kind)).sum().backward()
        assert k.grad is not None and (k.grad[used:] == 0).all(), "no query reads filler"
        found[name] = [x.detach().double() for x in (out, q.grad, k.grad, v.grad)]  # type: ignore[union-attr]
    for e, o, f in zip(found["exact"], found["own"], found["flash"], strict=True):
        assert (f - e).abs().max() <= 4 * (o - e).abs().max() + 1e-6


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_all_precisions_of_a_gpu_predict_alike(tmp_path: Path, pooling: str) -> None:
    data = write_data(tmp_path / "data")
    changes = {"runtime.precision": None, "runtime.device": "cuda", "model.pooling": pooling}
    train_model(settings(data, tmp_path / "run", **changes, **{"optim.epochs": 8}))
    texts = [f"a dog barks {'again ' * (i % 20)}" for i in range(300)]
    exact = Classifier.load(tmp_path / "run", device="cpu", precision="fp32").predict_proba(texts)
    for precision, apart in (("fp32", 1e-4), ("bf16", 0.05), ("fp16", 0.05)):
        found = Classifier.load(tmp_path / "run", device="cuda", precision=precision).predict_proba(texts)
        assert np.abs(found - exact).max() <= apart


@pytest.mark.parametrize("plan", ["uniform_length", "packed", "padded"])
@pytest.mark.parametrize("preset", ["legacy", "custom", "modern"])
def test_every_preset_and_plan_trains(tmp_path: Path, preset: str, plan: str) -> None:
    data = write_data(tmp_path / "data")
    changes = {"runtime.precision": None, "runtime.device": "cuda", "batch.plan": plan, "preset": preset}
    result = train_model(settings(data, tmp_path / "run", **changes, **{"optim.epochs": 8}))
    assert result.accuracy > 0.6
    assert Classifier.load(tmp_path / "run", device="cpu").predict(["a dog barks"])


@pytest.mark.parametrize("weights", ["none", "balanced"])
@pytest.mark.parametrize("plan", ["uniform_length", "packed", "padded"])
def test_a_step_never_waits_for_the_device(tmp_path: Path, plan: str, weights: str) -> None:
    data = write_data(tmp_path / "data")
    changes = {"runtime.precision": "bf16", "runtime.device": "cuda", "batch.plan": plan}
    changes |= {"optim.class_weights": weights}
    prepared = ready(settings(data, None, **changes))
    state = built(prepared)
    phase = state.phases[-1]
    batches = [
        [b.to(prepared.plan.device) for b in step.microbatches]
        for step, _ in zip(steps_of(phase), range(6), strict=False)
    ]
    torch.cuda.synchronize()
    try:
        for number, microbatches in enumerate(batches):
            if number == 2:  # the first steps allocate
                torch.cuda.set_sync_debug_mode("error")
            train_step(
                phase.model,
                phase.optimizer,
                microbatches,
                phase.objective,
                precision=state.precision,
                clip_norm=1.0,
            )
    finally:
        torch.cuda.set_sync_debug_mode("default")
