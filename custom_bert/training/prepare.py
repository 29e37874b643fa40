"""Before the first step, the data is read and tokenised, and every setting is decided, with its reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from custom_bert import config as configuration
from custom_bert import machine
from custom_bert.config import LongTexts, TrainConfig
from custom_bert.data.cache import Cache
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.reading import LabelledLines
from custom_bert.data.source import Source, Tokenised, Tokenising, WaysOut
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.unknown import (
    OF_A_CHECKPOINT,
    OF_A_GIVEN_VOCABULARY,
    OF_OTHER_TEXTS,
    OF_TRAINING_TEXTS,
)
from custom_bert.errors import ConfigError
from custom_bert.model_files.families import inexpressible
from custom_bert.model_files.pretrained import Pretrained
from custom_bert.openmp import about_to_compute
from custom_bert.precision import doubts
from custom_bert.presets import EncoderConfig
from custom_bert.rules import choices
from custom_bert.rules.choices import Choice
from custom_bert.rules.decisions import Decisions, EvaluationFacts
from custom_bert.rules.evaluations import JUDGING_TEXTS
from custom_bert.rules.resolved import resolved
from custom_bert.tasks.registry import TASKS
from custom_bert.tasks.task import Task
from custom_bert.training.ahead import plans_ahead
from custom_bert.training.decisions import (
    decide_defaults,
    decide_frozen_layers,
    decide_head,
    decide_machine,
    decide_model,
    decide_training,
    filler,
)
from custom_bert.training.plan import Material, RunPlan, epoch_batches, evaluations, token_dropout
from custom_bert.training.start import Begun, default_start, named_start
from custom_bert.training.unread import unread_settings
from custom_bert.training.vocabulary import decide_tokenizer

NO_WINDOWS = (
    "data.long_texts windows: a window of a pair would hold only a part of one text, without the other; take "
    "head or head_tail, which keep the same share of both, and raise data.max_length"
)
"""Why pairs of texts are not read in windows, and what to do."""


@dataclass
class Draft:
    """The plan of this process, before it agrees with others: of several processes all follow the first, and
    a run that is continued keeps what it began with.

    Attributes:
        todo: the decisions.
        encoder: the architecture.
        device: the device that trains.
        task: the task, which knows the names of the classes.
    """

    todo: Decisions
    encoder: EncoderConfig
    device: torch.device
    task: Task

    def follow(self, changes: Mapping[str, Any], reason: str) -> None:
        """Takes over settings that another process or an earlier one decided.

        Args:
            changes: the settings by dotted name.
            reason: what the log of choices says about each of them.
        """
        self.todo.config = configuration.replace(self.todo.config, changes)
        self.todo.log = [
            Choice(one.name, changes[one.name], reason) if one.name in changes else one
            for one in self.todo.log
        ]

    def final(self) -> RunPlan:
        """Returns the plan; afterwards no setting changes."""
        todo = self.todo
        config = resolved(todo.config)
        return RunPlan(todo.asked, config, self.encoder, self.device, self.task, tuple(todo.log))


def prepare(
    config: TrainConfig,
    say: Callable[[str], None],
    lines: LabelledLines | None = None,
    begun: Begun | None = None,
) -> tuple[Draft, Material]:
    """Reads the data and decides everything. Nothing in the process changes; files in the cache do.

    Args:
        config: a checked configuration, with None where a rule decides.
        say: prints a line about what takes time.
        lines: labelled texts in memory. None for the files that the settings name.
        begun: what the run began from, if it is continued and the settings leave that open.

    Raises:
        UserError: for anything that the user has to mend.
    """
    task = TASKS[config.task]
    faults = task.faults(config)
    if config.ensemble and (reason := _no_ensemble(config, task)):
        faults.append(f"ensemble True: {reason}; leave it out")
    if faults:
        raise ConfigError([f"config: {fault}" for fault in faults])
    todo = Decisions(config, config)
    lost = about_to_compute()  # comes first, because reading a pretrained encoder computes in threads
    todo.warnings += [lost] if lost else []
    pretrained = named_start(todo, task, say)
    cache = Cache.of(config.data.cache_dir, config.out, say)
    source = _read(task, config, cache, lines)
    if config.data.pairs and lines is not None and not source.pairs:
        raise ConfigError(["config: data.pairs is for text files; in memory, write each pair as a tuple"])
    if source.pairs and config.data.long_texts == "windows":
        raise ConfigError([f"config: {NO_WINDOWS}"])
    if config.model.init_from is None:
        pretrained = default_start(todo, task, source, begun, say)
    decide_defaults(todo, task, pretrained)
    device = decide_machine(todo)
    tokenizer = pretrained.tokenizer if pretrained else decide_tokenizer(todo, source.text(), cache, say)
    tokenizer = tokenizer.reading(pairs=source.pairs)
    tokenised = source.tokenised(_tokenising(todo.config, tokenizer, cache, device, say))
    _decide_ensemble(todo, task, tokenised, source)
    on_data = task.from_source(source, config)
    decide_head(todo, on_data, tokenised.train, pretrained)
    decide_frozen_layers(todo, tokenised.train, pretrained)
    encoder = decide_model(todo, tokenizer, tokenised.train, pretrained)
    earlier_lr = pretrained.lr if pretrained else None
    decide_training(todo, on_data, tokenised.train, encoder, tokenizer, device, earlier_lr=earlier_lr)
    material = _material(source, tokenised, tokenizer, pretrained)
    _decide_evaluations(todo, on_data, material)
    warnings = _warnings(todo, task, source, tokenised, tokenizer, encoder, device)
    return Draft(todo, encoder, device, on_data), dataclasses.replace(material, warnings=warnings)


def _read(task: type[Task], config: TrainConfig, cache: Cache, lines: LabelledLines | None) -> Source:
    """Reads the data. Of what is open in the settings, only the task decides how data is read."""
    open_ = {name for name, value in configuration.to_flat(config).items() if value is None}
    config = configuration.replace(config, {k: v for k, v in task.defaults().items() if k in open_})
    return task.read(config, cache) if lines is None else task.read_lines(lines, config)


def _decide_ensemble(todo: Decisions, task: type[Task], tokenised: Tokenised, source: Source) -> None:
    """Decides `ensemble`: encoder and floor predict together where they can.

    Raises:
        ConfigError: if the user asks for it, and there are too few lines to fit or to choose it on.
    """
    reason = _no_ensemble(todo.config, task)
    lines = 0 if tokenised.choosing is None else len(tokenised.choosing.rows_N)
    judging = len(tokenised.val.rows_N) if source.validates else 0
    weighs, judges = choices.weighs(lines), judging >= JUDGING_TEXTS
    if not reason and not weighs and not judges:
        reason = "too few lines to weigh encoder and floor on, or to choose the better one by"
    if reason and todo.asked.ensemble:
        raise ConfigError([f"config: ensemble True: {reason}; leave it out"])
    if reason:
        todo.default("ensemble", (False, reason))
    elif weighs:
        todo.default("ensemble", (True, f"{lines:,} training lines to fit it on"))
    else:
        few = "too few training lines to weigh both on"
        todo.default("ensemble", (True, f"{few}; the better one on the validation texts predicts"))


def _no_ensemble(config: TrainConfig, task: type[Task]) -> str:
    """Returns why the settings allow no ensemble; empty if they do."""
    if not task.combines:
        return f"task {task.name} has none"
    return "" if config.floor else "floor is off"


def _material(
    source: Source, tokenised: Tokenised, tokenizer: TextTokenizer, pretrained: Pretrained | None
) -> Material:
    return Material(
        source,
        tokenizer,
        tokenised.train,
        tokenised.val,
        tokenised.choosing,
        tokenised.test,
        tokenised.truncation,
        pretrained,
        (),
    )


def _tokenising(
    config: TrainConfig,
    tokenizer: TextTokenizer,
    cache: Cache,
    device: torch.device,
    say: Callable[[str], None],
) -> Tokenising:
    assert config.data.max_length is not None and config.data.long_texts is not None
    ways_out = WaysOut(OF_TRAINING_TEXTS, OF_OTHER_TEXTS)
    if config.model.is_pretrained:
        ways_out = WaysOut(OF_A_CHECKPOINT, OF_A_CHECKPOINT)
    elif config.data.tokenizer:
        ways_out = WaysOut(OF_A_GIVEN_VOCABULARY, OF_A_GIVEN_VOCABULARY)
    return Tokenising(
        tokenizer=tokenizer,
        max_length=config.data.max_length,
        long_texts=config.data.long_texts,
        cache=cache,
        pin_memory=device.type == "cuda",
        ahead=plans_ahead(config, device),
        ways_out=ways_out,
        say=say,
    )


def _decide_evaluations(todo: Decisions, task: Task, material: Material) -> None:
    """Decides `optim.eval_every`. Where the time ends the run it stays None, and the log says so."""
    config = todo.config
    if config.optim.eval_every is not None:
        return
    if config.optim.max_minutes is not None:
        _, reason = evaluations(config, task, material)
        todo.log.append(Choice("optim.eval_every", "by time", reason))
        return
    batch = config.batch
    assert config.optim.epochs is not None
    assert batch.token_budget is not None and batch.accumulation is not None
    dropout = token_dropout(config.optim.token_dropout, config.seed)
    batches = len(epoch_batches(material.train, config, config.seed, 0, dropout))
    facts = EvaluationFacts(
        steps_per_epoch=-(-batches // batch.accumulation),
        epochs=config.optim.epochs,
        tokens_per_step=batch.token_budget * batch.accumulation,
        pretrained=material.pretrained is not None,
        training_tokens=int(material.train.kept_lengths(dropout, 0).sum()),
        validation_tokens=material.validation_tokens(task),
        validation_texts=material.validation_texts,
    )
    todo.default("optim.eval_every", task.eval_every(facts))


def _warnings(
    todo: Decisions,
    task: type[Task],
    source: Source,
    tokenised: Tokenised,
    tokenizer: TextTokenizer,
    encoder: EncoderConfig,
    device: torch.device,
) -> tuple[str, ...]:
    """Returns what the user should know before training, one line each."""
    asked, config = todo.asked, todo.config
    assert config.runtime.precision is not None
    return (
        *source.warnings,
        *tokenised.warnings,
        *todo.warnings,
        *doubts(config.runtime.precision, device),
        *_unfilled(asked, tokenizer),
        *filler(asked),
        *_not_exported(encoder, task.published_long_texts(asked.data.long_texts)),
        *_too_long(config, encoder, tokenised.train, device),
        *unread_settings(asked, config, task, source),
    )


def _too_long(
    config: TrainConfig, encoder: EncoderConfig, train: BatchBuilder, device: torch.device
) -> list[str]:
    """Returns a warning if the longest texts may not fit into memory. All windows of a text are in one step,
    whatever the token budget."""
    if train.window is None or not len(train.rows_N):
        return []
    padded_texts = config.batch.batch_size if config.batch.plan == "padded" else None
    texts = 1 if padded_texts is None else padded_texts
    copies = 2 if config.optim.r_drop else 1
    rows = int(np.sort(train.windows_of_texts())[-texts:].sum()) * train.window * copies
    fitting = choices.fitting_rows(encoder.bytes_per_row, machine.memory_of(device))
    if rows <= fitting:
        return []
    return [
        f"the longest texts make steps of up to {rows:,} rows, and {fitting:,} fit into "
        f"{choices.MEMORY_SHARE:.0%} of the memory; a smaller data.max_length or batch.batch_size helps"
    ]


def _unfilled(asked: TrainConfig, tokenizer: TextTokenizer) -> list[str]:
    """Returns a warning if the texts yield fewer vocabulary entries than the user asked for."""
    wanted = asked.model.vocab_size
    if wanted is None or wanted <= tokenizer.vocab_size:
        return []
    return [f"model.vocab_size {wanted:,}: the texts hold no more than {tokenizer.vocab_size:,} entries"]


def _not_exported(encoder: EncoderConfig, long_texts: LongTexts) -> list[str]:
    """Returns a warning if no family of Hugging Face can express the model."""
    fault = inexpressible(encoder, long_texts)
    return [f"custom-bert export will refuse this run: {fault}"] if fault else []
