"""From a plan to a model that can be trained, seeded."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import nn

from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.masked_lm import MaskedLanguageModel
from custom_bert.ops.fused.library import NoKernelsError
from custom_bert.precision import MixedPrecision
from custom_bert.tasks.parts import EncoderModel
from custom_bert.tasks.predicting_tokens import before_the_task
from custom_bert.training import ranks as processes
from custom_bert.training.caller import set_deterministic
from custom_bert.training.clock import Clock
from custom_bert.training.compile import fuse, fusion_line
from custom_bert.training.embedding_init import start_from_cooccurrences
from custom_bert.training.log import Reporter
from custom_bert.training.phases import Phase, make_phase, time_passes
from custom_bert.training.plan import Material, RunPlan
from custom_bert.training.ranks import Ranks
from custom_bert.training.state import State
from custom_bert.training.tokens_in_use import train_tokens_in_use


def build(plan: RunPlan, material: Material, ranks: Ranks, reporter: Reporter) -> State:
    """Makes the model, the phases and what computes in mixed precision.

    Sets torch's number of threads, its seed, and whether its operations are deterministic; `train_model`
    restores them for its caller.
    """
    clock = Clock()  # the time of a run includes that of its first token vectors, and of compiling
    config, device = plan.config, plan.device
    torch.set_num_threads(config.runtime.threads)
    torch.manual_seed(config.seed)
    set_deterministic(config.runtime.deterministic)
    model = _model(plan, material).to(device).train()
    encoder = model.encoder
    encoder.set_kernel(config.runtime.attention)
    encoder.skip_unread = config.runtime.skip_unread
    encoder.freeze(config.optim.freeze_layers)
    if config.optim.embedding_init == "ppmi":
        start_from_cooccurrences(encoder, material, config.seed)
    # a sharded run trains all token vectors, even with one process, which may continue what several began
    if config.runtime.shard:
        if ranks.world > 1:
            processes.shard(model, encoder.layers, device)
    else:
        train_tokens_in_use(encoder, plan, material, reporter.detail)
    phases = _phases(model, plan, material, ranks)
    precision = MixedPrecision(config.runtime.precision, device, tf32=config.runtime.tf32)
    state = State(model, phases, precision, ranks, clock=clock)
    if ranks.rank:  # all ranks have drawn the same weights; from here on every rank draws its own dropout
        torch.manual_seed(config.seed + 1_000_003 * ranks.rank)
    if config.runtime.compile:
        _compile(state, plan, reporter)
    return state


def _model(plan: RunPlan, material: Material) -> EncoderModel:
    """Makes the model, from random weights or from those of a pretrained encoder."""
    model = _drawn(plan, material)
    biases_K = plan.task.first_biases(plan.config, material.source)
    if biases_K is not None:
        cast(SequenceClassifier, model).head.begin_with(biases_K)
    return model


def _drawn(plan: RunPlan, material: Material) -> EncoderModel:
    if material.pretrained is None:
        return cast(EncoderModel, plan.task.model(plan.encoder))
    tensors = dict(material.pretrained.state)
    material.pretrained.state.clear()  # the material lives as long as the run, and the tensors need not
    model = cast(EncoderModel, plan.task.model(plan.encoder, tensors))
    for name in material.pretrained.fixed:
        model.get_parameter(name).requires_grad_(False)
    return model


def _phases(model: EncoderModel, plan: RunPlan, material: Material, ranks: Ranks) -> list[Phase]:
    """Makes the task's phase and, if `optim.pretrain_epochs` asks for it, a phase of masked language
    modelling on the same texts before it."""
    phases = []
    if plan.config.optim.pretrain_epochs:
        language_model: nn.Module = MaskedLanguageModel(model.encoder).to(plan.device).train()
        before = before_the_task(plan.config, material.tokenizer)
        phases.append(make_phase("pretrain", language_model, before, plan, material, ranks))
    learning = plan.task.learning(plan.config, material.source, material.tokenizer)
    phases.append(make_phase(plan.task.phase, model, learning, plan, material, ranks))
    return phases


def _compile(state: State, plan: RunPlan, reporter: Reporter) -> None:
    """Fuses kernels. On a GPU, where shapes are compiled in the first passes, it reports what that cost and
    whether it pays."""
    config, on_gpu = plan.config, plan.device.type == "cuda"
    timed = partial(time_passes, state.phases[-1], plan.device, state.precision)
    eager = timed(2)[1] if on_gpu else 0.0
    try:
        if config.runtime.shard and not on_gpu:
            raise NoKernelsError("they read whole weights, which runtime.shard may divide")
        fuse(state.model.encoder, plan.device, reporter.say)
    except NoKernelsError as error:
        reporter.warn(f"training goes on without fused kernels: {error}")
        return
    if on_gpu:
        first, _, fused = timed(3)
        state.fused = True
        reporter.detail(fusion_line(eager, first, fused))
