"""How accurate is the default command with few examples of each label?

    python benchmarks/few_examples.py --data FOLDER --sets trec banking77 --counts 10 50 --checkpoint DIR

FOLDER holds one folder for each set, with the four data files. Of each label, COUNT training lines are drawn
by the seed; all sides get the same. The rows that are reported are those of test_dataset.txt or, where a set
has none, of val_dataset.txt. They are read once.

The sides are:

    default   the default command, which starts from MiniLM; it sets lines aside to validate by itself
    random    the same with optim.head_init random
    probe     the same with optim.head_init probe
    linear    MiniLM's vectors as published and scikit-learn's logistic regression, its strength by 5 folds
    setfit    SetFit at its defaults with 20 pairs an example, by the Python of --setfit

The first three and linear need MiniLM on the machine. Where the record exists, what it has is not measured
again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import begin, options_of
from defaults import ours

from custom_bert.bench.measure import in_child, markdown, write_record
from custom_bert.bench.sets import lines, write_lines, write_reported

QUESTION = "Accuracy with few examples of each label"
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "random": {"optim.head_init": "random"},
    "probe": {"optim.head_init": "probe"},
}
"""The settings of our sides."""

SIDES = (*SETTINGS, "linear", "setfit")
STRENGTHS = np.logspace(-1, 3, 9).tolist()
"""Values of scikit-learn's C from which 5 folds choose."""

SETFIT = """
import json, sys
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments
given = json.load(open(sys.argv[1]))
names = sorted(set(given["labels"]))
model = SetFitModel.from_pretrained(given["checkpoint"])
train = Dataset.from_dict({"text": given["texts"], "label": [names.index(one) for one in given["labels"]]})
args = TrainingArguments(batch_size=16, num_epochs=1, num_iterations=20, seed=given["seed"], report_to="none",
                         output_dir=given["out"], save_strategy="no")
Trainer(model=model, args=args, train_dataset=train).train()
predicted = [names[int(i)] for i in model.predict(given["test_texts"], show_progress_bar=False)]
right = sum(map(str.__eq__, predicted, given["test_labels"]))
json.dump({"accuracy": {"encoder": right / len(predicted)}}, open(sys.argv[2], "w"))
"""
"""SetFit's own recipe. Twenty pairs an example are what its paper takes; all pairs would be millions."""


