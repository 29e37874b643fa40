"""A phase of a run: what is trained, on what, for how long. Pretraining and classification share one loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import nn

from custom_bert import machine
from custom_bert.batch import Batch
from custom_bert.config import require
from custom_bert.data.loader import prefetch
from custom_bert.data.masking import Masker
from custom_bert.errors import UserError
from custom_bert.models.encoder import Encoder
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.masked_lm import MaskedLanguageModel
from custom_bert.ops.losses import balanced_weights
from custom_bert.precision import MixedPrecision
from custom_bert.training.optim import make_optimizer, share_by_depth
from custom_bert.training.prepare import Prepared
from custom_bert.training.schedule import batches_of_step, longest_piece
from custom_bert.training.step import Classification, MaskedLanguage, Objective

PRETRAIN_SEED = 1
"""Added to the run's seed, so that pretraining sees batches in another order."""


@dataclass(frozen=True)
class Phase:
    """One pass of the loop.

    Attributes:
        name: pretrain or train; the kind of its records in metrics.jsonl.
        model: maps a batch to the objective's output.
        optimizer: of the model's parameters.
        objective: the loss.
        epochs: passes over the training split.
        lr: peak learning rate.
        dropout: whether the encoder's dropout is on.
        plan: epoch -> the example indices of each of its batches.
        build: (example indices, epoch) -> the batch of this rank's share of them, called in the loader's
            thread.
        evaluates: whether evaluations during the phase choose the weights that the run keeps.
    """

    name: Literal["pretrain", "train"]
    model: nn.Module
    optimizer: torch.optim.Optimizer
    objective: Objective
    epochs: int
    lr: float
    dropout: bool
    plan: Callable[[int], list[np.ndarray]]
    build: Callable[[np.ndarray, int], Batch]
    evaluates: bool

    def begin(self) -> None:
        """Switches the encoder's dropout on or off, as the phase has it."""
        encoder = self.model.encoder
        assert isinstance(encoder, Encoder)
        config, on = encoder.config, float(self.dropout)
        encoder.set_dropout(on * config.hidden_dropout, on * config.attention_dropout)


@dataclass(frozen=True)
class Step:
    """One optimizer step's batches, and where in its phase it stands once it is done.

    Attributes:
        microbatches: on the CPU.
        drawn_in: the pass that they belong to, from 0.
        longest: tokens of the pieces into which their sequences are cut; None for whole ones.
        epochs_done, steps_done: whole passes of the phase, and steps of the pass after those.
        progress: share of the phase.
        epoch: passes over the data.
        last: whether the phase ends with it.
    """

    microbatches: list[Batch]
    drawn_in: int
    longest: int | None
    epochs_done: int
    steps_done: int
    progress: float
    epoch: float
    last: bool


def classification(prepared: Prepared, model: SequenceClassifier) -> Phase:
    """The phase that learns the labels."""
    config, labels = prepared.config, prepared.dataset.labels
    weights_C = None
    if config.optim.class_weights == "balanced":
        counts = np.bincount(prepared.dataset.train_label_ids, minlength=len(labels))
        weights_C = balanced_weights(torch.from_numpy(counts)).to(prepared.device)
    assert config.optim.lr is not None and config.optim.epochs is not None
    r_drop, dropout = config.optim.r_drop or 0.0, prepared.token_dropout

    def build(indices: np.ndarray, epoch: int) -> Batch:
        own, counts = prepared.ranks.share(indices)
        batch = prepared.train.build(
            own,
            prepared.plan,
            prepared.max_length,
            copies=2 if r_drop else 1,
            dropout=dropout,
            epoch=epoch,
        )
        return batch if counts else replace(batch, stands_in=True)

    return Phase(
        name="train",
        model=model,
        optimizer=make_optimizer(
            model,
            lr=config.optim.lr,
            weight_decay=config.optim.weight_decay or 0.0,
            share=share_by_depth(
                prepared.encoder.num_hidden_layers,
                require(config.optim.layer_lr_decay),
                require(config.optim.embedding_lr_factor),
            ),
        ),
        objective=Classification(weights_C, config.optim.label_smoothing, r_drop),
        epochs=config.optim.epochs,
        lr=config.optim.lr,
        dropout=True,
        plan=lambda epoch: prepared.epoch_plan(config.seed, epoch, dropout),
        build=build,
        evaluates=True,
    )


