"""Batching plans: which examples form which batch. Pure functions of (lengths, seed, epoch).

| plan | batches | padding |
|---|---|---|
| padded | random, a fixed number of examples, each padded to max_length | most of it, for short texts |
| uniform_length | near-equal lengths among some random examples, a token budget filled | none |
| packed | random, a token budget filled best-fit | none |

Every plan has every example exactly once. Under a token budget the last rows of a batch go to the longest
examples that fit, so that nearly all batches have exactly the budget's number of rows. Filler rounds the
number of rows up to a multiple of `ROW_MULTIPLE`: 0.2 % of the rows with uniform_length, 1 % with packed. The
logged share of padding counts it.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import numpy as np

from custom_bert.config import Plan
from custom_bert.rounding import round_up

OPEN_BATCHES = 8
"""The number of batches that packing keeps open while it looks for the best fit."""

POOL_BATCHES = 50
"""Batches of neighbours in length are formed inside random pools of examples, each as large as this number of
batches. In one pool of all examples a batch would hold texts of a single length, and these are no fair sample
of the classes (docs/log/0011)."""

ROW_MULTIPLE = 64
"""Batches under a token budget have a multiple of this many rows. So there are few shapes, and few kernels
have to be compiled."""

EVALUATION_PADDING = 0.1
"""Largest share of padding in a block in evaluation and prediction. A few texts of many different lengths
would otherwise make a block for each length. Training plans have enough texts of each length, and allow no
padding."""

EVALUATION_ROWS = {"cpu": 2048, "cuda": 16_384}
"""Rows of a batch of evaluation and prediction, by device. More rows are slower on a CPU and take more
memory."""

EVALUATION_OUTPUTS = 1 << 24
"""Largest number of outputs that a model gives for the texts which are evaluated or predicted together: 64 MB
in fp32. It only matters where there are very many classes."""


def texts_at_once(outputs_per_text: int) -> int:
    """Returns how many texts are evaluated or predicted together at most.

    The bound keeps memory from growing with texts times outputs.

    Args:
        outputs_per_text: the number of values that the model gives for a text, such as one for each class.
    """
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
    """Returns the batches of one epoch, each an array of indices into `lengths_N`.

    Args:
        lengths_N: (N,) the number of tokens of each example.
        plan: the way of grouping.
        token_budget: rows of a batch (uniform_length, packed); a longer example gets a batch of its own.
        batch_size: examples of a batch (padded), or the largest number of them (None: no limit).
        seed: the seed of the run.
        epoch: the number of the epoch, from 0; each has another order.
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
    """Returns batches for evaluation and prediction: sorted by length, longest first, under a token budget.

    Nothing here is random. The caller puts results back into input order by the indices.

    Args:
        lengths_N: (N,) the number of tokens of each example.
        token_budget: rows of a batch; a longer example gets a batch of its own.
        most: the largest number of examples of a batch; None for any number.
    """
    order, most = np.argsort(-lengths_N, kind="stable"), most or max(1, len(lengths_N))
    batches, start, rows, block = [], 0, 0, _Block()
    for i, length in enumerate(lengths_N[order].tolist()):
        block = block.followed_by(length, EVALUATION_PADDING)
        if (rows + block.slot > token_budget and i > start) or i - start == most:
            batches.append(order[start:i])
            start, rows, block = i, 0, _Block().followed_by(length, EVALUATION_PADDING)
        rows += block.slot
    return [*batches, order[start:]] if len(order) else []


def near_equal_slots(lengths_N: np.ndarray, padding: float) -> np.ndarray:
    """Returns (N,) slots for examples in this order, in blocks of equal slots.

    The slots of a block are as long as its first example. A block ends before its share of padding would
    exceed `padding`, and before an example that is longer than its slots.
    """
    slots_N, block = np.empty_like(lengths_N), _Block()
    for i, length in enumerate(lengths_N.tolist()):
        block = block.followed_by(length, padding)
        slots_N[i] = block.slot
    return slots_N


@dataclass(frozen=True)
class _Block:
    """The block that is being filled: the length of its slots, and the examples and tokens in it so far."""

    slot: int = 0
    count: int = 0
    tokens: int = 0

    def followed_by(self, length: int, padding: float) -> _Block:
        """Returns the block with one more example, or a new block that begins with this example."""
        count, tokens = self.count + 1, self.tokens + length
        if length > self.slot or tokens < count * self.slot * (1 - padding):
            return _Block(length, 1, length)
        return _Block(self.slot, count, tokens)


def training_slots(lengths_N: np.ndarray, plan: Plan, max_length: int) -> np.ndarray:
    """Returns (N,) the slot of each example of a training batch, in the plan's order."""
    if plan == "padded":
        return np.full(len(lengths_N), max_length, dtype=np.int64)
    return lengths_N


def num_rows(slots_N: np.ndarray, plan: Plan) -> int:
    """Returns T, the number of rows of a batch with these slots, filler included."""
    used = int(slots_N.sum())
    return used if plan == "padded" else round_up(used, ROW_MULTIPLE)


def padding_share(lengths_N: np.ndarray, batches: list[np.ndarray], plan: Plan, max_length: int) -> float:
    """Returns the share of rows that are no tokens, padding and filler together, over some training
    batches."""
    rows = sum(num_rows(training_slots(lengths_N[b], plan, max_length), plan) for b in batches)
    return 1.0 - float(sum(int(lengths_N[b].sum()) for b in batches)) / rows


def _uniform_length(
    lengths_N: np.ndarray, token_budget: int, limit: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Returns batches of neighbours in length.

    Examples in random order are cut into pools of `POOL_BATCHES` batches, and batches are formed inside each
    pool. The last batch of a pool may not be full, so the last batches of all pools are batched together
    again.
    """
    shuffled = generator.permutation(len(lengths_N))
    ends = np.cumsum(lengths_N[shuffled])
    pool_N = (ends - 1) // (POOL_BATCHES * token_budget)
    batches, leftover = [], []
    for pool in np.split(shuffled, np.flatnonzero(np.diff(pool_N)) + 1):
        *full, last = _by_neighbours(lengths_N, pool, token_budget, limit) or [pool]
        batches += full
        leftover.append(last)
    batches += _by_neighbours(lengths_N, np.concatenate(leftover), token_budget, limit)
    # within a pool the batches of long texts come first; training must not see the examples in that order
    return [batches[i] for i in generator.permutation(len(batches))]


def _by_neighbours(
    lengths_N: np.ndarray, shuffled: np.ndarray, token_budget: int, limit: int
) -> list[np.ndarray]:
    """Fills batches from the longest example down; the last rows of each go to the longest that still fit."""
    order = shuffled[np.argsort(lengths_N[shuffled], kind="stable")]
    if not len(order):
        return []
    distinct, starts = np.unique(lengths_N[order], return_index=True)
    waiting = {int(n): group for n, group in zip(distinct, np.split(order, starts[1:]), strict=True)}
    lengths = distinct.tolist()  # of the examples that are still waiting, ascending
    batches = []
    while lengths:  # each round fills one batch
        # an example that is longer than the budget gets a batch as long as itself
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
    """Puts examples in random order into the fullest open batch that has room (best fit).

    Only `OPEN_BATCHES` are open: when no batch has room, the fullest is closed, and a new one begins.
    """
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
