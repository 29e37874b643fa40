"""What a user can set: frozen dataclasses, and what is valid. How they are read: `config_sources.py`.

Standard library only, so that `custom-bert --help` and editors stay fast. `None` means that the preset
(`presets.py`) or a rule on the data and the machine (`rules/choices.py`) decides; what was decided is
printed with its reason and stored in the run directory.

Precedence: command line, then the config file, then the preset, then the rules.
"""

from __future__ import annotations

import dataclasses
import math
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from custom_bert.errors import did_you_mean, shown

Preset = Literal["legacy", "custom", "modern"]
Size = Literal["tiny", "mini", "small", "medium", "base"]
Norm = Literal["pre", "post"]
Position = Literal["learned", "rope"]
Activation = Literal["gelu", "gelu_tanh", "relu"]
Mlp = Literal["plain", "gated"]
Pooling = Literal["cls", "mean"]
Plan = Literal["padded", "uniform_length", "packed"]
Kernel = Literal["naive", "matmul", "dense", "grouped", "varlen"]
Precision = Literal["fp32", "bf16", "fp16"]
Metric = Literal["accuracy", "macro_f1", "micro_f1", "exact_match", "perplexity"]
LongTexts = Literal["head", "head_tail", "windows"]
TaskName = Literal["classification", "multi_label", "masked_lm"]
Schedule = Literal["cosine", "linear", "wsd"]

