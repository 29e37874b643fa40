"""The fused kernels compute what torch's operations compute, one by one and in whole steps.

The formulas are written out in torch. In bf16 a result may be as far from the formula in fp64 as the
operations one by one are. The draws of dropout are the same, so that the same elements are dropped.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.config import Activation, Kernel, ModelConfig
from custom_bert.data.cache import Cache
from custom_bert.data.masking import Masker
from custom_bert.models import fused
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.layers import ACTIVATIONS
from custom_bert.models.masked_lm import MaskedLanguageModel
from custom_bert.ops.dropout import drop
from custom_bert.ops.fused.functions import Kernels, Wanted
from custom_bert.ops.kernels import naive
from custom_bert.precision import MixedPrecision
from custom_bert.presets import encoder_config
from custom_bert.training.compile import choose_compile, cpu_kernels

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    """The kernels, compiled for this test."""
    wanted, reason = choose_compile(CPU)
    if not wanted:
        pytest.skip(reason)
    return cpu_kernels(Cache(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True, params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def gradients(out: Tensor, grad: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    return [out.detach(), *torch.autograd.grad(out, leaves, grad)]


def assert_as_near(found: list[Tensor], plain: list[Tensor], exact: list[Tensor], slack: float) -> None:
    """The errors are at most those of the plain operations, but for what rounding a result itself costs."""
    for one, other, right in zip(found, plain, exact, strict=True):
        size = float(right.norm()) + 1e-12
        error, bound = ((float((x.double() - right).norm()) / size) for x in (one, other))
        assert error <= 1.1 * bound + slack, (error, bound)


ACTIVATION_CASES = list(itertools.product(ACTIVATIONS, [False, True], [torch.float32, torch.bfloat16]))


@pytest.mark.parametrize(("kind", "gated", "dtype"), ACTIVATION_CASES)
@pytest.mark.parametrize("rows", [1, 7])
def test_activations(kernels: Kernels, kind: Activation, gated: bool, dtype: torch.dtype, rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    width = 45  # no multiple of any vector
    x = (3 * torch.randn(rows, width * (1 + gated), generator=generator)).to(dtype)
    bias = torch.randn(x.shape[1], generator=generator)
    grad = torch.randn(rows, width, generator=generator).to(dtype)

    def formula(x: Tensor, bias: Tensor) -> Tensor:
        x = x + bias
        if not gated:
            return ACTIVATIONS[kind](x)
        up, gate = x.chunk(2, -1)
        return ACTIVATIONS[kind](up) * gate

    def of(x: Tensor, bias: Tensor, grad: Tensor, fused: bool = False) -> list[Tensor]:
        x, bias = x.clone().requires_grad_(), bias.clone().requires_grad_()
        out = kernels.activation(x, bias, kind, gated=gated) if fused else formula(x, bias.to(x.dtype))
        return gradients(out, grad, [x, bias])

    exact = of(x.double(), bias.double(), grad.double())
    slack = 2e-6 if dtype is torch.float32 else 1e-3
    assert_as_near(of(x, bias, grad, fused=True), of(x, bias, grad), exact, slack)


def test_activations_far_from_zero_and_of_no_number(kernels: Kernels) -> None:
    x = torch.tensor([[-1e4, -50.0, -12.0, -0.0, 0.0, 12.0, 50.0, 1e4]])
    for kind in ("gelu", "gelu_tanh", "relu"):
        found = kernels.activation(x, None, kind, gated=False)  # type: ignore[arg-type]
        torch.testing.assert_close(found, ACTIVATIONS[kind](x), atol=2e-6, rtol=0)  # type: ignore[index]
        for dtype in (torch.float32, torch.bfloat16):
            nothing = torch.full((1, 3), float("nan"), dtype=dtype)
            assert kernels.activation(nothing, None, kind, gated=False).isnan().all()  # type: ignore[arg-type]


def test_products_without_a_bias(kernels: Kernels) -> None:
    x, norm = torch.randn(5, 16), nn.LayerNorm(16, bias=False)
    torch.testing.assert_close(kernels.activation(x, None, "relu", gated=False), x.relu())
    residual = torch.randn(5, 16)
    total, normed = kernels.add_norm(residual, x, None, norm, dropout=0.0, wanted="sum")
    torch.testing.assert_close(total, residual + x)
    torch.testing.assert_close(normed, norm(residual + x))
    total.sum().add(normed.square().sum()).backward()
    assert norm.weight.grad is not None and norm.weight.grad.isfinite().all()


ADD_NORM_CASES = list(
    itertools.product(["stream", "sum", "norm"], [torch.float32, torch.bfloat16], [0.0, 0.1, 0.003])
)


@pytest.mark.parametrize(("wanted", "dtype", "dropout"), ADD_NORM_CASES)
@pytest.mark.parametrize("unused", ["nothing", "first", "second"])
def test_add_norm(kernels: Kernels, wanted: Wanted, dtype: torch.dtype, dropout: float, unused: str) -> None:
    """With the gradient of both results, or of one alone. A rate of 0.003 takes 16 bits an element."""
    generator = torch.Generator().manual_seed(3)
    rows, width = 9, 45
    residual = torch.randn(rows, width, generator=generator)
    branch = torch.randn(rows, width, generator=generator).to(dtype)
    bias, shift = (torch.randn(width, generator=generator) for _ in range(2))
    weight = 1 + torch.randn(width, generator=generator)
    grads = [torch.randn(rows, width, generator=generator).to(dtype) for _ in range(2)]
    if unused != "nothing" and wanted != "norm":
        grads[unused == "second"].zero_()
    torch.manual_seed(0)
    ones = drop(torch.ones(rows, width), dropout) if dropout else torch.ones(rows, width)

    def run(dtype: torch.dtype, product: torch.dtype, fused: bool = False) -> list[Tensor]:
        leaves = [x.to(dtype).requires_grad_() for x in (residual, bias, weight, shift)]
        inner = branch.to(product).requires_grad_()
        if fused:
            norm = nn.LayerNorm(width, eps=1e-6)
            norm.weight, norm.bias = nn.Parameter(leaves[2]), nn.Parameter(leaves[3])
            leaves[2:] = [norm.weight, norm.bias]
            torch.manual_seed(0)
            first, second = kernels.add_norm(
                leaves[0], inner, leaves[1], norm, dropout=dropout, wanted=wanted
            )
        else:
            total = leaves[0] + (inner + leaves[1].to(product)) * ones.to(product)
            normed = F.layer_norm(total, (width,), leaves[2], leaves[3], 1e-6)
            first, second = (total if wanted == "sum" else normed), normed
            second = second if wanted == "norm" else second.to(product)
        all_ = [inner, *leaves]
        if wanted == "norm":
            assert first.dtype == second.dtype == dtype
            return [first.detach(), *torch.autograd.grad(first, all_, grads[0].to(dtype))]
        outs, given = [first, second], [grads[0].to(dtype), grads[1].to(product)]
        if fused and unused != "nothing":  # a result without a gradient, not with one of zeros
            used = 1 - (unused == "second")
            outs, given = [outs[used]], [given[used]]
        found = torch.autograd.grad(outs, all_, given, allow_unused=True)
        missing = zip(all_, found, strict=True)
        return [
            first.detach(),
            second.detach(),
            *(torch.zeros_like(leaf) if grad is None else grad for leaf, grad in missing),
        ]

    exact = run(torch.float64, torch.float64)
    plain, found = run(torch.float32, dtype), run(torch.float32, dtype, fused=True)
    if dropout:
        gone = ones == 0
        assert gone.any() or dropout < 0.01
        of_branch = found[1 if wanted == "norm" else 2]
        assert (of_branch[gone] == 0).all() and (of_branch[~gone] != 0).any()
    assert_as_near(found, plain, exact, 2e-6 if dtype is torch.float32 else 2.5e-3)


LAYOUTS: dict[str, tuple[list[int], Any, int | None]] = {
    "one": ([1], None, None),
    "packed": ([3, 70, 33, 16, 1, 45], None, 192),
    "padded": ([3, 40, 33], 40, None),
    "equal": ([32, 32], None, None),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "size"), [(3, 16), (2, 32), (1, 64), (1, 48)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_attention(kernels: Kernels, dtype: torch.dtype, heads: int, size: int, layout: str) -> None:
    lengths, slots, rows = LAYOUTS[layout]
    batch = Batch.build([np.arange(n) for n in lengths], slots=slots, rows=rows)
    generator = torch.Generator().manual_seed(5)
    width = heads * size
    qkv = torch.randn(batch.num_rows, 3 * width, generator=generator).to(dtype)
    bias = torch.randn(3 * width, generator=generator)
    grad = torch.randn(batch.num_rows, width, generator=generator).to(dtype)
    token_T = batch.layout.sequence_T < batch.num_sequences
    grad[~token_T] = 0

    def of(qkv: Tensor, bias: Tensor, grad: Tensor, fused: bool = False) -> list[Tensor]:
        qkv, bias = qkv.clone().requires_grad_(), bias.clone().requires_grad_()
        if fused:
            out = kernels.attention(qkv, bias, batch.layout, heads)
            assert (out[~token_T] == 0).all()
        else:
            each = (qkv + bias.to(qkv.dtype)).view(-1, 3, heads, size)
            out = naive(each, batch.layout, -1, 0.0).flatten(1)
        found = gradients(out, grad, [qkv, bias])
        found[0][~token_T] = 0
        if not fused:  # rows without a token have no gradient; the formula's bias sees them all
            assert (found[1][~token_T] == 0).all()
        return found

    exact = of(qkv.double(), bias.double(), grad.double())
    slack = 2e-6 if dtype is torch.float32 else 1.5e-3
    assert_as_near(of(qkv, bias, grad, fused=True), of(qkv, bias, grad), exact, slack)


PRESETS = ["legacy", "custom", "modern"]


def model_of(preset: str, **wishes: Any) -> SequenceClassifier:
    config = encoder_config(
        preset,  # type: ignore[arg-type]
        ModelConfig(num_attention_heads=2, **wishes),
        vocab_size=50,
        pad_token_id=0,
        max_length=32,
        default_shape=(32, 3),
    )
    torch.manual_seed(0)
    model = SequenceClassifier(config, 3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # biases begin as zeros, with which a bias that is lost would go unseen
                parameter.normal_(std=0.1)
    return model.train()


BATCHES = [
    Batch.build([np.arange(5, 5 + n) for n in lengths], slots=slots, rows=rows)
    for lengths, slots, rows in (
        ((5, 9, 3), None, None),
        ((7, 7), 8, 32),
        ((12, 1, 4, 8), None, 32),
        ((30, 29), 30, 64),  # too long for the kernels' attention, and too short
    )
]


@pytest.fixture(params=["long texts too", "by the rule"])
def rule(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention by the kernels for every length, or as the rule chooses."""
    if request.param == "long texts too":
        monkeypatch.setattr(fused, "LONG", 0)


