"""What several processes agree on, as far as one process shows it."""

import itertools
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
import torch
from torch import nn
from training_runs import settings, write_data

from custom_bert import train_model
from custom_bert.errors import ConfigError, RunError
from custom_bert.training import fit, ranks
from custom_bert.training.ranks import Ranks

T = TypeVar("T")


class Held:
    """As a DistributedDataParallel holds itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.mark.parametrize("ends", [SystemExit, RunError, None])
def test_what_a_run_held_is_freed_before_its_process_group(
    monkeypatch: pytest.MonkeyPatch, ends: type[BaseException] | None
) -> None:
    """Freed after it, the last of its threads and the interpreter's lock waited for each other, in one of a
    hundred runs that were interrupted."""
    held: list[weakref.ref[Held]] = []
    freed: list[bool] = []

    class Group:
        """torch.distributed, without processes."""

        init_process_group = new_group = staticmethod(lambda *_, **__: None)
        get_rank = staticmethod(lambda: 0)
        get_world_size = staticmethod(lambda: 2)

        @staticmethod
        def destroy_process_group() -> None:
            freed.append(held[0]() is None)

    monkeypatch.setattr(ranks, "dist", Group)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")

    def fit() -> None:
        model = Held()
        held.append(weakref.ref(model))
        if ends:
            raise RuntimeError("Connection closed by peer" if ends is RunError else "stop")

    def train() -> Any:
        try:
            fit()
        except RuntimeError:
            if ends is SystemExit:
                raise SystemExit(143) from None
            raise

    if ends is None:
        with ranks.joined("cpu"):
            train()
    else:
        with pytest.raises(ends), ranks.joined("cpu"):
            train()
    assert freed == [True]


def test_more_processes_than_gpus_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "8", "RANK": "5", "LOCAL_RANK": "5"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with pytest.raises(ConfigError, match="more than the 4 GPUs"), ranks.joined(None):
        pass


def test_processes_without_an_address_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(RunError, match="do not find each other"), ranks.joined("cpu"):
        pass


@pytest.mark.parametrize("rows", [(2, 5), (3, 0)])
def test_rows_of_ranks_that_have_not_as_many_are_joined(
    monkeypatch: pytest.MonkeyPatch, rows: tuple[int, int]
) -> None:
    """Two threads stand for two processes, whose tensors have to be of one shape when they travel."""
    barrier, sent = threading.Barrier(2, timeout=10), dict[int, torch.Tensor]()
    rank = threading.local()

    class Group:
        @staticmethod
        def all_gather(found: list[torch.Tensor], tensor: torch.Tensor) -> None:
            sent[rank.number] = tensor
            barrier.wait()
            for place, one in zip(found, (sent[0], sent[1]), strict=True):
                assert place.shape == one.shape
                place.copy_(one)
            barrier.wait()

    monkeypatch.setattr(ranks, "dist", Group)
    tensors = [torch.arange(3 * n).view(n, 3) + 100 * i for i, n in enumerate(rows)]

    def joined(number: int) -> torch.Tensor:
        rank.number = number
        return Ranks(number, 2).joined(tensors[number])

    with ThreadPoolExecutor(2) as threads:
        for found in threads.map(joined, range(2)):
            assert torch.equal(found, torch.cat(tensors))
    assert torch.equal(Ranks().joined(tensors[0]), tensors[0])


class Alike(Ranks):
    """Rank 0 of two that say the same, in one process; counts their exchanges of numbers."""

    exchanges: ClassVar[int] = 0

    def gathered(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        Alike.exchanges += 1
        return [tensor, tensor]

    @staticmethod
    def _reduced(numbers: Sequence[float], how: Any) -> list[float]:
        Alike.exchanges += 1
        return list(numbers)

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def joined(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def from_leader(self, make: Callable[[], T]) -> T:
        return make()

    def one_after_the_other(self, make: Callable[[], T]) -> T:
        return make()

    def parallel(self, model: nn.Module) -> nn.Module:
        return model


def test_ranks_exchange_numbers_once_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to end, the time, a checkpoint that is due and the sums of the batches go together."""
    monkeypatch.setattr(ranks, "joined", lambda device: nullcontext(Alike(0, 2)))
    before, real = [], fit.step_within_memory

    def counted(*positional: Any, **named: Any) -> Any:
        before.append(Alike.exchanges)
        return real(*positional, **named)

    monkeypatch.setattr(fit, "step_within_memory", counted)
    data = write_data(tmp_path / "data", train=60, val=12)
    changes = {"optim.epochs": 1, "optim.class_weights": "balanced", "optim.eval_every": 1000}
    train_model(settings(data, tmp_path / "run", **changes))
    assert len(before) > 2
    assert {later - earlier for earlier, later in itertools.pairwise(before)} == {1}


def test_ranks_tell_each_other_any_number_of_numbers_at_once() -> None:
    assert Ranks().told(3, 0.5, True).tolist() == [[3, 0.5, 1]]
    assert Alike(0, 2).told(3, 0.5).tolist() == [[3, 0.5]] * 2