def pretraining(prepared: Prepared, model: SequenceClassifier) -> Phase:
    """The phase that learns the language of the training texts before their labels are learned."""
    optim = prepared.config.optim
    assert optim.pretrain_lr and optim.pretrain_epochs
    language_model = MaskedLanguageModel(model.encoder).to(prepared.device).train()
    seed = prepared.config.seed + PRETRAIN_SEED
    return _masked(prepared, language_model, optim.pretrain_lr, optim.pretrain_epochs, seed, evaluates=False)


def language_modelling(prepared: Prepared, model: MaskedLanguageModel) -> Phase:
    """The phase of a run that learns from running text."""
    config = prepared.config
    assert config.optim.lr is not None and config.optim.epochs is not None
    return _masked(prepared, model, config.optim.lr, config.optim.epochs, config.seed, evaluates=True)


def _masked(
    prepared: Prepared, model: MaskedLanguageModel, lr: float, epochs: int, seed: int, *, evaluates: bool
) -> Phase:
    """Masked tokens are predicted; without dropout, as Geiping and Goldstein 2022 (arXiv 2212.14034) advise
    for short pretraining: masking is noise enough."""
    masked = masker(prepared, seed)

    def build(indices: np.ndarray, epoch: int) -> Batch:
        own, counts = prepared.ranks.share(indices)
        batch = masked.mask(prepared.train.build(own, prepared.plan, prepared.max_length), epoch)
        return batch if counts else replace(batch, stands_in=True)

    return Phase(
        name="pretrain",
        model=model,
        optimizer=make_optimizer(model, lr=lr, weight_decay=prepared.config.optim.weight_decay or 0.0),
        objective=MaskedLanguage(),
        epochs=epochs,
        lr=lr,
        dropout=False,
        plan=lambda epoch: prepared.epoch_plan(seed, epoch, None),
        build=build,
        evaluates=evaluates,
    )


def masker(prepared: Prepared, seed: int) -> Masker:
    """As the run's settings say."""
    tokenizer, optim = prepared.tokenizer, prepared.config.optim
    assert tokenizer.mask_id is not None, "prepare() refuses masking without a mask token"
    return Masker(
        tokenizer.mask_id,
        (*tokenizer.special_ids, *tokenizer.unused_ids),
        tokenizer.vocab_size,
        optim.mask_rate,
        seed,
        tokenizer.continues_V if optim.whole_words else None,
    )


