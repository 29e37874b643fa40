"""How good, fast and large is learning spans, against Hugging Face's Trainer?

    python benchmarks/spans.py --data FOLDER --checkpoint DIR

FOLDER has train.conll, val.conll and test.conll. What is trained, with every seed in turn:

    default   the default command, which starts from MiniLM where that is on the machine
    scratch   the same with model.init_from scratch
    hf        transformers' Trainer from --checkpoint, as its own example trains it: words of the file, the
              tag of each at its first token, fused AdamW, lengths grouped and padded to a multiple of 8, bf16
              where the CPU has it, and evaluations after every epoch, of which the best is taken. Of --rates
              it gets the best at 4 epochs, and then the fewest epochs that keep its F1 on the validation file
              within 0.3 points of its best, both searched before with the first seed

Scores are those of whole spans as tags of the file's words, which equal seqeval's, on both sides. The clock
is that of the whole process: imports, files, training, evaluations, the saved model and its measurement on
the test file. Memory is the peak of the process and all that it has started. Each measurement is a fresh
process. Where the record exists, what it has is not measured again.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from common import ENVIRONMENT, begin, memory, options_of, record_of
from trainer import training_arguments
from trainer_search import RATES, chosen, search

from custom_bert.bench.measure import in_child, markdown, ratio_row, shown, write_record

QUESTION = "Spans: quality, time and memory of learning them"
SIDES = ("default", "scratch", "hf")
LONGEST = 256
FILES = ("train", "val", "test")


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains by the default command, which measures on the test file at the end."""
    from custom_bert import train_model
    from custom_bert.data.reading import spans_in_directory
    from custom_bert.training.log import Reporter

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        settings = {"task": "tokens", **spans_in_directory(arguments["folder"]), "out": str(run)}
        settings |= {"seed": arguments["seed"], "data.cache_dir": f"{folder}/cache", "runtime.device": "cpu"}
        train_model({**settings, **arguments["settings"]}, reporter=Reporter(silent=True))
        record = record_of(run)
    config, kept = record["config"], ("f1", "precision", "recall", "macro_f1")
    return {
        "val": {name: record["validation"][name] for name in kept},
        "test": {name: record["test"][name] for name in kept},
        "init_from": config["model.init_from"],
        "epochs": config["optim.epochs"],
        "lr": config["optim.lr"],
        "precision": config["runtime.precision"],
    }


def hf(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains with transformers' Trainer, and measures on the test file unless `search` is set."""
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
    half = machine.has_cpu_bf16()
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
            args=training_arguments(out, arguments, metric="f1", half=half, ends_with_best=True),
            train_dataset=examples("train"),
            eval_dataset=examples("val"),
            data_collator=transformers.DataCollatorForTokenClassification(tokenizer, pad_to_multiple_of=8),
            preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1),
            compute_metrics=scores,
        )
        trainer.train()
        if arguments["search"]:
            tested = None
        else:
            trainer.save_model(f"{out}/best")
            tested = trainer.predict(examples("test"), metric_key_prefix="ignored")
    history = [log for log in trainer.state.log_history if "eval_f1" in log]
    return {
        "val": {"f1": float(np.max([log["eval_f1"] for log in history]))},
        **({} if tested is None else {"test": scores(tested)}),
        "epochs": arguments["epochs"],
        "lr": arguments["lr"],
        "precision": "bf16" if half else "fp32",
    }


Raw = dict[str, list[dict[str, Any]]]
"""What was measured of each side, and what was tried for the Trainer."""


def table_of(raw: Raw) -> list[str]:
    """A row for each side, with medians, and the smallest and the largest of the seeds."""
    rows = []
    for side in SIDES:
        if not (found := raw.get(side)):
            continue
        scores = [shown([100 * one[split]["f1"] for one in found], 2) for split in ("val", "test")]
        seconds = shown([one["wall_seconds"] for one in found], 0)
        peaks = shown([memory(one) for one in found], 0)
        rows.append([side, len(found), found[0]["epochs"], f"{found[0]['lr']:g}", *scores, seconds, peaks])
    head = ["side", "seeds", "epochs", "rate", "F1, validation", "F1, test", "seconds", "peak memory, MB"]
    return markdown(head, rows)


def results_of(raw: Raw) -> list[dict[str, Any]]:
    """The ratios of time and memory, as entries of the record."""
    pairs = list(zip(raw.get("default", []), raw.get("hf", []), strict=False))
    if not pairs:
        return []
    return [
        ratio_row("F1 spans", [b["wall_seconds"] / a["wall_seconds"] for a, b in pairs]),
        ratio_row("F2 spans", [memory(a) / memory(b) for a, b in pairs]),
    ]


def main() -> None:
    """Searches what the Trainer runs best with, runs the sides in turn, and writes the record after each."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True, help="what hf starts from")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES), help="that hf searches")
    parser.add_argument("--set", action="append", default=[], help="a setting of ours, NAME=VALUE in JSON")
    options = parser.parse_args()
    raw: Raw = json.loads(options.out.read_text(encoding="utf-8"))["raw"] if options.out.exists() else {}
    given = {name: json.loads(value) for name, _, value in (one.partition("=") for one in options.set)}
    place = {"folder": str(options.data.resolve()), "checkpoint": str(options.checkpoint.resolve())}

    def written() -> None:
        write_record(options.out, question=QUESTION, table=table_of(raw), results=results_of(raw), raw=raw)

    def run(task: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return in_child([__file__], task, {**place, **arguments}, environment=ENVIRONMENT[task])

    def score(seed: int, lr: float, epochs: int) -> float:
        found: float = run("hf", {"seed": seed, "lr": lr, "epochs": epochs, "search": True})["val"]["f1"]
        return found

    if "hf" in options.sides:
        search(raw.setdefault("search", []), score, rates=options.rates, seeds=1, written=written)
    for seed in range(options.seeds):
        for side in options.sides:
            done = raw.setdefault(side, [])
            if len(done) > seed:
                continue
            if side == "hf":
                lr, epochs = chosen(raw["search"])
                one = run("hf", {"seed": seed, "lr": lr, "epochs": epochs, "search": False})
            else:
                settings = {**given, **({"model.init_from": "scratch"} if side == "scratch" else {})}
                one = run("ours", {"seed": seed, "settings": settings})
            done.append(one)
            said = f"F1 {one['test']['f1']:.4f} in {one['wall_seconds']:.0f} s, {memory(one):,} MB"
            print(f"{side}, seed {seed}: {said}", flush=True)
            written()


if __name__ == "__main__":
    begin(main, {"ours": ours, "hf": hf})
