"""How fast is prediction from an ONNX directory on a CPU, and how many labels does int8 change?

    custom-bert train ag_news/ --out runs/ag_news --model.init-from minilm
    python benchmarks/onnx_prediction.py --run runs/ag_news --data ag_news/ --lines 5000 [--encoder DIR]

RUN is the run directory of a classifier that transformers can express too, and FOLDER has val_dataset.txt and
val_labels.txt. All sides have the same weights: ours loads the run and its ONNX directories, each without the
floor, and the peers load its export. ONNX Runtime gets the graph of transformers' own class, quantised as its
documentation shows (dynamic int8 with its defaults), with texts in input order, padded in batches of 32; and
once more with texts sorted by length. The pipeline and sentence-transformers run with the batch
size that was fastest on the first 500 texts in the first round. With --encoder DIR, a directory in
sentence-transformers' layout, its `encode` is timed too.

Seconds are those of all texts after a warm-up, with tokenising and without loading. Latency is that of a text
alone, over the first 300. Agreement is the share of labels that equal those of the pipeline in fp32. Each
measurement is a fresh process, and the sides run in turn.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import prediction
from common import begin, options_of
from prediction import Raw, fastest, make_onnx, ratios, texts_of, timed

from custom_bert.bench.measure import in_child, markdown, ratio_row, shown, spread, write_record
from custom_bert.process import LIBRARY_DEFAULTS

QUESTION = "Prediction from an ONNX directory, against the pipeline and ONNX Runtime as it is"

ALONE, PADDED = 300, 32
"""The number of texts that are timed alone, and the batch size of ONNX Runtime in input order."""

Predict = Callable[[Sequence[str]], list[str]]


def measured(predict: Predict, arguments: dict[str, Any]) -> dict[str, Any]:
    """Times a side on all texts, and on some alone."""
    texts = texts_of(arguments)
    labels, seconds = timed(predict, texts)
    alone = []
    for text in texts[:ALONE]:
        begun = time.perf_counter()
        predict([text])
        alone.append(1000 * (time.perf_counter() - begun))
    latency = {"median": float(np.median(alone)), "p99": float(np.percentile(alone, 99))}
    return {"labels": list(labels), "seconds": seconds, "texts": len(texts), "latency_ms": latency}


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Our classifier, from a run or from an ONNX directory."""
    from custom_bert import Classifier

    directory = arguments[arguments["from"]]
    classifier = Classifier.load(directory, device="cpu", precision=arguments["precision"], encoder_only=True)
    return measured(lambda some: [str(one.cells()[0]) for one in classifier.predict(some)], arguments)


def pipeline(arguments: dict[str, Any]) -> dict[str, Any]:
    """transformers' text-classification pipeline in fp32."""
    import torch
    import transformers

    from custom_bert.threads import thread_count

    torch.set_num_threads(thread_count())
    made: Any = transformers.pipeline(
        "text-classification", model=arguments["export"], dtype=torch.float32, device="cpu"
    )

    def classify(some: Sequence[str], size: int) -> list[str]:
        return [one["label"] for one in made(list(some), batch_size=size, truncation=True)]

    best = arguments["batch_size"] or fastest(classify, texts_of(arguments))
    return {**measured(lambda some: classify(some, best), arguments), "batch_size": best}


def plain(arguments: dict[str, Any]) -> dict[str, Any]:
    """ONNX Runtime in input order, each batch padded to its longest text."""
    import onnxruntime
    import transformers

    from custom_bert.threads import thread_count

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    session = onnxruntime.InferenceSession(f"{arguments['onnx']}/{arguments['precision']}.onnx", options)
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments["export"])
    names = transformers.AutoConfig.from_pretrained(arguments["export"]).id2label
    wanted = {one.name for one in session.get_inputs()}

    def classify(some: Sequence[str]) -> list[str]:
        found: list[str] = []
        for start in range(0, len(some), PADDED):
            batch = list(some[start : start + PADDED])
            encoded = tokenizer(batch, truncation=True, padding=True, return_tensors="np")
            given = {name: np.asarray(encoded[name], dtype=np.int64) for name in wanted}
            (logits,) = session.run(None, given)
            found += [names[best] for best in logits.argmax(-1).tolist()]
        return found

    return {**measured(classify, arguments), "batch_size": PADDED}


def sorted_by_length(arguments: dict[str, Any]) -> dict[str, Any]:
    """ONNX Runtime with texts sorted by length, in batches of the fastest size."""
    return prediction.onnx_runtime(arguments)


def sentence_transformers(arguments: dict[str, Any]) -> dict[str, Any]:
    """sentence-transformers' `encode`, which gives vectors and no labels."""
    return prediction.sentence_transformers(arguments)


TASKS = {
    task.__name__: task
    for task in (ours, pipeline, plain, sorted_by_length, sentence_transformers, make_onnx)
}

