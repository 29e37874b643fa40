"""The tables of the page about GPUs: what a simulated GPU showed, before and after it was looked at."""

from __future__ import annotations

from typing import Any

from record_tables import read, table

BEFORE, NOW = "simulated/before_202611.json", "simulated/now_202611.json"


def _waits(found: dict[str, Any] | None, steps: int) -> str:
    """The waits of a step."""
    if found is None or found["result"] != "ran":
        return "-"
    return f"{sum(count for _, _, count in found['waits_in_steps']) / steps:g}"


def _cells(before: dict[str, Any] | None, now: dict[str, Any], name: str) -> list[str]:
    if before is None or before["result"] != "ran":
        return ["-", f"{now[name]:,}"]
    return [f"{before[name]:,}", f"{now[name]:,}"]


def simulated_steps() -> list[str]:
    """A row for each kind of step: kernels, host operations and waits, before and now."""
    before, now = read(BEFORE)["steps"], read(NOW)["steps"]
    rows = []
    for name, found in now.items():
        old = before.get(name)
        waits = [_waits(old, 1), _waits(found, 1)]
        kernels = _cells(old, found, "kernels_a_step")
        rows.append([name, *kernels, *_cells(old, found, "operations_a_step"), *waits])
    head = ["step", "kernels before", "now", "operations before", "now", "waits before", "now"]
    return table(head, rows)


def simulated_runs() -> list[str]:
    """A row for each configuration: whether it ran, and what its steps cost."""
    before, now = read(BEFORE)["configurations"], read(NOW)["configurations"]
    rows = []
    for name, found in now.items():
        old = before.get(name)
        if found["result"] != "ran":
            rows.append([name, found["result"], "", "", "", ""])
            continue
        waits = [_waits(old, found["steps"]), _waits(found, found["steps"])]
        rows.append([name, "ran", *waits, *_cells(old, found, "kernels_a_step")])
    return table(["configuration", "result", "waits before", "now", "kernels before", "now"], rows)


def dispatch() -> list[str]:
    """A row for each size: what launching a step takes, and the tokens a second that it allows."""
    rows = []
    for one in read("cpu2zen4/host_202611.json")["results"]:
        if "ms" in one:
            rates = [f"{rows_ / one['ms'] / 1000:.1f}" for rows_ in (8192, 16_384, 131_072)]
            name = one["id"].removeprefix("host dispatch, ")
            rows.append([name, f"{one['before_ms']:.1f}", f"{one['ms']:.1f}", *rates])
    head = ["step", "ms before", "now", "M tokens/s at 8,192 rows", "at 16,384", "at 131,072"]
    return table(head, rows)


def host() -> list[str]:
    """A row for each kind of batch: what one core builds, before and now."""
    rows = [
        [
            one["id"].removeprefix("host "),
            f"{one['before']:.1f}",
            f"{one['million_tokens_per_second']:.1f}",
            f"{one['million_tokens_per_second'] / one['before']:.1f}",
        ]
        for one in read("cpu2zen4/host_202611.json")["results"]
        if "before" in one
    ]
    return table(["batches of 8,192 tokens", "M tokens/s before", "now", "times as fast"], rows)
