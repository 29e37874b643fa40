"""How fast is prediction on a CPU, against Hugging Face's pipeline, ONNX Runtime and sentence-transformers?

    python benchmarks/prediction.py --run RUN --texts FILE --lines 5000
    python benchmarks/prediction.py --run RUN --texts FILE --encoder DIR

RUN is the run directory of a classifier that can be exported, and FILE has one text a line. Ours loads the
run and the peers load its export, so that all have the same weights and should give the same labels. Each
peer runs with the batch size that was fastest on the first 500 texts in the first round. ONNX Runtime runs
the export in fp32 and in dynamic int8, on texts that the script sorts by length for it. With --encoder DIR, a
directory in sentence-transformers' layout, embeddings are timed as well. Seconds are those of all texts after
a warm-up on the first 200, with tokenising and without loading. Each measurement is a fresh process, and the
sides run in turn.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import begin, options_of

from custom_bert.bench.measure import (
    in_child,
    markdown,
    ratio_row,
    shown,
    spread,
    write_record,
)
from custom_bert.data.text import LineReader
from custom_bert.process import LIBRARY_DEFAULTS

QUESTION = "Texts a second of prediction, against Hugging Face's pipeline and sentence-transformers"
BATCHES = (8, 16, 32, 64, 128)
"""The batch sizes among which the peers' fastest one is looked for."""

WARM_UP, TUNING = 200, 500
"""The numbers of texts for the warm-up, and for choosing the batch size."""


def texts_of(arguments: dict[str, Any]) -> list[str]:
    """The first lines of the file, as many as are measured."""
    reader, texts = LineReader(arguments["texts"]), []
    for block in reader.blocks():
        texts += block
        if len(texts) >= arguments["lines"]:
            break
    return texts[: arguments["lines"]]


