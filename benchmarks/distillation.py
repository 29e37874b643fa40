"""Is a student that learns from a teacher's distributions better than one that learns from its labels?

    python benchmarks/distillation.py --data FOLDER

FOLDER holds the data files of one set. A teacher, the default command, learns from a tenth of the training
lines. It labels the others, once with the probabilities of all labels and once with the most probable label.
A student that starts from scratch then learns from the one or the other: the same lines, the same seed, the
same settings, the same number of epochs. The rows that are reported are those of test_dataset.txt or, where
there is none, of val_dataset.txt.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import begin, options_of

from custom_bert.bench.measure import in_child, markdown, write_record
from custom_bert.bench.sets import lines, write_lines, write_reported

QUESTION = "A student from a teacher's distributions, and from its labels"
STUDENT = {"model.init_from": "scratch", "model.hidden_size": 128, "model.num_hidden_layers": 2}
STUDENT |= {"floor": False, "optim.pretrain_epochs": 0, "optim.r_drop": 0.0}
SIDES = {"distributions": "soft_labels", "labels": "classification"}


def teacher(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains the teacher, and writes both kinds of labels for the student's texts."""
    from custom_bert import Classifier, Reporter, train_model
    from custom_bert.data.reading import in_directory

    source, target = Path(arguments["source"]), Path(arguments["target"])
    texts, labels = lines(source, "train_dataset"), lines(source, "train_labels")
    order = np.random.Generator(np.random.PCG64(arguments["seed"])).permutation(len(texts)).tolist()
    own, others = sorted(order[: len(texts) // 10]), sorted(order[len(texts) // 10 :])
    with tempfile.TemporaryDirectory() as folder:
        taught = Path(folder) / "data"
        taught.mkdir()
        write_lines(taught / "train_dataset.txt", [texts[row] for row in own])
        write_lines(taught / "train_labels.txt", [labels[row] for row in own])
        settings = {**in_directory(taught), "seed": arguments["seed"], "out": f"{folder}/run"}
        settings |= {"data.cache_dir": f"{folder}/cache", "runtime.device": "cpu"}
        train_model(settings, reporter=Reporter(silent=True))
        classifier = Classifier.load(f"{folder}/run")
        shares_NC = classifier.predict_proba([texts[row] for row in others])
        measured = classifier.evaluate(lines(target, "test_dataset"), lines(target, "test_labels"))
    names = classifier.labels
    for side in SIDES:
        (target / side).mkdir()
        write_lines(target / side / "train_dataset.txt", [texts[row] for row in others])
    soft = [
        "\t".join(f"{name}:{share:.6f}" for name, share in zip(names, row, strict=True)) for row in shares_NC
    ]
    write_lines(target / "distributions" / "train_labels.txt", soft)
    write_lines(target / "labels" / "train_labels.txt", [names[i] for i in shares_NC.argmax(-1).tolist()])
    return {"accuracy": measured.accuracy}


def student(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains one student, and measures it on the reported rows."""
    from custom_bert import Classifier, Reporter, train_model
    from custom_bert.data.reading import in_directory

    target = Path(arguments["target"])
    with tempfile.TemporaryDirectory() as folder:
        settings = {**in_directory(target / arguments["side"]), **STUDENT, "seed": arguments["seed"]}
        settings |= {"task": SIDES[arguments["side"]], "out": f"{folder}/run", "runtime.device": "cpu"}
        settings |= {"data.cache_dir": f"{folder}/cache", "optim.epochs": arguments["epochs"]}
        result = train_model(settings, reporter=Reporter(silent=True))
        predicted = [one.line().split("\t")[0] for one in Classifier.load(f"{folder}/run").predict(
            lines(target, "test_dataset")
        )]  # fmt: skip
    right = sum(map(str.__eq__, predicted, lines(target, "test_labels")))
    return {"accuracy": right / len(predicted), "seconds": result.seconds}


def table_of(raw: dict[str, dict[str, Any]]) -> list[str]:
    """A row for each side: the mean accuracy over the seeds, with the smallest and the largest."""
    rows = []
    for side, cells in raw.items():
        if not (found := [100 * one["accuracy"] for one in cells.values()]):
            continue
        rows.append([side, len(found), f"{np.mean(found):.2f} ({min(found):.2f} to {max(found):.2f})"])
    return markdown(["learns from", "seeds", "accuracy, %"], rows)


def main() -> None:
    """Measures what the record does not have yet, and writes it after each seed."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    raw: dict[str, dict[str, Any]] = {"teacher": {}, **{side: {} for side in SIDES}}
    if options.out.exists():
        raw = json.loads(options.out.read_text(encoding="utf-8"))["raw"]
    for seed in range(options.seeds):
        if str(seed) in raw["labels"]:
            continue
        with tempfile.TemporaryDirectory() as cut:
            write_reported(options.data, Path(cut))
            common = {"source": str(options.data.resolve()), "target": cut, "seed": seed}
            raw["teacher"][str(seed)] = in_child([__file__], "teacher", common)
            for side in SIDES:
                arguments = {**common, "side": side, "epochs": options.epochs}
                raw[side][str(seed)] = in_child([__file__], "student", arguments)
        print(
            f"seed {seed}: { {side: cells[str(seed)]['accuracy'] for side, cells in raw.items()} }",
            flush=True,
        )
        results = [
            {
                "id": f"distillation {options.data.name} {side}",
                "accuracy_mean": float(np.mean([one["accuracy"] for one in cells.values()])),
                "seeds": len(cells),
            }
            for side, cells in raw.items()
        ]
        write_record(options.out, question=QUESTION, table=table_of(raw), results=results, raw=raw)


if __name__ == "__main__":
    begin(main, {"teacher": teacher, "student": student})
