"""bf16 is used only where its products are right: where OpenMP gives the threads that torch announces."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from custom_bert import openmp, precision
from custom_bert.precision import sound_precision

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")

LIBRARY = openmp._library()
needs_openmp = pytest.mark.skipif(LIBRARY is None, reason="this build of torch has no OpenMP")


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@needs_openmp
@pytest.mark.usefixtures("two_threads")
def test_another_library_that_turns_dynamic_adjustment_on_is_noticed() -> None:
    assert sound_precision("bf16", CPU) == ("bf16", None)
    LIBRARY.omp_set_dynamic(1)
    try:
        found, why = sound_precision("bf16", CPU)
        assert sound_precision("fp32", CPU) == ("fp32", None)
    finally:
        LIBRARY.omp_set_dynamic(0)
    assert found == "fp32" and why is not None and "\n" not in why
    assert "OpenMP may give fewer threads" in why
    assert sound_precision("bf16", CPU) == ("bf16", None)


@needs_openmp
def test_one_thread_needs_no_others() -> None:
    LIBRARY.omp_set_dynamic(1)
    try:
        assert sound_precision("bf16", CPU) == ("bf16", None)
    finally:
        LIBRARY.omp_set_dynamic(0)


ASK = """
import json, torch
torch.set_num_threads(2)
from custom_bert import openmp
from custom_bert.precision import _bf16_products_hold, sound_precision
said = openmp.shortage()
products = _bf16_products_hold(2, 0)
print(json.dumps([said, products, sound_precision("bf16", torch.device("cpu"))]))
"""


@needs_openmp
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"OMP_THREAD_LIMIT": "1"}, "OMP_THREAD_LIMIT"),
        ({"OMP_DYNAMIC": "true"}, "OMP_DYNAMIC"),
        ({"OMP_MAX_ACTIVE_LEVELS": "0"}, "OMP_MAX_ACTIVE_LEVELS"),
    ],
)
def test_what_takes_threads_away_is_named(given: dict[str, str], says: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")} | given
    out = subprocess.check_output([sys.executable, "-c", ASK], env=environment, text=True, cwd=ROOT)
    said, _, (found, why) = json.loads(out)
    assert found == "fp32"
    assert says in said and said in why


@pytest.mark.usefixtures("two_threads")
def test_a_product_that_is_wrong_for_a_reason_nobody_knows_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = torch.nn.functional.linear

    lost = 0.0

    def half(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        found = real(x, weight)
        if x.dtype is torch.bfloat16:
            found[len(found) // 2 :] = lost
        return found

    monkeypatch.setattr(precision.F, "linear", half)
    for lost in (0.0, float("nan")):  # noqa: B007
        precision._bf16_products_hold.cache_clear()
        found, why = sound_precision("bf16", CPU)
        assert found == "fp32" and why is not None and "far from the same product in fp32" in why
    monkeypatch.undo()
    precision._bf16_products_hold.cache_clear()
    assert sound_precision("bf16", CPU) == ("bf16", None)


def test_the_trial_draws_from_nobodys_generator() -> None:
    precision._bf16_products_hold.cache_clear()
    before = torch.get_rng_state()
    sound_precision("bf16", CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_within_loading_torch_has_one_thread_and_then_as_many_as_before() -> None:
    torch.set_num_threads(3)
    with pytest.raises(KeyError), openmp.one_thread():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == 3