def assert_same_steps(model: Any, kernels: Kernels, batches: list[Batch] | None = None) -> None:
    """In fp32, with and without the kernels."""
    exact = MixedPrecision("fp32", CPU)
    wanted = step_of(model, exact, batches)
    model.encoder.kernels = kernels
    found = step_of(model, exact, batches)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        scale = max(float(tensor.norm()), 1e-3)
        assert float((found[name] - tensor).norm()) <= 2e-5 * scale, name


def step_of(
    model: nn.Module, precision: MixedPrecision, batches: list[Batch] | None = None
) -> dict[str, Tensor]:
    torch.manual_seed(1)
    model.zero_grad()
    total = torch.zeros(())
    for batch in batches or BATCHES:
        with precision.autocast():
            logits = model(batch)
        loss = logits.float().square().sum()
        loss.backward()
        total += loss.detach()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return {"loss": total, **grads}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_whole_steps_in_fp32(kernels: Kernels, preset: str, dropout: float, skip: bool, pooling: str) -> None:
    model = model_of(preset, hidden_dropout=dropout, pooling=pooling)
    model.encoder.skip_unread = skip
    assert_same_steps(model, kernels)


@pytest.mark.parametrize(
    ("preset", "wishes", "kernel"),
    [
        ("custom", {"attention_dropout": 0.2}, None),
        ("custom", {}, "naive"),
        ("custom", {"hidden_size": 24}, None),  # two heads of 12, no multiple of the kernels' width
        ("modern", {"local_attention": 8, "global_attn_every_n_layers": 2}, None),
        ("custom", {"hidden_act": "relu"}, None),
    ],
)
def test_what_the_kernels_leave_to_torch(
    rule: None, kernels: Kernels, preset: str, wishes: dict[str, Any], kernel: Kernel | None
) -> None:
    model = model_of(preset, hidden_dropout=0.1, **wishes)
    model.encoder.set_kernel(kernel)
    assert_same_steps(model, kernels)


