"""Several processes that train one model. torchrun starts them; what they have to agree on goes through here.

    torchrun --nproc-per-node 2 -m custom_bert train data/ --out runs/x

Every rank makes the same plan and takes its share of each batch, so that how many there are changes no step.
Rank 0 alone writes. Control messages are plain numbers and JSON on the CPU (gloo), gradients go where they
are.
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
"""How long a rank waits for the others; one that dies is noticed at once, since its connections close."""

LOST = ("gloo", "NCCL", "Connection closed", "Connection reset")
"""What errors say that come of a process which is there no more."""

PREPARATION = timedelta(days=7)
"""How long the others wait while rank 0 reads and tokenises."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: of this process, from 0.
        world: how many there are.
        patient: the same processes, waiting as long as rank 0 may take to prepare.
    """

    rank: int = 0
    world: int = 1
    patient: Any = None

    @property
    def leads(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def share(self, indices: np.ndarray) -> tuple[np.ndarray, bool]:
        """Every `world`-th of some examples, which neighbours in length make even; and whether there are any.
        Where there are fewer examples than ranks, one stands in, for a rank has to take part in every
        step."""
        own = indices[self.rank :: self.world]
        return (own, True) if len(own) else (indices[:1], False)

    def totals(self, *numbers: float) -> list[float]:
        """Sums over the ranks, in double precision."""
        if self.world == 1:
            return list(numbers)
        return self._reduced(numbers, dist.ReduceOp.SUM)

    def largest(self, *numbers: float) -> list[float]:
        """The largest of the ranks' numbers, each by itself."""
        if self.world == 1:
            return list(numbers)
        return self._reduced(numbers, dist.ReduceOp.MAX)

    @staticmethod
    def _reduced(numbers: Sequence[float], how: Any) -> list[float]:
        values = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(values, how)
        results: list[float] = values.tolist()
        return results

    def total(self, tensor: Tensor) -> Tensor:
        """The sum of the ranks' tensors, on their device."""
        if self.world > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def gathered(self, tensor: Tensor) -> list[Tensor]:
        """Every rank's tensor, of one shape, on the CPU."""
        if self.world == 1:
            return [tensor]
        tensors = [torch.empty_like(tensor) for _ in range(self.world)]
        dist.all_gather(tensors, tensor)
        return tensors

    def joined(self, tensor: Tensor) -> Tensor:
        """The rows of every rank's tensor, one rank after the other, on the CPU. The ranks may have different
        numbers of rows, so they are filled up to the most that a rank has while they travel."""
        if self.world == 1:
            return tensor
        counts = [int(count) for count in self.gathered(torch.tensor([len(tensor)]))]
        filled = tensor.new_zeros((max(counts), *tensor.shape[1:]))
        filled[: len(tensor)] = tensor
        return torch.cat([rows[:n] for rows, n in zip(self.gathered(filled), counts, strict=True)])

    def collected(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All of tensors that may be divided, at rank 0, one after the other; at the others nothing stays."""
        full_tensors = {}
        for name, tensor in tensors.items():
            full = whole(tensor)
            if self.leads:
                full_tensors[name] = full if full is tensor else full.cpu()
        return full_tensors

    def from_leader(self, make: Callable[[], T]) -> T:
        """What rank 0 makes, plain JSON, at every rank.

        Raises:
            UserError: what it raised at rank 0.
            SystemExit: at the others then, silently.
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
        """What each rank makes, rank 0 before the others, which then find its files.

        Raises:
            UserError: what it raised at rank 0.
            SystemExit: at the others then, silently.
        """
        if self.world == 1:
            return make()
        with self._leader_first() as turn:
            made = make() if turn else None
        return make() if made is None else made

    @contextmanager
    def _leader_first(self) -> Iterator[bool]:
        """True at rank 0; the others wait until it is through, and end if it fails."""
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
        """The model, whose gradients are the mean over the ranks after a backward pass."""
        if self.world == 1 or _is_divided(model):
            return model
        return nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)


def shard(model: nn.Module, layers: Iterable[nn.Module], device: torch.device) -> None:
    """Divides weights, and with them gradients and moments, among the ranks (FSDP2; Zhao et al. 2023, arXiv
    2304.11277): each holds its part, and a layer's weights come together while it computes."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard  # half a second of imports that one process does without

    # logits are a view of filled-up rows; nothing is done to them in place
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def _is_divided(model: nn.Module) -> bool:
    """Whether `shard` has divided it."""
    return hasattr(model, "set_requires_gradient_sync")


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that may be divided among the ranks, every one of which has to ask for it."""
    full: Callable[[], Tensor] | None = getattr(tensor, "full_tensor", None)
    return tensor if full is None else full()


@torch.no_grad()
def put(tensor: Tensor, value: Tensor) -> None:
    """Gives a tensor that may be divided a value that is not."""
    if hasattr(tensor, "placements") and hasattr(tensor, "device_mesh"):
        from torch.distributed.tensor import distribute_tensor

        mesh, placements = tensor.device_mesh, tensor.placements
        value = distribute_tensor(value.to(tensor.dtype), mesh, placements, src_data_rank=None)
    tensor.copy_(value)


def put_all(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Gives each tensor of a model that may be divided its value. Names are those of its state dict; where
    some are missing, another model holds these tensors."""
    if not _is_divided(model):
        model.load_state_dict(tensors, strict=False)  # knows of tables whose rows in use are trained alone
        return
    for name, tensor in model.state_dict().items():
        if name in tensors:
            put(tensor, tensors[name])


@contextmanager
def without_exchange(model: nn.Module) -> Iterator[None]:
    """Where gradients are summed up and not exchanged yet."""
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
    """The ranks that torchrun started; this process alone if it did not.

    Args:
        device: cpu or cuda; None for cuda where there is one.

    Raises:
        ConfigError: for more processes than GPUs.
        RunError: if the processes do not find each other; at rank 0, if another one has ended; the others end
            silently, since whoever failed has told.
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
            raise SystemExit(1) from None  # rank 0 tells
        raise RunError(
            "another process of this run has ended or cannot be reached; the same command continues at the "
            f"newest checkpoint ({first_line(error)})"
        ) from error
    finally:
        _let_go(sys.exception())
        dist.destroy_process_group()


def _let_go(error: BaseException | None) -> None:
    """Frees what the frames of an exception and of those before it hold, and what only cycles hold.

    A DistributedDataParallel that is freed after its process group waits in its destructor, with Python's
    lock held, for the group's threads, and they may wait for that lock: an interrupted rank never ends then.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()
