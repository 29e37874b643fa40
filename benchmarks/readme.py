"""Writes the tables of README.md and of pages in docs/ from the records, so that every figure was measured.

    python benchmarks/readme.py            # with --check it only says whether the pages are up to date

A table is between `<!-- NAME -->` and `<!-- end -->`. `make docs` runs this script, and a test runs the
check.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from gpu_tables import dispatch, host, simulated_runs, simulated_steps
from page_tables import fast, peers_by_size, rooflines, six, well
from prediction_tables import first_labels, many_lines, predicted, served
from record_tables import (
    ablation,
    accuracy,
    by_length,
    comparisons,
    defaults,
    ensembles,
    finetune,
    learned,
    learning,
    lengths,
    multi_label,
    read,
    ready,
    records,
    reliability,
    sides,
    value,
)
from target_table import targets

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(RESULTS.glob("*/README.md")),
)


def of(file: str, make: Callable[[dict[str, Any]], list[str]]) -> Callable[[], list[str]]:
    """A function without arguments that makes a table of one record."""
    return lambda: make(read(file))


TABLES: dict[str, Callable[[], list[str]]] = {
    "fast": fast,
    "six": six,
    "accuracy_240tflop": of("cpu2zen4/accuracy_240tflop_202611.json", accuracy),
    "accuracy_240tflop_others": of("cpu2zen4/accuracy_240tflop_others_202611.json", accuracy),
    "ablation": of("cpu2amx/ablation_202611.json", ablation),
    "defaults": of("cpu2zen4/defaults_202611.json", defaults),
    "targets": targets,
    "well": of("cpu2zen4/defaults_202611.json", well),
    "ensembles": of("cpu2zen4/defaults_202611.json", ensembles),
    "multi_label": of("cpu2zen4/multi_label_goemotions_202611.json", multi_label),
    "ready": of("cpu2zen4/ready_202611.json", ready),
    "peers": of("cpu2avx2/peers_256x4_202611.json", comparisons),
    "peers_bf16": of("cpu2/peers_256x4_202611.json", comparisons),
    "peers_amx": of("cpu2amx/peers_256x4_202611.json", comparisons),
    "peers_by_size": peers_by_size,
    "time_to_accuracy_sst2": of("cpu2zen4/time_to_accuracy_sst2_202611.json", comparisons),
    "time_to_accuracy_sst2_sides": of("cpu2zen4/time_to_accuracy_sst2_202611.json", sides),
    "prediction": of("cpu2amx/prediction_minilm_202611.json", comparisons),
    "simulated_steps": simulated_steps,
    "simulated_runs": simulated_runs,
    "host": host,
    "dispatch": dispatch,
    "onnx_prediction": of("cpu2zen4/onnx_prediction_202611.json", comparisons),
    "onnx_prediction_sides": of("cpu2zen4/onnx_prediction_202611.json", predicted),
    "serving": of("cpu2zen4/serving_202611.json", served),
    "many_lines": of("cpu2zen4/bulk_202611.json", many_lines),
    "first_label": of("cpu2zen4/first_label_202611.json", first_labels),
    "first_label_int8": of("cpu2zen4/first_label_int8_202611.json", first_labels),
    "finetune": of("cpu2/finetune_minilm_202611.json", finetune),
    "finetune_long": of("cpu2/finetune_minilm_long_202611.json", finetune),
    "finetune_imdb": of("cpu2amx/finetune_imdb_202611.json", finetune),
    "reliability": of("cpu2avx2/reliability_202611.json", reliability),
    "reliability_server": of("cpu2zen4/serve_reliability_202611.json", reliability),
    "peers_mlm_zen4": of("cpu2zen4/peers_mlm_256x4_202611.json", comparisons),
    "peers_mlm_384x6_zen4": of("cpu2zen4/peers_mlm_384x6_202611.json", comparisons),
    "mlm_learning": of("cpu2amx/peers_mlm_learning_202611.json", learning),
    "corpus": of("cpu2zen5/corpus_preparation_202611.json", comparisons),
    "scratch": of("cpu2amx/pretraining_value_scratch_202611.json", value),
    "rooflines": rooflines,
    "lengths": of("cpu2zen4/ablation_lengths_202611.json", lengths),
    "by_length": of("cpu2zen4/scaling_202611.json", by_length),
    "learned": of("cpu2zen4/ablation_learning_202611.json", learned),
    **{
        f"records_{path.parent.name}": partial(records, path.parent.name)
        for path in RESULTS.glob("*/README.md")
    },
    "ranks": of("cpu2amx/ranks_202611.json", comparisons),
}
"""The name of each table, and the function that makes it from the records."""


def filled(text: str) -> str:
    """A page with its tables made anew.

    Raises:
        ValueError: if the page marks a table with an unknown name.
    """

    def replaced(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in TABLES:
            raise ValueError(f"a page marks the table {name!r}; known are {', '.join(TABLES)}")
        return "\n".join([f"<!-- {name} -->", *TABLES[name](), "<!-- end -->"])

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", replaced, text, flags=re.DOTALL)


def main() -> int:
    """Writes or checks the pages. The exit code is 1 if a checked page is not up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="check the pages and change nothing")
    options = parser.parse_args()
    code = 0
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = filled(before)
        if not options.check:
            page.write_text(after, encoding="utf-8")
        elif before != after:
            print(
                f"{page.name}: its tables are not those of the records; "
                f"python benchmarks/readme.py writes them"
            )
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
