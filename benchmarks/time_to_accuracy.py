"""How long does training from scratch take to a fixed accuracy, against Hugging Face's Trainer?

    python benchmarks/time_to_accuracy.py --data FOLDER --sets trec:0.84 sst2:0.78:10000

SET:TARGET, or SET:TARGET:LINES for as many training lines, drawn once. Ours runs at its defaults, nothing
tuned per set; its seconds include its pretraining on the texts. The peer is BERT of our width, depth and
vocabulary, on the same token ids, once at the Trainer's defaults and once at its best on a CPU (as in
peers.py), with the learning rate and batch size that reach the target soonest on seed 0, or come closest.
Both evaluate as they train; seconds are from the first step to the evaluation that reaches the target,
evaluations included, preparation of texts not. A side that does not get there within the budget counts with
the budget, which makes its ratio a bound, and the record says so. Our clock starts a moment earlier, with the
model. Each measurement is a fresh process, sides in turn.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from custom_bert.bench.measure import answer_as_child, in_child, markdown, ratio_row, shown, write_record
from custom_bert.bench.sets import sample
from custom_bert.process import LIBRARY_DEFAULTS

QUESTION = "Time to a fixed accuracy from scratch, against Hugging Face's Trainer"
RATES, BATCHES = (2e-4, 5e-4, 1e-3), (16, 32)
"""The grid that the peer is tuned over."""
EVALUATIONS = 2
"""Of the peer, in an epoch."""
ENVIRONMENT = {"ours": {}, "hf": LIBRARY_DEFAULTS}


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains with defaults to the end, and looks up when the target was reached."""
    from custom_bert import train_model
    from custom_bert.data.dataset import in_directory

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        settings = {**in_directory(arguments["folder"]), "seed": arguments["seed"], "out": str(out)}
        train_model({**settings, "data.cache_dir": arguments["cache"]})
        record = json.loads((out / "run.json").read_text())
        metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    evaluations = [m for m in metrics if m["kind"] == "eval"]
    within = (m for m in evaluations if m["run_seconds"] <= arguments["budget"])
    there = [m["run_seconds"] for m in within if m["accuracy"] >= arguments["target"]]
    return {
        "seconds": there[0] if there else arguments["budget"],
        "reached": bool(there),
        "accuracy": max(m["accuracy"] for m in evaluations),
        "precision": record["config"]["runtime.precision"],
    }


