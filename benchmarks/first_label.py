"""How long does it take from the start of a process to the first label, and how much is installed?

    python benchmarks/first_label.py --run RUN --onnx FOLDER --small PYTHON

RUN is a run directory, FOLDER what `custom-bert export RUN FOLDER --format onnx` wrote. PYTHON is the
interpreter of an environment with nothing but `pip install ./packaging/runtime`. Each label is printed by a
fresh process of `custom-bert predict`, for one text from its standard input. The two sides take turns. The
installed size is that of each environment's site-packages, without pip and setuptools.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import begin, options_of

from custom_bert.bench.measure import markdown, shown, write_record

QUESTION = "Seconds from the start of a process to the first label, and what is installed"
TEXT = b"a fine film with a dull end\n"
NOT_COUNTED = ("pip", "setuptools", "__pycache__")


def seconds(python: str, directory: Path) -> float:
    """The seconds of one process that labels one text."""
    begun = time.perf_counter()
    command = [python, "-m", "custom_bert", "predict", str(directory)]
    subprocess.run(command, input=TEXT, capture_output=True, check=True)
    return time.perf_counter() - begun


def installed(python: str) -> int:
    """The bytes of an environment's site-packages."""
    code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    where = subprocess.run(
        [python, "-c", code], capture_output=True, check=True, encoding="utf-8"
    ).stdout.strip()
    found = (path for path in Path(where).rglob("*") if path.is_file() and not path.is_symlink())
    return sum(
        path.stat().st_size
        for path in found
        if not path.relative_to(where).parts[0].startswith(NOT_COUNTED) and "__pycache__" not in path.parts
    )


def main() -> None:
    """Measures both sides in turn, and writes the record."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--onnx", type=Path, required=True)
    parser.add_argument("--small", required=True)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    sides = {
        "custom-bert, a run": (sys.executable, options.run),
        "custom-bert-runtime, its ONNX export": (options.small, options.onnx),
    }
    raw: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(options.repeats + 1):
        for name, (python, directory) in sides.items():
            took = seconds(python, directory)
            if repeat:  # the first time writes what Python compiles
                raw[name].append(took)
    sizes = {name: installed(python) for name, (python, _) in sides.items()}
    rows = [[name, shown(values), f"{sizes[name] / 1e6:,.0f}"] for name, values in raw.items()]
    results = [
        {"id": f"S4 {name}", "seconds_median": statistics.median(values), "installed_bytes": sizes[name]}
        for name, values in raw.items()
    ]
    table = markdown(["side", "seconds to the first label", "installed, MB"], rows)
    write_record(options.out, question=QUESTION, table=table, results=results, raw=raw)


if __name__ == "__main__":
    begin(main, {})
