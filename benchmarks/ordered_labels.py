"""Labels with an order: learned as ranks, as classes or as numbers, from the same start.

    python benchmarks/ordered_labels.py --data FOLDER --order bad fair good

FOLDER holds the data files of one set. Its labels are replaced by their places in --order, from 1. A tenth of
the training lines, drawn by the seed, is what each side chooses by. The rows that are reported are those of
test_dataset.txt or, where there is none, of val_dataset.txt; they are read once.

The sides are the tasks `ordinal`, `classification` and `regression`, each at its defaults without the n-gram
model, so that only the target differs, and `ordinal` with that model. A number is rounded to the nearest
rank. The measures are scikit-learn's: kappa with quadratic weights, the mean distance in ranks, and accuracy.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import begin, options_of

from custom_bert.bench.measure import in_child, markdown, write_record
from custom_bert.bench.sets import divided, lines, write_lines

QUESTION = "Labels with an order, learned as ranks, as classes and as numbers"
SIDES: dict[str, dict[str, Any]] = {
    **{task: {"task": task, "floor": False} for task in ("ordinal", "classification", "regression")},
    "ordinal with n-grams": {"task": "ordinal"},
}
MEASURES = ("kappa", "mae", "accuracy")


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains one side, and measures its ranks on the reported rows."""
    from sklearn.metrics import accuracy_score, cohen_kappa_score, mean_absolute_error

    from custom_bert import Classifier, Reporter, train_model
    from custom_bert.data.reading import in_directory

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        settings = {**in_directory(arguments["folder"]), "seed": arguments["seed"], "out": str(run)}
        settings |= {**arguments["settings"], "data.cache_dir": f"{folder}/cache"}
        result = train_model({**settings, "runtime.device": "cpu"}, reporter=Reporter(silent=True))
        texts, true = (lines(Path(arguments["test"]), name) for name in ("test_dataset", "test_labels"))
        predicted = [one.line().split("\t")[0] for one in Classifier.load(run).predict(texts)]
    ranks = np.clip(np.rint(np.array(predicted, dtype=np.float64)), 1, arguments["ranks"]).astype(int)
    wanted = np.array(true, dtype=int)
    return {
        "kappa": float(cohen_kappa_score(wanted, ranks, weights="quadratic")),
        "mae": float(mean_absolute_error(wanted, ranks)),
        "accuracy": float(accuracy_score(wanted, ranks)),
        "seconds": result.seconds,
    }


def as_places(folder: Path, order: list[str]) -> None:
    """Replaces the labels of a folder's files by their places in the order, from 1."""
    places = {label: str(place) for place, label in enumerate(order, 1)}
    for path in folder.glob("*_labels.txt"):
        write_lines(path, [places[label] for label in lines(folder, path.stem)])


def table_of(raw: dict[str, dict[str, Any]]) -> list[str]:
    """A row for each side: means over the seeds, with the smallest and the largest."""
    rows = []
    for side, cells in raw.items():
        if not (found := list(cells.values())):
            continue
        values = {name: [one[name] for one in found] for name in MEASURES}
        shown = [f"{np.mean(some):.3f} ({min(some):.3f} to {max(some):.3f})" for some in values.values()]
        rows.append([side, len(found), *shown])
    return markdown(["learned as", "seeds", "quadratic kappa", "distance in ranks", "accuracy"], rows)


def main() -> None:
    """Measures what the record does not have yet, and writes it after each run."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--order", nargs="+", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    raw: dict[str, dict[str, Any]] = {side: {} for side in SIDES}
    if options.out.exists():
        raw |= json.loads(options.out.read_text(encoding="utf-8"))["raw"]
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as cut:
            train, test = divided(options.data, None, seed, Path(cut))
            for folder in (train, test):
                as_places(folder, options.order)
            for side in SIDES:
                if str(seed) not in raw[side]:
                    measure(raw, side, train, test, seed, options)


def measure(
    raw: dict[str, dict[str, Any]], side: str, train: Path, test: Path, seed: int, options: argparse.Namespace
) -> None:
    """Measures one side with one seed, and writes the record."""
    arguments = {"folder": str(train), "test": str(test), "seed": seed, "settings": SIDES[side]}
    raw[side][str(seed)] = in_child([__file__], "ours", {**arguments, "ranks": len(options.order)})
    print(f"seed {seed}, {side}: {raw[side][str(seed)]}", flush=True)
    results = [
        {"id": f"order {options.data.name} {name}", "seeds": len(cells)}
        | {one: float(np.mean([cell[one] for cell in cells.values()])) for one in MEASURES}
        for name, cells in raw.items()
        if cells
    ]
    write_record(options.out, question=QUESTION, table=table_of(raw), results=results, raw=raw)


if __name__ == "__main__":
    begin(main, {"ours": ours})