KERNELS_WITH_DROPOUT: tuple[Kernel, ...] = ("naive", "matmul", "dense")
"""The attention kernels that can drop attention weights; the others have no such operation."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Files, texts and tokens."""

    corpus: tuple[str, ...] = ()
    """For masked_lm: files of running text (.txt, .txt.gz, .txt.zst), or folders of them, with a paragraph a
    line and a blank line between documents."""
    train_texts: str = "data/train_dataset.txt"
    """Training texts, UTF-8, one a line."""
    train_labels: str = "data/train_labels.txt"
    """Training labels; line i belongs to line i of the texts."""
    val_texts: str = "data/val_dataset.txt"
    """Validation texts. If neither validation file exists, a share of the training lines is set aside."""
    val_labels: str = "data/val_labels.txt"
    """Validation labels."""
    val_fraction: float | None = None
    """Share that is set aside to measure and does not train, drawn by `seed`: of the training lines where
    there are no validation files, stratified by label; of the documents for masked_lm. None: by the task."""
    label_separator: str = "\t"
    """For multi_label: what stands between the labels of a line. No label may hold it."""
    max_length: int | None = None
    """Tokens of a text that are kept, or of each window, [CLS] and [SEP] included. None: the preset's."""
    long_texts: LongTexts = "head"
    """What becomes of a longer text. head: its head is kept; head_tail: a quarter from its head, the rest
    from its end (Sun et al. 2019, arXiv 1905.05583); windows: all of it, in up to 16 windows whose logits are
    averaged."""
    tokenizer: str | None = None
    """A vocab.txt or tokenizer.json to use. None: a WordPiece vocabulary is trained on the training texts."""
    lowercase: bool = True
    """Whether the tokenizer folds case: a trained one, or that of a vocab.txt. A tokenizer.json says it."""
    cache_dir: str | None = None
    """Where tokenised data is kept between runs. None: custom-bert in the user's cache directory. Where the
    system refuses to write, the next place is taken, and a line says so."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The encoder. Every None is filled from the preset, or from `size`, or from the data."""

    init_from: str | None = None
    """A trained encoder to start from: a directory in Hugging Face's layout (bert, roberta, distilbert,
    roberta-prelayernorm, modernbert), an id on the Hub, or a run of ours. Architecture and tokenizer are
    its own. None: from scratch."""
    size: Size | None = None
    """Width and depth by name: tiny 128x2, mini 256x4, small 512x4, medium 512x8, base 768x12
    (Turc et al. 2019). None: by the number of training tokens."""
    vocab_size: int | None = None
    """Entries of a tokenizer trained from the data. None: by the amount of text."""
    hidden_size: int | None = None
    """Width of the token vectors. None: by `size`."""
    num_hidden_layers: int | None = None
    """Encoder layers. None: by `size`."""
    num_attention_heads: int | None = None
    """Attention heads; must divide hidden_size. None: hidden_size / 64."""
    intermediate_size: int | None = None
    """Width of the MLP between its two projections. None: 4 x hidden_size (gated: 2.5 x)."""
    norm: Norm | None = None
    """LayerNorm before each sublayer (pre) or after each residual sum (post)."""
    position: Position | None = None
    """How positions enter: a learned table, or rotation of queries and keys (rope)."""
    hidden_act: Activation | None = None
    """Activation of the MLP: gelu (erf), its tanh approximation, or relu."""
    mlp: Mlp | None = None
    """plain: up, activation, down. gated: GeGLU, activation(up) x gate, down (Shazeer 2020)."""
    bias: bool | None = None
    """Whether linear layers and norms of the encoder have biases."""
    pooling: Pooling | None = None
    """What represents a text: the first token (cls) or the mean of all tokens."""
    hidden_dropout: float | None = None
    """Dropout of embeddings, sublayer outputs and the classification head."""
    attention_dropout: float = 0.0
    """Dropout of attention weights. Only the naive, matmul and dense kernels have it."""
    local_attention: int | None = None
    """Width of the local attention window in tokens, 0 for none: |i - j| <= local_attention // 2."""
    global_attn_every_n_layers: int | None = None
    """With local attention: layers 0, n, 2n, ... see the whole sequence."""
    rope_theta: float | None = None
    """Base of the rotary frequencies, in global layers."""
    local_rope_theta: float | None = None
    """Base of the rotary frequencies, in local layers."""


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """How examples are grouped into batches."""

    plan: Plan | None = None
    """padded: random batches padded to max_length. uniform_length: texts of near-equal length.
    packed: texts concatenated without padding. None: the preset's."""
    token_budget: int | None = None
    """Tokens of a batch (uniform_length, packed). None: by the amount of data."""
    batch_size: int | None = None
    """Examples of a batch (padded), or the most that a batch may hold (other plans). None: 32 for
    padded, unlimited otherwise."""
    accumulation: int = 1
    """Batches whose gradients are summed for one optimizer step."""


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Optimizer, schedule, evaluation and stopping."""

    lr: float | None = None
    """Peak learning rate for the labels. None: by the model's width, and whether it was pretrained."""
    epochs: int | None = None
    """Passes over the training data. None: by the number of training tokens."""
    embedding_init: Literal["random", "ppmi", "checkpoint"] | None = None
    """How token vectors start: random, from the checkpoint of model.init_from, or from the co-occurrences in
    the training texts (factorised positive pointwise mutual information, Levy and Goldberg 2014). None:
    the preset's."""
    embedding_lr_factor: float | None = None
    """Learning rate of the token vectors while the labels are learned, as a share of `lr`; 0 keeps them as
    they are. None: by how they start."""
    layer_lr_decay: float | None = None
    """Factor of the learning rate from the head down, layer by layer; 1 for one rate everywhere. None:
    below 1 for a trained encoder."""
    freeze_layers: int = 0
    """How many of the lowest layers keep their weights, the embeddings with them; 0 for none."""
    pretrain_epochs: int | None = None
    """Passes of masked language modelling over the training texts before the labels are learned; 0 for
    none. None: the preset's, or by the number of training tokens."""
    mask_rate: float = 0.3
    """Share of the tokens that language modelling hides (Wettig et al. 2022, arXiv 2202.08005: more than
    BERT's 0.15)."""
    whole_words: bool = False
    """Whether language modelling hides all tokens of a word or none."""
    warmup: float = 0.1
    """Share of all steps during which the learning rate rises linearly from 0."""
    schedule: Schedule | None = None
    """How the learning rate falls after the warm-up, to 0 at the last step: along half a cosine, a line, or
    not at all until the last `decay` share of the steps (wsd: warm-up, stable, decay). None: wsd for
    masked_lm, linear for a trained encoder, else cosine."""
    decay: float = 0.2
    """Share of all steps during which wsd falls, as 1 - sqrt (Haegele et al. 2024, arXiv 2405.18392).
    masked_lm keeps the encoder from before the fall in stable/, with the optimizer's moments: another fall,
    or more training, can begin there (model.init_from)."""
    weight_decay: float | None = None
    """AdamW's decoupled decay of matrices; biases, norms and embeddings have none. None: the preset's."""
    clip_norm: float = 1.0
    """Largest norm of the gradient; larger ones are scaled down."""
    token_dropout: float | None = None
    """Share of a training text's tokens that are left out, other ones in every epoch: learning is more
    robust, and takes less time. None: the preset's, or by the mean length of the texts."""
    r_drop: float | None = None
    """Weight of R-Drop (Liang et al. 2021): each text passes twice, under different dropout, and the two
    predictions are drawn together. 0 for none. None: the preset's, or by the number of training tokens."""
    label_smoothing: float = 0.0
    """Probability mass that the target distribution spreads over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: a class's examples weigh examples / (classes x examples of the class)."""
    metric: Metric | None = None
    """Measure of the validation rows by which the best weights are chosen. classification: accuracy, or
    macro_f1 for unbalanced labels. multi_label: micro_f1, macro_f1 or exact_match. masked_lm: perplexity.
    None: the first of these."""
    eval_every: int | None = None
    """Optimizer steps between evaluations. None: once an epoch, 10 to 20 times in a run, 4 to 20 times of a
    trained encoder; with `max_minutes`, as often by shares of the time; and less often where there is much to
    evaluate, which takes about a fifth of the time, but at least four evaluations, and a twentieth in masked
    language modelling."""
    patience: int | None = None
    """Stop when `metric` has not improved for this many optimizer steps. None: never."""
    max_minutes: float | None = None
    """Train for no longer than this: the schedule is compressed to it. Reading the data comes before, and the
    last evaluation after it. Such a run is not bit-reproducible."""


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """The machine. Nothing here changes what is learned, beyond rounding."""

    device: Literal["cpu", "cuda", "mps"] | None = None
    """None: cuda if there is one, else cpu. mps is refused, since it is not supported."""
    precision: Precision | None = None
    """bf16 and fp16 mean automatic mixed precision over fp32 weights. None: the preset's, or the fastest
    that the machine computes in hardware. Where bf16 products would be wrong on a CPU, as OpenMP gives fewer
    threads than torch counts on, fp32 is taken, with a line that says so."""
    attention: Kernel | None = None
    """Attention kernel. None: by batch layout, device and precision."""
    skip_unread: bool | None = None
    """Whether the last layer leaves out what only unread rows need: texts are classified by their first
    token, language modelling reads masked tokens. Same result, fewer operations. None: the preset's."""
    compile: bool | None = None
    """Fuse kernels with torch.compile. None: off, as it did not pay on CPUs; on CUDA it is not measured."""
    shard: bool = False
    """Of several processes: divide weights, gradients and moments among them (FSDP2) instead of copying them
    to each (DDP)."""
    threads: int | None = None
    """CPU threads. None: the cores that this process may use, or what OMP_NUM_THREADS says; never more than
    OMP_THREAD_LIMIT."""
    deterministic: bool = False
    """Refuse operations whose result may differ between runs (torch.use_deterministic_algorithms)."""
    checkpoint_every: int | None = None
    """Optimizer steps between checkpoints, from which the same command continues; 0 for none but after a
    request to end. None: every 15 seconds or more, so that saving takes at most 3 % of the time."""
    log_every: int | None = None
    """Optimizer steps between log lines. None: about 100 lines in a run."""
    tensorboard: bool = False
    """Also write TensorBoard event files into the run directory (extra: tensorboard)."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that defines a training run."""

    preset: Preset = "custom"
    """legacy: the original BERT recipe, every optimisation off. custom: pre-norm, fast kernels, near-equal
    lengths. modern: rotary positions, gated MLP, local attention."""
    task: TaskName = "classification"
    """What is learned. classification: one label a text. multi_label: any number of labels a text. masked_lm:
    an encoder is pretrained on running text, data.corpus."""
    out: str | None = None
    """Run directory. None: runs/ and the hash of the resolved config and the data."""
    seed: int = 0
    """Of initialisation, batch order and dropout."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)


GROUPS = ("data", "model", "batch", "optim", "runtime")


def field_types() -> dict[str, Any]:
    """`{"seed": int, "model.hidden_size": int | None, ...}`: every settable field and its type."""
    found: dict[str, Any] = {}
    for name, annotation in get_type_hints(TrainConfig).items():
        if name in GROUPS:
            for inner, inner_type in get_type_hints(annotation).items():
                found[f"{name}.{inner}"] = inner_type
        else:
            found[name] = annotation
    return found


def to_flat(config: TrainConfig) -> dict[str, Any]:
    """The fields of `config` by dotted name."""
    flat: dict[str, Any] = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if item.name in GROUPS:
            flat |= {f"{item.name}.{key}": inner for key, inner in vars(value).items()}
        else:
            flat[item.name] = value
    return flat


def replace(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """`config` with some fields changed, by dotted name. The names must exist."""
    for name, value in changes.items():
        group, _, inner = name.rpartition(".")
        if group:
            value = dataclasses.replace(getattr(config, group), **{inner: value})
        config = dataclasses.replace(config, **{group or inner: value})
    return config


def coerce(value: Any, annotation: Any) -> Any:
    """`value` as `annotation`, allowing what loses nothing; else ValueError.

    3.0 is taken for 3, a Path for its text; scalars of numpy and torch become Python's own numbers and
    strings, which can be written as JSON.
    """
    value = plain(value)
    if get_origin(annotation) in (typing.Union, types.UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        return None if value is None else coerce(value, options[0])
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        if not isinstance(value, str) or value not in choices:
            nearest = did_you_mean(value, choices) if isinstance(value, str) else ""
            raise ValueError(f"expected one of {', '.join(choices)}{nearest}")
        return str.__str__(value)
    if annotation is bool:
        if not isinstance(value, bool):
            raise ValueError("expected True or False")
        return value
    if get_origin(annotation) is tuple:
        values = (value,) if isinstance(value, (str, os.PathLike)) else value
        if not isinstance(values, (list, tuple)):
            raise ValueError("expected a list of texts")
        return tuple(coerce(one, str) for one in values)
    if isinstance(value, bool):
        raise ValueError(f"expected {'a number' if annotation in (int, float) else 'text'}")
    if annotation is int:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if not isinstance(value, int):
            raise ValueError("expected a whole number")
        return int(value)
    if annotation is float:
        try:
            number = float(value) if isinstance(value, (int, float)) else math.nan
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError("expected a finite number")
        return number
    return _text(os.fspath(value) if isinstance(value, os.PathLike) else value)


def plain(value: Any) -> Any:
    """What a scalar of numpy or torch, or an array without dimensions, holds; anything else as it is.

    They are known by `ndim` and `item`, since this module imports the standard library only.
    """
    if getattr(value, "ndim", None) != 0 or not callable(getattr(value, "item", None)):
        return value
    try:
        return value.item()
    except (RuntimeError, TypeError, ValueError):  # a tensor without values, on torch's meta device
        return value


def _text(value: Any) -> str:
    """A string that can name a file; else ValueError.

    Halves of surrogate pairs that stand for the bytes of a file's name (PEP 383) are taken, others are not.
    """
    if isinstance(value, bytes):
        raise ValueError("expected text (decode bytes first)")
    if not isinstance(value, str):
        raise ValueError("expected text")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("expected text without half of a surrogate pair") from None
    if "\0" in value:
        raise ValueError("expected text without a NUL character")
    return str.__str__(value)


def from_text(text: str, annotation: Any) -> Any:
    """A command line's word as `coerce` wants it: numbers and truth values of those types, else the text."""
    if get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(option for option in get_args(annotation) if option is not type(None))
    if annotation is bool:
        return {"True": True, "False": False}.get(text, text)
    for kind in (int, float):
        if annotation in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


