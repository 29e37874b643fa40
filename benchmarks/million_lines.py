"""What does it cost to read, check, tokenise and train on a million lines, and does memory stay flat?

    python benchmarks/million_lines.py

The lines are generated from a seed: 5 to 40 words each, drawn by Zipf's law from 50,000 made-up words, and
one of 10 labels on which the words depend.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import begin, metrics_of, options_of, prepared

from custom_bert.bench.measure import in_child, markdown, write_record

QUESTION = "Reading, checking, tokenising and training on generated lines"
WORDS, LABELS = 50_000, 10


def generate(folder: Path, lines: int) -> None:
    """Writes the four files. There are a hundredth as many validation lines."""
    generator = np.random.Generator(np.random.PCG64(0))
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    words = np.array(
        ["".join(generator.choice(syllables, size=generator.integers(1, 5))) for _ in range(WORDS)]
    )
    shares = 1 / np.arange(1, WORDS + 1)
    cumulative = np.cumsum(shares / shares.sum())
    for split, count in (("train", lines), ("val", max(100, lines // 100))):
        with (
            (folder / f"{split}_dataset.txt").open("w", encoding="utf-8") as texts,
            (folder / f"{split}_labels.txt").open("w", encoding="utf-8") as labels,
        ):
            for start in range(0, count, 10_000):
                for _ in range(min(10_000, count - start)):
                    label = int(generator.integers(LABELS))
                    ids = np.searchsorted(cumulative, generator.random(int(generator.integers(5, 41))))
                    ids[: len(ids) // 4] = (ids[: len(ids) // 4] // LABELS * LABELS + label) % WORDS
                    texts.write(" ".join(words[ids]) + "\n")
                    labels.write(f"label {label}\n")


def check(arguments: dict[str, Any]) -> dict[str, Any]:
    """Reads and checks the files, as `check-data` does."""
    from custom_bert.config_sources import from_mapping
    from custom_bert.data.label_files import ClassReader
    from custom_bert.data.reading import data_files, in_directory, read_dataset

    begun = time.perf_counter()
    lines = data_files(from_mapping(in_directory(arguments["folder"])).data)
    dataset = read_dataset(lines, ClassReader(), val_fraction=0.1)
    return {"seconds": time.perf_counter() - begun, "lines": len(dataset.train.file)}


def long_line(arguments: dict[str, Any]) -> dict[str, Any]:
    """Measures what a line of 10 MB adds to reading, checking and tokenising a thousand lines."""
    from custom_bert.data.vocabulary import train_tokenizer

    words = " ".join(f"word{i % 5000}" for i in range(1_200_000))[:10_000_000]
    lines = [f"text {i} of a few words" for i in range(1000)]
    tokenizer = train_tokenizer(lambda: iter([lines]), vocab_size=1000, lowercase=True, characters=30_000)
    found: dict[str, list[float]] = {"short": [], "long": []}
    for _ in range(5):
        for name, texts in (("short", lines), ("long", [*lines[:-1], words])):
            folder = Path(tempfile.mkdtemp(dir=arguments["folder"]))
            (folder / "train_dataset.txt").write_text(
                "".join(f"{text}\n" for text in texts), encoding="utf-8"
            )
            (folder / "train_labels.txt").write_text(
                "".join(f"{i % 2}\n" for i in range(1000)), encoding="utf-8"
            )
            begun = time.perf_counter()
            check({"folder": str(folder)})
            tokenizer.encode(texts, 128)
            found[name].append(time.perf_counter() - begun)
    added = statistics.median(found["long"]) - statistics.median(found["short"])
    return {"seconds": max(0.0, added), "raw": found}


def prepare_all(arguments: dict[str, Any]) -> dict[str, Any]:
    """Does everything that precedes the first step: checks, the vocabulary, the token store."""
    from custom_bert.data.reading import in_directory

    settings = {**in_directory(arguments["folder"]), "model.init_from": "scratch"}
    settings["data.cache_dir"] = arguments["cache"]
    begun = time.perf_counter()
    _, material = prepared(settings)
    return {"seconds": time.perf_counter() - begun, "tokens": int(material.train.lengths_N.sum())}


def train(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains for some minutes and samples the resident memory each second."""
    from custom_bert import train_model
    from custom_bert.data.reading import in_directory

    samples: list[tuple[float, float]] = []
    begun, stop = time.perf_counter(), threading.Event()

    def sample() -> None:
        while not stop.wait(1.0):
            pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
            samples.append((time.perf_counter() - begun, pages * 4096 / 2**20))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    with tempfile.TemporaryDirectory() as out:
        train_model(
            {
                **in_directory(arguments["folder"]),
                "model.init_from": "scratch",
                "floor": False,
                "data.cache_dir": arguments["cache"],
                "out": f"{out}/run",
                "optim.epochs": 1,
                "optim.pretrain_epochs": 0,
                "optim.max_minutes": arguments["minutes"],
            }
        )
        records = metrics_of(Path(f"{out}/run"))
    stop.set()
    thread.join()
    return {"samples": samples, "steps": records[-1]["step"], "minutes": arguments["minutes"]}