def total_steps(phase: Phase, prepared: Prepared) -> int:
    """Optimizer steps of the phase, if all passes have as many batches as the first; with token dropout or
    packed batches another may have a few more or less."""
    batches, batch = len(phase.plan(0)), prepared.config.batch
    warming = min(phase.epochs, int(batch.warmup * phase.epochs) + 1)
    first = sum(len(step_sizes(phase, prepared, epoch, batches)) for epoch in range(warming))
    return first + (phase.epochs - warming) * -(-batches // batch.accumulation)


def step_sizes(phase: Phase, prepared: Prepared, epoch: int, batches: int) -> list[int]:
    """Batches of each optimizer step of a pass."""
    batch, sizes, done = prepared.config.batch, list[int](), 0
    while done < batches:
        share = (epoch + done / batches) / phase.epochs
        size = min(batches - done, batches_of_step(batch.accumulation, batch.warmup, share))
        sizes.append(size)
        done += size
    return sizes


def steps_of(phase: Phase, prepared: Prepared, epochs_done: int = 0, steps_done: int = 0) -> Iterator[Step]:
    """The phase's optimizer steps in order; batches are prepared ahead by a thread.

    Args:
        phase: what is trained.
        prepared: on what.
        epochs_done, steps_done: whole passes, and steps of the pass after those, that are left out; that
            takes no time.
    """
    warmup = prepared.config.batch.length_warmup if phase.evaluates and phase.name == "pretrain" else 0.0
    for epoch in range(epochs_done, phase.epochs):
        plan = phase.plan(epoch)
        sizes = step_sizes(phase, prepared, epoch, len(plan))
        begin, steps_done = steps_done, 0
        shares = [(epoch + i / len(sizes)) / phase.epochs for i in range(len(sizes))]
        longest = [longest_piece(prepared.max_length, warmup, share) for share in shares]
        limits = np.repeat(np.arange(len(sizes)), sizes).tolist()  # the step of each batch
        first = sum(sizes[:begin])
        items = [(plan[i], longest[limits[i]]) for i in range(first, len(plan))]
        batches = prefetch(items, lambda item, epoch=epoch: built(phase, epoch, *item))  # type: ignore[misc]
        for index in range(begin, len(sizes)):
            done = epoch + (index + 1) / len(sizes)
            ends = index == len(sizes) - 1
            yield Step(
                [next(batches) for _ in range(sizes[index])],
                drawn_in=epoch,
                longest=longest[index],
                epochs_done=epoch + ends,
                steps_done=0 if ends else index + 1,
                progress=done / phase.epochs,
                epoch=done,
                last=epoch == phase.epochs - 1 and ends,
            )


def built(phase: Phase, epoch: int, indices: np.ndarray, longest: int | None) -> Batch:
    """A batch of a pass, its sequences cut into pieces of at most `longest` tokens."""
    batch = phase.build(indices, epoch)
    return batch if longest is None else batch.cut(longest)


def estimate_seconds(phase: Phase, prepared: Prepared, precision: MixedPrecision, parts: int = 1) -> float:
    """Expected time of a phase, from one batch's forward and backward pass; leaves no trace.

    Args:
        phase: what is trained.
        prepared: on what.
        precision: of the passes.
        parts: in which a batch is computed.
    """
    plan, lengths_N = phase.plan(0), prepared.train.lengths_N
    # the padded plan costs by texts, the others by tokens
    costs_N = np.ones_like(lengths_N) if prepared.plan == "padded" else lengths_N
    batches = sum(int(costs_N[indices].sum()) for indices in plan) / int(costs_N[plan[0]].sum())
    while True:
        try:
            _, seconds = time_passes(phase, prepared, precision, 2, parts)  # the first pays for allocations
            return seconds * parts * batches * phase.epochs * OVERHEAD
        except (MemoryError, RuntimeError) as error:
            if not machine.is_out_of_memory(error):
                raise
            if parts >= len(plan[0]):
                raise text_too_long(int(lengths_N[plan[0]].max())) from None
        phase.optimizer.zero_grad(set_to_none=True)
        parts *= 2


def text_too_long(tokens: int) -> UserError:
    """For a text that does not fit into memory by itself."""
    return UserError(
        f"a text of {tokens:,} tokens does not fit into memory; lower data.max_length or model.size"
    )


def time_passes(
    phase: Phase, prepared: Prepared, precision: MixedPrecision, count: int, parts: int = 1
) -> list[float]:
    """Seconds of each of `count` forward and backward passes of a phase's first batch, or of the first of its
    parts; leaves no trace."""
    phase.begin()
    indices = phase.plan(0)[0]
    batch = phase.build(indices[: -(-len(indices) // parts)], 0).to(prepared.device)
    on_gpu = [prepared.device] if prepared.device.type == "cuda" else []
    found = []
    with torch.random.fork_rng(devices=on_gpu):
        for _ in range(count):
            begun = time.perf_counter()
            with precision.autocast():
                output = phase.model(batch)
            phase.objective.loss_sum(output, batch).backward()  # type: ignore[no-untyped-call]
            if on_gpu:
                torch.cuda.synchronize()
            found.append(time.perf_counter() - begun)
    phase.optimizer.zero_grad(set_to_none=True)
    return found


OVERHEAD = 1.2
"""Optimizer and evaluations, on top of the passes that `estimate_seconds` times."""
