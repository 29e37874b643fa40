"""The configurations that run on the simulated GPU, and where in them the host may wait."""

from __future__ import annotations

from typing import Any

T4 = {"capability": [7, 5]}
"""A GPU without bf16 and without flash attention."""

SMALL: dict[str, Any] = {"batch.token_budget": 512}

LOCAL = {"preset": "modern", "model.local_attention": 8, "model.num_hidden_layers": 4}

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "uniform bf16": {},
    "uniform fp16": {"runtime.precision": "fp16"},
    "uniform fp32": {"runtime.precision": "fp32"},
    "uniform T4": {"machine": T4},
    "packed bf16": {"batch.plan": "packed"},
    "packed fp16": {"batch.plan": "packed", "runtime.precision": "fp16"},
    "packed fp32": {"batch.plan": "packed", "runtime.precision": "fp32"},
    "packed T4": {"batch.plan": "packed", "machine": T4},
    "packed varlen": {"batch.plan": "packed", "runtime.attention": "varlen"},
    "packed grouped": {"batch.plan": "packed", "runtime.attention": "grouped"},
    "padded bf16": {"batch.plan": "padded", "batch.batch_size": 8},
    "legacy": {"preset": "legacy"},
    "legacy fp16": {"preset": "legacy", "runtime.precision": "fp16"},
    "legacy naive bf16": {"preset": "legacy", "runtime.precision": "bf16", "runtime.attention": "naive"},
    "legacy uniform": {"preset": "legacy", "batch.plan": "uniform_length"},
    "legacy packed": {"preset": "legacy", "batch.plan": "packed"},
    "modern uniform": LOCAL,
    "modern packed": {**LOCAL, "batch.plan": "packed"},
    "modern padded fp32": {**LOCAL, "batch.plan": "padded", "runtime.precision": "fp32"},
    "mean pooling": {"model.pooling": "mean"},
    "mean pooling packed": {"model.pooling": "mean", "batch.plan": "packed"},
    "mean pooling padded": {"model.pooling": "mean", "batch.plan": "padded", "batch.batch_size": 8},
    "mean layer": {"model.pooling": "mean_layer", "model.norm": "post"},
    "windows": {"data.long_texts": "windows", "data.max_length": 16},
    "windows packed mean": {
        "data.long_texts": "windows",
        "data.max_length": 16,
        "batch.plan": "packed",
        "model.pooling": "mean",
    },
    "balanced": {"optim.class_weights": "balanced", "batch.accumulation": 2},
    "r_drop": {"optim.r_drop": 1.0, "model.hidden_dropout": 0.1, "optim.label_smoothing": 0.1},
    "r_drop fp16 balanced": {
        "optim.r_drop": 1.0,
        "model.hidden_dropout": 0.1,
        "optim.class_weights": "balanced",
        "runtime.precision": "fp16",
    },
    "token dropout ppmi": {"optim.token_dropout": 0.2, "optim.embedding_init": "ppmi"},
    "token dropout packed": {"optim.token_dropout": 0.2, "batch.plan": "packed"},
    "pretrain": {"optim.pretrain_epochs": 1},
    "masked_lm": {"task": "masked_lm"},
    "masked_lm packed bf16": {"task": "masked_lm", "batch.plan": "packed"},
    "masked_lm packed fp16": {"task": "masked_lm", "batch.plan": "packed", "runtime.precision": "fp16"},
    "masked_lm packed fp32": {"task": "masked_lm", "batch.plan": "packed", "runtime.precision": "fp32"},
    "masked_lm accumulated": {"task": "masked_lm", "batch.accumulation": 2},
    "multi_label balanced": {"task": "multi_label", "optim.class_weights": "balanced"},
    "soft_labels balanced": {"task": "soft_labels", "optim.class_weights": "balanced"},
    "regression": {"task": "regression"},
    "ordinal": {"task": "ordinal", "data.label_order": "animals, machines, weather"},
    "spans": {"task": "tokens"},
    "spans in windows balanced": {
        "task": "tokens",
        "data.max_length": 12,
        "optim.class_weights": "balanced",
        "batch.accumulation": 2,
    },
    "deterministic": {"runtime.deterministic": True},
    "checkpoints": {"runtime.checkpoint_every": 1},
}
"""Settings by name, beside those of `jobs.configured`."""

QUICK = (
    *("packed T4", "balanced", "mean pooling packed", "masked_lm packed fp16", "modern uniform", "windows"),
    "spans in windows balanced",
)
"""Those that every test run takes. `make gpu-simulated` takes all."""

REFUSED = {
    "freeze": ({"optim.freeze_layers": 1}, "nothing is trained yet"),
    "cuda:1": ({"runtime.device": "cuda:1"}, "runtime.device"),
    "mps": ({"runtime.device": "mps"}, "mps is not supported"),
    "matmul": ({"runtime.attention": "matmul"}, "matmul"),
    "bf16 on a T4": ({"runtime.precision": "bf16", "machine": T4}, "does not compute bf16"),
    "varlen on a T4": ({"runtime.attention": "varlen", "batch.plan": "packed", "machine": T4}, "varlen"),
}
"""Settings by name, and words of the line that refuses them."""