def hf(arguments: dict[str, Any]) -> dict[str, Any]:
    """transformers' Trainer on the token ids of our tokenizer, until the target or the budget is reached."""
    import torch
    import transformers

    from custom_bert import machine
    from custom_bert.config_sources import from_mapping
    from custom_bert.data.dataset import in_directory
    from custom_bert.training.prepare import prepare

    settings = {**in_directory(arguments["folder"]), "data.cache_dir": arguments["cache"]}
    prepared = prepare(from_mapping(settings), lambda line: None)
    torch.set_num_threads(machine.cores())
    tuned, batch, seed = arguments["tuned"], arguments["batch"], arguments["seed"]
    half = tuned and machine.has_cpu_bf16()

    def examples(split: Any) -> list[dict[str, Any]]:
        pairs = zip(split.rows_N.tolist(), split.labels_N.tolist(), strict=True)
        ids = [(split.store[row].tolist(), label) for row, label in pairs]
        return [{"input_ids": i, "attention_mask": [1] * len(i), "labels": label} for i, label in ids]

    def padded(features: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        longest = max(len(f["input_ids"]) for f in features)
        longest = -(-longest // 8) * 8 if tuned else longest
        ids = torch.zeros(len(features), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, feature in enumerate(features):
            n = len(feature["input_ids"])
            ids[row, :n], mask[row, :n] = torch.tensor(feature["input_ids"]), 1
        labels = torch.tensor([f["labels"] for f in features])
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    begun, reached, accuracies = 0.0, 0.0, []

    class Watch(transformers.TrainerCallback):
        """Starts the clock at the first step; ends at the target or when the budget is used up."""

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Called before a step."""
            nonlocal begun
            begun = begun or time.perf_counter()

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **kwargs: Any) -> None:
            """Called with the metrics."""
            nonlocal reached
            accuracies.append(metrics["eval_accuracy"])
            seconds = time.perf_counter() - begun
            if accuracies[-1] >= arguments["target"]:
                reached = seconds
            control.should_training_stop = bool(reached) or seconds > arguments["budget"]

    config = transformers.BertConfig(
        vocab_size=prepared.tokenizer.vocab_size,
        hidden_size=prepared.encoder.hidden_size,
        num_hidden_layers=prepared.encoder.num_hidden_layers,
        num_attention_heads=prepared.encoder.num_attention_heads,
        intermediate_size=prepared.encoder.intermediate_size,
        max_position_embeddings=prepared.max_length,
        attention_probs_dropout_prob=0.0 if tuned else 0.1,
        num_labels=len(prepared.dataset.labels),
        attn_implementation="eager" if half else "sdpa",
    )
    transformers.set_seed(seed)
    train = examples(prepared.train)
    with tempfile.TemporaryDirectory() as folder:
        common: dict[str, Any] = dict(output_dir=folder, report_to="none", save_strategy="no", use_cpu=True)
        common |= dict(
            logging_strategy="no", disable_tqdm=True, seed=seed, num_train_epochs=arguments["epochs"]
        )
        common |= dict(eval_strategy="steps", eval_steps=max(1, len(train) // batch // EVALUATIONS))
        common |= dict(per_device_train_batch_size=batch, per_device_eval_batch_size=64)
        if tuned:
            common |= dict(bf16=half, optim="adamw_torch_fused", train_sampling_strategy="group_by_length")
            common |= dict(learning_rate=arguments["lr"], warmup_steps=0.1, weight_decay=0.01)
        trainer = transformers.Trainer(
            model=transformers.BertForSequenceClassification(config),
            args=transformers.TrainingArguments(**common),
            train_dataset=train,  # type: ignore[arg-type]
            eval_dataset=examples(prepared.val),  # type: ignore[arg-type]
            data_collator=padded,
            compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean())},
            callbacks=[Watch()],
        )
        trainer.train()
    return {
        "seconds": reached or arguments["budget"],
        "reached": bool(reached),
        "accuracy": max(accuracies),
        "precision": "bf16" if half else "fp32",
    }


Raw = dict[str, dict[str, list[dict[str, Any]]]]
SIDES = ("ours", "HF tuned", "HF defaults")


def tuned(arguments: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The peer's settings that reach the target soonest or come closest, and what the whole grid gave."""
    grid = []
    for lr, batch in itertools.product(RATES, BATCHES):
        settings = {"tuned": True, "lr": lr, "batch": batch}
        found = in_child([__file__], "hf", {**arguments, **settings}, environment=ENVIRONMENT["hf"])
        grid.append({**settings, **found})
        print(f"  lr {lr:g}, batch {batch}: {found['accuracy']:.4f} in {found['seconds']:.0f} s", flush=True)
    best = min(grid, key=lambda one: (not one["reached"], one["seconds"], -one["accuracy"]))
    return {key: best[key] for key in ("tuned", "lr", "batch")}, grid


def ratios(sides: dict[str, list[dict[str, Any]]], peer: str) -> list[float]:
    """Their seconds over ours, seed by seed."""
    return [b["seconds"] / a["seconds"] for a, b in zip(sides["ours"], sides[peer], strict=False)]


def table_of(raw: Raw, targets: dict[str, float]) -> list[str]:
    """A row a set and side."""
    rows = []
    for name, sides in raw.items():
        for side, found in sides.items():
            if found:
                there = sum(one["reached"] for one in found)
                rows.append(
                    [
                        name,
                        f"{targets[name]:.0%}",
                        side,
                        f"{there} of {len(found)}",
                        shown([one["seconds"] for one in found], 0),
                        shown([100 * one["accuracy"] for one in found], 1),
                        "" if side == "ours" else shown(ratios(sides, side)),
                    ]
                )
    head = ["set", "target", "side", "reached it", "seconds (this run)", "best accuracy, %"]
    return markdown([*head, "time, theirs / ours"], rows)


def results_of(raw: Raw) -> list[dict[str, Any]]:
    """C5 by set and peer, as a record states it."""
    found = []
    for name, sides in raw.items():
        for side in SIDES[1:]:
            if values := ratios(sides, side):
                bounds = {
                    "lower_bound": not all(one["reached"] for one in sides[side]),
                    "upper_bound": not all(one["reached"] for one in sides["ours"]),
                }
                found.append({**ratio_row(f"C5: {name}, against {side}", values), **bounds})
    return found


def main() -> None:
    """Tunes the peer, then interleaves the sides; the record is complete after each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", required=True, help="NAME:TARGET, or NAME:TARGET:LINES")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=300.0, help="seconds of a measurement")
    parser.add_argument("--epochs", type=int, default=20, help="passes of the peer's schedule")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/time_to_accuracy.json"))
    options = parser.parse_args()
    raw: Raw = {}
    targets, grids = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        for wanted in options.sets:
            name, target, *count = wanted.split(":")
            train = int(count[0]) if count else None
            folder = sample(options.data / name, train, None, Path(scratch) / name)
            raw[name], targets[name] = {side: [] for side in SIDES}, float(target)
            common = {"folder": str(folder.resolve()), "cache": f"{scratch}/cache", "target": float(target)}
            common |= {"budget": options.budget, "epochs": options.epochs}
            settings, grids[name] = tuned({**common, "seed": 0})
            changes = {
                "ours": {},
                "HF tuned": settings,
                "HF defaults": {"tuned": False, "batch": 8, "epochs": options.epochs},
            }
            for seed in range(options.seeds):
                for side in SIDES:
                    who = "ours" if side == "ours" else "hf"
                    arguments = {**common, "seed": seed, **changes[side]}
                    found = in_child([__file__], who, arguments, environment=ENVIRONMENT[who])
                    raw[name][side].append(found)
                    said = f"{found['accuracy']:.4f}, {'reached' if found['reached'] else 'not reached'}"
                    print(f"{name}, seed {seed}, {side}: {said}, {found['seconds']:.0f} s", flush=True)
                write_record(
                    options.out,
                    question=QUESTION,
                    command=f"python benchmarks/time_to_accuracy.py --data FOLDER --sets "
                    f"{' '.join(options.sets)} --seeds {options.seeds} --budget {options.budget:g} "
                    f"--epochs {options.epochs}",
                    table=table_of(raw, targets),
                    results=results_of(raw),
                    raw=raw,
                    grid=grids,
                )


if __name__ == "__main__":
    if not answer_as_child(sys.argv[1:], {"ours": ours, "hf": hf}):
        main()
