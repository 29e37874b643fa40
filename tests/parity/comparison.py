"""One comparison for all families: outputs and every gradient, against transformers, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.config import Kernel, ModelConfig, Preset
from custom_bert.model_files.families import FAMILIES as BY_TYPE
from custom_bert.model_files.tables import Family, from_hugging_face
from custom_bert.models.heads import SequenceClassifier
from custom_bert.presets import EncoderConfig, encoder_config
from custom_bert.tasks.parts import Objective

LENGTHS = (3, 17, 9, 1, 12)
LABELS = 3
WINDOW = 8

FAMILIES: dict[Preset, Family] = {
    "legacy": BY_TYPE["bert"],
    "custom": BY_TYPE["roberta-prelayernorm"],
    "modern": BY_TYPE["modernbert"],
}


def tiny(preset: Preset, **changes: Any) -> EncoderConfig:
    """Three to five layers, no dropout, a window shorter than the longest sequence."""
    config = encoder_config(
        preset,
        ModelConfig(
            hidden_size=48,
            num_hidden_layers=5 if preset == "modern" else 3,
            num_attention_heads=4,
            intermediate_size=40,
            hidden_dropout=0.0,
            local_attention=WINDOW if preset == "modern" else 0,
        ),
        vocab_size=97,
        pad_token_id=0,
        max_length=64,
        default_shape=(48, 3),
    )
    return dataclasses.replace(config, **changes)


def reference(preset: Preset, config: EncoderConfig, implementation: str) -> nn.Module:
    """transformers' classifier of the family, freshly initialised."""
    import transformers

    classes = {
        "legacy": (transformers.BertConfig, transformers.BertForSequenceClassification),
        "custom": (
            transformers.RobertaPreLayerNormConfig,
            transformers.RobertaPreLayerNormForSequenceClassification,
        ),
        "modern": (transformers.ModernBertConfig, transformers.ModernBertForSequenceClassification),
    }
    config_class, model_class = classes[preset]
    values = FAMILIES[preset].config(config, LABELS)
    values.pop("model_type")
    ids = {"bos_token_id": None, "eos_token_id": None, "cls_token_id": None, "sep_token_id": None}
    made = config_class(**values, **ids, attn_implementation=implementation)
    model: nn.Module = model_class(made)
    return model


def randomise(model: nn.Module) -> None:
    """Gives every parameter, norms and biases included, a value of its own."""
    generator = torch.Generator().manual_seed(7)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            if parameter.dim() > 1:
                parameter.copy_(0.15 * noise)
            else:
                parameter.add_(0.3 * noise)


@dataclass
class Differences:
    """Largest difference of hidden vectors and logits, and relative difference of each gradient."""

    outputs: float
    gradients: dict[str, float] = field(default_factory=dict)

    @property
    def agree(self) -> bool:
        return self.outputs <= 1e-5 and max(self.gradients.values()) <= 1e-4


@dataclass(frozen=True)
class Mutant:
    """A planted mistake: in the table, in the architecture, or in the code while ours is run."""

    table: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda state: state
    config: Callable[[EncoderConfig], EncoderConfig] = lambda config: config
    code: Callable[[], AbstractContextManager[Any]] = nullcontext


