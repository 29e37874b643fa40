"""Batching plans: which examples form which batch. Pure functions of (lengths, seed, epoch).

| plan | batches | padding |
|---|---|---|
| padded | random, a fixed number of examples, each padded to max_length | most of it, for short texts |
| uniform_length | neighbours in length among some random examples, under a token budget | at most 1 % |
| packed | random, a token budget filled best-fit | at most 1 % |

Every plan has every example exactly once. Under a token budget the last rows of a batch go to the longest
examples that fit, so that nearly all batches have exactly the budget's number of rows; what is missing to a
multiple of `ROW_MULTIPLE` is filler, and counts as padding.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import numpy as np

from custom_bert.batch import round_up
from custom_bert.config import Plan

OPEN_BATCHES = 8
"""Batches that packing keeps open while it looks for the best fit."""

COMPANY = 50
"""Batches of neighbours in length are drawn from random parts of so many batches: texts of one length alone
are no fair sample of the classes (docs/LOG.md)."""

ROW_MULTIPLE = 64
"""Batches under a token budget have a multiple of this many rows: few shapes, so few compiled kernels."""

EVALUATION_PADDING = 0.1
"""Padding that a block may hold in evaluation and prediction, where a few texts of many lengths shall not
make many blocks; training plans have enough texts of each length to do without."""


EVALUATION_ROWS = {"cpu": 2048, "cuda": 16_384}
"""Rows of a batch of evaluation and prediction, by device: more are slower on a CPU and take more memory."""

EVALUATION_OUTPUTS = 1 << 24
"""Numbers that a model may give for all texts which are evaluated or predicted together: 64 MB in fp32. Few
classes never reach it."""


def texts_at_once(outputs_per_text: int) -> int:
    """Texts that are evaluated or predicted together at most, by how many numbers, say classes, the model
    gives for each: so memory does not grow with their product."""
    return max(1, EVALUATION_OUTPUTS // max(1, outputs_per_text))


def plan_batches(
    lengths_N: np.ndarray,
    plan: Plan,
    *,
    token_budget: int,
    batch_size: int | None,
    seed: int,
    epoch: int,
) -> list[np.ndarray]:
    """The batches of one epoch, each an array of indices into `lengths_N`.

    Args:
        lengths_N: tokens of each example.
        plan: how to group.
        token_budget: rows of a batch (uniform_length, packed); a longer example gets a batch of its own.
        batch_size: examples of a batch (padded), or the most of one (None: no limit).
        seed: of the run.
        epoch: from 0; each has another order.
    """
    generator = np.random.Generator(np.random.PCG64([seed, epoch]))
    limit = batch_size or max(1, len(lengths_N))
    if plan == "padded":
        order = generator.permutation(len(lengths_N))
        return [order[i : i + limit] for i in range(0, len(order), limit)]
    if plan == "uniform_length":
        return _uniform_length(lengths_N, token_budget, limit, generator)
    return _packed(lengths_N, token_budget, limit, generator)


def by_length(lengths_N: np.ndarray, token_budget: int, most: int | None = None) -> list[np.ndarray]:
    """Batches of sorted lengths under a token budget, longest first, without any randomness: for
    evaluation and prediction, which put results back into input order by index.

    Args:
        lengths_N: tokens of each example.
        token_budget: rows of a batch; a longer example gets a batch of its own.
        most: examples of a batch at most; None for any number.
    """
    order, most = np.argsort(-lengths_N, kind="stable"), most or max(1, len(lengths_N))
    batches, start, rows, run = [], 0, 0, _Run()
    for i, length in enumerate(lengths_N[order].tolist()):
        run = run.followed_by(length, EVALUATION_PADDING)
        if (rows + run.slot > token_budget and i > start) or i - start == most:
            batches.append(order[start:i])
            start, rows, run = i, 0, _Run().followed_by(length, EVALUATION_PADDING)
        rows += run.slot
    return [*batches, order[start:]] if len(order) else []


def near_equal_slots(lengths_N: np.ndarray, padding: float) -> np.ndarray:
    """(N,) slots for examples in this order: each run is as long as its first, and ends before its share of
    padding would exceed `padding` or an example is longer."""
    slots_N, run = np.empty_like(lengths_N), _Run()
    for i, length in enumerate(lengths_N.tolist()):
        run = run.followed_by(length, padding)
        slots_N[i] = run.slot
    return slots_N


@dataclass(frozen=True)
class _Run:
    """Slots of one length, and the tokens in them."""

    slot: int = 0
    count: int = 0
    tokens: int = 0

    def followed_by(self, length: int, padding: float) -> _Run:
        """The run with one more example, or a new one that begins with it."""
        count, tokens = self.count + 1, self.tokens + length
        if length > self.slot or tokens < count * self.slot * (1 - padding):
            return _Run(length, 1, length)
        return _Run(self.slot, count, tokens)


def training_slots(lengths_N: np.ndarray, plan: Plan, max_length: int) -> np.ndarray:
    """(N,) slots of the examples of a training batch, in the plan's order."""
    if plan == "padded":
        return np.full(len(lengths_N), max_length, dtype=np.int64)
    return lengths_N


