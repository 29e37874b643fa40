"""What share of a run's time do checkpoints take at the default interval?

    python benchmarks/checkpoint_cost.py --data FOLDER

FOLDER holds the four files of one set. Each size trains for some minutes in a fresh process. The run itself
counts the seconds that it spends on saving, so that no second run with its noise is needed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from common import begin, options_of, record_of

from custom_bert.bench.measure import (
    in_child,
    markdown,
    shown,
    spread,
    write_record,
)

QUESTION = "Share of a run's time that checkpoints take at the default interval"
SIZES = ("256x4", "768x12")


def train(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains for some minutes. Weights that are kept after an evaluation are not counted as checkpoints."""
    from custom_bert import train_model
    from custom_bert.data.reading import in_directory

    width, layers = map(int, arguments["size"].split("x"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        settings = {
            **in_directory(arguments["folder"]),
            "model.init_from": "scratch",
            "floor": False,
            "out": str(out),
            "data.cache_dir": arguments["cache"],
        }
        settings |= {"model.hidden_size": width, "model.num_hidden_layers": layers}
        settings |= {
            "optim.max_minutes": arguments["minutes"],
            "optim.epochs": 1000,
            "optim.eval_every": 10**9,
        }
        train_model({**settings, "optim.pretrain_epochs": 0, "optim.embedding_init": "random"})
        record = record_of(out)
        weights = (out / "model.safetensors").stat().st_size
    return {
        "share": record["saving_seconds"] / record["seconds"],
        "saving_seconds": record["saving_seconds"],
        "seconds": record["seconds"],
        "weights_mb": weights / 1e6,
    }


def main() -> None:
    """Measures the sizes one after the other, and writes the record after each."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), help="width x layers")
    parser.add_argument("--minutes", type=float, default=3.0, help="of each run")
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    raw: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as cache:
        for size in options.sizes:
            for _ in range(options.repeats):
                arguments = {"folder": str(options.data.resolve()), "cache": cache, "size": size}
                found = in_child([__file__], "train", {**arguments, "minutes": options.minutes})
                raw.setdefault(size, []).append(found)
                print(f"{size}: {found['share']:.1%} of {found['seconds']:.0f} s", flush=True)
            rows, results = [], []
            for name, runs in raw.items():
                shares = [run["share"] for run in runs]
                weights = f"{runs[0]['weights_mb']:.0f} MB"
                rows.append([name, weights, shown([100 * share for share in shares]), len(runs)])
                ratios = {f"ratio_{key}": value for key, value in spread(shares).items()}
                results.append({"id": f"A12, {name}", **ratios, "repeats": len(runs)})
            write_record(
                options.out,
                question=QUESTION,
                table=markdown(["encoder", "weights", "share of the time, %", "runs"], rows),
                results=results,
                raw=raw,
            )


if __name__ == "__main__":
    begin(main, {"train": train})
