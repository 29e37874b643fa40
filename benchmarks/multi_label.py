"""How good is the task multi_label on a set with test rows, beside TF-IDF with a linear model a label?

    python benchmarks/multi_label.py --data FOLDER --checkpoint DIRECTORY --seeds 3

FOLDER holds the four data files and test_dataset.txt with test_labels.txt. Nothing is tuned: ours are the
defaults, from scratch and from a checkpoint. The peer is TF-IDF of words (1-2 grams) with a logistic
regression for each label; its C is the best of three on the validation rows. Both choose their thresholds by
the same search on the same lines, which are set aside from the training lines, and the test rows are read
once, at the end.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from common import begin, options_of, record_of

from custom_bert.bench.measure import in_child, markdown, write_record
from custom_bert.bench.sets import lines

QUESTION = "Multi-label classification with the default settings, on test rows"
MEASURES = ("micro_f1", "macro_f1", "exact_match")
STRENGTHS = (1.0, 4.0, 16.0)
"""Values of C, of which the validation rows choose one."""


def settings_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """Our settings: the defaults, the task and the data."""
    from custom_bert.data.reading import in_directory

    return {
        **in_directory(arguments["folder"]),
        "task": "multi_label",
        "data.label_separator": arguments["separator"],
        "seed": arguments["seed"],
    }


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains with defaults, and scores the kept weights on the test rows."""
    from custom_bert import Classifier, Reporter, train_model

    folder = Path(arguments["folder"])
    with tempfile.TemporaryDirectory() as scratch:
        settings = {**settings_of(arguments), **arguments["settings"]}
        settings |= {"out": f"{scratch}/run", "data.cache_dir": f"{scratch}/cache"}
        result = train_model(settings, reporter=Reporter(silent=True))
        classifier = Classifier.load(result.directory)
        record = record_of(result.directory)
        found = classifier.measure(lines(folder, "test_dataset"), lines(folder, "test_labels"))
    return {
        **{name: found.numbers[name] for name in MEASURES},
        "validation": {name: result.numbers[name] for name in MEASURES},
        "per_class_f1": {k: v["f1"] for k, v in found.as_dict()["per_class"].items()},
        "seconds": result.seconds,
        "epochs": record["config"]["optim.epochs"],
        "lr": record["config"]["optim.lr"],
        "precision": record["config"]["runtime.precision"],
    }


def linear(arguments: dict[str, Any]) -> dict[str, Any]:
    """TF-IDF and a logistic regression a label, on the training rows that ours trains on."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    from custom_bert.config_sources import from_mapping
    from custom_bert.data.reading import data_files
    from custom_bert.label_metrics import LabelCounts, best_thresholds
    from custom_bert.tasks.multi_label import MultiLabel

    begun, folder = time.perf_counter(), Path(arguments["folder"])
    config = from_mapping({**settings_of(arguments), "data.val_fraction": 0.1})
    data = MultiLabel.read_lines(data_files(config.data), config).dataset
    assert data.choosing is not None
    task = MultiLabel(data.labels, arguments["separator"])
    texts, val_texts, test_texts = (lines(folder, f"{name}_dataset") for name in ("train", "val", "test"))
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    rows = vectorizer.fit_transform([texts[i] for i in data.train.rows_N])
    aside = vectorizer.transform([texts[i] for i in data.choosing.rows_N])
    val, test = vectorizer.transform(val_texts), vectorizer.transform(test_texts)

    def hot(split: Any) -> Any:
        return split.targets.values(np.arange(len(split))) > 0

    def scores(probabilities: Any, true: Any, thresholds: Any) -> dict[str, float]:
        counts = LabelCounts(len(data.labels))
        counts.add(true, probabilities >= thresholds)
        found = counts.scores()
        return {name: getattr(found, name) for name in MEASURES}

    tried = {}
    for strength in STRENGTHS:
        model = OneVsRestClassifier(LogisticRegression(C=strength, max_iter=1000)).fit(rows, hot(data.train))
        thresholds = best_thresholds(model.predict_proba(aside).astype(np.float32), hot(data.choosing))
        tried[strength] = (scores(model.predict_proba(val), hot(data.val), thresholds), model, thresholds)
    best = max(STRENGTHS, key=lambda one: tried[one][0]["micro_f1"])
    validation, model, thresholds = tried[best]
    true = np.stack(list(task.targets_of(lines(folder, "test_labels")))) > 0
    return {
        **scores(model.predict_proba(test), true, thresholds),
        "validation": validation,
        "C": best,
        "seconds": time.perf_counter() - begun,
    }


def main() -> None:
    """Everything, one after the other."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder")
    parser.add_argument("--separator", default=" ", help="between the labels of a line")
    parser.add_argument("--checkpoint", help="a directory in Hugging Face's layout to start from, too")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    common = {"folder": str(options.data.resolve()), "separator": options.separator}
    sides = {"linear": ("linear", {}), "scratch": ("ours", {"model.init_from": "scratch"})}
    if options.checkpoint:
        sides["checkpoint"] = ("ours", {"model.init_from": str(Path(options.checkpoint).resolve())})
    cells: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for seed in range(options.seeds):
        for name, (task, settings) in sides.items():
            found = in_child([__file__], task, {**common, "seed": seed, "settings": settings})
            shown = " ".join(f"{key} {found[key]:.4f}" for key in MEASURES)
            print(f"{name}, seed {seed}: {shown}, {found['seconds']:.0f} s", flush=True)
            cells[name].append(found)
            results = [summary(options.data.name, side, some) for side, some in cells.items() if some]
            write_record(
                options.out, question=QUESTION, table=table_of(results), seeds=seed + 1, results=results
            )
    print("\n".join(table_of(results)))


def table_of(results: list[dict[str, Any]]) -> list[str]:
    """A row a side: the mean over the seeds, with the least and the largest."""
    rows = []
    for one in results:
        shown = [f"{m['mean']:.4f} ({m['min']:.4f} to {m['max']:.4f})" for m in one["test"].values()]
        rows.append([one["id"], *shown, f"{one['seconds_median']:.0f} s"])
    return markdown(["on the test rows", "micro-F1", "macro-F1", "exact match", "time"], rows)


def summary(data: str, side: str, cells: list[dict[str, Any]]) -> dict[str, Any]:
    """A side's cells, and of each measure the mean with the least and the largest."""
    test = {}
    for name in MEASURES:
        values = [cell[name] for cell in cells]
        test[name] = {"mean": sum(values) / len(values), "min": min(values), "max": max(values)}
    seconds = median(cell["seconds"] for cell in cells)
    return {"id": f"multi-label {data} {side}", "test": test, "seconds_median": seconds, "cells": cells}


if __name__ == "__main__":
    begin(main, {"ours": ours, "linear": linear})