def num_rows(slots_N: np.ndarray, plan: Plan) -> int:
    """T: rows of a batch with these slots, filler included."""
    used = int(slots_N.sum())
    return used if plan == "padded" else round_up(used, ROW_MULTIPLE)


def padding_share(lengths_N: np.ndarray, batches: list[np.ndarray], plan: Plan, max_length: int) -> float:
    """1 - tokens / rows of some training batches."""
    rows = sum(num_rows(training_slots(lengths_N[b], plan, max_length), plan) for b in batches)
    return 1.0 - float(sum(int(lengths_N[b].sum()) for b in batches)) / rows


def _uniform_length(
    lengths_N: np.ndarray, token_budget: int, limit: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Examples in random order are cut into parts of `COMPANY` batches; inside a part, batches hold
    neighbours in length. What does not fill a batch there is batched together at the end.

    Batches come in random order, or training would see all long texts first.
    """
    shuffled = generator.permutation(len(lengths_N))
    ends = np.cumsum(lengths_N[shuffled])
    part_N = (ends - 1) // (COMPANY * token_budget)
    batches, rest = [], []
    for part in np.split(shuffled, np.flatnonzero(np.diff(part_N)) + 1):
        *full, last = _by_neighbours(lengths_N, part, token_budget, limit) or [part]
        batches += full
        rest.append(last)
    batches += _by_neighbours(lengths_N, np.concatenate(rest), token_budget, limit)
    return [batches[i] for i in generator.permutation(len(batches))]


def _by_neighbours(
    lengths_N: np.ndarray, shuffled: np.ndarray, token_budget: int, limit: int
) -> list[np.ndarray]:
    """From the longest example down; the last rows of each batch go to the longest that still fit."""
    order = shuffled[np.argsort(lengths_N[shuffled], kind="stable")]
    if not len(order):
        return []
    distinct, starts = np.unique(lengths_N[order], return_index=True)
    waiting = {int(n): group for n, group in zip(distinct, np.split(order, starts[1:]), strict=True)}
    lengths = distinct.tolist()  # of those still waiting, ascending
    batches = []
    while lengths:  # a batch each time
        members, room, places = [], max(token_budget, lengths[-1]), limit
        while places and (at := bisect.bisect_right(lengths, room)):
            length = lengths[at - 1]
            taken, waiting[length] = np.split(waiting[length], [min(places, room // length)])
            members.append(taken)
            room, places = room - length * len(taken), places - len(taken)
            if not len(waiting[length]):
                del lengths[at - 1]
        batches.append(np.concatenate(members))
    return batches


def _packed(
    lengths_N: np.ndarray, token_budget: int, limit: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Best-fit over a few open batches, examples in random order."""
    open_batches: list[tuple[int, list[int]]] = []
    done: list[list[int]] = []
    for i in generator.permutation(len(lengths_N)).tolist():
        length = int(lengths_N[i])
        fitting = [
            (used, k)
            for k, (used, members) in enumerate(open_batches)
            if used + length <= token_budget and len(members) < limit
        ]
        if fitting:
            _, k = max(fitting)
            open_batches[k][1].append(i)
            open_batches[k] = (open_batches[k][0] + length, open_batches[k][1])
        else:
            if len(open_batches) == OPEN_BATCHES:
                fullest = max(range(OPEN_BATCHES), key=lambda k: open_batches[k][0])
                done.append(open_batches.pop(fullest)[1])
            open_batches.append((length, [i]))
    done += [members for _, members in open_batches]
    return [np.array(members, dtype=np.int64) for members in done]