def linear(arguments: dict[str, Any]) -> dict[str, Any]:
    """Fits logistic regression on the checkpoint's vectors, and measures on the reported rows."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold

    from custom_bert import Embedder

    embedder = Embedder.load(arguments["checkpoint"])
    folder, test = Path(arguments["folder"]), Path(arguments["test"])
    texts, labels = (np.array(lines(folder, f"train_{name}")) for name in ("dataset", "labels"))
    test_texts, test_labels = (lines(test, f"test_{name}") for name in ("dataset", "labels"))
    folds = StratifiedKFold(5, shuffle=True, random_state=arguments["seed"])
    model = LogisticRegressionCV(
        Cs=STRENGTHS,
        cv=folds,
        max_iter=2000,
        use_legacy_attributes=False,
        l1_ratios=(0.0,),
        scoring="accuracy",
    )
    model.fit(embedder.embed(texts.tolist()), labels)
    accuracy = float(model.score(embedder.embed(test_texts), test_labels))
    return {"accuracy": {"encoder": accuracy}}


def setfit(arguments: dict[str, Any], python: str) -> dict[str, Any]:
    """Trains SetFit by another Python, since it needs older versions of other libraries."""
    folder, test = Path(arguments["folder"]), Path(arguments["test"])
    with tempfile.TemporaryDirectory() as out:
        given, found = Path(out) / "given.json", Path(out) / "found.json"
        given.write_text(
            json.dumps(
                {
                    "checkpoint": arguments["checkpoint"],
                    "seed": arguments["seed"],
                    "out": out,
                    "texts": lines(folder, "train_dataset"),
                    "labels": lines(folder, "train_labels"),
                    "test_texts": lines(test, "test_dataset"),
                    "test_labels": lines(test, "test_labels"),
                }
            ),
            encoding="utf-8",
        )
        subprocess.run([python, "-c", SETFIT, given, found], check=True, stdout=sys.stderr)
        answer: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
    return answer


def drawn(source: Path, count: int, seed: int, target: Path) -> tuple[Path, Path]:
    """Makes a folder with `count` training lines of each label, and one of the reported rows; returns
    both."""
    train, test = target / "train", target / "test"
    train.mkdir()
    test.mkdir()
    texts, labels = lines(source, "train_dataset"), lines(source, "train_labels")
    taken: dict[str, int] = {}
    rows = []
    for row in np.random.Generator(np.random.PCG64(seed)).permutation(len(texts)).tolist():
        if taken.setdefault(labels[row], 0) < count:
            taken[labels[row]] += 1
            rows.append(row)
    for name, column in (("dataset", texts), ("labels", labels)):
        write_lines(train / f"train_{name}.txt", [column[row] for row in sorted(rows)])
    write_reported(source, test)
    return train, test


def table_of(raw: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """A row for each set and number of examples: the mean of each side over its draws."""
    rows = []
    for name, sides in raw.items():
        found = [_accuracies(sides.get(side, {})) for side in SIDES]
        rows.append([name.replace(":", ", "), *(_percent(one) for one in found)])
    return markdown(["set, examples a label", *SIDES], rows)


def _accuracies(cells: dict[str, Any]) -> list[float]:
    return [100 * next(iter(one["accuracy"].values())) for one in cells.values()]


def _percent(found: list[float]) -> str:
    if not found:
        return ""
    draws = "" if len(found) > 2 else f", {len(found)} drawn"
    return f"{sum(found) / len(found):.1f} ({min(found):.1f} to {max(found):.1f}{draws})"


def results_of(raw: dict[str, dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The means, as entries of the record."""
    results = []
    for name, sides in raw.items():
        for side, cells in sides.items():
            found = _accuracies(cells)
            if found:
                mean = sum(found) / len(found)
                results.append({"id": f"few {name} {side}", "accuracy_mean": mean, "draws": len(found)})
    return results


def main() -> None:
    """Measures what the record does not have yet, and writes it after each run."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True, help="MiniLM's directory")
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--counts", nargs="+", type=int, default=[10, 50])
    parser.add_argument("--sides", nargs="+", default=list(SIDES[:-1]), choices=SIDES)
    parser.add_argument("--setfit", help="a Python with SetFit")
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    raw: dict[str, dict[str, dict[str, Any]]] = {}
    if options.out.exists():
        raw = json.loads(options.out.read_text(encoding="utf-8"))["raw"]
    for seed in range(options.draws):
        for name, count in ((name, count) for count in options.counts for name in options.sets):
            with tempfile.TemporaryDirectory() as cut:
                train, test = drawn(options.data / name, count, seed, Path(cut))
                for side in options.sides:
                    cells = raw.setdefault(f"{name}:{count}", {}).setdefault(side, {})
                    if str(seed) in cells:
                        continue
                    arguments: dict[str, Any] = {"folder": str(train), "test": str(test), "seed": seed}
                    arguments["checkpoint"] = str(options.checkpoint.resolve())
                    if side == "setfit":
                        cells[str(seed)] = setfit(arguments, options.setfit)
                    elif side == "linear":
                        cells[str(seed)] = in_child([__file__], "linear", arguments)
                    else:
                        arguments["settings"] = SETTINGS[side]
                        cells[str(seed)] = in_child([__file__], "ours", arguments)
                    said = cells[str(seed)]["accuracy"]
                    print(f"{name}, {count} a label, draw {seed}, {side}: {said}", flush=True)
                    write_record(
                        options.out, question=QUESTION, table=table_of(raw), results=results_of(raw), raw=raw
                    )


if __name__ == "__main__":
    begin(main, {"ours": ours, "linear": linear})
