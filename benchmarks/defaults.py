"""How accurate is the default command, beside its own floor and beside Hugging Face's Trainer?

    python benchmarks/defaults.py --data FOLDER --sets trec banking77 sst2:10000

FOLDER holds one folder for each set, with the four data files. SET:N takes N training lines, drawn once. A
tenth of the training lines, drawn by the seed, is what each side chooses by. The rows that are reported are
those of test_dataset.txt or, where a set has none, of val_dataset.txt. They are read once, by the chosen
model.

The sides are:

    default   the default command, which starts from MiniLM where that is on the machine
    scratch   the same with model.init_from scratch
    hf        transformers' Trainer from --checkpoint: fused AdamW, lengths grouped, bf16 where the CPU has
    it,
              4 epochs; of --rates the best, which is searched with the first seed only, and of each run
              the best epoch

Of ours the encoder alone, the floor, and both together are reported. Where the record exists, what it has is
not measured again, so that a table may be filled in several sittings.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from common import ENVIRONMENT, begin, options_of, record_of

from custom_bert.bench.measure import in_child, markdown, write_record
from custom_bert.bench.sets import divided, lines

QUESTION = "Accuracy of the default command, its floor, and both together"
SIDES = ("default", "scratch", "hf")
RATES = (5e-5, 1e-4, 2e-4)
EPOCHS = 4
PARTS = {"whole": "together", "encoder": "encoder", "floor": "floor"}


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains by the default command, and measures on the reported rows."""
    from custom_bert import Classifier, train_model
    from custom_bert.data.reading import in_directory
    from custom_bert.training.log import Reporter

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        settings = {**in_directory(arguments["folder"]), "seed": arguments["seed"], "out": str(run)}
        settings |= {"data.cache_dir": f"{folder}/cache", "runtime.device": "cpu", **arguments["settings"]}
        result = train_model(settings, reporter=Reporter(silent=True))
        record = record_of(run)
        texts, labels = (lines(Path(arguments["test"]), name) for name in ("test_dataset", "test_labels"))
        given = [text.split("\t") for text in texts] if arguments.get("pairs") else texts
        parts = Classifier.load_to_measure(run).measure_parts(given, labels)
    config = record["config"]
    return {
        "accuracy": {PARTS[name]: measured.numbers["accuracy"] for name, measured in parts.items()},
        "macro_f1": {PARTS[name]: measured.numbers["macro_f1"] for name, measured in parts.items()},
        "f1": {label: one["f1"] for label, one in parts["whole"].as_dict()["per_class"].items()},
        "factors": record.get("ensemble", {}).get("factors"),
        "seconds": result.seconds,
        "init_from": config["model.init_from"],
        "head_init": config["optim.head_init"],
        "epochs": config["optim.epochs"],
        "lr": config["optim.lr"],
        "precision": config["runtime.precision"],
    }


def hf(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains with transformers' Trainer at each rate, and measures the best on the reported rows."""
    from trainer import trained

    begun, found = time.perf_counter(), []
    for rate in arguments["rates"]:
        given = {**arguments, "lr": rate, "epochs": EPOCHS, "max_length": arguments["max_length"]}
        found.append(trained(given))
    best = max(found, key=lambda one: one["accuracy"])
    return {
        "accuracy": {"encoder": best["test_accuracy"]},
        "f1": best["test_f1"],
        "lr": best["lr"],
        "by_rate": {str(one["lr"]): one["accuracy"] for one in found},
        "seconds": best["seconds"],
        "seconds_with_search": time.perf_counter() - begun,
        "precision": best["precision"],
    }


def table_of(raw: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """A row for each set and side: means over the seeds, and what the ensemble brought."""
    rows = []
    for name, sides in raw.items():
        for side, cells in sides.items():
            if not cells:
                continue
            found = list(cells.values())
            shown = [_percent(found, part) for part in PARTS.values()]
            gains = [
                one["accuracy"]["together"] - max(one["accuracy"]["encoder"], one["accuracy"]["floor"])
                for one in found
                if "encoder" in one["accuracy"] and "together" in one["accuracy"]
            ]
            brought = f"{100 * sum(gains) / len(gains):+.2f} (worst {100 * min(gains):+.2f})" if gains else ""
            head = found[0].get("head_init", "")
            rows.append([name, side, len(found), *shown, brought, head, found[0].get("epochs", EPOCHS)])
    head = ["set", "side", "seeds", "predicts", "encoder alone", "floor", "ensemble over the better side"]
    return markdown([*head, "head", "epochs"], rows)


def _percent(found: list[dict[str, Any]], part: str) -> str:
    values = [100 * one["accuracy"][part] for one in found if part in one["accuracy"]]
    if not values:
        return ""
    return f"{sum(values) / len(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def results_of(raw: dict[str, dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The means of what predicts, as entries of the record."""
    results = []
    for name, sides in raw.items():
        for side, cells in sides.items():
            values = [next(iter(one["accuracy"].values())) for one in cells.values()]
            if values:
                mean = sum(values) / len(values)
                results.append(
                    {"id": f"C6 C9 {name} {side}", "accuracy_mean": mean, "accuracy_min": min(values),
                     "accuracy_max": max(values), "seeds": len(values)}
                )  # fmt: skip
    return results


def main() -> None:
    """Measures what the record does not have yet, and writes it after each run."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, help="a directory in Hugging Face's layout, for hf")
    parser.add_argument("--sets", nargs="+", required=True, help="NAME or NAME:TRAIN")
    parser.add_argument("--sides", nargs="+", default=["default"], choices=SIDES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pairs", action="store_true", help="whether each line holds two texts")
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES), help="that hf searches")
    options = parser.parse_args()
    raw: dict[str, dict[str, dict[str, Any]]] = {}
    if options.out.exists():
        raw = json.loads(options.out.read_text(encoding="utf-8"))["raw"]
    for seed in range(options.seeds):
        for wanted in options.sets:
            name, _, count = wanted.partition(":")
            with tempfile.TemporaryDirectory() as cut:
                train, test = divided(options.data / name, int(count) if count else None, seed, Path(cut))
                for side in options.sides:
                    cells = raw.setdefault(wanted, {}).setdefault(side, {})
                    if str(seed) in cells:
                        continue
                    cells[str(seed)] = _measured(side, train, test, seed, cells, options)
                    said = cells[str(seed)]["accuracy"]
                    print(f"{wanted}, seed {seed}, {side}: {said}", flush=True)
                    write_record(
                        options.out, question=QUESTION, table=table_of(raw), results=results_of(raw), raw=raw
                    )


def _measured(
    side: str,
    train: Path,
    test: Path,
    seed: int,
    cells: dict[str, dict[str, Any]],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Runs one side in a process of its own. The Trainer searches its rate with the first seed only."""
    arguments: dict[str, Any] = {"folder": str(train), "test": str(test), "seed": seed}
    arguments["pairs"] = options.pairs
    if side != "hf":
        pairs = {"data.pairs": True} if options.pairs else {}
        arguments["settings"] = {"model.init_from": "scratch", **pairs} if side == "scratch" else pairs
        return in_child([__file__], "ours", arguments)
    assert options.checkpoint is not None, "--checkpoint names what the Trainer starts from"
    rates = [next(iter(cells.values()))["lr"]] if cells else options.rates
    arguments |= {"checkpoint": str(options.checkpoint.resolve()), "rates": rates, "max_length": 256}
    return in_child([__file__], "hf", arguments, environment=ENVIRONMENT["hf"])


if __name__ == "__main__":
    begin(main, {"ours": ours, "hf": hf})
