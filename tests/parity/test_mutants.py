"""The test of the tests: nine planted mistakes, each of which the parity comparison must notice.

Fresh weights and random weights together notice all nine; either alone misses some (the usual "fresh model,
compare logits" misses five).
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from custom_bert.config import Preset
from custom_bert.layout import Block, Layout
from custom_bert.models import layers

pytest.importorskip("transformers", reason="transformers is not installed: parity is not tested")

from parity.comparison import Mutant, compare


def swapped(one: str, other: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    def swap(state: dict[str, Tensor]) -> dict[str, Tensor]:
        both = [n for n in state if one in n and n.replace(one, other) in state]
        changed = dict(state)
        for name in both:
            twin = name.replace(one, other)
            changed[name], changed[twin] = state[twin], state[name]
        return changed

    return swap


def changed(**changes: object) -> Callable:
    return lambda config: dataclasses.replace(config, **changes)


@contextmanager
def tanh_gelu() -> Iterator[None]:
    exact = layers.ACTIVATIONS["gelu"]
    layers.ACTIVATIONS["gelu"] = lambda x: F.gelu(x, approximate="tanh")
    original = layers.Mlp.forward

    def forward(self: layers.Mlp, x_TD: Tensor) -> Tensor:
        self.activation = layers.ACTIVATIONS["gelu"]
        return original(self, x_TD)

    layers.Mlp.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        layers.ACTIVATIONS["gelu"] = exact
        layers.Mlp.forward = original  # type: ignore[method-assign]


@contextmanager
def halves_swapped() -> Iterator[None]:
    original = layers.Mlp.forward

    def forward(self: layers.Mlp, x_TD: Tensor) -> Tensor:
        up_TF, gate_TF = self.up(x_TD).chunk(2, dim=-1)
        out: Tensor = self.down(self.activation(gate_TF) * up_TF)
        return out

    layers.Mlp.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        layers.Mlp.forward = original  # type: ignore[method-assign]


@contextmanager
def leaking() -> Iterator[None]:
    """All sequences of a packed batch attend to each other."""
    original = layers.attention

    def one_sequence(qkv: Tensor, layout: Layout, **options: Any) -> Tensor:
        rows = layout.num_rows
        whole = Layout(
            torch.tensor([0, rows], dtype=torch.int32),
            torch.tensor([rows]),
            (Block(0, 0, 1, rows, padded=False),),
            rows,
        )
        return original(qkv, whole, **options)

    layers.attention = one_sequence
    try:
        yield
    finally:
        layers.attention = original


MUTANTS: dict[str, tuple[Preset, Mutant]] = {
    "post-norm slots swapped in the table": (
        "legacy",
        Mutant(table=swapped("attn_out_norm", "mlp_out_norm")),
    ),
    "pre-norm slots swapped in the table": ("modern", Mutant(table=swapped("attn_in_norm", "mlp_in_norm"))),
    "tanh for erf gelu": ("legacy", Mutant(code=tanh_gelu)),
    "norm eps": ("legacy", Mutant(config=changed(norm_eps=1e-5))),
    "window off by one": ("modern", Mutant(config=changed(local_attention=10))),
    "one base for both kinds of layers": ("modern", Mutant(config=changed(local_rope_theta=160_000.0))),
    "every layer global": ("modern", Mutant(config=changed(local_attention=0))),
    "geglu halves swapped": ("modern", Mutant(code=halves_swapped)),
    "packed sequences leak": ("modern", Mutant(code=leaking)),
}


def both_passes_agree(preset: Preset, mutant: Mutant) -> bool:
    return all(compare(preset, random=random, mutant=mutant).agree for random in (True, False))


@pytest.mark.parametrize("name", MUTANTS)
def test_the_comparison_notices(name: str) -> None:
    preset, mutant = MUTANTS[name]
    assert not both_passes_agree(preset, mutant)


@pytest.mark.parametrize("preset", ["legacy", "custom", "modern"])
def test_the_control_without_a_mistake_agrees(preset: Preset) -> None:
    assert both_passes_agree(preset, Mutant())


def test_there_are_nine() -> None:
    assert len(MUTANTS) == 9
