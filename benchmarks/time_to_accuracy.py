"""How long does training from scratch take to a fixed accuracy, against Hugging Face's Trainer?

    python benchmarks/time_to_accuracy.py --data FOLDER --sets trec:0.84 sst2:0.78:10000

SET:TARGET takes all training lines, and SET:TARGET:LINES as many as given, drawn once. Ours runs at its
defaults, whose seconds include pretraining where texts are few, and tuned: without pretraining, with the
peer's number of epochs, and with the learning rate and token budget that reach the target soonest on seed 0,
or come closest to it. The peer is BERT of our width, depth and vocabulary on the same token ids, at the
Trainer's defaults and at its best on a CPU (as in peers.py), tuned over as many settings. All sides evaluate
while they train. Seconds go from the first step to the evaluation that reaches the target, with evaluations
and without the preparation of texts. Our clock starts earlier, before the model and its token vectors are
made. A side that does not reach the target within the budget counts with the budget. Its ratio is then a
bound, and the record says so. Each measurement is a fresh process, and the sides run in turn.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import BEST, ENVIRONMENT, QUIET, accuracy, begin, options_of, padded, prepared, record_of

from custom_bert.bench.measure import (
    in_child,
    markdown,
    ratio_row,
    shown,
    write_record,
)
from custom_bert.bench.sets import sample

QUESTION = "Time to a fixed accuracy from scratch, against Hugging Face's Trainer"
RATES, BATCHES, BUDGETS = (2e-4, 5e-4, 1e-3), (16, 32), (512, 1024)
"""The grids of tuning: learning rates of both sides, texts a batch of the peer, tokens a batch of ours."""

EVALUATIONS = 2
"""The peer's evaluations in an epoch."""


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains ours until it reaches the target or the budget is used up."""
    from custom_bert import train_model
    from custom_bert.data.reading import in_directory

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        settings = {**in_directory(arguments["folder"]), "seed": arguments["seed"], "out": str(out)}
        settings |= {"model.init_from": "scratch", "floor": False, "runtime.device": "cpu"}
        settings |= arguments.get("settings", {})
        over = threading.Event()
        watch = threading.Thread(target=_end_in_time, args=(out, arguments, over), daemon=True)
        watch.start()
        with contextlib.suppress(KeyboardInterrupt):  # enough was seen
            train_model({**settings, "data.cache_dir": arguments["cache"]})
        with contextlib.suppress(KeyboardInterrupt):  # it may come when all is done
            over.set()
            watch.join()
        record = record_of(out)
        evaluations = _evaluations(out)
    within = [m for m in evaluations if m["run_seconds"] <= arguments["budget"]]
    there = [m["run_seconds"] for m in within if m["accuracy"] >= arguments["target"]]
    return {
        "seconds": there[0] if there else arguments["budget"],
        "reached": bool(there),
        "accuracy": max((m["accuracy"] for m in within), default=0.0),
        "precision": record["config"]["runtime.precision"],
    }


def _evaluations(out: Path) -> list[dict[str, Any]]:
    path = out / "metrics.jsonl"
    # the last line may be half written
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [record for line in lines if (record := json.loads(line))["kind"] == "eval"]


def _end_in_time(out: Path, arguments: dict[str, Any], over: threading.Event) -> None:
    """Ends training as Ctrl-C does, when the target or the budget is reached."""
    while not over.wait(0.25):
        evaluations = _evaluations(out)
        if any(m["accuracy"] >= arguments["target"] for m in evaluations) or (
            evaluations and evaluations[-1]["run_seconds"] > arguments["budget"]
        ):
            os.kill(os.getpid(), signal.SIGINT)
            return


def hf(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains with the Trainer, on our token ids, until it reaches the target or the budget is used up."""
    import torch
    import transformers

    from custom_bert import machine
    from custom_bert.data.reading import in_directory
    from custom_bert.threads import thread_count

    settings = {**in_directory(arguments["folder"]), "data.cache_dir": arguments["cache"]}
    settings |= {"model.init_from": "scratch", "runtime.device": "cpu"}
    plan, material = prepared(settings)
    torch.set_num_threads(thread_count())
    tuned, batch, seed = arguments["tuned"], arguments["batch"], arguments["seed"]
    half = tuned and machine.has_cpu_bf16()

    def examples(split: Any) -> list[dict[str, Any]]:
        labels_N = split.targets.values(np.arange(len(split.rows_N)))
        pairs = zip(split.rows_N.tolist(), labels_N.tolist(), strict=True)
        ids = [(split.store[row].tolist(), label) for row, label in pairs]
        return [{"input_ids": i, "attention_mask": [1] * len(i), "labels": label} for i, label in ids]

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
            seconds = time.perf_counter() - begun
            if seconds <= arguments["budget"]:
                accuracies.append(metrics["eval_accuracy"])
                if accuracies[-1] >= arguments["target"]:
                    reached = seconds
            control.should_training_stop = bool(reached) or seconds > arguments["budget"]

    config = transformers.BertConfig(
        vocab_size=material.tokenizer.vocab_size,
        hidden_size=plan.encoder.hidden_size,
        num_hidden_layers=plan.encoder.num_hidden_layers,
        num_attention_heads=plan.encoder.num_attention_heads,
        intermediate_size=plan.encoder.intermediate_size,
        max_position_embeddings=plan.config.data.max_length,
        attention_probs_dropout_prob=0.0 if tuned else 0.1,
        num_labels=len(material.source.labels),
        attn_implementation="eager" if half else "sdpa",
    )
    transformers.set_seed(seed)
    train = examples(material.train)
    with tempfile.TemporaryDirectory() as folder:
        common: dict[str, Any] = {**QUIET, "output_dir": folder, "seed": seed}
        common["num_train_epochs"] = arguments["epochs"]
        common |= dict(eval_strategy="steps", eval_steps=max(1, len(train) // batch // EVALUATIONS))
        common |= dict(per_device_train_batch_size=batch, per_device_eval_batch_size=64)
        if tuned:
            common |= {**BEST, "bf16": half}
            common |= dict(learning_rate=arguments["lr"], warmup_steps=0.1, weight_decay=0.01)
        trainer = transformers.Trainer(
            model=transformers.BertForSequenceClassification(config),
            args=transformers.TrainingArguments(**common),
            train_dataset=train,
            eval_dataset=examples(material.val),
            data_collator=partial(padded, multiple=8 if tuned else 1),
            compute_metrics=accuracy,
            callbacks=[Watch()],
        )
        trainer.train()
    return {
        "seconds": reached or arguments["budget"],
        "reached": bool(reached),
        "accuracy": max(accuracies, default=0.0),
        "precision": "bf16" if half else "fp32",
    }


Raw = dict[str, dict[str, list[dict[str, Any]]]]
DEFAULTS, TUNED, PEER_TUNED, PEER_DEFAULTS = "ours, defaults", "ours, tuned", "HF tuned", "HF defaults"
SIDES = (DEFAULTS, TUNED, PEER_TUNED, PEER_DEFAULTS)


def settings_of(lr: float, size: int, epochs: int, *, peer: bool) -> dict[str, Any]:
    """The arguments of a child for a point of the grid."""
    if peer:
        return {"tuned": True, "lr": lr, "batch": size}
    settings = {"optim.pretrain_epochs": 0, "optim.epochs": epochs}
    return {"settings": {**settings, "optim.lr": lr, "batch.token_budget": size}}


def tuned(arguments: dict[str, Any], *, peer: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The settings that reach the target soonest or come closest, and the results of the whole grid."""
    grid, who = [], "hf" if peer else "ours"
    for lr, size in itertools.product(RATES, BATCHES if peer else BUDGETS):
        settings = settings_of(lr, size, arguments["epochs"], peer=peer)
        found = in_child([__file__], who, {**arguments, **settings}, environment=ENVIRONMENT[who])
        grid.append({**settings, **found})
        said = f"{found['accuracy']:.4f} in {found['seconds']:.0f} s"
        print(f"  {who}: lr {lr:g}, batch {size}: {said}", flush=True)
    best = min(grid, key=lambda one: (not one["reached"], one["seconds"], -one["accuracy"]))
    names = ("tuned", "lr", "batch") if peer else ("settings",)
    return {name: best[name] for name in names}, grid


COMPARISONS = (
    (TUNED, PEER_TUNED),
    (TUNED, PEER_DEFAULTS),
    (DEFAULTS, PEER_TUNED),
    (DEFAULTS, PEER_DEFAULTS),
)


def ratios(sides: dict[str, list[dict[str, Any]]], own: str, peer: str) -> list[float]:
    """The ratios of their seconds to ours, one for each seed."""
    return [b["seconds"] / a["seconds"] for a, b in zip(sides[own], sides[peer], strict=False)]


def table_of(raw: Raw, targets: dict[str, float]) -> list[str]:
    """The tables: a row for each set and side, then the ratios."""
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
                    ]
                )
    head = ["set", "target", "side", "reached it", "seconds (this run)", "best accuracy, %"]
    compared = [
        [f"{one['id']}{_bound(one)}", shown(values)]
        for one, values in zip(results_of(raw), _all_ratios(raw), strict=True)
    ]
    return [*markdown(head, rows), "", *markdown(["comparison", "time, theirs / ours"], compared)]


def _bound(one: dict[str, Any]) -> str:
    """Words for a ratio that is only a bound, because a side did not always reach the target."""
    if one["lower_bound"] and one["upper_bound"]:
        return " (neither always reached it: no ratio)"
    return " (at least)" if one["lower_bound"] else " (at most)" if one["upper_bound"] else ""


def _all_ratios(raw: Raw) -> list[list[float]]:
    """The ratios of every set and comparison that has any."""
    by_comparison = [ratios(sides, own, peer) for sides in raw.values() for own, peer in COMPARISONS]
    return [values for values in by_comparison if values]


def results_of(raw: Raw) -> list[dict[str, Any]]:
    """Target C5 by set and comparison, as entries of the record."""
    results = []
    for name, sides in raw.items():
        for own, peer in COMPARISONS:
            if values := ratios(sides, own, peer):
                bounds = {
                    "lower_bound": not all(one["reached"] for one in sides[peer]),
                    "upper_bound": not all(one["reached"] for one in sides[own]),
                }
                results.append({**ratio_row(f"C5: {name}, {own}, against {peer}", values), **bounds})
    return results


def main() -> None:
    """Tunes both sides, then runs all sides in turn, and writes the record after each round."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", required=True, help="NAME:TARGET, or NAME:TARGET:LINES")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=300.0, help="seconds of a measurement")
    parser.add_argument(
        "--epochs", type=int, default=20, help="passes of the peer's schedule, and of ours tuned"
    )
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
            own, own_grid = tuned({**common, "seed": 0}, peer=False)
            theirs, their_grid = tuned({**common, "seed": 0}, peer=True)
            grids[name] = {"ours": own_grid, "HF": their_grid}
            changes: dict[str, dict[str, Any]] = {
                DEFAULTS: {},
                TUNED: own,
                PEER_TUNED: theirs,
                PEER_DEFAULTS: {"tuned": False, "batch": 8},
            }
            for seed in range(options.seeds):
                for side in SIDES:
                    who = "ours" if side in (DEFAULTS, TUNED) else "hf"
                    arguments = {**common, "seed": seed, **changes[side]}
                    found = in_child([__file__], who, arguments, environment=ENVIRONMENT[who])
                    raw[name][side].append(found)
                    said = f"{found['accuracy']:.4f}, {'reached' if found['reached'] else 'not reached'}"
                    print(f"{name}, seed {seed}, {side}: {said}, {found['seconds']:.0f} s", flush=True)
                write_record(
                    options.out,
                    question=QUESTION,
                    table=table_of(raw, targets),
                    results=results_of(raw),
                    raw=raw,
                    targets=targets,
                    grid=grids,
                )


if __name__ == "__main__":
    begin(main, {"ours": ours, "hf": hf})
