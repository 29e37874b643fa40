"""How good, fast and large is learning spans, against Hugging Face's Trainer and its pipeline?

    python benchmarks/spans.py --data FOLDER --checkpoint DIR
    python benchmarks/spans.py --data FOLDER --run RUN --export DIR

FOLDER has train.conll, val.conll and test.conll. The first command trains, with every seed in turn:

    default   the default command, which starts from MiniLM where that is on the machine
    scratch   the same with model.init_from scratch
    hf        transformers' Trainer from --checkpoint, as its own example trains it: words of the file, the
              tag of each at its first token, fused AdamW, lengths grouped and padded to a multiple of 8, bf16
              where the CPU has it, and evaluations after every epoch. Of --rates the best is searched with
              the first seed only, and of each run the best epoch is taken

Scores are those of whole spans as tags of the file's words, which equal seqeval's, on both sides. Seconds
are those from the files to the saved model that is measured on the test file. Each measurement is a fresh
process.

The second command compares predictions of a run with the pipeline of transformers on its export: the texts of
test.conll, the pipeline with the fastest of --sizes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from common import ENVIRONMENT, begin, options_of, record_of
from trainer import training_arguments

from custom_bert.bench.measure import in_child, markdown, ratio_row, shown, write_record

QUESTION = "Spans: quality, time and memory of learning them, and how fast they are predicted"
SIDES = ("default", "scratch", "hf")
RATES = (5e-5, 1e-4, 2e-4)
SIZES = (1, 8, 32)
EPOCHS, LONGEST = 4, 256
FILES = ("train", "val", "test")


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains by the default command, which measures on the test file at the end."""
    from custom_bert import train_model
    from custom_bert.data.reading import spans_in_directory
    from custom_bert.training.log import Reporter

    with tempfile.TemporaryDirectory() as folder:
        run, begun = Path(folder) / "run", time.perf_counter()
        settings = {"task": "tokens", **spans_in_directory(arguments["folder"]), "out": str(run)}
        settings |= {"seed": arguments["seed"], "data.cache_dir": f"{folder}/cache", "runtime.device": "cpu"}
        train_model({**settings, **arguments["settings"]}, reporter=Reporter(silent=True))
        seconds, record = time.perf_counter() - begun, record_of(run)
    config, kept = record["config"], ("f1", "precision", "recall", "macro_f1")
    return {
        "val": {name: record["validation"][name] for name in kept},
        "test": {name: record["test"][name] for name in kept},
        "seconds": seconds,
        "init_from": config["model.init_from"],
        "epochs": config["optim.epochs"],
        "lr": config["optim.lr"],
        "precision": config["runtime.precision"],
    }


def hf(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains with transformers' Trainer at each rate, and measures the best on the test file."""
    begun = time.perf_counter()
    found = [_hf(arguments, rate) for rate in arguments["rates"]]
    best = max(found, key=lambda one: one["val"]["f1"])
    by_rate = {str(one["lr"]): one["val"]["f1"] for one in found}
    return {**best, "by_rate": by_rate, "seconds_with_search": time.perf_counter() - begun}


def _hf(arguments: dict[str, Any], rate: float) -> dict[str, Any]:
    import numpy as np
    import torch
    import transformers

    from custom_bert import machine
    from custom_bert.spans.conll import read_conll
    from custom_bert.spans.entity import Span, tag_names
    from custom_bert.spans.entity_scores import EntityCounts
    from custom_bert.spans.schemes import read_tags
    from custom_bert.spans.units import word_tags
    from custom_bert.threads import thread_count

    torch.set_num_threads(thread_count())
    half, begun = machine.has_cpu_bf16(), time.perf_counter()
    files = {name: read_conll(Path(arguments["folder"]) / f"{name}.conll") for name in FILES}
    types, tokenizer = (
        files["train"].types,
        transformers.AutoTokenizer.from_pretrained(arguments["checkpoint"]),
    )
    tags = tag_names(types)

    def examples(name: str) -> list[dict[str, Any]]:
        file, rows = files[name], []
        for text, words, spans in zip(file.texts, file.words or [], file.spans, strict=True):
            encoded = tokenizer(
                [text[a:b] for a, b in words], is_split_into_words=True, truncation=True, max_length=LONGEST
            )
            known, before = word_tags(spans, words), None
            labels = []
            for word in encoded.word_ids():
                labels.append(-100 if word is None or word == before else tags.index(known[word]))
                before = word
            rows.append({**encoded, "labels": labels})
        return rows

    def scores(found: Any) -> dict[str, float]:
        """Of whole spans, as places of words: with lengths grouped, rows come in an order of their own."""
        counts = EntityCounts(types)
        for row, labels in zip(found.predictions, found.label_ids, strict=True):
            sides = ([tags[k] for k in some[labels != -100]] for some in (labels, row))
            counts.add(*([Span(*entity) for entity in read_tags(side, "BIO")[0]] for side in sides))
        one = counts.scores()
        return {"f1": one.f1, "precision": one.precision, "recall": one.recall, "macro_f1": one.macro_f1}

    model = transformers.AutoModelForTokenClassification.from_pretrained(
        arguments["checkpoint"],
        num_labels=len(tags),
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager" if half else "sdpa",
    )
    with tempfile.TemporaryDirectory() as out:
        trainer = transformers.Trainer(
            model=model,
            args=training_arguments(
                out, {**arguments, "lr": rate}, metric="f1", half=half, ends_with_best=True
            ),
            train_dataset=examples("train"),
            eval_dataset=examples("val"),
            data_collator=transformers.DataCollatorForTokenClassification(tokenizer, pad_to_multiple_of=8),
            preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1),
            compute_metrics=scores,
        )
        trainer.train()
        tested = trainer.predict(examples("test"), metric_key_prefix="ignored")
        trainer.save_model(f"{out}/best")
        seconds = time.perf_counter() - begun
    history = [log for log in trainer.state.log_history if "eval_f1" in log]
    return {
        "val": {"f1": float(np.max([log["eval_f1"] for log in history]))},
        "test": scores(tested),
        "seconds": seconds,
        "epochs": arguments["epochs"],
        "lr": rate,
        "precision": "bf16" if half else "fp32",
    }