RANGES: dict[str, tuple[float, float, str]] = {
    "data.val_fraction": (1e-6, 0.9, "between 0 and 0.9"),
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


def check(config: TrainConfig) -> list[str]:
    """Every fault of `config` that shows without the data or the machine, one line each."""
    flat, types_by_name, faults = to_flat(config), field_types(), []
    for name, value in flat.items():
        try:
            value = coerce(value, types_by_name[name])
        except ValueError as error:
            faults.append(f"{name}: {error}, got {shown(value)}")
            continue
        if name in RANGES and value is not None:
            low, high, words = RANGES[name]
            if not low <= value <= high:
                faults.append(f"{name} must be {words}, got {value}")
    if faults:
        return faults
    model, runtime = config.model, config.runtime
    if model.hidden_size and model.num_attention_heads and model.hidden_size % model.num_attention_heads:
        faults.append(
            f"model.hidden_size {model.hidden_size} is not divisible by "
            f"model.num_attention_heads {model.num_attention_heads}"
        )
    if model.size and (model.hidden_size or model.num_hidden_layers):
        faults.append("model.size and model.hidden_size / num_hidden_layers exclude each other")
    if model.attention_dropout and runtime.attention and runtime.attention not in KERNELS_WITH_DROPOUT:
        faults.append(
            f"model.attention_dropout: the {runtime.attention} kernel has no dropout; "
            f"set it to 0 or runtime.attention to naive, matmul or dense"
        )
    if model.attention_dropout and config.batch.plan == "packed" and runtime.attention is None:
        faults.append(
            "model.attention_dropout: packed batches have no kernel with dropout; "
            "set it to 0 or batch.plan to uniform_length"
        )
    if not config.data.label_separator or config.data.label_separator in "\r\n":
        faults.append("data.label_separator: expected a character that stands between labels, not a line end")
    if runtime.shard and config.optim.pretrain_epochs:
        faults.append("runtime.shard: one model is divided, not two; set optim.pretrain_epochs to 0")
    if config.optim.freeze_layers and not model.init_from:
        faults.append("optim.freeze_layers: nothing is trained yet; set model.init_from, or leave it out")
    if config.optim.r_drop and model.hidden_dropout == 0 and not model.attention_dropout:
        faults.append(
            "optim.r_drop compares two passes under dropout; raise model.hidden_dropout or set it to 0"
        )
    if runtime.precision == "fp16" and runtime.device == "cpu":
        faults.append("runtime.precision: fp16 is 10 x slower than fp32 on a CPU; use bf16 or fp32")
    if runtime.attention == "varlen" and runtime.device == "cpu":
        faults.append("runtime.attention: varlen needs a CUDA device; use grouped on a CPU")
    return faults
