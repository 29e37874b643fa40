"""The tables of the pages about models in use: ONNX directories, the server, many lines, the first label."""

from __future__ import annotations

import statistics
from typing import Any

from record_tables import ratio_of, spread, table


def predicted(record: dict[str, Any]) -> list[str]:
    """A row for each side that gives labels: speed, a text alone, agreement, accuracy and memory."""
    rows = []
    for side, found in record["raw"].items():
        if "agreement" not in found[0]:
            continue
        alone = [one["latency_ms"] for one in found if "latency_ms" in one]
        rows.append(
            [
                side,
                spread([one["texts"] / one["seconds"] for one in found], 0),
                spread([one["median"] for one in alone], 1) if alone else "",
                f"{100 * found[0]['agreement']:.2f}",
                f"{100 * found[0]['accuracy']:.2f}",
                f"{statistics.median(one['peak_mb'] for one in found):,.0f} MB",
            ]
        )
    head = ["side", "texts a second", "a text alone, ms", "labels as the pipeline's, %", "accuracy, %"]
    return table([*head, "peak memory"], rows)


def served(record: dict[str, Any]) -> list[str]:
    """A row for each load and server."""
    rows = []
    for load in next(iter(record["raw"].values()))[0]:
        for side, rounds in record["raw"].items():
            found = [one[load] for one in rounds]
            rows.append(
                [
                    "open loop" if load == "open" else f"{load} client{'' if load == '1' else 's'}",
                    side,
                    spread([one["rate"] for one in found], 0),
                    spread([one["p50_ms"] for one in found], 0),
                    spread([one["p99_ms"] for one in found], 0),
                    str(sum(one["errors"] for one in found)),
                ]
            )
    head = ["load", "server", "requests/s", "median, ms", "99th percentile, ms", "errors"]
    return table(head, rows)


def many_lines(record: dict[str, Any]) -> list[str]:
    """A row for each number of processes, and one for the ratio."""
    rows = []
    for one in record["results"]:
        if "ratio_median" in one:
            rows.append(["two against one", ratio_of(one), "", str(one["repeats"])])
            continue
        processes = one["id"].rpartition(" ")[2]
        runs = record["raw"][processes]
        memory = ", ".join(f"{mb:,.0f}" for mb in one["memory_mb_at_quarters"])
        rows.append([processes, spread([run["lines_per_second"] for run in runs], 0), memory, str(len(runs))])
    return table(["processes", "lines a second", "memory at the quarters, MB", "repeats"], rows)


def first_labels(record: dict[str, Any]) -> list[str]:
    """A row for each side: seconds to the first label, and what is installed."""
    rows = [
        [
            one["id"].removeprefix("S4 "),
            spread(record["raw"][one["id"].removeprefix("S4 ")], 2),
            f"{one['installed_bytes'] / 1e6:,.0f} MB",
        ]
        for one in record["results"]
    ]
    return table(["side", "seconds to the first label", "installed"], rows)
