"""How accurate, fast and large is fine-tuning a pretrained encoder, against Hugging Face's Trainer?

    python benchmarks/finetune.py --checkpoint DIR --data FOLDER --sets trec banking77 sst2:10000

FOLDER holds one folder for each set, with the four data files. SET:N takes N training lines, drawn once, and
SET:N:V also V validation lines. Ours runs at its defaults; nothing is tuned per set. The peer gets the same
checkpoint, training lines, epochs, learning rate and maximum length, and its best settings on a CPU: fused
AdamW, lengths grouped and padded to a multiple of 8, no attention dropout, and eager attention in bf16 where
the CPU computes it, otherwise SDPA in fp32. It evaluates after every epoch and keeps its best weights.
Seconds are those of training with its evaluations; texts are tokenised before. Each measurement is a fresh
process, and the sides run in turn.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from common import BEST, ENVIRONMENT, QUIET, accuracy, begin, metrics_of, options_of, record_of

from custom_bert.bench.measure import (
    in_child,
    markdown,
    ratio_row,
    shown,
    write_record,
)
from custom_bert.bench.sets import lines, sample

QUESTION = "Fine-tuning a pretrained encoder, against Hugging Face's Trainer at its best"
SIDES = ("ours", "hf")
BATCH = 32


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains with the defaults of the product."""
    from custom_bert import train_model
    from custom_bert.data.reading import in_directory

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        settings = {**in_directory(arguments["folder"]), "model.init_from": arguments["checkpoint"]}
        settings |= {"seed": arguments["seed"], "data.cache_dir": f"{folder}/cache", "out": str(out)}
        settings |= {"floor": False, "runtime.device": "cpu"}  # as the peer
        result = train_model(settings)
        record = record_of(out)
        metrics = metrics_of(out)
    config = record["config"]
    return {
        "accuracy": result.accuracy,
        "last_accuracy": [m for m in metrics if m["kind"] == "eval"][-1]["accuracy"],
        "seconds": result.seconds,
        "epochs": config["optim.epochs"],
        "lr": config["optim.lr"],
        "max_length": config["data.max_length"],
        "precision": config["runtime.precision"],
    }


