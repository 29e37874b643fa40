"""The best possible tags of units, where a model gives probabilities for each unit by itself.

The best tag of each unit alone may give a sequence that means nothing: I-PER after O. So of all sequences
that BIO allows, the one with the highest product of probabilities is taken (Viterbi 1967). I-X is allowed
after B-X and I-X only, and everything else is allowed everywhere, so a step costs N K operations and not
N K^2. Where the best tags alone are a possible sequence, they are the best one, and nothing is computed.

Shapes: N texts, T units of all texts one after the other, X types, K = 1 + 2 X tags (`entity.tag_names`),
E entities.
"""

from __future__ import annotations

import numpy as np


def best_tags(log_TK: np.ndarray, lengths_N: np.ndarray) -> np.ndarray:
    """Returns (T,) int64 the tags of the most probable sequence of each text in which BIO is kept.

    Args:
        log_TK: (T, K) the logarithms of the tags' probabilities; a constant may be added to a row.
        lengths_N: (N,) int64 the number of units of each text.
    """
    tags_T: np.ndarray = log_TK.argmax(1).astype(np.int64)
    ends_N = np.cumsum(lengths_N, dtype=np.int64)
    starts_N = ends_N - lengths_N
    broken_N = np.unique(np.searchsorted(ends_N, impossible(tags_T, lengths_N), side="right"))
    if len(broken_N):
        order_N = broken_N[np.argsort(-lengths_N[broken_N], kind="stable")]
        _decode(log_TK, starts_N[order_N], lengths_N[order_N], tags_T)
    return tags_T


def impossible(tags_T: np.ndarray, lengths_N: np.ndarray) -> np.ndarray:
    """Returns int64 the places of tags that BIO does not allow: an I-X after neither B-X nor I-X.

    Args:
        tags_T: (T,) the tags of all texts.
        lengths_N: (N,) the number of units of each text.
    """
    before_T = np.zeros_like(tags_T)
    before_T[1:] = tags_T[:-1]
    starts_N = np.cumsum(lengths_N, dtype=np.int64) - lengths_N
    before_T[starts_N[lengths_N > 0]] = 0
    return np.flatnonzero(is_inside(tags_T) & (before_T != tags_T) & (before_T != tags_T - 1))


def is_inside(tags_T: np.ndarray) -> np.ndarray:
    """Returns (T,) bool, whether each tag is an I-X."""
    return np.asarray((tags_T > 0) & (tags_T % 2 == 0))


def _decode(log_TK: np.ndarray, starts_N: np.ndarray, lengths_N: np.ndarray, tags_T: np.ndarray) -> None:
    """Writes the best possible tags of some texts into `tags_T`. The texts are ordered by falling length, so
    that those that still go on are always the first ones.

    Args:
        log_TK: (T, K) the logarithms of probabilities of all texts.
        starts_N, lengths_N: (N,) the first unit and the number of units of each of the texts.
        tags_T: (T,) int64 tags of all texts, changed in place.
    """
    going_on = [int((lengths_N > step).sum()) for step in range(int(lengths_N[0]))]
    best_NK = log_TK[starts_N].astype(np.float64)  # the best sequence that ends with each tag
    best_NK[:, 2::2] = -np.inf
    outside_before: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
    inside_before: list[np.ndarray] = [np.zeros((0, 0), dtype=bool)]
    for step, count in list(enumerate(going_on))[1:]:
        earlier_NK = best_NK[:count]
        begun_NX, inside_NX = earlier_NK[:, 1::2], earlier_NK[:, 2::2]
        from_inside_NX = inside_NX > begun_NX
        outside_before.append(earlier_NK.argmax(1))
        inside_before.append(from_inside_NX)
        now_NK = log_TK[starts_N[:count] + step].astype(np.float64)
        now_NK[:, 2::2] += np.where(from_inside_NX, inside_NX, begun_NX)
        highest_N1 = earlier_NK.max(1, keepdims=True)
        now_NK[:, 0] += highest_N1[:, 0]
        now_NK[:, 1::2] += highest_N1
        best_NK[:count] = now_NK
    tag_N = best_NK.argmax(1)
    for step in range(len(going_on) - 1, -1, -1):
        count = going_on[step]
        now_N = tag_N[:count]
        tags_T[starts_N[:count] + step] = now_N
        if step:
            rows, inside_N = np.arange(count), is_inside(now_N)
            type_N = np.where(inside_N, now_N // 2 - 1, 0)
            same_N = inside_before[step][rows, type_N]
            tag_N[:count] = np.where(inside_N, np.where(same_N, now_N, now_N - 1), outside_before[step])


def entities(tags_T: np.ndarray) -> np.ndarray:
    """Returns (E, 3) int64: the first unit, the unit after the last one, and the type of each entity.

    Args:
        tags_T: (T,) possible sequences of tags, one after the other.
    """
    begins_E = np.flatnonzero(tags_T % 2 == 1)
    stops = np.append(np.flatnonzero(~is_inside(tags_T)), len(tags_T))
    ends_E = stops[np.searchsorted(stops, begins_E, side="right")]
    return np.stack([begins_E, ends_E, tags_T[begins_E] // 2], axis=1).astype(np.int64)


def entity_probabilities(
    entities_E3: np.ndarray, tags_T: np.ndarray, probabilities_TK: np.ndarray
) -> np.ndarray:
    """Returns (E,) float64 the score of each entity: the mean, over its units, of the probability of the tag
    that the unit got.

    It is between 0 and 1 and comparable between short and long entities. It is not the probability that the
    whole entity is right, which is smaller for long ones.

    Args:
        entities_E3: what `entities` returned.
        tags_T: (T,) the tags.
        probabilities_TK: (T, K) the probabilities of all tags.
    """
    of_tag_T = np.take_along_axis(probabilities_TK, tags_T[:, None], 1)[:, 0].astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(of_tag_T)])
    begins_E, ends_E = entities_E3[:, 0], entities_E3[:, 1]
    return np.asarray(np.clip((sums[ends_E] - sums[begins_E]) / (ends_E - begins_E), 0.0, 1.0))
