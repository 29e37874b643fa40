"""What the host alone can feed to a GPU: plans, batches, and the dispatch of steps, on one core.

    PYTHONPATH=. taskset -c 0 python benchmarks/host.py

Batches have 8,192 tokens. The dispatch of a step is timed by the same operations on next to no numbers: what
a step takes beyond that is the device's. Beside it stands what an H200 could take at half of its rate of
products. Of another version of the package, put its folder into PYTHONPATH and name its record by --out.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import options_of

BUDGET, REPEATS = 8192, 30
H200 = 790e12
"""FLOP/s of bf16 products, measured."""


def timed(run: Callable[[int], Any], count: int) -> list[float]:
    """The seconds of each call, after one that is not timed."""
    run(0)
    seconds = []
    for number in range(count):
        begun = time.perf_counter()
        run(number)
        seconds.append(time.perf_counter() - begun)
    return seconds


def row(seconds: list[float], tokens: float) -> dict[str, Any]:
    """The median, the smallest and the largest time, and tokens a second."""
    median = statistics.median(seconds)
    return {
        "ms": round(1e3 * median, 3),
        "ms_min": round(1e3 * min(seconds), 3),
        "ms_max": round(1e3 * max(seconds), 3),
        "million_tokens_per_second": round(tokens / median / 1e6, 3),
    }


def building() -> dict[str, Any]:
    """Plans and builds batches of texts of AG News's lengths."""
    import numpy as np

    from custom_bert.bench.workloads import AG_NEWS, SyntheticTexts
    from custom_bert.data.batching import plan_batches
    from custom_bert.data.loader import Transform
    from custom_bert.data.masking import Masker
    from custom_bert.data.token_dropout import TokenDropout

    lengths = AG_NEWS.lengths(60_000)
    builder = SyntheticTexts(lengths, 30_000).builder()
    transforms = {
        "build": Transform(),
        "build, token dropout": Transform(token_dropout=TokenDropout(0.33, 0)),
        "build, masking": Transform(masker=Masker(4, (0, 1, 2, 3, 4), 30_000, 0.25, 0)),
    }
    found = {}
    for plan in ("uniform_length", "packed"):

        def planned(number: int, plan: Any = plan) -> list[np.ndarray]:
            return plan_batches(lengths, plan, token_budget=BUDGET, batch_size=None, seed=0, epoch=number)

        found[f"{plan}: plan"] = row(timed(planned, 3), int(lengths.sum()))
        some = planned(0)[:REPEATS]
        tokens = sum(int(lengths[indices].sum()) for indices in some) / len(some)
        for name, transform in transforms.items():

            def built(number: int, plan: Any = plan, some: Any = some, transform: Any = transform) -> Any:
                return builder.build(some[number % len(some)], plan, 256, transform=transform)

            found[f"{plan}: {name}"] = row(timed(built, REPEATS), tokens)
    return found


def dispatch() -> dict[str, Any]:
    """Steps on next to no numbers: five short texts, 16 wide."""
    import numpy as np
    import torch

    from custom_bert.bench.workloads import SyntheticTexts
    from custom_bert.config import ModelConfig
    from custom_bert.data.loader import Transform
    from custom_bert.data.masking import Masker
    from custom_bert.models.heads import SequenceClassifier
    from custom_bert.models.masked_lm import MaskedLanguageModel
    from custom_bert.precision import MixedPrecision
    from custom_bert.presets import encoder_config
    from custom_bert.tasks.classification import CrossEntropy
    from custom_bert.tasks.token_scorer import TokenCrossEntropy
    from custom_bert.training.optim import make_optimizer
    from custom_bert.training.step import train_step

    found = {}
    for layers in (4, 12):
        for masked in (False, True):
            wishes = ModelConfig(hidden_size=16, num_hidden_layers=layers, num_attention_heads=1)
            config = encoder_config(
                "custom", wishes, vocab_size=40, pad_token_id=0, max_length=64, default_shape=(0, 0)
            )
            classifier = SequenceClassifier(config, 4)
            model = (MaskedLanguageModel(classifier.encoder) if masked else classifier).train()
            classifier.encoder.set_kernel("dense")
            optimizer = make_optimizer(model, lr=1e-4, weight_decay=0.01)
            builder = SyntheticTexts(np.array([8, 8, 8, 4, 4]), 40).builder()
            masker = Masker(4, (0, 1, 2, 3, 4), 40, 0.25, 0) if masked else None
            batch = builder.build(np.arange(5), "uniform_length", 64, transform=Transform(masker=masker))
            mixed, objective = (
                MixedPrecision("bf16", torch.device("cpu")),
                TokenCrossEntropy() if masked else CrossEntropy(),
            )

            def step(number: int, parts: Any = (model, optimizer, batch, objective, mixed)) -> None:
                model, optimizer, batch, objective, mixed = parts
                train_step(model, optimizer, [batch], objective, precision=mixed, clip_norm=1.0)

            what = "masked tokens" if masked else "labels"
            found[f"dispatch, {layers} layers, {what}"] = row(timed(step, 2 * REPEATS), BUDGET)
    return found


def bounds() -> dict[str, Any]:
    """Tokens a second that an H200 could take at half of its rate of products."""
    found = {}
    for width, layers in ((256, 4), (768, 12)):
        flops = 3 * layers * (24 * width**2 + 4 * 53 * width)
        found[f"{width}x{layers}"] = {
            "flops_per_token": flops,
            "million_tokens_per_second": round(H200 / 2 / flops / 1e6, 2),
        }
    return found


def main() -> None:
    """Measures, prints and writes the record."""
    options = options_of(__file__, __doc__).parse_args()
    import torch

    from custom_bert import machine

    torch.set_num_threads(1)
    record = {
        "question": "What can one core of the host feed to a GPU?",
        "source": machine.source_digest(),
        "machine": machine.description(torch.device("cpu")),
        "tokens_per_batch": BUDGET,
        "host": {**building(), **dispatch()},
        "h200": bounds(),
    }
    for name, values in [*record["host"].items(), *record["h200"].items()]:
        print(f"{name:45} {values}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    Path(options.out).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
