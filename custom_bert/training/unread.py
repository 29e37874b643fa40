"""Warnings about settings that the user has set and that have no effect in a run."""

from __future__ import annotations

from collections.abc import Mapping

from custom_bert import config as configuration
from custom_bert.config import TrainConfig
from custom_bert.data.source import Source
from custom_bert.phrases import as_set
from custom_bert.tasks.task import Task


def unread_settings(asked: TrainConfig, config: TrainConfig, task: type[Task], source: Source) -> list[str]:
    """Returns one line for each setting without effect, with the reason.

    Args:
        asked: the configuration as the user wrote it.
        config: the configuration with what was decided.
        task: the task that is learned.
        source: the data.
    """
    padded, model = config.batch.plan == "padded", config.model
    local, rotary = bool(model.local_attention), model.position == "rope"
    masks = bool(config.optim.pretrain_epochs) or task.predicts_tokens
    nothing_masked = "" if masks else "nothing is masked"
    reasons = {
        "batch.token_budget": "batch.plan is padded, which goes by batch.batch_size" if padded else "",
        "model.rope_theta": "" if rotary else f"model.position is {model.position}",
        "model.local_rope_theta": "" if rotary and local else "there are no rotary local layers",
        "model.global_attn_every_n_layers": "" if local else "model.local_attention is 0",
        "data.lowercase": _lowercase_elsewhere(config),
        "optim.decay": "" if config.optim.schedule == "wsd" else f"optim.schedule is {config.optim.schedule}",
        "optim.mask_rate": nothing_masked,
        "optim.whole_words": nothing_masked,
        **source.unread_settings(),
        **_of_task(task),
    }
    return _lines(reasons, asked)


def unread_by(task: type[Task], asked: TrainConfig) -> list[str]:
    """Returns one line for each setting that a task does not read.

    Args:
        task: the task.
        asked: the configuration as the user wrote it.
    """
    return _lines(_of_task(task), asked)


def _of_task(task: type[Task]) -> dict[str, str]:
    return dict.fromkeys(task.unread, f"task is {task.name}")


def _lines(reasons: Mapping[str, str], asked: TrainConfig) -> list[str]:
    given = configuration.to_flat(asked)
    # a value that is the default may not be the user's, so that it is no reason to warn
    defaults = configuration.to_flat(TrainConfig())
    return [
        f"{name} {as_set(given[name])} has no effect: {reason}"
        for name, reason in reasons.items()
        if reason and given[name] not in (None, defaults[name])
    ]


def _lowercase_elsewhere(config: TrainConfig) -> str:
    """Returns why `data.lowercase` is not read; the empty string if it is."""
    if config.model.is_pretrained:
        return f"the tokenizer of {config.model.init_from} decides that"
    return "a tokenizer.json decides that" if str(config.data.tokenizer or "").endswith(".json") else ""