def hf(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains with transformers' Trainer from the same checkpoint. If the arguments name a folder `test`, the
    best weights are measured on its rows too."""
    import torch
    import transformers

    from custom_bert import machine
    from custom_bert.threads import thread_count

    torch.set_num_threads(thread_count())
    folder, half = Path(arguments["folder"]), machine.has_cpu_bf16()
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(arguments["checkpoint"])
    labels = sorted(set(lines(folder, "train_labels")))
    ids = {label: i for i, label in enumerate(labels)}

    def examples(split: str, folder: Path = folder) -> list[dict[str, Any]]:
        texts = lines(folder, f"{split}_dataset")
        columns = (
            zip(*(text.split("\t") for text in texts), strict=True) if arguments.get("pairs") else [texts]
        )
        encoded = tokenizer(*map(list, columns), truncation=True, max_length=arguments["max_length"])
        known = [ids[label] for label in lines(folder, f"{split}_labels")]
        return [
            {**{name: rows[i] for name, rows in encoded.items()}, "labels": label}
            for i, label in enumerate(known)
        ]

    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        arguments["checkpoint"],
        num_labels=len(labels),
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager" if half else "sdpa",
    )
    with tempfile.TemporaryDirectory() as out:
        trainer = transformers.Trainer(
            model=model,
            args=transformers.TrainingArguments(
                **{**QUIET, **BEST, "save_strategy": "best"},
                output_dir=out,
                seed=arguments["seed"],
                bf16=half,
                per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=2 * BATCH,
                num_train_epochs=arguments["epochs"],
                learning_rate=arguments["lr"],
                warmup_steps=0.1,
                weight_decay=0.01,
                eval_strategy="epoch",
                metric_for_best_model="accuracy",
                save_total_limit=1,
                load_best_model_at_end="test" in arguments,
            ),
            train_dataset=examples("train"),
            eval_dataset=examples("val"),
            data_collator=transformers.DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8),
            compute_metrics=accuracy,
        )
        begun = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - begun
        tested = trainer.predict(examples("test", Path(arguments["test"]))) if "test" in arguments else None

    def f1s(found: Any) -> dict[str, float]:
        """The F1 of each label."""
        from sklearn.metrics import f1_score

        scores = f1_score(found.label_ids, found.predictions.argmax(-1), average=None)
        return dict(zip(labels, map(float, scores), strict=True))

    accuracies = [log["eval_accuracy"] for log in trainer.state.log_history if "eval_accuracy" in log]
    return {
        "accuracy": max(accuracies),
        "last_accuracy": accuracies[-1],
        **({} if tested is None else {"test_accuracy": accuracy(tested)["accuracy"], "test_f1": f1s(tested)}),
        "seconds": seconds,
        "epochs": arguments["epochs"],
        "lr": arguments["lr"],
        "precision": "bf16" if half else "fp32",
    }


def table_of(raw: dict[str, dict[str, list[dict[str, Any]]]]) -> list[str]:
    """The table, with a row for each set: the accuracies of both sides, and ratios by seed."""
    head = ["set", "seeds", "epochs", "ours, %", "theirs, %", "ours at the last step, %"]
    head += ["theirs at the last step, %", "speed, ours / theirs", "peak memory, ours / theirs"]
    rows = []
    for name, sides in raw.items():
        pairs = list(zip(sides["ours"], sides["hf"], strict=False))
        if not pairs:
            continue
        percent = {
            (side, key): shown([100 * pair[i][key] for pair in pairs], 1)
            for i, side in enumerate(SIDES)
            for key in ("accuracy", "last_accuracy")
        }
        rows.append(
            [
                name,
                len(pairs),
                pairs[0][0]["epochs"],
                percent["ours", "accuracy"],
                percent["hf", "accuracy"],
                percent["ours", "last_accuracy"],
                percent["hf", "last_accuracy"],
                shown([b["seconds"] / a["seconds"] for a, b in pairs]),
                shown([a["peak_mb"] / b["peak_mb"] for a, b in pairs]),
            ]
        )
    return markdown(head, rows)


def results_of(raw: dict[str, dict[str, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """The speed-up on each set, as entries of the record."""
    results = []
    for name, sides in raw.items():
        pairs = list(zip(sides["ours"], sides["hf"], strict=False))
        if pairs:
            ratios = [b["seconds"] / a["seconds"] for a, b in pairs]
            results.append(ratio_row(f"fine-tuning, {name}", ratios))
    return results


def main() -> None:
    """Runs the sides in turn, and writes the record after each pair."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", required=True, help="NAME, NAME:TRAIN or NAME:TRAIN:VAL")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    raw: dict[str, dict[str, list[dict[str, Any]]]] = {s: {side: [] for side in SIDES} for s in options.sets}
    with tempfile.TemporaryDirectory() as cut:
        for seed in range(options.seeds):
            for wanted in options.sets:
                name, *counts = wanted.split(":")
                train, val = (int(count) if count else None for count in [*counts, "", ""][:2])
                folder = sample(options.data / name, train, val, Path(cut) / f"{name}-{seed}")
                arguments = {"folder": str(folder.resolve()), "seed": seed}
                arguments["checkpoint"] = str(options.checkpoint.resolve())
                for side in SIDES:
                    found = in_child([__file__], side, arguments, environment=ENVIRONMENT[side])
                    raw[wanted][side].append(found)
                    said = f"{found['accuracy']:.4f} in {found['seconds']:.0f} s, {found['peak_mb']:,} MB"
                    print(f"{wanted}, seed {seed}, {side}: {said}", flush=True)
                    arguments |= {key: found[key] for key in ("epochs", "lr", "max_length") if key in found}
                write_record(
                    options.out,
                    question=QUESTION,
                    table=table_of(raw),
                    checkpoint=options.checkpoint.name,
                    results=results_of(raw),
                    raw=raw,
                )


if __name__ == "__main__":
    begin(main, {"ours": ours, "hf": hf})
