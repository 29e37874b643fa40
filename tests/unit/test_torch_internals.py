"""What torch does not promise to keep is there, and does what we take it for."""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from custom_bert import torch_internals

NAMES: dict[str, Callable[..., Any]] = {
    "torch._softmax_backward_data": torch_internals.softmax_gradient,
    "torch._foreach_add_": torch_internals.fused_adamw,
    "torch._foreach_sub_": torch_internals.fused_adamw,
    "torch._fused_adamw_": torch_internals.fused_adamw,
    "torch.cpu._is_amx_tile_supported": torch_internals.has_amx,
    "torch.cpu._is_avx512_bf16_supported": torch_internals.has_avx512_bf16,
    "torch._dynamo.config.recompile_limit": torch_internals.recompile_limit,
    "torch._dynamo.utils.counters": torch_internals.graphs_compiled,
}
"""Each name with an underscore, and the function that needs it."""


def look_up(name: str) -> None:
    """Fails in words of our own where torch has no such name."""
    module, _, attribute = name.rpartition(".")
    try:
        getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        seen = ", ".join(torch_internals.SEEN_WITH)
        pytest.fail(
            f"torch {torch.__version__} has no {name}, which torch {seen} had. What it was for, and what "
            f"takes its place in custom_bert/torch_internals.py:\n{inspect.getdoc(NAMES.get(name))}",
            pytrace=False,
        )


@pytest.mark.parametrize("name", NAMES)
def test_torch_has_the_name(name: str) -> None:
    look_up(name)


def test_a_name_that_is_gone_is_told_with_the_versions_that_had_it_and_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch, "_softmax_backward_data")
    with pytest.raises(pytest.fail.Exception) as caught:
        look_up("torch._softmax_backward_data")
    assert "2.11, 2.12, 2.13 had" in str(caught.value) and "Replacement: `(grad -" in str(caught.value)


def test_no_name_is_forgotten_and_each_function_says_what_takes_its_place() -> None:
    tree = ast.parse(Path(torch_internals.__file__).read_text(encoding="utf-8"))
    chains = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    chains |= {f"{n.module}.{n.names[0].name}" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    private = {re.sub(r"^cpu\.", "torch.cpu.", chain) for chain in chains if re.search(r"\._[A-Za-z]", chain)}
    for name in private:
        assert any(known.startswith(name) or name.startswith(known) for known in NAMES), name
    assert all(any(name.startswith(known) for name in private) for known in NAMES)
    for name, function in inspect.getmembers(torch_internals, inspect.isfunction):
        if function.__module__ == torch_internals.__name__ and not name.startswith("set_"):
            assert "Replacement:" in (function.__doc__ or ""), name


def test_the_softmaxs_gradient_is_the_formulas() -> None:
    grad, out = torch.randn(3, 4, 7), torch.randn(3, 4, 7).softmax(-1)
    exact = (grad - (grad * out).sum(-1, keepdim=True)) * out
    assert torch.allclose(torch_internals.softmax_gradient(grad, out), exact, atol=1e-6)


def test_a_fused_step_divides_gradients_and_is_skipped_where_it_is_told_so() -> None:
    def after(divisor: float, skip: float) -> tuple[float, float]:
        parameter, gradient, moment, square = (torch.full((1,), x) for x in (1.0, 3.0, 0.0, 0.0))
        steps = torch.zeros(())
        torch_internals.fused_adamw(
            [parameter], [gradient], [moment], [square], [steps], lr=0.1, betas=(0.9, 0.999), eps=1e-8,
            weight_decay=0.0, divisor=torch.tensor(divisor), skip=torch.tensor(skip),
        )  # fmt: skip
        return round(moment.item(), 6), steps.item()

    assert (after(1.0, 0.0), after(3.0, 0.0), after(3.0, 1.0)) == ((0.3, 1), (0.1, 1), (0.0, 0))


def test_the_loss_scale_and_its_steps_are_kept_and_put_back() -> None:
    scalers = [torch.amp.GradScaler("cpu") for _ in range(2)]
    torch_internals.set_loss_scale(scalers[0], 512.0, 7)
    assert torch_internals.loss_scale(scalers[0]) == (512.0, 7)
    torch_internals.set_loss_scale(scalers[1], *torch_internals.loss_scale(scalers[0]))
    assert scalers[0].state_dict() == scalers[1].state_dict()


def test_the_compilers_limit_is_read_and_set() -> None:

    before = torch_internals.recompile_limit()
    assert before is not None
    try:
        torch_internals.set_recompile_limit(before + 1)
        assert torch_internals.recompile_limit() == before + 1
    finally:
        torch_internals.set_recompile_limit(before)


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="other systems have other names")
def test_openmp_is_found_where_torch_keeps_its_libraries() -> None:
    assert torch_internals.openmp_library().is_file()
