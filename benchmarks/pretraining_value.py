"""What does pretraining on the task's own texts buy?

    python benchmarks/pretraining_value.py scratch --data FOLDER --minutes 15 --fine-tune 5
    python benchmarks/pretraining_value.py few --data FOLDER --checkpoint DIR --minutes 5

scratch: an encoder is pretrained on the training texts for some minutes, and then fine-tuned for some more
with each seed. It is compared with training the same architecture from scratch for the sum of these minutes.
few: a published encoder is adapted to the training texts, and then fine-tuned with ten examples of each
class. It is compared with the same encoder as published. Every training is a fresh process with the product's
defaults.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import begin, options_of

from custom_bert.bench.measure import in_child, markdown, shown, write_record

PER_CLASS = 10
"""Labelled examples of each class."""


def train(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains once, and returns the accuracy of the weights that are kept."""
    from custom_bert import train_model

    result = train_model({**arguments["settings"], "floor": False})
    return {
        "accuracy": result.accuracy,
        "step": result.step,
        "steps": result.steps,
        "seconds": result.seconds,
    }


def run(settings: dict[str, Any]) -> dict[str, Any]:
    """Trains with these settings in a fresh process."""
    return in_child([__file__], "train", {"settings": settings})


def corpus_of(folder: Path, out: Path) -> None:
    """Writes the training texts as running text, in which each is a document."""
    lines = (folder / "train_dataset.txt").read_text(encoding="utf-8").split("\n")
    out.write_text("\n\n".join(line for line in lines if line.strip()) + "\n", encoding="utf-8")


def few_examples(folder: Path, out: Path, seed: int) -> None:
    """Writes a set with ten training lines of each class, and the same validation files."""
    texts, labels = (
        (folder / f"train_{kind}.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
        for kind in ("dataset", "labels")
    )
    generator = np.random.Generator(np.random.PCG64(seed))
    chosen: list[int] = []
    for label in sorted(set(labels)):
        lines = np.array([i for i, one in enumerate(labels) if one == label])
        chosen += generator.permutation(lines)[:PER_CLASS].tolist()
    out.mkdir()
    for name, content in (("dataset", texts), ("labels", labels)):
        (out / f"train_{name}.txt").write_text(
            "".join(f"{content[i]}\n" for i in sorted(chosen)), encoding="utf-8"
        )
        (out / f"val_{name}.txt").write_bytes((folder / f"val_{name}.txt").read_bytes())


def scratch(options: argparse.Namespace, work: Path) -> dict[str, list[dict[str, Any]]]:
    """Compares pretraining and fine-tuning with training from scratch in the same time."""
    from custom_bert.data.reading import in_directory

    corpus_of(options.data, work / "corpus.txt")
    shape = {"model.size": options.size} if options.size else {}
    common = {"data.cache_dir": str(work / "cache"), "data.max_length": options.max_length}
    encoder = {
        **common,
        **shape,
        "task": "masked_lm",
        "data.corpus": [str(work / "corpus.txt")],
        "out": str(work / "encoder"),
        "optim.max_minutes": options.minutes,
    }
    raw: dict[str, list[dict[str, Any]]] = {
        "pretraining": [run(encoder)],
        "pretrained": [],
        "from scratch": [],
    }
    labelled = {**in_directory(options.data), **common}
    for seed in range(options.seeds):
        tuned = {"model.init_from": str(work / "encoder"), "optim.max_minutes": options.fine_tune}
        plain = {**shape, "optim.max_minutes": options.minutes + options.fine_tune, "optim.epochs": 1000}
        plain["model.init_from"] = "scratch"
        for side, more in (("pretrained", tuned), ("from scratch", plain)):
            if side == "from scratch" and seed >= options.scratch_seeds:
                continue
            where = {"seed": seed, "out": str(work / f"{side} {seed}")}
            raw[side].append(run({**labelled, **more, **where}))
            print(seed, side, raw[side][-1]["accuracy"], flush=True)
    return raw


def few(options: argparse.Namespace, work: Path) -> dict[str, list[dict[str, Any]]]:
    """Compares fine-tuning on few examples after adapting with fine-tuning alone."""
    from custom_bert.data.reading import in_directory

    corpus_of(options.data, work / "corpus.txt")
    common = {"data.cache_dir": str(work / "cache")}
    adapted = {
        **common,
        "task": "masked_lm",
        "data.corpus": [str(work / "corpus.txt")],
        "data.max_length": options.max_length,
        "model.init_from": options.checkpoint,
        "out": str(work / "encoder"),
        "optim.max_minutes": options.minutes,
    }
    raw: dict[str, list[dict[str, Any]]] = {"adapting": [run(adapted)], "adapted": [], "as published": []}
    for seed in range(options.seeds):
        few_examples(options.data, work / f"few{seed}", seed)
        for side, start in (("adapted", str(work / "encoder")), ("as published", options.checkpoint)):
            where = {"seed": seed, "out": str(work / f"{side} {seed}"), "model.init_from": start}
            raw[side].append(run({**in_directory(work / f"few{seed}"), **common, **where}))
            print(seed, side, raw[side][-1]["accuracy"], flush=True)
    return raw


def main() -> None:
    """Measures one of the two questions, and writes the record."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("question", choices=("scratch", "few"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", help="few: a directory in Hugging Face's layout")
    parser.add_argument("--minutes", type=float, default=15.0, help="of pretraining")
    parser.add_argument("--fine-tune", type=float, default=5.0, help="scratch: of fine-tuning, for each seed")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--size", help="scratch: width and depth by name; default: as chosen for the data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--scratch-seeds", type=int, default=3, help="scratch: of those from scratch, at most"
    )
    options = parser.parse_args()
    options.data = options.data.resolve()
    with tempfile.TemporaryDirectory() as folder:
        raw = (scratch if options.question == "scratch" else few)(options, Path(folder))
    sides = [side for side in raw if side not in ("pretraining", "adapting")]
    rows = [[side, shown([100 * run["accuracy"] for run in raw[side]], 1), len(raw[side])] for side in sides]
    first, second = ([run["accuracy"] for run in raw[side]] for side in sides)
    gains = [100 * (accuracy - statistics.mean(second)) for accuracy in first]
    table = markdown(["side", "accuracy, %", "seeds"], rows)
    table += ["", f"Gain of each seed over the other side's mean, in points: {shown(gains, 1)}."]
    said = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    said |= {"data": options.data.name, "out": ""}
    write_record(
        options.out,
        question=f"What pretraining on the task's own texts buys: {options.question}, {options.data.name}",
        table=table,
        settings=json.loads(json.dumps(said)),
        results=[{"id": f"pretraining, {options.question}, {options.data.name}", "gain_points": gains}],
        raw=raw,
    )
    print("\n".join(table))


if __name__ == "__main__":
    begin(main, {"train": train})