def main() -> None:
    """Measures the parts one after the other, each in a fresh process, and writes the record."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=3.0, help="of training")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "data"
        folder.mkdir()
        generate(folder, options.lines)
        size = (folder / "train_dataset.txt").stat().st_size
        arguments = {"folder": str(folder), "cache": f"{base}/cache", "minutes": options.minutes}
        empty = in_child([__file__], "nothing", {})
        checked = in_child([__file__], "check", arguments)
        line = in_child([__file__], "long_line", arguments)
        first = in_child([__file__], "prepare", arguments)
        second = in_child([__file__], "prepare", arguments)
        trained = in_child([__file__], "train", arguments)
    samples = [mb for _, mb in trained["samples"]]
    quarters = [samples[min(len(samples) - 1, len(samples) * q // 4)] for q in range(5)]
    rows = [
        ["Python with torch imported, nothing done", "", f"{empty['peak_mb']:,} MB"],
        ["read and check", f"{checked['seconds']:.1f} s", f"{checked['peak_mb']:,} MB"],
        ["a line of 10 MB, in addition", f"{line['seconds']:.2f} s", f"{line['peak_mb']:,} MB"],
        [
            "the same, vocabulary, tokenising, token store",
            f"{first['seconds']:.1f} s",
            f"{first['peak_mb']:,} MB",
        ],
        ["the same again, from the cache", f"{second['seconds']:.1f} s", f"{second['peak_mb']:,} MB"],
        [f"train {trained['steps']:,} steps", f"{options.minutes:g} min", f"{trained['peak_mb']:,} MB"],
    ]
    table = markdown(["what", "time", "peak memory"], rows)
    table += ["", f"{options.lines:,} lines, {size / 1e6:.0f} MB, {first['tokens']:,} tokens."]
    table += ["", "Resident memory at 0, 25, 50, 75 and 100 % of training: "]
    table[-1] += ", ".join(f"{mb:,.0f}" for mb in quarters) + " MB."
    write_record(
        options.out,
        question=QUESTION,
        table=table,
        lines=options.lines,
        bytes=size,
        raw={
            "nothing": empty,
            "check": checked,
            "line": line,
            "first": first,
            "second": second,
            "train": trained,
        },
    )
    print("\n".join(table))


def nothing(arguments: dict[str, Any]) -> dict[str, Any]:
    """Only imports, which is the least that every measurement takes."""
    import custom_bert.training.loop  # noqa: F401

    return {}


if __name__ == "__main__":
    tasks = {
        "nothing": nothing,
        "check": check,
        "long_line": long_line,
        "prepare": prepare_all,
        "train": train,
    }
    begin(main, tasks)
