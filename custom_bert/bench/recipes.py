"""The recipes of `bench ablation`: each improvement alone, taken out, and as a step of the ladder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from custom_bert import terminal
from custom_bert.bench.speed import defaults_here
from custom_bert.bench.switches import LEGACY, Improvement, Switches, improvements
from custom_bert.bench.workloads import AG_NEWS, Workload
from custom_bert.config import Precision
from custom_bert.precision import choose_precision
from custom_bert.rules.choices import token_dropout
from custom_bert.training.compile import choose_compile, fusion_fault


@dataclass(frozen=True)
class Row:
    """One recipe to measure, and its baseline.

    Attributes:
        part: "alone" (legacy with it against legacy without it), "removed" (custom with it against custom
            without it), "ladder" (all improvements up to it against legacy) or "recipe" (a whole preset).
        name: the improvement, or the preset.
        switches: the recipe.
        base: the key of the baseline's recipe.
    """

    part: str
    name: str
    switches: Switches
    base: str

    @property
    def key(self) -> str:
        """A text that identifies the recipe. Equal recipes are measured only once."""
        return key_of(self.switches)


def key_of(switches: Switches) -> str:
    """A recipe in words, such as `naive gelu post eager fp32 padded all whole`."""
    words = (
        switches.attention,
        switches.hidden_act,
        switches.norm,
        "compiled" if switches.compile else "eager",
        switches.precision,
        switches.plan,
        "read" if switches.skip_unread else "all",
        f"dropping {switches.token_dropout:g}" if switches.token_dropout else "whole",
    )
    return " ".join(words)


def custom_recipe(switched: Sequence[Improvement]) -> Switches:
    """The recipe with every improvement on that the defaults use on this machine."""
    return replace(LEGACY, **{one.field: one.on for one in switched if one.in_custom})


def rows_for(switched: Sequence[Improvement], workload: Workload) -> list[Row]:
    """The recipes of a workload. Where all texts are equally long, only attention is varied."""
    custom = custom_recipe(switched)
    legacy = key_of(LEGACY)
    rows = [Row("recipe", "legacy", LEGACY, legacy), Row("recipe", "custom, all on", custom, legacy)]
    chosen = switched if workload is AG_NEWS else [i for i in switched if i.field == "attention"]
    for one in chosen:
        off = replace(LEGACY, **{one.field: one.off})
        rows.append(Row("alone", one.name, replace(LEGACY, **{one.field: one.on}), key_of(off)))
        on, off = (replace(custom, **{one.field: value}) for value in (one.on, one.off))
        rows.append(Row("removed", one.name, on, key_of(off)))
    if workload is AG_NEWS:
        step = LEGACY
        for one in switched:
            if one.in_custom:
                step = replace(step, **{one.field: one.on})
                rows.append(Row("ladder", f"+ {one.name}", step, legacy))
    return rows


def recipes(rows: Sequence[Row], switched: Sequence[Improvement]) -> dict[str, Switches]:
    """Every recipe that the rows need, baselines included, by key."""
    custom = custom_recipe(switched)
    needed = {row.key: row.switches for row in rows}
    known = [replace(base, **{i.field: i.off}) for base in (LEGACY, custom) for i in switched]
    by_key = {key_of(switches): switches for switches in known}
    return needed | {row.base: by_key.get(row.base, LEGACY) for row in rows if row.base not in needed}


def at_lengths(switched: Sequence[Improvement], workload: Workload, device: str) -> list[Improvement]:
    """The improvements for texts of a workload's lengths.

    Token dropout has the rate that the rule gives to such texts. If the defaults use another attention kernel
    than flash attention for them, that kernel is an improvement of its own, and `custom` has it instead.
    """
    rule = defaults_here(torch.device(device), workload.max_length).attention
    adapted: list[Improvement] = []
    for one in switched:
        if one.field == "token_dropout":
            one = replace(one, on=token_dropout(workload.mean_tokens)[0])
        other = one.field == "attention" and rule != one.on
        adapted.append(replace(one, in_custom=one.in_custom and not other))
        if other:
            adapted.append(replace(one, name=f"attention by rule: {rule}", on=rule))
    return adapted


def available(device: str) -> tuple[list[Improvement], list[str]]:
    """The improvements that this machine can switch, and notes.

    There is a note for each improvement that cannot be measured here, and for each that is measured but that
    the defaults leave off.
    """
    chosen, _ = choose_precision(None, torch.device(device))
    half: Precision = "bf16" if chosen == "fp32" else chosen
    rate, _ = token_dropout(AG_NEWS.mean_tokens)
    measured, notes = list(improvements(half, "dense", rate)), []
    fault = fusion_fault(torch.device(device), terminal.complain)
    if fault:
        measured = [one for one in measured if one.field != "compile"]
        notes.append(f"kernel fusion: not measured, kernels cannot be fused here: {fault}")
    compiles, why = choose_compile(torch.device(device))
    left_out = {} if compiles else {"compile": f"off by default: {why}"}
    if chosen == "fp32":
        measured = [one for one in measured if one.field != "precision"]
        notes.append(
            "mixed precision: not measured: this CPU has no bf16 hardware and emulates it, 35 times slower "
            "where it was tried"
        )
    notes += [
        f"{one.name}: not in custom, as the defaults do not take it: {left_out[one.field]}"
        for one in measured
        if one.field in left_out
    ]
    return [replace(one, in_custom=one.field not in left_out) for one in measured], notes