@pytest.mark.parametrize("preset", PRESETS)
def test_steps_of_masked_language_modelling(rule: None, kernels: Kernels, preset: str) -> None:
    """Of which the last layer computes the rows of hidden tokens alone."""
    model = MaskedLanguageModel(model_of(preset, hidden_dropout=0.1).encoder).train()
    masker = Masker(4, (0, 1, 2, 3, 4), 50, 0.4, 0)
    lengths = ((5, 9, 3), (12, 1, 4, 8), (30, 29))
    batches = [
        masker.mask(Batch.build([np.arange(5, 5 + n) for n in some], indices=np.arange(len(some))), 0)
        for some in lengths
    ]
    assert_same_steps(model, kernels, batches)


def test_two_passes_and_one_backward(kernels: Kernels) -> None:
    """As R-Drop has them."""
    model = model_of("custom")
    found = []
    for one in (None, kernels):
        model.encoder.kernels = one
        model.zero_grad()
        torch.manual_seed(1)
        (model(BATCHES[0]).square().sum() + model(BATCHES[1]).sum()).backward()
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for one_, other in zip(*found, strict=True):
        torch.testing.assert_close(one_, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("preset", PRESETS)
def test_whole_steps_in_bf16_are_as_near_to_fp32(kernels: Kernels, preset: str) -> None:
    model = model_of(preset, hidden_dropout=0.1)
    exact = step_of(model, MixedPrecision("fp32", CPU))
    rounded = MixedPrecision("bf16", CPU)
    plain = step_of(model, rounded)
    model.encoder.kernels = kernels
    found = step_of(model, rounded)
    errors, bounds = [], []
    for name, tensor in exact.items():
        if float(tensor.norm()) > 1e-3:
            errors.append(float((found[name] - tensor).norm() / tensor.norm()))
            bounds.append(float((plain[name] - tensor).norm() / tensor.norm()))
    # the same draws, or the errors would be of the size of the gradients
    assert np.median(errors) <= 1.1 * np.median(bounds) < 0.05
    assert max(errors) <= 1.5 * max(bounds)


def test_what_is_frozen_gets_no_gradient(kernels: Kernels) -> None:
    model = model_of("legacy")
    model.encoder.freeze(2)
    exact = MixedPrecision("fp32", CPU)
    wanted = step_of(model, exact)
    model.encoder.kernels = kernels
    assert step_of(model, exact).keys() == wanted.keys()


def test_an_evaluation_does_not_change(kernels: Kernels) -> None:
    model = model_of("custom").eval()
    with torch.no_grad():
        wanted = model(BATCHES[0])
        model.encoder.kernels = kernels
        assert torch.equal(model(BATCHES[0]), wanted)


def test_the_same_step_gives_the_same_bits(kernels: Kernels) -> None:
    model = model_of("custom", hidden_dropout=0.1)
    model.encoder.kernels = kernels
    first, second = (step_of(model, MixedPrecision("bf16", CPU)) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_loss_that_is_no_number_stays_so(kernels: Kernels) -> None:
    model = model_of("custom")
    model.encoder.kernels = kernels
    with torch.no_grad():
        model.encoder.layers[1].mlp.up.weight[0, 0] = float("nan")  # type: ignore[index]
    for precision in ("fp32", "bf16"):
        assert step_of(model, MixedPrecision(precision, CPU))["loss"].isnan()  # type: ignore[arg-type]


def test_a_model_with_kernels_is_saved_and_copied_without_them(kernels: Kernels, tmp_path: Path) -> None:
    model = model_of("custom")
    names = set(model.state_dict())
    model.encoder.kernels = kernels
    assert set(model.state_dict()) == names
    assert copy.deepcopy(model).encoder.kernels is kernels
