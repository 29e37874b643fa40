"""How fast are spans predicted, against the token-classification pipeline of transformers?

    python benchmarks/spans_prediction.py --data FOLDER --run RUN --export DIR --onnx DIR

The texts are those of test.conll in FOLDER. RUN predicts them with each of --precisions, and --onnx is its
ONNX model, made with --int8. The pipeline predicts them on RUN's export, longest texts first and with the
fastest of --sizes. The sides run in turn, each in a fresh process. What is timed begins after the model is
loaded and some texts have been predicted.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from common import ENVIRONMENT, begin, options_of

from custom_bert.bench.measure import in_child, markdown, ratio_row, shown, write_record

QUESTION = "Spans: how fast they are predicted, against transformers' pipeline"
SIZES = (1, 8, 32)


def predicted(arguments: dict[str, Any]) -> dict[str, Any]:
    """Predicts the texts with a run."""
    from custom_bert import Classifier, SpansPrediction

    texts = _texts(arguments)
    found = Classifier.load(arguments["model"], precision=arguments["precision"])
    found.predict(texts[:64])
    begun = time.perf_counter()
    answers = found.predict(texts)
    seconds = time.perf_counter() - begun
    places = [
        [[span.start, span.end, span.label] for span in one.spans]
        for one in answers
        if isinstance(one, SpansPrediction)
    ]
    return {"seconds": seconds, "texts": len(texts), "spans": places}


def pipeline(arguments: dict[str, Any]) -> dict[str, Any]:
    """Predicts the texts with the pipeline of transformers, longest first, as our own batches are."""
    import torch
    import transformers

    from custom_bert.threads import thread_count

    torch.set_num_threads(thread_count())
    texts = _texts(arguments)
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    find = transformers.pipeline(
        "token-classification", model=arguments["export"], aggregation_strategy="first", device="cpu"
    )
    find([texts[i] for i in order[:64]], batch_size=8)
    best: tuple[float, int, list[Any]] = (float("inf"), 0, [])
    for size in arguments["sizes"]:
        begun = time.perf_counter()
        answers = find([texts[i] for i in order], batch_size=size)
        best = min(best, (time.perf_counter() - begun, size, answers), key=lambda one: one[0])
    seconds, size, answers = best
    places: list[Any] = [None] * len(texts)
    for i, found in zip(order, answers, strict=True):
        places[i] = [[int(one["start"]), int(one["end"]), one["entity_group"]] for one in found]
    return {"seconds": seconds, "texts": len(texts), "size": size, "spans": places}


def _texts(arguments: dict[str, Any]) -> list[str]:
    from custom_bert.spans.conll import read_conll

    texts: list[str] = read_conll(Path(arguments["folder"]) / "test.conll").texts[: arguments["most"]]
    return texts


Raw = dict[str, list[dict[str, Any]]]
"""What was measured of the pipeline, and of ours by precision."""


def table_of(raw: Raw) -> list[str]:
    """A row for each precision: the ratios by round, and in how many texts the spans are equal."""
    theirs = raw["pipeline"]
    rows = [
        [
            name,
            len(found),
            shown(_ratios(found, theirs)),
            f"{sum(a == b for a, b in zip(found[0]['spans'], theirs[0]['spans'], strict=True)):,}",
            f"{found[0]['texts']:,}",
        ]
        for name, found in raw.items()
        if name != "pipeline"
    ]
    return markdown(["precision", "rounds", "time, pipeline / ours", "texts with equal spans", "texts"], rows)


def _ratios(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[float]:
    return [b["seconds"] / a["seconds"] for a, b in zip(ours, theirs, strict=True)]


def main() -> None:
    """Runs the sides in turn, and writes the record at the end."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="a run whose predictions are timed")
    parser.add_argument("--export", type=Path, required=True, help="its export, for the pipeline")
    parser.add_argument("--onnx", type=Path, help="its ONNX model")
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), help="batches of the pipeline")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], help="of our predictions")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--most", type=int, help="texts to predict")
    options = parser.parse_args()
    given = {"folder": str(options.data), "most": options.most}
    sides = {
        "pipeline": {"export": str(options.export), "sizes": options.sizes},
        **{name: {"model": str(options.run), "precision": name} for name in options.precisions},
        **({"ONNX": {"model": str(options.onnx), "precision": "fp32"}} if options.onnx else {}),
    }
    raw: Raw = {name: [] for name in sides}
    for _ in range(options.repeats):
        for name, measured in raw.items():
            task, side = ("pipeline", "hf") if name == "pipeline" else ("predicted", "ours")
            arguments = {**given, **sides[name]}
            measured.append(in_child([__file__], task, arguments, environment=ENVIRONMENT[side]))
            print(f"{name}: {measured[-1]['seconds']:.1f} s", flush=True)
    table = table_of(raw)
    results = [
        ratio_row(f"predicting spans {name}", _ratios(found, raw["pipeline"]))
        for name, found in raw.items()
        if name != "pipeline"
    ]
    for one in (one for found in raw.values() for one in found):
        del one["spans"]  # only the counts are kept
    write_record(options.out, question=QUESTION, table=table, results=results, raw=raw)


if __name__ == "__main__":
    begin(main, {"predicted": predicted, "pipeline": pipeline})