def predicted(arguments: dict[str, Any]) -> dict[str, Any]:
    """Predicts the texts with a run."""
    from custom_bert import Classifier, SpansPrediction

    texts = _texts(arguments)
    found = Classifier.load(arguments["run"], precision=arguments["precision"])
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
"""What was measured of each side."""


def table_of(raw: Raw) -> list[str]:
    """A row for each side, with means, and the smallest and the largest of the seeds."""
    rows = []
    for side, found in raw.items():
        if not found or "test" not in found[0]:
            continue
        cells = [shown([100 * one[split]["f1"] for one in found], 2) for split in ("val", "test")]
        seconds, memory = (
            shown([one["seconds"] for one in found], 0),
            shown([one["peak_mb"] for one in found], 0),
        )
        rows.append([side, len(found), found[0]["epochs"], found[0]["lr"], *cells, seconds, memory])
    head = ["side", "seeds", "epochs", "rate", "F1, validation", "F1, test", "seconds", "peak memory, MB"]
    lines = markdown(head, rows)
    if pairs := list(zip(raw.get("predicted", []), raw.get("pipeline", []), strict=False)):
        rates = [b["seconds"] / a["seconds"] for a, b in pairs]
        equal = sum(a == b for a, b in zip(pairs[0][0]["spans"], pairs[0][1]["spans"], strict=True))
        lines += ["", f"Prediction, ours / pipeline: {shown(rates)}; equal spans in {equal:,} of "]
        lines[-1] += f"{pairs[0][0]['texts']:,} texts."
    return lines


def results_of(raw: Raw) -> list[dict[str, Any]]:
    """The ratios of time and memory, as entries of the record."""
    results = []
    for names, what, key in (
        (("default", "hf"), "learning spans", "seconds"),
        (("default", "hf"), "memory of learning spans", "peak_mb"),
        (("predicted", "pipeline"), "predicting spans", "seconds"),
    ):
        pairs = list(zip(*(raw.get(name, []) for name in names), strict=False))
        if pairs and key == "peak_mb":
            results.append(ratio_row(what, [a[key] / b[key] for a, b in pairs]))
        elif pairs:
            results.append(ratio_row(what, [b[key] / a[key] for a, b in pairs]))
    return results


def main() -> None:
    """Runs the sides in turn, and writes the record after each."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, help="what hf starts from")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of hf")
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES), help="that hf searches")
    parser.add_argument("--set", action="append", default=[], help="a setting of ours, NAME=VALUE in JSON")
    parser.add_argument("--run", type=Path, help="a run whose predictions are timed")
    parser.add_argument("--export", type=Path, help="its export, for the pipeline")
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=list(SIZES), help="batch sizes of the pipeline"
    )
    parser.add_argument("--repeats", type=int, default=3, help="of predictions")
    parser.add_argument("--most", type=int, help="texts to predict")
    parser.add_argument("--precision", default="fp32", help="of our predictions")
    options = parser.parse_args()
    raw: Raw = json.loads(options.out.read_text(encoding="utf-8"))["raw"] if options.out.exists() else {}
    jobs: list[tuple[str, str, dict[str, Any]]] = []
    if options.run:
        place = {"folder": str(options.data), "run": str(options.run), "export": str(options.export)}
        place |= {"sizes": options.sizes, "most": options.most, "precision": options.precision}
        jobs = [(name, name, place) for _ in range(options.repeats) for name in ("predicted", "pipeline")]
    else:
        jobs = [
            (side, "hf" if side == "hf" else "ours", _arguments(options, side, seed))
            for seed in range(options.seeds)
            for side in options.sides
        ]
    for side, task, arguments in jobs:
        done = raw.setdefault(side, [])
        if task == "hf" and done:
            arguments["rates"] = [done[0]["lr"]]
        if task in ("ours", "hf") and len(done) > arguments["seed"]:
            continue
        done.append(
            in_child(
                [__file__],
                task,
                arguments,
                environment=ENVIRONMENT["hf" if task in ("hf", "pipeline") else "ours"],
            )
        )
        print(f"{side}: {done[-1].get('test', '')} {done[-1]['seconds']:.1f} s", flush=True)
        write_record(options.out, question=QUESTION, table=table_of(raw), results=results_of(raw), raw=raw)


def _arguments(options: argparse.Namespace, side: str, seed: int) -> dict[str, Any]:
    arguments: dict[str, Any] = {"folder": str(options.data.resolve()), "seed": seed}
    if side == "hf":
        assert options.checkpoint is not None, "--checkpoint names what the Trainer starts from"
        rest = {
            "checkpoint": str(options.checkpoint.resolve()),
            "rates": options.rates,
            "epochs": options.epochs,
        }
        return arguments | rest
    given = {name: json.loads(value) for name, _, value in (one.partition("=") for one in options.set)}
    return arguments | {
        "settings": {**given, **({"model.init_from": "scratch"} if side == "scratch" else {})}
    }


if __name__ == "__main__":
    begin(main, {"ours": ours, "hf": hf, "predicted": predicted, "pipeline": pipeline})
