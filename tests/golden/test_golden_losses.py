"""Twenty steps of a tiny classifier and a tiny language model: a change that should not change results
must not change these numbers.

Recorded with torch 2.13.0 in fp32 on one thread; 1e-4 covers other versions and processors. To record anew
after a change that is meant to change results: `python tests/golden/test_golden_losses.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from custom_bert.batch import Batch
from custom_bert.config import ModelConfig, Preset
from custom_bert.data.batching import plan_batches
from custom_bert.data.masking import Masker
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.masked_lm import MaskedLanguageModel
from custom_bert.precision import MixedPrecision
from custom_bert.presets import encoder_config
from custom_bert.rules.schedule import lr_factor
from custom_bert.tasks.classification import CrossEntropy
from custom_bert.tasks.token_scorer import TokenCrossEntropy
from custom_bert.training.optim import make_optimizer, set_lr
from custom_bert.training.step import train_step

RECORD = Path(__file__).with_name("losses.json")
STEPS = 20


@contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def losses(preset: Preset, objective: str, skip_unread: bool) -> list[float]:
    """Fixed data, fixed seed, dropout on, accumulation over two microbatches."""
    generator = np.random.Generator(np.random.PCG64(0))
    texts = [generator.integers(5, 60, size=n) for n in generator.integers(3, 24, size=120)]
    labels = np.array([int(text[0]) % 3 for text in texts])
    torch.manual_seed(0)
    config = encoder_config(
        preset,
        ModelConfig(
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            local_attention=8,
            hidden_dropout=0.1,
        ),
        vocab_size=60,
        pad_token_id=0,
        max_length=32,
        default_shape=(32, 3),
    )
    model = SequenceClassifier(config, 3).train()
    model.encoder.skip_unread = skip_unread
    trained = MaskedLanguageModel(model.encoder).train() if objective == "mlm" else model
    optimizer = make_optimizer(trained, lr=2e-3, weight_decay=0.01)
    lengths = np.array([len(text) for text in texts])
    found: list[float] = []
    epoch = 0
    while len(found) < STEPS:
        plan = plan_batches(lengths, "uniform_length", token_budget=128, batch_size=None, seed=0, epoch=epoch)
        for first, second in zip(plan[::2], plan[1::2], strict=False):
            batches = [
                Batch.build(
                    [texts[i] for i in rows],
                    slots=int(lengths[rows].max()),
                    targets=labels[rows],
                    indices=rows,
                )
                for rows in (first, second)
            ]
            if objective == "mlm":
                masker = Masker(mask_id=4, special_ids=(0, 1, 2, 3, 4), vocab_size=60, rate=0.3, seed=0)
                batches = [masker.mask(b, epoch) for b in batches]
            set_lr(optimizer, 2e-3 * lr_factor((len(found) + 1) / STEPS, warmup=0.1, schedule="cosine"))
            result = train_step(
                trained,
                optimizer,
                batches,
                TokenCrossEntropy() if objective == "mlm" else CrossEntropy(),
                precision=MixedPrecision("fp32", torch.device("cpu")),
                clip_norm=1.0,
            )
            found.append(float(result.loss))
            if len(found) == STEPS:
                break
        epoch += 1
    return found


CASES: list[tuple[Preset, str, bool]] = [
    (preset, objective, skip_unread)
    for preset in ("legacy", "custom", "modern")
    for objective in ("classify", "mlm")
    for skip_unread in (False, True)
]


def name_of(preset: Preset, objective: str, skip_unread: bool) -> str:
    return f"{preset} {objective}{', unread rows skipped' if skip_unread else ''}"


@pytest.mark.parametrize(("preset", "objective", "skip_unread"), CASES)
def test_twenty_losses_are_the_recorded_ones(preset: Preset, objective: str, skip_unread: bool) -> None:
    recorded = json.loads(RECORD.read_text())
    with one_thread():
        found = losses(preset, objective, skip_unread)
    assert found == pytest.approx(recorded[name_of(preset, objective, skip_unread)], rel=1e-4)
    assert found[-1] < found[0]


def test_the_same_process_gives_the_same_bits_twice() -> None:
    with one_thread():
        assert losses("custom", "classify", True) == losses("custom", "classify", True)


if __name__ == "__main__":
    with one_thread():
        RECORD.write_text(json.dumps({name_of(*case): losses(*case) for case in CASES}, indent=1) + "\n")
