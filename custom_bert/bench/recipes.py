"""The recipes that `bench ablation` measures: each improvement alone, taken out, and on the ladder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from custom_bert.bench.speed import defaults_here
from custom_bert.bench.switches import LEGACY, Improvement, Switches, improvements
from custom_bert.bench.workloads import AG_NEWS, Workload
from custom_bert.config import Precision
from custom_bert.precision import choose_precision
from custom_bert.rules.choices import token_dropout
from custom_bert.training.compile import choose_compile, compiler_fault


@dataclass(frozen=True)
class Row:
    """One recipe to measure.

    Attributes:
        part: alone (against legacy without it), removed (custom with it, against custom without it), ladder
            or recipe.
        name: what was switched.
        switches: the recipe.
        base: key of the recipe that it is compared with.
    """

    part: str
    name: str
    switches: Switches
    base: str

    @property
    def key(self) -> str:
        """Identifies the recipe; equal recipes are measured once."""
        return key_of(self.switches)


def key_of(switches: Switches) -> str:
    """`naive gelu post eager fp32 padded all whole`."""
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
    """Everything on that the defaults take on this machine."""
    return replace(LEGACY, **{one.field: one.on for one in switched if one.in_custom})


def rows_for(switched: Sequence[Improvement], workload: Workload) -> list[Row]:
    """The recipes of a workload. Where all texts are equally long only attention is of interest."""
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
    """Every recipe that the rows need, each once."""
    custom = custom_recipe(switched)
    needed = {row.key: row.switches for row in rows}
    known = [replace(base, **{i.field: i.off}) for base in (LEGACY, custom) for i in switched]
    by_key = {key_of(switches): switches for switches in known}
    return needed | {row.base: by_key.get(row.base, LEGACY) for row in rows if row.base not in needed}


def at_lengths(switched: Sequence[Improvement], workload: Workload, device: str) -> list[Improvement]:
    """The improvements for texts of a workload's lengths, token dropout by its rule. Where the defaults take
    another kernel than flash attention, that is a row of its own, and `custom` has it instead."""
    rule = defaults_here(torch.device(device), workload.max_length).attention
    found: list[Improvement] = []
    for one in switched:
        if one.field == "token_dropout":
            one = replace(one, on=token_dropout(workload.mean_tokens)[0])
        other = one.field == "attention" and rule != one.on
        found.append(replace(one, in_custom=one.in_custom and not other))
        if other:
            found.append(replace(one, name=f"attention by rule: {rule}", on=rule))
    return found


def available(device: str) -> tuple[list[Improvement], list[str]]:
    """The improvements that this machine can switch, and a line for each that it cannot."""
    chosen, _ = choose_precision(None, torch.device(device))
    half: Precision = "bf16" if chosen == "fp32" else chosen
    rate, _ = token_dropout(AG_NEWS.mean_tokens)
    found, notes = list(improvements(half, "dense", rate)), []
    fault = compiler_fault(torch.device(device))
    if fault:
        found = [one for one in found if one.field != "compile"]
        notes.append(f"kernel fusion: not measured, torch.compile does not work here: {fault}")
    compiles, why = choose_compile(torch.device(device))
    left_out = {} if compiles else {"compile": f"off by default: {why}"}
    if chosen == "fp32":
        found = [one for one in found if one.field != "precision"]
        notes.append(
            "mixed precision: not measured: this CPU has no bf16 hardware and emulates it, 35 times slower "
            "where it was tried"
        )
    notes += [
        f"{one.name}: not in custom, as the defaults do not take it: {left_out[one.field]}"
        for one in found
        if one.field in left_out
    ]
    return [replace(one, in_custom=one.field not in left_out) for one in found], notes
