"""Which values settings can have: their ranges, and which exclude each other.

Only the standard library is imported, as in `config`.
"""

from __future__ import annotations

from custom_bert.attention_kernels import KERNELS, with_dropout
from custom_bert.config import SCRATCH, DataConfig, TrainConfig, field_types, to_flat
from custom_bert.config_values import coerce
from custom_bert.errors import shown

RANGES: dict[str, tuple[float, float, str]] = {
    "data.val_fraction": (0, 0.9, "between 0 and 0.9"),
    "data.max_length": (3, 1 << 20, "at least 3"),
    "model.vocab_size": (100, 1 << 22, "between 100 and 4,194,304"),
    "model.hidden_size": (8, 1 << 16, "between 8 and 65,536"),
    "model.num_hidden_layers": (1, 1024, "between 1 and 1,024"),
    "model.num_attention_heads": (1, 1024, "between 1 and 1,024"),
    "model.intermediate_size": (1, 1 << 20, "at least 1"),
    "model.hidden_dropout": (0, 0.95, "between 0 and 0.95"),
    "model.attention_dropout": (0, 0.95, "between 0 and 0.95"),
    "model.local_attention": (0, 1 << 20, "0 or more"),
    "model.global_attn_every_n_layers": (1, 1024, "at least 1"),
    "model.rope_theta": (1, 1e12, "at least 1"),
    "model.local_rope_theta": (1, 1e12, "at least 1"),
    "batch.token_budget": (16, 1 << 24, "at least 16"),
    "batch.batch_size": (1, 1 << 20, "at least 1"),
    "batch.accumulation": (1, 1 << 16, "at least 1"),
    "optim.mask_rate": (0.05, 0.6, "between 0.05 and 0.6"),
    "optim.decay": (0, 1, "between 0 and 1"),
    "optim.lr": (1e-9, 10, "above 0 and at most 10"),
    "optim.embedding_lr_factor": (0, 100, "between 0 and 100"),
    "optim.layer_lr_decay": (1e-3, 1, "above 0 and at most 1"),
    "optim.freeze_layers": (0, 1024, "between 0 and 1,024"),
    "optim.epochs": (1, 100_000, "at least 1"),
    "optim.pretrain_epochs": (0, 100_000, "0 or more"),
    "optim.warmup": (0, 1, "between 0 and 1"),
    "optim.weight_decay": (0, 10, "between 0 and 10"),
    "optim.clip_norm": (1e-9, 1e9, "above 0"),
    "optim.token_dropout": (0, 0.9, "between 0 and 0.9"),
    "optim.r_drop": (0, 1000, "between 0 and 1,000"),
    "optim.label_smoothing": (0, 0.99, "between 0 and 0.99"),
    "optim.eval_every": (1, 1 << 40, "at least 1"),
    "optim.patience": (1, 1 << 40, "at least 1"),
    "optim.max_minutes": (1e-3, 1e6, "above 0"),
    "runtime.threads": (1, 1024, "between 1 and 1,024"),
    "runtime.checkpoint_every": (0, 1 << 40, "0 or more"),
    "runtime.log_every": (1, 1 << 40, "at least 1"),
    "seed": (0, (1 << 63) - 1, "between 0 and 2**63 - 1"),
}
"""The smallest and the largest value of each setting that is a number, and the range in words.

The words are part of messages and of the help. They leave out largest values that only keep later arithmetic
safe."""


def _outside(name: str, value: float) -> list[str]:
    """Returns one line if a number is outside the range of its setting."""
    low, high, words = RANGES[name]
    if low <= value <= high:
        return []
    says_the_largest = words.startswith("between") or "at most" in words
    allowed = words if value < low or says_the_largest else f"at most {high:,.0f}"
    return [f"{name} must be {allowed}, got {value}"]


