"""How fast are a million rows read and checked as lines of text, CSV, JSON lines and Parquet, beside pandas?

    python benchmarks/tables.py
    python benchmarks/tables.py --rows 20000

The rows are those of million_lines.py: a made-up text of 5 to 40 words and one of 10 labels. Every format
holds the same rows. Ours reads and checks them as `check-data` does before it looks at a vocabulary: two
passes over the file with conversion, hashes, every check, and the division. pandas reads the whole table into
memory in one pass, and checks nothing. Each measurement is a fresh process with its own peak of memory, and
the sides run in turn. Libraries are imported before the clock starts.
"""

from __future__ import annotations

import csv
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from common import begin, options_of
from million_lines import generate

from custom_bert.bench.measure import in_child, markdown, ratio_row, shown, spread, write_record

QUESTION = (
    "Reading and checking rows of text files, CSV, JSON lines and Parquet, and reading them with pandas"
)

OURS = {"txt": "", "csv": "rows.csv", "jsonl": "rows.jsonl", "parquet": "rows.parquet"}
"""The formats, each with the name of its file in the folder; "" for the folder itself."""

SIDES = {
    **{f"tables_{name}": ("ours", file) for name, file in OURS.items()},
    **{f"tables_pandas_{name}": ("pandas", file) for name, file in OURS.items() if file},
}
"""What is measured: the task and the file of each side."""


def write_tables(folder: Path) -> None:
    """Writes the rows of the text files as tables."""
    import pyarrow
    import pyarrow.parquet

    texts, labels = (
        (folder / f"train_{name}.txt").read_text(encoding="utf-8").splitlines()
        for name in ("dataset", "labels")
    )
    rows = list(zip(texts, labels, strict=True))
    with (folder / OURS["csv"]).open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("text", "label"), *rows])
    with (folder / OURS["jsonl"]).open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
    pyarrow.parquet.write_table(pyarrow.table({"text": texts, "label": labels}), folder / OURS["parquet"])


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times reading, checking and dividing, as `check-data` does it."""
    from custom_bert.config_sources import from_mapping
    from custom_bert.data.label_files import ClassReader
    from custom_bert.data.reading import data_files, data_settings, read_dataset

    if arguments["file"].endswith("parquet"):
        import pyarrow.parquet  # noqa: F401
    begun = time.perf_counter()
    lines = data_files(from_mapping(data_settings(arguments["file"])).data, set_aside=True)
    dataset = read_dataset(lines, ClassReader(), val_fraction=0.1)
    return {"seconds": time.perf_counter() - begun, "rows": len(dataset.train.file)}


def pandas(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times pandas' reading of the table."""
    import pandas as library

    kind = Path(arguments["file"]).suffix
    if kind == ".parquet":
        import pyarrow.parquet  # noqa: F401
    begun = time.perf_counter()
    if kind == ".csv":
        table = library.read_csv(arguments["file"])
    elif kind == ".jsonl":
        table = library.read_json(arguments["file"], lines=True)
    else:
        table = library.read_parquet(arguments["file"])
    return {"seconds": time.perf_counter() - begun, "rows": len(table)}


def main() -> None:
    """Measures the sides in turn, each in a fresh process, and writes the record."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    raw: dict[str, list[dict[str, Any]]] = {name: [] for name in SIDES}
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base)
        generate(folder, options.rows)
        write_tables(folder)
        sizes = {
            file or "txt": (folder / (file or "train_dataset.txt")).stat().st_size for file in OURS.values()
        }
        for _ in range(options.repeats):
            for name, (task, file) in SIDES.items():
                raw[name].append(in_child([__file__], task, {"file": str(folder / file)}))
                assert raw[name][-1]["rows"] == options.rows
    seconds = {name: [one["seconds"] for one in found] for name, found in raw.items()}
    peaks = {name: [float(one["peak_mb"]) for one in found] for name, found in raw.items()}
    results = [
        {
            "id": name,
            **{f"seconds_{key}": value for key, value in spread(seconds[name]).items()},
            **{f"peak_mb_{key}": value for key, value in spread(peaks[name]).items()},
            "rows": options.rows,
            "repeats": options.repeats,
        }
        for name in SIDES
    ]
    results += [
        ratio_row(
            f"{name}_over_txt", [a / b for a, b in zip(seconds[name], seconds["tables_txt"], strict=True)]
        )
        for name in SIDES
        if name != "tables_txt"
    ]
    rows = [
        [name.removeprefix("tables_").replace("_", " "), shown(seconds[name]), shown(peaks[name], 0)]
        for name in SIDES
    ]
    table = markdown(["side", "seconds", "peak memory, MB"], rows)
    table += [
        "",
        f"{options.rows:,} rows, {sizes['rows.csv'] / 1e6:.0f} MB as CSV; {options.repeats} repeats.",
    ]
    write_record(
        options.out, question=QUESTION, table=table, rows=options.rows, bytes=sizes, results=results, raw=raw
    )
    print("\n".join(table))


if __name__ == "__main__":
    begin(main, {"ours": ours, "pandas": pandas})
