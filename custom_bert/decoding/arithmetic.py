"""Probabilities from logits.

Shapes: N texts, C classes.
"""

from __future__ import annotations

import numpy as np


def softmax(logits_NC: np.ndarray) -> np.ndarray:
    """Returns (N, C) fp32, the softmax of each row."""
    shifted_NC = logits_NC - logits_NC.max(-1, keepdims=True, initial=-np.inf)
    exp_NC = np.exp(shifted_NC, dtype=np.float32)
    exp_NC /= exp_NC.sum(-1, keepdims=True)
    return np.asarray(exp_NC)


def log_softmax(logits_NC: np.ndarray) -> np.ndarray:
    """Returns (N, C) fp64, the logarithm of the softmax of each row."""
    shifted_NC = logits_NC.astype(np.float64)
    shifted_NC -= shifted_NC.max(-1, keepdims=True, initial=-np.inf)
    return np.asarray(shifted_NC - np.log(np.exp(shifted_NC).sum(-1, keepdims=True)))


def sigmoid(logits_NC: np.ndarray) -> np.ndarray:
    """Returns (N, C) fp32, the sigmoids, rounded from fp64."""
    return np.asarray(np.exp(log_sigmoid(logits_NC)), dtype=np.float32)


def log_sigmoid(logits_NC: np.ndarray) -> np.ndarray:
    """Returns (N, C) fp64, the logarithms of the sigmoids."""
    return np.asarray(-np.logaddexp(0.0, -logits_NC.astype(np.float64)))
