"""How long does it take from the command to a trained, evaluated and saved model, against Hugging Face's
Trainer from the same checkpoint, and how much memory?

    python benchmarks/finetune.py --checkpoint DIR --data FOLDER --sets trec banking77 sst2:10000 \\
        ag_news:4000 imdb:2000

FOLDER holds one folder for each set, with the four data files. SET:N takes N training lines, drawn once. A
tenth of the training lines, drawn by the seed, is what each side evaluates on and chooses by. Accuracy is
that of the saved model on other lines: those of test_dataset.txt or, where a set has none, of
val_dataset.txt.

Ours is the default command, floor included. The Trainer runs at its best on a CPU: fused AdamW, lengths
grouped and padded to a multiple of 8, no attention dropout, and eager attention in bf16 where the CPU
computes it, otherwise SDPA in fp32. It evaluates after every epoch and saves its best weights. Of --rates it
gets the best at 4 epochs, and then the fewest epochs that keep it within 0.3 points of its best. Both are
searched before, with --search seeds, and are not on its clock. The search looks at validation lines: of
SET:N at up to 2,000 training lines that were not drawn, otherwise at the tenth.

The clock is that of the whole process: imports, reading, tokenising, training, evaluations and saving. Each
measurement is a fresh process, and the sides run in turn, each time with another seed. Memory is the peak of
the process and all that it has started. Where the record exists, what it has is not measured again, so that
a table may be filled in several sittings.
"""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from common import ENVIRONMENT, begin, memory, options_of, record_of
from trainer import trained
from trainer_search import RATES, chosen, search

from custom_bert.bench.measure import in_child, markdown, ratio_row, shown, write_record
from custom_bert.bench.sets import divided, lines, write_undrawn

QUESTION = "Fine-tuning a pretrained encoder from the command to the saved model, against the Trainer"
SIDES = ("ours", "hf")
SEARCHED_ON = 2000
"""The number of lines that were not drawn, on which the Trainer's rate and epochs are searched."""

LONGEST = 256
"""The number of tokens that both sides keep of a text."""

Raw = dict[str, dict[str, list[dict[str, Any]]]]


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains by the default command."""
    from custom_bert import train_model
    from custom_bert.data.reading import in_directory

    settings = {**in_directory(arguments["folder"]), "seed": arguments["seed"], "out": arguments["out"]}
    settings |= {"data.cache_dir": arguments["cache"], "runtime.device": "cpu"}
    result = train_model({**settings, "model.init_from": arguments["checkpoint"]})
    config = record_of(Path(arguments["out"]))["config"]
    return {
        "trained_seconds": result.seconds,
        "epochs": config["optim.epochs"],
        "lr": config["optim.lr"],
        "head_init": config["optim.head_init"],
        "precision": config["runtime.precision"],
    }


def ours_measured(arguments: dict[str, Any]) -> dict[str, Any]:
    """Measures a run on the reported lines: what it predicts, and the encoder alone."""
    from custom_bert import Classifier

    texts, labels = (lines(Path(arguments["test"]), name) for name in ("test_dataset", "test_labels"))
    parts = Classifier.load_to_measure(arguments["out"]).measure_parts(texts, labels)
    found = {name: measured.numbers["accuracy"] for name, measured in parts.items()}
    return {"accuracy": found["whole"], "encoder_accuracy": found.get("encoder", found["whole"])}


def hf_measured(arguments: dict[str, Any]) -> dict[str, Any]:
    """Measures the Trainer's saved model on the reported lines."""
    import transformers

    texts, labels = (lines(Path(arguments["test"]), name) for name in ("test_dataset", "test_labels"))
    classify: Any = transformers.pipeline("text-classification", model=arguments["out"], device="cpu")
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    found = classify([texts[i] for i in order], batch_size=32, truncation=True, max_length=LONGEST)
    right = [one["label"] == labels[i] for i, one in zip(order, found, strict=True)]
    return {"accuracy": sum(right) / len(right)}


TASKS = {"ours": ours, "ours_measured": ours_measured, "hf": trained, "hf_measured": hf_measured}


