"""How soon does a run predict, and how soon is it done?

    python benchmarks/ready.py --data FOLDER --lines 1000 10000 --repeats 5
    python benchmarks/ready.py --data FOLDER --lines 1000000 --minutes 10

FOLDER holds train_dataset.txt and train_labels.txt with long English texts. Lines of the wanted number are
made of them: two sentences of texts with one label. A hundredth as many validation lines are made, 100 at
least. The run is the default command, with an empty cache, in a process of its own. From the moment at which
it has a floor, `predict` works."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import begin, options_of, record_of

from custom_bert.bench.measure import in_child, markdown, spread, write_record
from custom_bert.bench.sets import lines

QUESTION = "Seconds until a run predicts, and until it is done"


def make(source: Path, folder: Path, count: int) -> None:
    """Writes the four files."""
    sentences: dict[str, list[str]] = {}
    for text, label in zip(lines(source, "train_dataset"), lines(source, "train_labels"), strict=True):
        found = [part for part in re.split(r"(?<=[.!?])\s+", text) if 5 <= len(part.split()) <= 40]
        sentences.setdefault(label, []).extend(found)
    generator, names = np.random.Generator(np.random.PCG64(0)), sorted(sentences)
    for split, number in (("train", count), ("val", max(100, count // 100))):
        labels = [names[i] for i in generator.integers(len(names), size=number)]
        pairs = generator.random((number, 2))
        texts = [
            " ".join(sentences[label][int(share * len(sentences[label]))] for share in pair)
            for label, pair in zip(labels, pairs, strict=True)
        ]
        for name, column in (("dataset", texts), ("labels", labels)):
            path = folder / f"{split}_{name}.txt"
            path.write_text("".join(f"{line}\n" for line in column), encoding="utf-8")


def run(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains by the default command, and notes when the floor was there."""
    begun = time.perf_counter()
    from custom_bert import train_model
    from custom_bert.data.reading import in_directory
    from custom_bert.training.log import Reporter

    ready: list[float] = []

    def watch(floor: Path) -> None:
        while not floor.is_file():
            time.sleep(0.02)
        ready.append(time.perf_counter() - begun)
        if arguments["ready_only"]:
            os.kill(os.getpid(), signal.SIGINT)

    said: list[str] = []

    class Listening(Reporter):
        def say(self, line: str = "") -> None:
            said.append(line)

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        threading.Thread(target=watch, args=(out / "floor" / "floor.json",), daemon=True).start()
        settings = {**in_directory(arguments["folder"]), "out": str(out), "data.cache_dir": f"{folder}/cache"}
        settings["optim.max_minutes"] = arguments["minutes"]
        with contextlib.suppress(KeyboardInterrupt):
            train_model(settings, reporter=Listening(silent=True))
        seconds = time.perf_counter() - begun
        record = record_of(out)
    return {
        "ready_seconds": ready[0],
        "done_seconds": None if arguments["ready_only"] else seconds,
        "told": next((line for line in said if line.startswith("time ")), ""),
        "accuracy": record.get("validation", {}).get("accuracy"),
        "floor": record["floor"]["accuracy"],
        "floor_texts": record["floor"]["texts"],
        "start": record["config"]["model.init_from"],
    }


def _seconds(values: list[float]) -> str:
    found = spread(values)
    return f"{found['median']:.0f} s ({found['min']:.0f} to {found['max']:.0f})"


def table_of(raw: dict[str, list[dict[str, Any]]]) -> list[str]:
    """A row for each number of lines, with medians."""
    rows = []
    for name, cells in raw.items():
        whole = [one for one in cells if one["done_seconds"] is not None]
        rows.append(
            [
                name,
                len(cells),
                _seconds([one["ready_seconds"] for one in cells]),
                len(whole),
                _seconds([one["done_seconds"] for one in whole]) if whole else "",
                whole[0]["told"].removeprefix("time").strip() if whole else "",
                f"{max(one['peak_mb'] for one in cells):,.0f} MB",
                f"{100 * cells[0]['floor']:.1f}",
                f"{100 * whole[0]['accuracy']:.1f}" if whole else "",
            ]
        )
    head = ["lines", "repeats", "until it predicts", "repeats", "until it is done", "told before"]
    head.append("peak memory")
    return markdown([*head, "floor, %", "done, %"], rows)


def main() -> None:
    """Measures each number of lines, and adds to the record after each run."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lines", type=int, nargs="+", required=True)
    parser.add_argument("--minutes", type=float, help="optim.max_minutes; default: none")
    parser.add_argument("--ready-only", action="store_true", help="stop when the run predicts")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    raw: dict[str, list[dict[str, Any]]] = {}
    if options.out.exists():
        raw = json.loads(options.out.read_text(encoding="utf-8"))["raw"]
    limit = f", {options.minutes:g} minutes" if options.minutes else ""
    asked = {"minutes": options.minutes, "ready_only": options.ready_only}
    for count in options.lines:
        cells = raw.setdefault(f"{count:,}{limit}", [])
        with tempfile.TemporaryDirectory() as folder:
            make(options.data, Path(folder), count)
            while len(cells) < options.repeats:
                found = in_child([__file__], "run", {**asked, "folder": folder})
                cells.append(found)
                print(f"{count:,}: {found}", flush=True)
                results = [
                    {"id": f"S3 {name}", **spread([one["ready_seconds"] for one in some])}
                    for name, some in raw.items()
                ]
                write_record(options.out, question=QUESTION, table=table_of(raw), results=results, raw=raw)


if __name__ == "__main__":
    begin(main, {"run": run})
