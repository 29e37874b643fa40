"""The tensors of a run: weights, AdamW's moments and random generators; into a checkpoint and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from custom_bert import files
from custom_bert.errors import RunError
from custom_bert.model_files.tensor_files import parse_tensors
from custom_bert.training.optim import AdamW, new_state
from custom_bert.training.ranks import put, put_all
from custom_bert.training.state import State


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Returns the states of the generators that dropout draws from, by name."""
    generators = {"random.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        generators["random.cuda"] = torch.cuda.get_rng_state(device)
    return generators


def restore_random(generators: Mapping[str, Tensor], device: torch.device) -> None:
    """Gives the generators the states that `random_state` returned for a device."""
    if "random.cpu" in generators:
        torch.set_rng_state(generators["random.cpu"])
    if "random.cuda" in generators and device.type == "cuda":  # not the current device, which may be another
        torch.cuda.set_rng_state(generators["random.cuda"], device)


def begin_moments(model: nn.Module, optimizer: AdamW) -> None:
    """Makes AdamW's moments, which it would otherwise make in its first step. So memory cannot run out in the
    middle of that step, and a checkpoint's moments have tensors to be copied into."""
    for parameter in model.parameters():
        if parameter.requires_grad and parameter not in optimizer.state:
            optimizer.state[parameter] = new_state(parameter)


def weights_of(state: State) -> dict[str, Tensor]:
    """Returns all tensors of a state but the moments: weights, random generators, and losses not logged yet.

    Every rank has to call this. Rank 0 gets the weights whole, and the generators of all ranks.
    """
    losses = torch.stack(state.losses).float() if state.losses else torch.zeros(0)
    random = {
        f"{name}.{rank}": one
        for name, own in random_state(state.device).items()
        for rank, one in enumerate(state.ranks.gathered(own))
    }
    return {**state.ranks.collected(_parameters(state)), **random, "losses": losses}


def _parameters(state: State) -> dict[str, Tensor]:
    """Returns the weights of the model, and of what the phase trains beside it, such as the head that
    predicts tokens. If the model is divided among ranks, so are these tensors."""
    tensors = {f"model.{name}": tensor for name, tensor in state.model.state_dict().items()}
    if state.phase.model is not state.model:
        beside = state.phase.model.state_dict()
        tensors |= {f"beside.{k}": tensor for k, tensor in beside.items() if not k.startswith("encoder.")}
    return tensors


def _trained(state: State) -> list[nn.Parameter]:
    """Returns the parameters that the phase trains, in order."""
    return [parameter for parameter in state.phase.model.parameters() if parameter.requires_grad]


def moments_of(state: State, *, divided: bool = False) -> dict[str, Tensor]:
    """Returns AdamW's moments by the parameter's name, and `steps`, a copy of the step counts of all
    parameters in order.

    Args:
        state: the state of the run.
        divided: whether to return the moments as this rank holds them, instead of whole at rank 0.
    """
    tensors: dict[str, Tensor] = {}
    steps = []
    for name, parameter in state.phase.model.named_parameters():
        if parameter.requires_grad:
            moments = state.phase.optimizer.state[parameter]
            tensors |= {f"{kind}.{name}": moments[kind] for kind in ("exp_avg", "exp_avg_sq")}
            steps.append(moments["step"])
    return {**(tensors if divided else state.ranks.collected(tensors)), "steps": torch.stack(steps)}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads a file of tensors. Raises RunError if it is damaged."""
    try:
        with files.open_regular(path) as stream:
            return parse_tensors(path, stream.read())
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror}") from error


def check_tensors(path: Path, stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raises RunError unless stored tensors have the names, shapes and types of others."""
    for name in sorted(wanted.keys() ^ stored.keys()):
        raise RunError(f"{path}: the tensor {name} is {'unknown' if name in stored else 'missing'}")
    for name, tensor in wanted.items():
        if stored[name].shape != tensor.shape or stored[name].dtype != tensor.dtype:
            ours, theirs = (f"{one.dtype} {tuple(one.shape)}" for one in (tensor, stored[name]))
            raise RunError(f"{path}: the tensor {name} is {theirs}, and this model has {ours}")


def put_weights(path: Path, stored: dict[str, Tensor], state: State) -> None:
    """Gives the model, and what the phase trains beside it, the weights of a checkpoint."""
    check_tensors(path, stored, _parameters(state))

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): tensor for k, tensor in stored.items() if k.startswith(prefix)}

    put_all(state.model, part("model."))
    if state.phase.model is not state.model:
        put_all(
            state.phase.model, part("beside.")
        )  # the encoder's weights are the model's, and are not in here


@torch.no_grad()
def restore_moments(path: Path, state: State) -> None:
    """Gives the optimizer AdamW's moments from a file, which holds what `moments_of` returns.

    Raises:
        RunError: if the file is damaged, or belongs to another model.
    """
    stored, moments = read_tensors(path), moments_of(state, divided=True)
    check_tensors(path, stored, moments)
    for name, tensor in moments.items():
        put(tensor, stored[name])
    for step, parameter in zip(stored["steps"], _trained(state), strict=True):
        state.phase.optimizer.state[parameter]["step"].copy_(step)
