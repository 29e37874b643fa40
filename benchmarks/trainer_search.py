"""What Hugging Face's Trainer runs best with: its learning rate, and its fewest epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean
from typing import Any

RATES = (5e-5, 1e-4, 2e-4)
MOST_EPOCHS = 4
WITHIN = 0.003
"""The Trainer gets the fewest epochs whose score is not lower than its best by more than this."""

Tried = list[dict[str, Any]]
"""What was tried: `seed`, `lr`, `epochs` and `score`, which is measured on validation data."""


def chosen(tried: Tried) -> tuple[float, int]:
    """The learning rate that is best at `MOST_EPOCHS`, and the fewest epochs that keep it near its best."""
    rates = sorted({one["lr"] for one in tried})
    rate = max(rates, key=lambda lr: _score(tried, lr, MOST_EPOCHS))
    epochs = sorted({one["epochs"] for one in tried if one["lr"] == rate})
    scores = {n: _score(tried, rate, n) for n in epochs}
    return rate, next(n for n in epochs if scores[n] >= max(scores.values()) - WITHIN)


def search(
    tried: Tried,
    score: Callable[[int, float, int], float],
    *,
    rates: Sequence[float],
    seeds: int,
    written: Callable[[], None],
) -> None:
    """Tries the rates at `MOST_EPOCHS`, and then fewer and fewer epochs at the best rate, until that costs
    more than `WITHIN`.

    Args:
        tried: what was tried already, which is not tried again. What is tried now is added.
        score: trains with a seed, a rate and a number of epochs, and returns the score on validation data.
        rates: that are tried.
        seeds: the number of seeds, over which scores are averaged.
        written: is called after each trial.
    """

    def average(lr: float, epochs: int) -> float:
        for seed in range(seeds):
            if (seed, lr, epochs) not in {(one["seed"], one["lr"], one["epochs"]) for one in tried}:
                found = score(seed, lr, epochs)
                tried.append({"seed": seed, "lr": lr, "epochs": epochs, "score": found})
                print(f"  searched: {tried[-1]}", flush=True)
                written()
        return _score(tried, lr, epochs)

    for lr in rates:
        average(lr, MOST_EPOCHS)
    rate = chosen(tried)[0]
    best = _score(tried, rate, MOST_EPOCHS)
    for epochs in range(MOST_EPOCHS - 1, 0, -1):
        found = average(rate, epochs)
        if found < best - WITHIN:
            break
        best = max(best, found)


def _score(tried: Tried, lr: float, epochs: int) -> float:
    return mean(one["score"] for one in tried if (one["lr"], one["epochs"]) == (lr, epochs))
