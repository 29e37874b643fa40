"""What is printed before the first step: a few lines always, and every choice with `--verbose`."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from custom_bert import machine
from custom_bert.phrases import duration
from custom_bert.training.phases import Phase, total_steps
from custom_bert.training.plan import Material, RunPlan

LONG = 30
"""If training is expected to take more than this number of minutes, a line says how to limit it."""


def short(plan: RunPlan, material: Material) -> list[str]:
    """Returns a line each about the data, the model, the device and the precision."""
    encoder, runtime = plan.encoder, plan.config.runtime
    parameters = encoder.num_parameters(plan.task.num_outputs) / 1e6
    threads = f", {runtime.threads} {'thread' if runtime.threads == 1 else 'threads'}"
    mixed = "" if runtime.precision == "fp32" else " (automatic mixed precision)"
    return [
        *(_line("columns", line) for line in material.source.columns()),
        _line("data", material.source.sizes(material.train, material.val)),
        _line(
            "model",
            f"{encoder.num_hidden_layers} layers, {encoder.hidden_size} wide, {parameters:.1f} M parameters; "
            f"{_start(plan)}",
        ),
        _line("device", f"{runtime.device}{threads if plan.device.type == 'cpu' else _idle(plan)}"),
        _line("precision", f"{runtime.precision}{mixed}"),
    ]


def _idle(plan: RunPlan) -> str:
    """Returns how to use further GPUs, if there are some that this run leaves idle."""
    idle = machine.other_gpus(plan.device)
    return f"; {idle + 1} GPUs are here: torchrun --nproc-per-node {idle + 1} uses all" if idle else ""


def _start(plan: RunPlan) -> str:
    """Returns what training starts from and, if a rule decided it, the reason."""
    config = plan.config
    reason = next((f": {choice.reason}" for choice in plan.choices if choice.name == "model.init_from"), "")
    if not config.model.is_pretrained:
        return f"from scratch, preset {config.preset}{reason}"
    return f"all from {config.model.init_from}{reason}"


def details(plan: RunPlan, material: Material) -> list[str]:
    """Returns how the data was read, and every choice with its reason. The preset's share one line."""
    lines = list(material.source.notes())
    if plan.asked.model.init_from is None and material.pretrained:  # of a named start they are always told
        start = material.pretrained
        found = f"{start.origin.place}, {start.origin.license}, SHA-256 {start.sha256}"
        lines += (f"{start.source}: {note}" for note in (found, *start.notes))
    if plan.config.data.long_texts == "windows":
        windows_N = material.train.windows_of_texts()
        several = windows_N[windows_N > 1]
        mean = f", {several.mean():.1f} each in the mean" if len(several) else ""
        lines.append(f"{len(several):,} training texts are longer and are read in windows{mean}")
    by_preset = f"preset {plan.config.preset}"
    settled = [f"{c.name} {shown(c.value)}" for c in plan.choices if c.reason == by_preset]
    if settled:
        lines += textwrap.wrap(f"{by_preset}: {', '.join(settled)}", 100, subsequent_indent="  ")
    chosen = [c for c in plan.choices if c.reason != by_preset]
    width = max((len(choice.name) for choice in chosen), default=0)  # the user may have set everything
    value_width = max((len(shown(choice.value)) for choice in chosen), default=0)
    lines += [f"  {c.name:<{width}}  {shown(c.value):<{value_width}}  {c.reason}" for c in chosen]
    return lines


def work(phases: list[Phase], plan: RunPlan, expected: float, directory: Path) -> list[str]:
    """Returns a line each about the batches, the time and the run directory.

    Args:
        phases: the phases that are to come.
        plan: the plan of the run.
        expected: the seconds that the phases are estimated to take.
        directory: the run directory.
    """
    batch = plan.config.batch
    size = f"{batch.token_budget:,} tokens each"
    if batch.plan == "padded":
        size = f"{batch.batch_size:,} texts of {plan.config.data.max_length:,} tokens each"
    if batch.accumulation > 1:
        size += f", {batch.accumulation} to a step"
    steps = "; ".join(
        f"{'pretraining' if phase.name == 'pretrain' else 'training'} {phase.epochs} "
        f"{'epoch' if phase.epochs == 1 else 'epochs'}, {total_steps(phase):,} steps"
        for phase in phases
    )
    frozen, layers = plan.config.optim.freeze_layers, plan.encoder.num_hidden_layers
    learning = f"; the upper {layers - frozen} of {layers} layers learn" if 0 < frozen < layers else ""
    return [
        _line("batches", f"{batch.plan}, {size}; {steps}{learning}"),
        _line("time", time_in_words(expected, plan.config.optim.max_minutes)),
        _line("run", str(directory)),
    ]


def time_in_words(expected: float, max_minutes: float | None) -> str:
    """Returns how long training will take, and what a limit does or would do.

    Args:
        expected: the seconds that all epochs are estimated to take.
        max_minutes: the limit that the user sets; None for none.
    """
    if max_minutes is None and expected > 60 * LONG:
        return f"about {duration(expected)}; --max-minutes {LONG} would do fewer steps in {LONG} min"
    if max_minutes is not None and expected > 60 * max_minutes:
        return f"{max_minutes:g} min in all, of the {duration(expected)} that all epochs would take"
    return f"about {duration(expected)}"


def _line(name: str, text: str) -> str:
    return f"{name:<10} {text}"


def shown(value: Any) -> str:
    """Returns a setting's value as a person reads it: on or off, and large numbers with commas."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int) and value >= 10_000:
        return f"{value:,}"
    return str(value)