Side = tuple[Callable[[dict[str, Any]], dict[str, Any]], dict[str, Any], dict[str, str]]
SIDES: dict[str, Side] = {
    "ours, fp32": (ours, {"from": "run", "precision": "fp32"}, {}),
    "ours, bf16": (ours, {"from": "run", "precision": "bf16"}, {}),
    "ours, ONNX fp32": (ours, {"from": "ours_fp32", "precision": "fp32"}, {}),
    "ours, ONNX int8": (ours, {"from": "ours_int8", "precision": "fp32"}, {}),
    "pipeline, fp32": (pipeline, {"precision": "fp32"}, LIBRARY_DEFAULTS),
    "ONNX Runtime int8, padded": (plain, {"precision": "int8"}, LIBRARY_DEFAULTS),
    "ONNX Runtime int8, sorted": (sorted_by_length, {"precision": "int8"}, LIBRARY_DEFAULTS),
}
VECTORS: dict[str, Side] = {"sentence-transformers": (sentence_transformers, {}, LIBRARY_DEFAULTS)}
REFERENCE = "pipeline, fp32"
COMPARISONS = (
    ("C7: ONNX int8 against the pipeline in fp32", "ours, ONNX int8", "pipeline, fp32"),
    ("C7: ONNX fp32 against the pipeline in fp32", "ours, ONNX fp32", "pipeline, fp32"),
    ("C7: fp32 against the pipeline in fp32", "ours, fp32", "pipeline, fp32"),
    ("C7: bf16 against the pipeline in fp32", "ours, bf16", "pipeline, fp32"),
    ("C7: ONNX int8 against ONNX Runtime int8, padded", "ours, ONNX int8", "ONNX Runtime int8, padded"),
    ("C7: ONNX int8 against ONNX Runtime int8, sorted", "ours, ONNX int8", "ONNX Runtime int8, sorted"),
    ("C7: ONNX int8 against sentence-transformers", "ours, ONNX int8", "sentence-transformers"),
)


def table_of(raw: Raw) -> list[str]:
    """The tables: the comparisons, then all sides."""
    compared = [[name, shown(values), len(values)] for name, values in ratios(raw, COMPARISONS).items()]
    sides = []
    for side, found in raw.items():
        if not found:
            continue
        latency = [one["latency_ms"] for one in found if "latency_ms" in one]
        sides.append(
            [
                side,
                shown([one["texts"] / one["seconds"] for one in found], 0),
                shown([one["median"] for one in latency]) if latency else "",
                shown([one["p99"] for one in latency]) if latency else "",
                f"{found[0]['agreement']:.2%}" if "agreement" in found[0] else "",
                f"{found[0]['accuracy']:.4f}" if "accuracy" in found[0] else "",
                f"{spread([one['peak_mb'] for one in found])['median']:,.0f} MB",
                found[0].get("batch_size", "by tokens"),
            ]
        )
    head = [
        *("side", "texts/s (this run)", "a text alone, ms", "its 99th percentile"),
        *("labels as the pipeline's", "accuracy", "peak memory", "batch size"),
    ]
    return [
        *markdown(["comparison", "speed, ours / theirs", "repeats"], compared),
        "",
        *markdown(head, sides),
    ]


def main() -> None:
    """Runs the sides in turn, and writes the record after each round."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=5000)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    from custom_bert.inference.exports.hf import export_hugging_face
    from custom_bert.inference.exports.onnx import export_onnx

    sides = SIDES | (VECTORS if options.encoder else {})
    raw: Raw = {side: [] for side in sides}
    labels_file = (options.data / "val_labels.txt").read_text(encoding="utf-8")
    true = labels_file.split("\n")[: options.lines]
    with tempfile.TemporaryDirectory() as folder:
        export_hugging_face(options.run, Path(folder) / "export")
        said = {
            name: export_onnx(options.run, Path(folder) / name, int8=name == "ours_int8", data=options.data)
            for name in ("ours_fp32", "ours_int8")
        }
        print("\n".join(line for lines in said.values() for line in lines), flush=True)
        given = {
            "run": str(options.run.resolve()),
            "export": f"{folder}/export",
            "ours_fp32": f"{folder}/ours_fp32",
            "ours_int8": f"{folder}/ours_int8",
            "onnx": folder,
            "texts": str((options.data / "val_dataset.txt").resolve()),
            "lines": options.lines,
            "encoder": str(options.encoder.resolve()) if options.encoder else "",
            "vectors": f"{folder}/vectors.npy",
        }
        in_child([__file__], "make_onnx", given)
        for repeat in range(options.repeats):
            for side, (task, changes, environment) in sides.items():
                arguments = {**given, **changes}
                arguments["batch_size"] = raw[side][0].get("batch_size") if raw[side] else None
                found = in_child([__file__], task.__name__, arguments, environment=environment)
                raw[side].append(found)
                rate = found["texts"] / found["seconds"]
                print(f"{repeat + 1} {side}: {rate:,.0f} texts/s, {found['peak_mb']:,} MB", flush=True)
            reference = raw[REFERENCE][0].get("labels")
            for found in (found for side in raw.values() for found in side):
                if "labels" in found and "agreement" not in found:
                    found["agreement"] = equal(found["labels"], reference or ())
                    found["accuracy"] = equal(found["labels"], true)
            write_record(
                options.out,
                question=QUESTION,
                table=table_of(raw),
                results=[ratio_row(name, values) for name, values in ratios(raw, COMPARISONS).items()],
                exports={name: lines[1:] for name, lines in said.items()},
                raw={
                    side: [{key: value for key, value in one.items() if key != "labels"} for one in found]
                    for side, found in raw.items()
                },
            )


def equal(labels: Sequence[str], others: Sequence[str]) -> float:
    """The share of labels that are equal."""
    return float(np.mean([a == b for a, b in zip(labels, others, strict=True)]))


if __name__ == "__main__":
    begin(main, TASKS)
