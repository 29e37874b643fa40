"""Several processes that train one model together. torchrun starts them, and everything that they exchange is
sent by this module.

    torchrun --nproc-per-node 2 -m custom_bert train data/ --out runs/x

Every rank makes the same plan and takes its share of each batch, so that the number of ranks changes no step.
Rank 0 alone writes files and prints. Control messages are plain numbers and JSON on the CPU (gloo). Gradients
are exchanged on the device that computes them.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from custom_bert.errors import ConfigError, RunError, UserError, first_line

T = TypeVar("T")

PATIENCE = timedelta(minutes=30)
"""How long a rank waits for the others. If one of them ends, its connections close and the others notice at
once."""

LOST = ("gloo", "NCCL", "Connection closed", "Connection reset")
"""Parts of the messages of errors that arise because another process has ended."""

PREPARATION = timedelta(days=7)
"""How long the others wait while rank 0 reads and tokenises."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, seen from one of them.

    Methods that exchange something have to be called by all ranks, in the same order.

    Attributes:
        rank: the number of this process, from 0.
        world: the number of processes.
        patient: a group of the same processes, in which the others wait as long as rank 0 may take to
            prepare.
    """

    rank: int = 0
    world: int = 1
    patient: Any = None

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes files and prints."""
        return self.rank == 0

    def share(self, indices: np.ndarray) -> tuple[np.ndarray, bool]:
        """Returns every `world`-th of some examples, and whether they count.

        The examples of a batch are neighbours in length, so that the shares are of almost equal size. If
        there are fewer examples than ranks, a rank without any gets one that does not count, because all
        ranks have to take part in every step.
        """
        own = indices[self.rank :: self.world]
        return (own, True) if len(own) else (indices[:1], False)

    def totals(self, *numbers: float) -> list[float]:
        """Returns the sum of each number over the ranks, in double precision."""
        if self.world == 1:
            return list(numbers)
        return self._reduced(numbers, dist.ReduceOp.SUM)

    def largest(self, *numbers: float) -> list[float]:
        """Returns the largest value of each number over the ranks."""
        if self.world == 1:
            return list(numbers)
        return self._reduced(numbers, dist.ReduceOp.MAX)

    def told(self, *numbers: float) -> np.ndarray:
        """Returns (world, len(numbers)) float64, what each rank has called this with: one exchange, however
        many numbers there are, and whatever each rank makes of them."""
        own = torch.tensor(numbers, dtype=torch.float64)
        return torch.stack(self.gathered(own)).numpy()

    @staticmethod
    def _reduced(numbers: Sequence[float], how: Any) -> list[float]:
        values = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(values, how)
        results: list[float] = values.tolist()
        return results

    def total(self, tensor: Tensor) -> Tensor:
        """Returns the sum of the ranks' tensors, on their device."""
        if self.world > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def gathered(self, tensor: Tensor) -> list[Tensor]:
        """Returns the tensors of all ranks in order. They are on the CPU and have one shape."""
        if self.world == 1:
            return [tensor]
        tensors = [torch.empty_like(tensor) for _ in range(self.world)]
        dist.all_gather(tensors, tensor)
        return tensors

    def joined(self, tensor: Tensor) -> Tensor:
        """Returns the rows of every rank's tensor, one rank after the other, on the CPU. The ranks may have
        different numbers of rows; for the exchange all are filled up to the largest number."""
        if self.world == 1:
            return tensor
        counts = [int(count) for count in self.gathered(torch.tensor([len(tensor)]))]
        filled = tensor.new_zeros((max(counts), *tensor.shape[1:]))
        filled[: len(tensor)] = tensor
        return torch.cat([rows[:n] for rows, n in zip(self.gathered(filled), counts, strict=True)])

    def collected(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns tensors, which may be divided among the ranks, whole at rank 0, and nothing at the others.
        They come together one at a time, so that no rank but 0 needs memory for all of them."""
        full_tensors = {}
        for name, tensor in tensors.items():
            full = whole(tensor)
            if self.leads:
                full_tensors[name] = full if full is tensor else full.cpu()
        return full_tensors

    def from_leader(self, make: Callable[[], T]) -> T:
        """Calls `make` at rank 0 and returns its result, which has to be plain JSON, at every rank.

        Raises:
            UserError: at rank 0, if `make` raised it.
            SystemExit: at the other ranks then, since rank 0 reports the error.
        """
        if self.world == 1:
            return make()
        with self._leader_first() as turn:
            content = json.dumps(make() if turn else None).encode() if turn else b""
        size = torch.tensor([len(content)])
        dist.broadcast(size, 0, group=self.patient)
        data = torch.empty(int(size), dtype=torch.uint8)
        if self.leads:
            data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        dist.broadcast(data, 0, group=self.patient)
        value: T = json.loads(bytes(data.numpy()))
        return value

    def one_after_the_other(self, make: Callable[[], T]) -> T:
        """Calls `make` at rank 0, and afterwards at the others, which then find the files that rank 0 has
        written.

        Raises:
            UserError: at rank 0, if `make` raised it there.
            SystemExit: at the other ranks then, since rank 0 reports the error.
        """
        if self.world == 1:
            return make()
        with self._leader_first() as turn:
            made = make() if turn else None
        return make() if made is None else made

    @contextmanager
    def _leader_first(self) -> Iterator[bool]:
        """Yields whether this is rank 0. At the end of the block the others wait for rank 0, and end if it
        raised UserError."""
        state = torch.tensor([1])
        if not self.leads:
            yield False
            dist.broadcast(state, 0, group=self.patient)
            if not int(state):
                raise SystemExit(1)
            return
        try:
            yield True
        except UserError:
            dist.broadcast(torch.tensor([0]), 0, group=self.patient)
            raise
        dist.broadcast(state, 0, group=self.patient)

    def parallel(self, model: nn.Module) -> nn.Module:
        """Returns the model such that its gradients are the mean over the ranks after a backward pass."""
        if self.world == 1 or _is_divided(model):
            return model
        return nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)


def shard(model: nn.Module, layers: Iterable[nn.Module], device: torch.device) -> None:
    """Divides the weights, and with them gradients and moments, among the ranks (FSDP2; Zhao et al. 2023,
    arXiv 2304.11277). Each rank holds a part, and a layer's weights come together while it computes.

    Args:
        model: the model, which is changed.
        layers: its parts whose weights come together at once.
        device: the device of the model.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard  # imported here, because that takes half a second

    # the warning is about in-place changes of the output, which is a view of filled-up rows; nobody changes
    # it
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def _is_divided(model: nn.Module) -> bool:
    """Returns whether `shard` has divided the model."""
    return hasattr(model, "set_requires_gradient_sync")


def whole(tensor: Tensor) -> Tensor:
    """Returns a tensor, which may be divided among the ranks, whole. Every rank has to call this."""
    full: Callable[[], Tensor] | None = getattr(tensor, "full_tensor", None)
    return tensor if full is None else full()


@torch.no_grad()
def put(tensor: Tensor, value: Tensor) -> None:
    """Copies a whole value into a tensor that may be divided among the ranks."""
    if hasattr(tensor, "placements") and hasattr(tensor, "device_mesh"):
        from torch.distributed.tensor import distribute_tensor

        mesh, placements = tensor.device_mesh, tensor.placements
        value = distribute_tensor(value.to(tensor.dtype), mesh, placements, src_data_rank=None)
    tensor.copy_(value)


def put_all(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copies whole values into the tensors of a model that may be divided among the ranks.

    Args:
        model: the model.
        tensors: the values by the names of the model's state dict. Tensors that have none stay as they are.
    """
    if not _is_divided(model):
        # not one by one: the model's own hook takes care of token tables of which some rows alone are trained
        model.load_state_dict(tensors, strict=False)
        return
    for name, tensor in model.state_dict().items():
        if name in tensors:
            put(tensor, tensors[name])


@contextmanager
def without_exchange(model: nn.Module) -> Iterator[None]:
    """Within the block, a backward pass adds to the gradients of this rank without exchanging them: for all
    microbatches of a step but the last."""
    if _is_divided(model):
        exchange: Any = model.set_requires_gradient_sync
        exchange(False)
        yield
        exchange(True)
        return
    no_sync: Callable[[], AbstractContextManager[None]] = getattr(model, "no_sync", nullcontext)
    with no_sync():
        yield


@contextmanager
def joined(device: str | None) -> Iterator[Ranks]:
    """Yields the ranks that torchrun has started; this process alone if torchrun has not started it.

    Args:
        device: cpu or cuda, as configured; None for cuda if there is a GPU.

    Raises: ConfigError: if there are more processes than GPUs. RunError: if the processes cannot connect to
        each other; also, at rank 0, if another process has ended. SystemExit: at the other ranks, if a
        process has ended, since rank 0 reports that.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or "RANK" not in os.environ:
        yield Ranks()
        return
    cuda = device != "cpu" and torch.cuda.is_available()
    if cuda:
        local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= count:
            raise ConfigError([f"torchrun: --nproc-per-node is more than the {count} GPUs of this machine"])
        torch.cuda.set_device(local)
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"the processes do not find each other; start them by torchrun: {first_line(error)}"
        ) from error
    try:
        patient = dist.new_group(backend="gloo", timeout=PREPARATION)
        yield Ranks(dist.get_rank(), dist.get_world_size(), patient)
    except RuntimeError as error:
        if not any(words in str(error) for words in LOST):
            raise
        if dist.get_rank():
            raise SystemExit(1) from None  # rank 0 reports it
        raise RunError(
            "another process of this run has ended or cannot be reached; the same command continues at the "
            f"newest checkpoint ({first_line(error)})"
        ) from error
    finally:
        _let_go(sys.exception())
        dist.destroy_process_group()


def _let_go(error: BaseException | None) -> None:
    """Frees all objects that only reference cycles or the frames of an exception and its causes hold.

    A DistributedDataParallel that is freed after its process group waits in its destructor, with Python's
    lock held, for the group's threads, and they may wait for that lock: an interrupted rank never ends then.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()