def timed(work: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> tuple[Any, float]:
    """The result of the work on all texts, and the seconds that it took, after a warm-up."""
    work(texts[:WARM_UP])
    begun = time.perf_counter()
    results = work(texts)
    return results, time.perf_counter() - begun


def fastest(work: Callable[[Sequence[str], int], Any], texts: Sequence[str]) -> int:
    """The batch size with which the work on the first texts takes the least time."""
    seconds = {size: timed(partial(work, size=size), texts[:TUNING])[1] for size in BATCHES}
    return min(seconds, key=lambda size: seconds[size])


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times `Classifier.predict`."""
    from custom_bert import Classifier

    classifier = Classifier.load(arguments["run"], device="cpu", precision=arguments["precision"])
    texts = texts_of(arguments)
    found, seconds = timed(classifier.predict, texts)
    return {"labels": [one.label for one in found], "seconds": seconds, "texts": len(texts)}


def pipeline(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times transformers' text-classification pipeline."""
    import torch
    import transformers

    from custom_bert.threads import thread_count

    torch.set_num_threads(thread_count())
    made: Any = transformers.pipeline(
        "text-classification",
        model=arguments["export"],
        dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[arguments["precision"]],
        device="cpu",
    )
    texts = texts_of(arguments)

    def classify(part: Sequence[str], size: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = made(list(part), batch_size=size, truncation=True)
        return found

    best = arguments["batch_size"] or fastest(classify, texts)
    found, seconds = timed(lambda part: classify(part, best), texts)
    labels = [one["label"] for one in found]
    return {"labels": labels, "seconds": seconds, "texts": len(texts), "batch_size": best}


def make_onnx(arguments: dict[str, Any]) -> dict[str, Any]:
    """Converts the export to ONNX, in fp32 and with int8 weights and activations (dynamic)."""
    import torch
    import transformers
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = transformers.AutoModelForSequenceClassification.from_pretrained(arguments["export"]).eval()
    model.config.return_dict = False
    ids = torch.ones(2, 16, dtype=torch.long)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    torch.onnx.export(
        model,
        (ids, torch.ones_like(ids)),
        arguments["onnx"] + "/fp32.onnx",
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_shapes={"input_ids": (batch, length), "attention_mask": (batch, length)},
        dynamo=True,
    )
    quantize_dynamic(
        arguments["onnx"] + "/fp32.onnx", arguments["onnx"] + "/int8.onnx", weight_type=QuantType.QInt8
    )
    return {}


def onnx_runtime(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times ONNX Runtime with the export's own tokenizer."""
    import onnxruntime
    import transformers

    from custom_bert.threads import thread_count

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    session = onnxruntime.InferenceSession(f"{arguments['onnx']}/{arguments['precision']}.onnx", options)
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments["export"])
    labels = transformers.AutoConfig.from_pretrained(arguments["export"]).id2label
    texts = texts_of(arguments)

    def classify(part: Sequence[str], size: int) -> list[str]:
        encoded = tokenizer(list(part), truncation=True)["input_ids"]
        order = sorted(range(len(part)), key=lambda i: -len(encoded[i]))
        found = [""] * len(part)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            ids = np.zeros((len(rows), len(encoded[rows[0]])), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, i in enumerate(rows):
                ids[row, : len(encoded[i])], mask[row, : len(encoded[i])] = encoded[i], 1
            (logits,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
            for i, best in zip(rows, logits.argmax(-1).tolist(), strict=True):
                found[i] = labels[best]
        return found

    best = arguments["batch_size"] or fastest(classify, texts)
    found, seconds = timed(lambda part: classify(part, best), texts)
    return {"labels": found, "seconds": seconds, "texts": len(texts), "batch_size": best}


def embeddings(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times `Embedder.embed`."""
    from custom_bert import Embedder

    encoder = Embedder.load(arguments["encoder"], device="cpu")
    texts = texts_of(arguments)
    vectors, seconds = timed(encoder.embed, texts)
    np.save(arguments["vectors"], vectors)
    return {"seconds": seconds, "texts": len(texts)}


def sentence_transformers(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times sentence-transformers' `encode` in fp32, which sorts texts by length itself."""
    import torch
    from sentence_transformers import SentenceTransformer

    from custom_bert.threads import thread_count

    torch.set_num_threads(thread_count())
    model: Any = SentenceTransformer(arguments["encoder"], device="cpu")
    texts = texts_of(arguments)

    def encode(part: Sequence[str], size: int) -> Any:
        return model.encode(list(part), batch_size=size, normalize_embeddings=True)

    best = arguments["batch_size"] or fastest(encode, texts)
    vectors, seconds = timed(lambda part: encode(part, best), texts)
    np.save(arguments["vectors"], vectors)
    return {"seconds": seconds, "texts": len(texts), "batch_size": best}


Side = tuple[Callable[[dict[str, Any]], dict[str, Any]], dict[str, Any], dict[str, str]]
TASKS = {
    task.__name__: task
    for task in (ours, pipeline, make_onnx, onnx_runtime, embeddings, sentence_transformers)
}
CLASSIFIERS: dict[str, Side] = {
    "ours, fp32": (ours, {"precision": "fp32"}, {}),
    "ours, bf16": (ours, {"precision": "bf16"}, {}),
    "pipeline, fp32": (pipeline, {"precision": "fp32"}, LIBRARY_DEFAULTS),
    "pipeline, bf16": (pipeline, {"precision": "bf16"}, LIBRARY_DEFAULTS),
    "ONNX Runtime, fp32": (onnx_runtime, {"precision": "fp32"}, LIBRARY_DEFAULTS),
    "ONNX Runtime, int8": (onnx_runtime, {"precision": "int8"}, LIBRARY_DEFAULTS),
}
ENCODERS: dict[str, Side] = {
    "ours, embeddings": (embeddings, {}, {}),
    "sentence-transformers": (sentence_transformers, {}, LIBRARY_DEFAULTS),
}
COMPARISONS = (
    ("C7: fp32 against the pipeline in fp32", "ours, fp32", "pipeline, fp32"),
    ("C7: bf16 against the pipeline in fp32", "ours, bf16", "pipeline, fp32"),
    ("bf16 against the pipeline in bf16", "ours, bf16", "pipeline, bf16"),
    ("fp32 against ONNX Runtime in fp32", "ours, fp32", "ONNX Runtime, fp32"),
    ("C7: bf16 against ONNX Runtime in int8", "ours, bf16", "ONNX Runtime, int8"),
    ("embeddings in fp32 against sentence-transformers", "ours, embeddings", "sentence-transformers"),
)

Raw = dict[str, list[dict[str, Any]]]


def ratios(raw: Raw, comparisons: Sequence[tuple[str, str, str]] = COMPARISONS) -> dict[str, list[float]]:
    """The ratios of one side's speed to another's, one for each round."""
    return {
        name: [b["seconds"] / a["seconds"] for a, b in zip(raw[one], raw[other], strict=False)]
        for name, one, other in comparisons
        if raw.get(one) and raw.get(other)
    }


def table_of(raw: Raw) -> list[str]:
    """The tables: the comparisons, then all sides."""
    compared = [[name, shown(values), len(values)] for name, values in ratios(raw).items()]
    sides = [
        [
            side,
            shown([one["texts"] / one["seconds"] for one in found], 0),
            f"{spread([one['peak_mb'] for one in found])['median']:,.0f} MB",
            found[0].get("batch_size", "by tokens"),
            _agreement(found[0]),
        ]
        for side, found in raw.items()
        if found
    ]
    head = ["side", "texts/s (this run)", "peak memory", "batch size", "agrees with the fp32 peer"]
    return [
        *markdown(["comparison", "speed, ours / theirs", "repeats"], compared),
        "",
        *markdown(head, sides),
    ]


def _agreement(found: dict[str, Any]) -> str:
    if "agreement" in found:
        return f"{found['agreement']:.2%} of labels"
    return f"vectors to {found['largest_gap']:.0e}" if "largest_gap" in found else ""


def main() -> None:
    """Runs the sides in turn, and writes the record after each round."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=5000)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    from custom_bert.inference.exports.hf import export_hugging_face

    sides = CLASSIFIERS | (ENCODERS if options.encoder else {})
    raw: Raw = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        export_hugging_face(options.run, Path(folder) / "export")
        given = {
            "run": str(options.run.resolve()),
            "export": f"{folder}/export",
            "onnx": folder,
            "texts": str(options.texts.resolve()),
            "lines": options.lines,
            "encoder": str(options.encoder.resolve()) if options.encoder else "",
        }
        in_child([__file__], "make_onnx", given)
        wanted_labels: list[str] = []
        for repeat in range(options.repeats):
            for side, (task, changes, environment) in sides.items():
                arguments = {**given, **changes, "vectors": f"{folder}/{task.__name__}.npy"}
                arguments["batch_size"] = raw[side][0].get("batch_size") if raw[side] else None
                found = in_child([__file__], task.__name__, arguments, environment=environment)
                found["given_labels"] = found.pop("labels", None)
                if side == "pipeline, fp32":
                    wanted_labels = found["given_labels"]
                raw[side].append(found)
                rate = found["texts"] / found["seconds"]
                print(f"{repeat + 1} {side}: {rate:,.0f} texts/s, {found['peak_mb']:,} MB", flush=True)
            for found in (found for side in raw.values() for found in side):
                labels = found.pop("given_labels", None)
                if labels:
                    found["agreement"] = float(
                        np.mean([a == b for a, b in zip(labels, wanted_labels, strict=True)])
                    )
            if options.encoder:
                a, b = (np.load(f"{folder}/{name}.npy") for name in ("embeddings", "sentence_transformers"))
                raw["ours, embeddings"][-1]["largest_gap"] = float(abs(a - b).max())
            write_record(
                options.out,
                question=QUESTION,
                table=table_of(raw),
                results=[ratio_row(name, values) for name, values in ratios(raw).items()],
                raw=raw,
            )


if __name__ == "__main__":
    begin(main, TASKS)