def table_of(raw: Raw) -> list[str]:
    """A row for each set: the accuracies of both sides, and ratios by pair."""
    head = ["set", "pairs", "ours, %", "our encoder alone, %", "the Trainer, %", "our epochs"]
    head += ["its epochs and rate", "time, theirs / ours", "peak memory, ours / theirs"]
    rows = []
    for name, found in raw.items():
        pairs = list(zip(found["ours"], found["hf"], strict=False))
        if not pairs:
            continue
        us, them = zip(*pairs, strict=True)
        rows.append(
            [
                name,
                len(pairs),
                shown([100 * one["accuracy"] for one in us], 1),
                shown([100 * one["encoder_accuracy"] for one in us], 1),
                shown([100 * one["accuracy"] for one in them], 1),
                us[0]["epochs"],
                f"{them[0]['epochs']} at {them[0]['lr']:g}",
                shown([b["wall_seconds"] / a["wall_seconds"] for a, b in pairs]),
                shown([memory(a) / memory(b) for a, b in pairs]),
            ]
        )
    return markdown(head, rows)


def results_of(raw: Raw) -> list[dict[str, Any]]:
    """The ratios on each set, and the median of the sets, as entries of the record."""
    results, medians = [], []
    for name, found in raw.items():
        pairs = list(zip(found["ours"], found["hf"], strict=False))
        if pairs:
            ratios = [b["wall_seconds"] / a["wall_seconds"] for a, b in pairs]
            medians.append(median(ratios))
            peaks = [memory(a) / memory(b) for a, b in pairs]
            results += [ratio_row(f"F1 {name}", ratios), ratio_row(f"F2 {name}", peaks)]
    return [*results, {"id": "F1 median of the sets", "ratio_median": median(medians)}] if medians else []


def main() -> None:
    """Searches what the Trainer runs best with, runs the sides in turn, and writes the record after each
    pair."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", required=True, help="NAME or NAME:TRAIN")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--search", type=int, default=1, help="the number of seeds of the search")
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES), help="that are searched")
    options = parser.parse_args()
    raw: Raw = {}
    if options.out.exists():
        raw = json.loads(options.out.read_text(encoding="utf-8"))["raw"]

    def written() -> None:
        write_record(
            options.out,
            question=QUESTION,
            table=table_of(raw),
            checkpoint=options.checkpoint.name,
            rates=options.rates,
            results=results_of(raw),
            raw=raw,
        )

    def arguments_of(wanted: str, seed: int, folder: Path) -> dict[str, Any]:
        """Both sides' arguments, with files in `folder`."""
        name, count = _named(wanted)
        train, test = divided(options.data / name, count, seed, folder)
        return {
            "folder": str(train),
            "test": str(test),
            "seed": seed,
            "checkpoint": str(options.checkpoint.resolve()),
            "max_length": LONGEST,
        }

    def score(wanted: str, seed: int, lr: float, epochs: int) -> float:
        """The Trainer's accuracy on the lines that it is searched on."""
        name, count = _named(wanted)
        with tempfile.TemporaryDirectory() as folder:
            arguments = {**arguments_of(wanted, seed, Path(folder)), "lr": lr, "epochs": epochs}
            del arguments["test"]  # the search looks at no reported line
            if count is not None:
                write_undrawn(options.data / name, count, SEARCHED_ON, Path(arguments["folder"]))
            found = in_child([__file__], "hf", arguments, environment=ENVIRONMENT["hf"])
        accuracy: float = found["accuracy"]
        return accuracy

    for wanted in options.sets:
        found = raw.setdefault(wanted, {"search": [], **{side: [] for side in SIDES}})
        search(
            found["search"],
            partial(score, wanted),
            rates=options.rates,
            seeds=options.search,
            written=written,
        )
    for repeat in range(options.repeats):
        for wanted in options.sets:
            found = raw[wanted]
            if len(found["hf"]) > repeat:
                continue
            lr, epochs = chosen(found["search"])
            with tempfile.TemporaryDirectory() as folder:
                arguments = arguments_of(wanted, repeat, Path(folder))
                for side, settings in (
                    ("ours", {"cache": f"{folder}/cache"}),
                    ("hf", {"lr": lr, "epochs": epochs}),
                ):
                    given = {**arguments, **settings, "out": f"{folder}/{side}"}
                    one = in_child([__file__], side, given, environment=ENVIRONMENT[side])
                    one |= {
                        key: value
                        for key, value in in_child([__file__], f"{side}_measured", given).items()
                        if key.endswith("accuracy")
                    }
                    found[side] = [*found[side][:repeat], one]
                    said = f"{one['accuracy']:.4f} in {one['wall_seconds']:.0f} s, {memory(one):,} MB"
                    print(f"{wanted}, seed {repeat}, {side}: {said}", flush=True)
            written()


def _named(wanted: str) -> tuple[str, int | None]:
    """The name of a set, and how many of its training lines are drawn."""
    name, _, count = wanted.partition(":")
    return name, int(count) if count else None


if __name__ == "__main__":
    begin(main, TASKS)
