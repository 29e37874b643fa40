"""The settings: frozen dataclasses, with the help text of each setting beneath it.

`config_values` reads their values, `config_checks` checks them, and `config_sources` reads them from files
and mappings. The text beneath a field is what `custom-bert train --help` and docs/reference/configuration.md
show.

`None` means that the user leaves a setting open. It is then decided by the pretrained encoder, the task, the
preset (`presets`) or a rule on the data and the machine (`rules.choices`), in this order. What was decided is
printed with its reason, and stored in the run directory. What a user does set comes from the command line,
then from the config file.

Only the standard library is imported, so that `custom-bert --help` and editors stay fast.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

Preset = Literal["legacy", "custom", "modern"]
Size = Literal["tiny", "mini", "small", "medium", "base"]
Norm = Literal["pre", "post"]
Position = Literal["learned", "rope"]
Activation = Literal["gelu", "gelu_tanh", "relu"]
Mlp = Literal["plain", "gated"]
Pooling = Literal["cls", "mean", "mean_layer"]
HeadInit = Literal["random", "probe", "contrast"]
Plan = Literal["padded", "uniform_length", "packed"]
Kernel = Literal["naive", "matmul", "dense", "grouped", "varlen"]
Precision = Literal["fp32", "bf16", "fp16"]
Metric = Literal[
    "accuracy",
    "macro_f1",
    "micro_f1",
    "exact_match",
    "divergence",
    "perplexity",
    "r2",
    "mae",
    "rmse",
    "pearson",
    "spearman",
    "kappa",
    "mae_ranks",
    "adjacent_accuracy",
    "f1",
]
LongTexts = Literal["head", "head_tail", "windows"]
TaskName = Literal[
    "classification", "multi_label", "soft_labels", "regression", "ordinal", "tokens", "masked_lm"
]
ClassWeights = Literal["none", "balanced", "effective_number"] | dict[str, float]
Schedule = Literal["cosine", "linear", "wsd"]

SCRATCH = "scratch"
"""The value of `model.init_from` that means random weights."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Files, texts and tokens."""

    corpus: tuple[str, ...] = ()
    """For masked_lm: files of running text (.txt, .txt.gz, .txt.zst), or folders of such files. A line is a
    paragraph, and a blank line stands between documents."""
    train_texts: str = "data/train_dataset.txt"
    """File of training texts in UTF-8, one text a line."""
    train_labels: str = "data/train_labels.txt"
    """File of training labels. Line i belongs to line i of the training texts."""
    val_texts: str = "data/val_dataset.txt"
    """File of validation texts, on which the model is measured. If neither validation file exists,
    `data.val_fraction` of the training lines is set aside instead."""
    val_labels: str = "data/val_labels.txt"
    """File of validation labels. Line i belongs to line i of the validation texts."""
    test_texts: str = "data/test_dataset.txt"
    """File of test texts. They decide nothing: the finished model is measured on them once. There need be
    none."""
    test_labels: str = "data/test_labels.txt"
    """File of test labels. Line i belongs to line i of the test texts."""
    train_spans: str = "data/train.conll"
    """For tokens: file of training texts with their spans. .conll and others have a token and its tag a line,
    and a blank line between texts; .jsonl has a text and a list of spans a line."""
    val_spans: str = "data/val.conll"
    """For tokens: file of validation texts with their spans. If there is none, `data.val_fraction` of the
    training texts is set aside instead."""
    test_spans: str = "data/test.conll"
    """For tokens: file of test texts with their spans. They decide nothing: the finished model is measured on
    them once. There need be none."""
    table: str | None = None
    """A table with the texts and labels in columns, in place of the four files: .csv, .tsv, .jsonl, .ndjson
    or .parquet; the text formats also with .gz or .zst after it."""
    val_table: str | None = None
    """A table of validation data with the same columns. Without it and without `data.split_column`, a share
    of the rows is set aside."""
    test_table: str | None = None
    """A table of test data with the same columns."""
    text_column: str | None = None
    """Column of the table that holds the texts. None takes the one with a usual name, such as text, sentence
    or review, if there is exactly one."""
    second_text_column: str | None = None
    """Column of the table that holds the second text of each row, for pairs of texts, such as a question and
    an answer. None reads single texts."""
    label_column: str | None = None
    """Column of the table that holds the labels. None takes the one with a usual name, such as label, class
    or category, if there is exactly one."""
    split_column: str | None = None
    """Column of the table that says which rows are for what: train; val, valid, validation or dev; test; in
    any case of letters. None uses all rows for training, of which a share is set aside."""
    group_column: str | None = None
    """Column of the table with the groups of rows, such as the author or the product. Wherever rows are set
    aside, those of one group stay together, so that the model is measured on groups that it has not seen."""
    encoding: str | None = None
    """Encoding of the table and of the tables for validation and test, such as cp1252 or utf-16. None takes
    UTF-8. No other encoding is guessed."""
    val_fraction: float | None = None
    """Share of the data that is set aside to measure the model and does not train it. Where there are no
    validation files, it is a share of the training lines, drawn by `seed` so that every label keeps its
    share. For masked_lm it is a share of the documents. None takes 0.1, or 0.01 for masked_lm. With 0, all
    lines train, the last weights are kept, and what is measured is measured on the training texts: a way to
    train once more on everything after the settings were judged. masked_lm refuses 0."""
    label_separator: str = "\t"
    """For multi_label, soft_labels and regression: the characters between the labels, or the numbers, of a
    line. No label may contain them."""
    label_order: str | None = None
    """For ordinal: the labels from the lowest rank to the highest, with commas or tabs between them. None
    takes the order of the numbers, and refuses labels that are no numbers."""
    pairs: bool = False
    """Whether each line of the text files is two texts with a tab between them, such as a question and an
    answer. Second texts may also be in files of their own, train_dataset_2.txt beside train_dataset.txt and
    so on. Then this stays False."""
    max_length: int | None = None
    """Largest number of tokens that the model reads of a text, or of each window, with [CLS] and [SEP]. Raise
    it if many texts are cut, which training reports; time and memory grow with it. None takes the preset's
    value, 128 for masked_lm, and at most the positions of a pretrained encoder."""
    long_texts: LongTexts | None = None
    """What becomes of a text with more than `data.max_length` tokens. head keeps its beginning. head_tail
    keeps a quarter from the beginning and the rest from the end (Sun et al. 2019, arXiv 1905.05583). windows
    reads up to 16 times as many tokens, in windows whose logits are averaged, which takes more time. For
    tokens, windows share a quarter of their tokens, and each token is decided by the window that sees most
    around it. None takes windows for tokens, else head."""
    tokenizer: str | None = None
    """A vocab.txt or tokenizer.json to use. None takes that of the pretrained encoder, or else trains a
    WordPiece vocabulary on the training texts."""
    lowercase: bool = True
    """Whether the tokenizer turns capitals into small letters, for a trained vocabulary or a vocab.txt. Set
    it to False if capitals matter for your labels. A tokenizer.json says so itself."""
    cache_dir: str | None = None
    """Directory that keeps tokenised data between runs. None takes custom-bert in the user's cache directory.
    If the system refuses to write there, the next possible place is taken, and a line says so."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The encoder. From a pretrained encoder on, settings that are left open take its values."""

    init_from: str | None = None
    """A pretrained encoder to start from: a directory in Hugging Face's layout (bert, roberta, distilbert,
    roberta-prelayernorm, modernbert), a run directory, a name that `custom-bert fetch` lists, or an id on the
    Hub; after a name or an id, @REVISION. It brings its architecture and its tokenizer. scratch trains from
    random weights. None takes minilm, an English encoder, if it is on this machine, the texts read as English
    and no setting asks for another architecture; else scratch. masked_lm takes scratch unless one is
    named."""
    size: Size | None = None
    """Width and depth by name: tiny 128x2, mini 256x4, small 512x4, medium 512x8, base 768x12 (Turc et al.
    2019, arXiv 1908.08962). None goes by the number of training tokens, from 256x2 up to 512x4."""
    vocab_size: int | None = None
    """Number of entries of a vocabulary that is trained on the texts. None takes 8,000 to 30,000, by the
    amount of text."""
    hidden_size: int | None = None
    """Width of the token vectors. Set it for a width that no `model.size` has. None goes by `model.size`."""
    num_hidden_layers: int | None = None
    """Number of encoder layers. Set it for a depth that no `model.size` has. None goes by `model.size`."""
    num_attention_heads: int | None = None
    """Number of attention heads. It has to divide the width. None takes the width divided by 64."""
    intermediate_size: int | None = None
    """Width of the MLP between its two projections. None takes 4 times the width of the token vectors, or 2.5
    times for a gated MLP."""
    norm: Norm | None = None
    """Where LayerNorm is. pre normalises the input of each sublayer, which trains stably (Xiong et al. 2020).
    post normalises each residual sum, as the original BERT does. None takes the preset's value."""
    position: Position | None = None
    """How positions enter. learned adds a table of vectors; rope rotates queries and keys by position (Su et
    al. 2021). None takes the preset's value."""
    hidden_act: Activation | None = None
    """Activation of the MLP: gelu in its exact form, gelu_tanh, which approximates it, or relu. None takes
    gelu."""
    mlp: Mlp | None = None
    """Form of the MLP. plain is up, activation, down. gated is GeGLU: activation(up) times gate, then down
    (Shazeer 2020, arXiv 2002.05202). None takes the preset's value."""
    bias: bool | None = None
    """Whether linear layers and norms of the encoder have biases. None takes the preset's value."""
    pooling: Pooling | None = None
    """What represents a text for the classification head. cls: the vector of the first token. mean: the mean
    of all tokens. mean_layer: the mean of all tokens with a little of the first, normalised; exports to
    BERT and RoBERTa hold it as one more layer, and it needs model.norm post. None takes the preset's value.
    With optim.head_init probe it takes mean_layer, if the checkpoint was made for mean vectors."""
    hidden_dropout: float | None = None
    """Dropout rate of embeddings, sublayer outputs and the classification head. Raise it if the model
    overfits. None takes the preset's value."""
    attention_dropout: float = 0.0
    """Dropout rate of attention weights. Only the naive, matmul and dense kernels can drop them."""
    local_attention: int | None = None
    """Width of the window of local attention in tokens: token i sees token j if |i - j| is at most half of
    it, which saves time for long texts. 0 lets every token see all others. None takes the preset's value."""
    global_attn_every_n_layers: int | None = None
    """With local attention: layers 0, n, 2n, ... see the whole sequence. None takes the preset's value."""
    rope_theta: float | None = None
    """With rope: base of the rotary frequencies in layers that see the whole sequence. None takes the
    preset's value."""
    local_rope_theta: float | None = None
    """With rope and local attention: base of the rotary frequencies in local layers. None takes the preset's
    value."""

    @property
    def is_pretrained(self) -> bool:
        """Whether training starts from a pretrained encoder. As long as `init_from` is None it does not."""
        return self.init_from not in (None, SCRATCH)


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """How examples are grouped into batches."""

    plan: Plan | None = None
    """How batches are formed. uniform_length groups texts of near-equal length, with hardly any padding.
    packed puts texts of any length one after the other, without padding. padded pads random texts to
    `data.max_length`, as the original BERT does, and is slow. None takes the preset's value."""
    token_budget: int | None = None
    """For uniform_length and packed: the number of tokens, padding included, up to which a batch is filled. A
    longer text has a batch of its own. A larger number takes more memory and makes fewer steps. None goes by
    the amount of data and the memory."""
    batch_size: int | None = None
    """Largest number of texts of a batch. padded fills every batch to this number, and None takes 32. The
    other plans fill by `batch.token_budget`, and None sets no limit."""
    accumulation: int | None = None
    """Number of batches whose gradients are summed for one optimizer step. Raise it, and lower
    `batch.token_budget`, if a batch does not fit into memory. None takes 1. Only where a CPU trains a
    pretrained encoder, and `batch.token_budget` is None too, it divides a large step into batches of about
    2,000 tokens, which take less memory."""


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Optimizer, schedule, evaluation and stopping."""

    lr: float | None = None
    """Peak learning rate. Lower it if the loss rises or is not finite. None goes by the model's width, and by
    whether the encoder is pretrained."""
    epochs: int | None = None
    """Number of passes over the training data. None goes by the number of training tokens."""
    embedding_init: Literal["random", "ppmi", "checkpoint"] | None = None
    """How token vectors start. random draws them. ppmi computes them from the co-occurrences of tokens in the
    training texts (factorised positive pointwise mutual information, Levy and Goldberg 2014). checkpoint
    takes those of `model.init_from`. None takes checkpoint if there is one, else the preset's value."""
    embedding_lr_factor: float | None = None
    """Learning rate of the token vectors while the labels are learned, as a share of `optim.lr`. 0 leaves
    them as they are. None takes 0.4 for vectors from co-occurrences, else 1."""
    layer_lr_decay: float | None = None
    """Factor of the learning rate from each layer to the next below, so that lower layers change less. 1
    gives all layers one rate. None takes 0.95 for a pretrained encoder, else 1."""
    freeze_layers: int | None = None
    """Number of the lowest layers of a pretrained encoder that keep their weights, the embeddings with them.
    This saves time and memory. 0 trains all layers. None takes a third of the layers if the checkpoint was
    made for mean vectors, there are at most a million training tokens, and neither contrast nor masked
    language modelling comes first; otherwise, and for the task tokens, 0."""
    pretrain_epochs: int | None = None
    """Number of passes of masked language modelling over the training texts before the labels are learned. 0
    means none. None takes the preset's value, or 30 where there are at most 80,000 training tokens and no
    pretrained encoder, else 0."""
    mask_rate: float = 0.3
    """Share of the tokens that language modelling hides. More than BERT's 0.15 often learns better (Wettig
    et al. 2022, arXiv 2202.08005)."""
    whole_words: bool = False
    """Whether language modelling hides either all tokens of a word or none of them."""
    warmup: float = 0.1
    """Share of all steps during which the learning rate rises linearly from 0 to its peak."""
    schedule: Schedule | None = None
    """How the learning rate falls after the warm-up, to 0 at the last step: cosine along half a cosine,
    linear along a line, wsd (warm-up, stable, decay) not at all until the last `optim.decay` share of the
    steps. None takes wsd for masked_lm, linear for a pretrained encoder, else cosine."""
    decay: float = 0.2
    """For wsd: the share of all steps during which the learning rate falls, as 1 - sqrt (Haegele et al. 2024,
    arXiv 2405.18392). masked_lm keeps the encoder from before the fall in stable/, with the optimizer's
    moments. A new run can continue from it by `model.init_from`."""
    weight_decay: float | None = None
    """AdamW's decoupled decay of matrices; biases, norms and embeddings have none. None takes the preset's
    value."""
    clip_norm: float = 1.0
    """Largest norm of the gradient of a step. A larger gradient is scaled down to it."""
    token_dropout: float | None = None
    """Share of the tokens that are left out of each training text, other ones in every epoch. This makes the
    model more robust and an epoch shorter. 0 leaves out none. None takes the preset's value, 0 for a
    pretrained encoder, or a share from 0.1 for short texts to 0.5 for long ones."""
    head_init: HeadInit | None = None
    """How the classification head begins. random: with random numbers. probe: as a linear classifier that was
    fitted on the vectors of the pretrained encoder. contrast: as probe, after the encoder has learned in 100
    steps to put texts of one label near each other. None takes random, unless the checkpoint was made for
    mean vectors: then contrast with at most 20 texts a label, and probe if there are few steps for each
    label, or a text may have several labels. regression and ordinal always take random."""
    r_drop: float | None = None
    """Weight of R-Drop (Liang et al. 2021, arXiv 2106.14448): each text passes twice under different dropout,
    and the two predictions are drawn together. It helps where there is little data, and takes twice the time.
    0 means none. None takes the preset's value, 0 for a pretrained encoder, or 6 where there are at most
    80,000 training tokens, else 0."""
    label_smoothing: float = 0.0
    """Share of the target's probability that is spread over all classes. Try 0.1 if some labels are wrong."""
    class_weights: ClassWeights = "none"
    """none: every example weighs the same. balanced: every class weighs the same, so that rare classes are
    learned better. An example then weighs examples / (classes x examples of its class). In multi_label, the
    texts that have a class weigh as much in all as those that do not have it. effective_number: as balanced,
    but classes with more than some 1,000 examples weigh by an example alike (Cui et al. 2019, arXiv
    1901.05555). A table such as {"spam": 5} weighs the examples of each class; classes that it lacks weigh
    1. For tokens, the classes are the types of spans, and O for what is in no span."""
    regression_loss: Literal["mse", "huber"] = "mse"
    """For regression: the loss of a number, on a scale on which the training numbers have the mean 0 and the
    standard deviation 1. mse is the squared error. huber is squared up to an error of 1, and grows linearly
    from there on, so that a few wrong or extreme numbers count less."""
    metric: Metric | None = None
    """Measure on the validation data by which the best weights are chosen. classification has accuracy and,
    for classes of very different size, macro_f1. multi_label has micro_f1, macro_f1 and exact_match.
    soft_labels has divergence, accuracy and macro_f1. regression has r2, mae, rmse, pearson and spearman.
    ordinal has kappa (Cohen's, with quadratic weights), accuracy, adjacent_accuracy, mae_ranks and macro_f1.
    tokens has f1, of whole spans, and macro_f1, the mean of that of each type. masked_lm has perplexity. None
    takes the first of these."""
    eval_every: int | None = None
    """Number of optimizer steps between two evaluations. None evaluates once an epoch, but at least 10
    and at most 20 times in a run (from a pretrained encoder at least 4 times, or only at the end with fewer
    than 50 validation texts). If that took more than a fifth
    of the time, it evaluates less often, but at least 4 times. For masked_lm, evaluations take about a
    twentieth of the time. With `optim.max_minutes`, evaluations are spread over the time instead of the
    steps."""
    patience: int | None = None
    """Stop when `optim.metric` has not improved for this many optimizer steps. None never stops early."""
    max_minutes: float | None = None
    """Train for at most this many minutes. The learning rate falls to 0 within this time. Reading the data
    and the last evaluation take time beyond it. A second run gives slightly different weights, since it makes
    another number of steps. None sets no limit."""


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """The machine. These settings change speed and memory, and results by rounding and the draws of
    dropout."""

    device: Literal["cpu", "cuda", "mps"] | None = None
    """Where to train. None takes cuda if there is a CUDA device, else cpu. mps is refused, since it is not
    supported."""
    precision: Precision | None = None
    """Number format of matrix products. bf16 and fp16 compute in it wherever that is safe (automatic mixed
    precision), and keep the weights in fp32. None takes the preset's value, or the fastest format that the
    machine computes in hardware. If bf16 would compute wrong numbers on a CPU, since OpenMP gives fewer
    threads than torch counts on, fp32 is taken, and a line says so."""
    attention: Kernel | None = None
    """Kernel that computes attention. Without attention dropout all kernels give the same result up to
    rounding, so set it only to compare their speed. None takes the preset's value, or goes by batch layout,
    device and precision."""
    skip_unread: bool | None = None
    """Whether the last layer leaves out what only unread rows need. With cls pooling only the first token of
    a text is read, and in language modelling only hidden tokens are. That is less work, and without
    dropout the result is the same. None takes the preset's value."""
    tf32: bool | None = None
    """Whether training on a GPU multiplies in TF32 what is left in fp32: up to 8 times as fast, with factors
    rounded to 10 bits. Evaluation and prediction are exact whatever it says. None takes True on GPUs that
    have TF32."""
    compile: bool | None = None
    """Whether kernels are fused in training. On a CPU, kernels of this package compute what lies between
    matrix products in one pass over memory. A C++ compiler builds them once on each machine, which takes 3
    seconds. On a GPU torch.compile fuses the MLPs, and the first step takes longer. Results differ by
    rounding alone. None takes True on a CPU where Linux has a C++ compiler, and False elsewhere."""
    shard: bool = False
    """With several processes: divide weights, gradients and moments among them (FSDP2) instead of giving each
    process all of them (DDP). It is for models that do not fit on one device."""
    threads: int | None = None
    """Number of CPU threads. None takes the cores that this process may use, or what OMP_NUM_THREADS says,
    and never more than OMP_THREAD_LIMIT."""
    deterministic: bool = False
    """Refuse operations whose result may differ between runs (torch.use_deterministic_algorithms)."""
    checkpoint_every: int | None = None
    """Number of optimizer steps between two checkpoints, from which the same command continues an interrupted
    run. 0 saves one only when the run is asked to end, as by Ctrl-C. None saves every 15 seconds or less
    often, so that saving takes at most 3 % of the time."""
    log_every: int | None = None
    """Number of optimizer steps between two log lines. None prints about 100 lines in a run."""
    tensorboard: bool = False
    """Whether TensorBoard's event files are written into the run directory too. This needs the extra
    tensorboard."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that defines a training run."""

    preset: Preset = "custom"
    """A set of defaults. custom is fast: pre-norm, fast kernels, batches of near-equal lengths. modern adds
    rotary positions, a gated MLP and local attention, for longer texts. legacy is the original BERT, with
    every optimisation off, to compare with. A pretrained encoder keeps its architecture, and the preset says
    how it is trained; legacy and modern start from scratch unless `model.init_from` names one."""
    task: TaskName = "classification"
    """What is learned. classification: each text has one label. multi_label: each text has any number of
    labels. soft_labels: each text is divided among labels, by votes or probabilities. regression: each text
    has a number, or several. ordinal: each text has one of several labels that have an order. tokens: spans
    of a text have labels, such as the names of people in it. masked_lm: an encoder is pretrained on running
    text, `data.corpus`."""
    out: str | None = None
    """Run directory to write. None takes runs/ and a name made from the settings and the data, so that the
    same command finds its run again."""
    seed: int = 0
    """Seed of all random numbers: initial weights, order of batches, dropout, and which lines are set aside.
    Train with several seeds to see how much results vary."""
    floor: bool = True
    """Whether a linear model on n-grams is fitted first. It is ready within seconds, and predicts until the
    encoder is trained; afterwards both may predict together (`ensemble`). Its scores are the floor that the
    encoder has to beat. masked_lm has none."""
    ensemble: bool | None = None
    """Whether encoder and floor predict together, by a weighted sum of their scores. Its two factors are
    fitted on training lines that are set aside for it: a twentieth, about 400 at most, or in multi_label
    those that choose the thresholds. With fewer than 1,500 training lines, or 500 in multi_label, these would
    be too few; then the better one on the validation texts predicts, if there are 50 of these. None takes
    True where one of the two is possible. True is refused where neither is."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)


GROUPS = ("data", "model", "batch", "optim", "runtime")
"""The fields of `TrainConfig` that hold groups of settings. A dotted name begins with one of them."""


@functools.cache
def _field_types() -> dict[str, Any]:
    types_by_name: dict[str, Any] = {}
    for name, annotation in get_type_hints(TrainConfig).items():
        if name in GROUPS:
            for inner, inner_type in get_type_hints(annotation).items():
                types_by_name[f"{name}.{inner}"] = inner_type
        else:
            types_by_name[name] = annotation
    return types_by_name


def field_types() -> dict[str, Any]:
    """Returns the type of every setting by dotted name: `{"seed": int, "model.bias": bool | None, ...}`."""
    return dict(_field_types())


def to_flat(config: TrainConfig) -> dict[str, Any]:
    """Returns the values of all settings by dotted name."""
    flat: dict[str, Any] = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if item.name in GROUPS:
            flat |= {f"{item.name}.{key}": inner for key, inner in vars(value).items()}
        else:
            flat[item.name] = value
    return flat


def replace(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """Returns a copy of `config` with some settings changed, which are given by existing dotted names."""
    for name, value in changes.items():
        group, _, inner = name.rpartition(".")
        if group:
            value = dataclasses.replace(getattr(config, group), **{inner: value})
        config = dataclasses.replace(config, **{group or inner: value})
    return config