def check(config: TrainConfig) -> list[str]:
    """Returns every fault that shows without the data and the machine, one line each."""
    flat, types_by_name, faults = to_flat(config), field_types(), []
    for name, value in flat.items():
        try:
            value = coerce(value, types_by_name[name])
        except ValueError as error:
            faults.append(f"{name}: {error}, got {shown(value)}")
            continue
        if name in RANGES and value is not None:
            faults += _outside(name, value)
    if faults:  # values of wrong types cannot be compared with each other
        return faults
    model, runtime = config.model, config.runtime
    if model.hidden_size and model.num_attention_heads and model.hidden_size % model.num_attention_heads:
        faults.append(
            f"model.hidden_size {model.hidden_size} is not divisible by "
            f"model.num_attention_heads {model.num_attention_heads}"
        )
    if model.size and (model.hidden_size or model.num_hidden_layers):
        faults.append("model.size and model.hidden_size / num_hidden_layers exclude each other")
    if model.attention_dropout and runtime.attention and not KERNELS[runtime.attention].drops_weights:
        faults.append(
            f"model.attention_dropout: the {runtime.attention} kernel has no dropout; "
            f"set it to 0 or runtime.attention to {with_dropout()}"
        )
    if model.attention_dropout and config.batch.plan == "packed" and runtime.attention is None:
        faults.append(
            "model.attention_dropout: packed batches have no kernel with dropout; "
            "set it to 0 or batch.plan to uniform_length"
        )
    if not config.data.label_separator or config.data.label_separator in "\r\n":
        faults.append("data.label_separator: expected a character that stands between labels, not a line end")
    faults += _about_tables(config.data)
    if runtime.shard and config.optim.pretrain_epochs:
        faults.append("runtime.shard: one model is divided, not two; set optim.pretrain_epochs to 0")
    if config.optim.freeze_layers and model.init_from == SCRATCH:
        faults.append("optim.freeze_layers: nothing is trained yet; name a model.init_from, or leave it out")
    if config.optim.r_drop and model.hidden_dropout == 0 and not model.attention_dropout:
        faults.append(
            "optim.r_drop compares two passes under dropout; raise model.hidden_dropout or set it to 0"
        )
    if runtime.precision == "fp16" and runtime.device == "cpu":
        faults.append("runtime.precision: fp16 is 10 x slower than fp32 on a CPU; use bf16 or fp32")
    if runtime.attention and KERNELS[runtime.attention].needs_flash and runtime.device == "cpu":
        faults.append(f"runtime.attention: {runtime.attention} needs a CUDA device; use grouped on a CPU")
    return faults


def _about_tables(data: DataConfig) -> list[str]:
    """Returns the faults of the settings about tables."""
    faults = []
    if data.pairs and data.table is not None:
        faults.append(
            "data.pairs is for text files; name the column of the second texts by data.second_text_column"
        )
    if data.table is None:
        faults += [
            f"data.{name}: only a table has it; give a table as DATA or by data.table, or leave it out"
            for name in ("val_table", "test_table", *OF_COLUMNS)
            if getattr(data, name) is not None
        ]
    elif data.split_column is not None:
        faults += [
            f"data.split_column and data.{name} exclude each other"
            for name in ("val_table", "test_table")
            if getattr(data, name) is not None
        ]
    given = [name for name in OF_COLUMNS[:-1] if getattr(data, name) is not None]
    for i, name in enumerate(given):
        for other in given[:i]:
            if getattr(data, name) == getattr(data, other):
                faults.append(
                    f"data.{other} and data.{name} are one column, {getattr(data, name)!r}; name two"
                )
    if data.encoding is not None:
        try:
            "a".encode(data.encoding)
        except (LookupError, ValueError):
            faults.append(
                f"data.encoding: Python knows no encoding {data.encoding!r}, such as cp1252 or utf-16"
            )
    return faults


OF_COLUMNS = (
    *("text_column", "second_text_column", "label_column", "split_column", "group_column"),
    "encoding",
)
"""The settings, without their group, that say how a table is read. The last one is no column."""