def compare(
    preset: Preset,
    *,
    random: bool = True,
    training: bool = False,
    implementation: str = "eager",
    kernel: Kernel | None = None,
    layout: str = "packed",
    lengths: tuple[int, ...] = LENGTHS,
    mutant: Mutant | None = None,
    pairs: bool = False,
) -> Differences:
    """Runs both models forward and backward on the same weights and tokens; with `pairs`, the tokens from the
    middle of each text on have the type 1, where the family has types."""
    mutant = mutant or Mutant()
    config = tiny(preset)
    typed = pairs and config.type_vocab_size > 0
    if typed:
        config = dataclasses.replace(config, type_vocab_size=2)
    torch.manual_seed(1)
    theirs = reference(preset, config, implementation).train(training)
    if random:
        randomise(theirs)
    generator = np.random.Generator(np.random.PCG64(3))
    texts = [generator.integers(5, config.vocab_size, size=n) for n in lengths]
    longest = max(lengths)
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    types = [(np.arange(n) >= n // 2).astype(np.int64) for n in lengths]
    types_of_theirs = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = torch.from_numpy(text), 1
        types_of_theirs[row, : len(text)] = torch.from_numpy(types[row])
    given = {"token_type_ids": types_of_theirs} if typed else {}
    output = theirs(input_ids=ids, attention_mask=mask, output_hidden_states=False, **given)
    base = getattr(theirs, theirs.base_model_prefix)
    hidden = base(input_ids=ids, attention_mask=mask, **given).last_hidden_state[mask.bool()]
    probe_hidden = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(5))
    probe_logits = torch.randn(output.logits.shape, generator=torch.Generator().manual_seed(6))
    ((hidden * probe_hidden).sum() + (output.logits * probe_logits).sum()).backward()

    ours = SequenceClassifier(mutant.config(config), LABELS).train(training)
    ours.encoder.set_kernel(kernel)
    shapes = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    family = FAMILIES[preset]
    state = {name: tensor.detach() for name, tensor in theirs.state_dict().items()}
    ours.load_state_dict(mutant.table(from_hugging_face(family, state, shapes)))
    slot = {"packed": None, "longest": longest, "padded": config.max_position_embeddings}[layout]
    batch = Batch.build(texts, slots=slot, types=types if pairs else None)
    real_T = batch.layout.sequence_T < len(texts)
    with mutant.code():
        our_hidden = ours.encoder(batch)
        our_logits = ours(batch)
        ((our_hidden[real_T] * probe_hidden).sum() + (our_logits * probe_logits).sum()).backward()

    gradients = {
        n: p.grad if p.grad is not None else torch.zeros_like(p) for n, p in theirs.named_parameters()
    }
    wanted = from_hugging_face(family, gradients, shapes)
    found = Differences(
        max(
            float((our_hidden[real_T] - hidden).detach().abs().max()),
            float((our_logits - output.logits).detach().abs().max()),
        )
    )
    for name, parameter in ours.named_parameters():
        grad = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        scale = max(float(wanted[name].abs().max()), 1e-6)
        found.gradients[name] = float((grad - wanted[name]).abs().max()) / scale
    return found


def largest_difference(
    preset: Preset,
    theirs: nn.Module,
    wanted: tuple[Tensor, Tensor],
    texts: list[np.ndarray],
    targets: np.ndarray,
    objective: Objective,
) -> float:
    """The largest difference of outputs, of the loss and, relative to its size, of any gradient.

    Args:
        preset: the family of both models.
        theirs: transformers' model, with the gradients of its loss.
        wanted: its outputs and its loss.
        texts: the token ids of each text.
        targets: what ours should predict, as `batch.Targets` holds it.
        objective: our loss.
    """
    ours = SequenceClassifier(tiny(preset), LABELS).eval()
    shapes = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    state = {name: tensor.detach() for name, tensor in theirs.state_dict().items()}
    ours.load_state_dict(from_hugging_face(FAMILIES[preset], state, shapes))
    batch = Batch.build(texts, targets=targets)
    assert batch.targets is not None
    outputs_NK = ours(batch)
    loss = objective.loss_sum(outputs_NK, batch.targets) / objective.weight(batch.targets)
    loss.backward()

    none = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in theirs.named_parameters()}
    gradients = from_hugging_face(FAMILIES[preset], none, shapes)
    worst = [
        float((one - other).detach().abs().max())
        for one, other in zip((outputs_NK, loss), wanted, strict=True)
    ]
    for name, parameter in ours.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        scale = max(float(gradients[name].abs().max()), 1e-6)
        worst.append(0.1 * float((gradient - gradients[name]).abs().max()) / scale)
    return max(worst)


def same_logits_and_gradients(
    model: nn.Module,
    theirs: nn.Module,
    generator: np.random.Generator,
    batch_of: Callable[[list[np.ndarray], list[int]], Batch],
    to_theirs: Callable[[dict[str, Tensor]], dict[str, Tensor]],
) -> Tensor:
    """Asserts that a model of rows computes what a class of transformers does, forward and backward.

    Args:
        model: ours, which gives logits for the rows of a batch's targets.
        theirs: gives logits for all tokens.
        generator: draws the tokens.
        batch_of: makes a batch of sequences, whose targets are in some rows.
        to_theirs: returns tensors by their names.

    Returns:
        Our (M, K) logits.
    """
    sequences = [generator.integers(5, 40, size=n) for n in (12, 30, 7)]
    rows = [0, 3, 11, 12, 40, 41, 45]
    logits_MK: Tensor = model(batch_of(sequences, rows))
    wanted_TK = torch.cat([theirs(input_ids=torch.from_numpy(ids)[None]).logits[0] for ids in sequences])
    assert (logits_MK - wanted_TK[rows]).abs().max() < 1e-5
    weights_MK = torch.linspace(-1, 1, logits_MK.numel()).view_as(logits_MK)
    (logits_MK * weights_MK).sum().backward()  # type: ignore[no-untyped-call]
    (wanted_TK[rows] * weights_MK).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    named = to_theirs(gradients)
    wanted = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None and name in named}
    floor = 1e-3 * max(float(grad.norm()) for grad in wanted.values())  # some are 0 but for rounding
    for name, grad in wanted.items():
        assert (named[name] - grad).norm() < 1e-4 * grad.norm().clamp(min=floor), name
    unseen = {n for n, p in theirs.named_parameters() if p.grad is not None and p.grad.any()} - named.keys()
    assert not unseen, unseen
    return logits_MK
