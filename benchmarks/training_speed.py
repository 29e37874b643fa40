"""How many real tokens per second does a whole training step take, against Hugging Face's Trainer?

    python benchmarks/training_speed.py --data FOLDER

FOLDER holds the four files of one set. Every side trains a 256-wide, 4-layer classifier with the same
vocabulary on the same texts, from the data on disk to the optimizer's update. Each measurement is a fresh
process, sides in turn, so that a change of the machine's speed meets all of them. Tokens are real ones
(padding not counted); the first steps are not timed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from custom_bert.bench.measure import answer_as_child, in_child, markdown, shown, write_record

WIDTH, LAYERS, HEADS, MLP, MAX_LENGTH, VOCABULARY = 256, 4, 4, 1024, 256, 16_000
WARM_STEPS = 12
QUESTION = "Real tokens per second of whole training steps, 256 wide, 4 layers"

SIDES: dict[str, dict[str, Any]] = {
    "ours, defaults": {"who": "ours", "preset": "custom"},
    "HF Trainer, defaults": {"who": "hf", "batch": 8, "dropout": 0.1},
    "HF Trainer at its best on a CPU": {"who": "hf", "batch": 32, "dropout": None, "best": True},
    "ours, dropout 0": {"who": "ours", "preset": "custom", "dropout": 0.0},
    "HF Trainer at its best, dropout 0": {"who": "hf", "batch": 32, "dropout": 0.0, "best": True},
    "ours, legacy preset": {"who": "ours", "preset": "legacy"},
    "HF BERT fp32 eager, padded to 256": {"who": "hf", "batch": 32, "dropout": 0.1, "pad": True},
}
BASELINE = "HF Trainer, defaults"


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """The product's own pieces: prepare, the classification phase, its steps."""
    from custom_bert.config_sources import from_mapping
    from custom_bert.data.dataset import in_directory
    from custom_bert.training.log import Reporter
    from custom_bert.training.loop import build
    from custom_bert.training.phases import steps_of
    from custom_bert.training.prepare import prepare
    from custom_bert.training.step import train_step

    settings: dict[str, Any] = {
        **in_directory(arguments["folder"]),
        "preset": arguments["preset"],
        "model.hidden_size": WIDTH,
        "model.num_hidden_layers": LAYERS,
        "model.vocab_size": VOCABULARY,
        "data.max_length": MAX_LENGTH,
        "data.cache_dir": arguments["cache"],
        "optim.pretrain_epochs": 0,
    }
    if "dropout" in arguments:
        settings |= {"model.hidden_dropout": arguments["dropout"], "optim.token_dropout": 0.0}
    prepared = prepare(from_mapping(settings), lambda line: None)
    state = build(prepared, Reporter())
    phase = state.phases[-1]
    tokens = rows = 0
    begun = 0.0
    for count, step in enumerate(steps_of(phase, prepared), start=1):
        for group in phase.optimizer.param_groups:
            group["lr"] = 1e-4
        train_step(
            phase.model,
            phase.optimizer,
            step.microbatches,
            phase.objective,
            precision=state.precision,
            clip_norm=1.0,
        )
        if count > WARM_STEPS:
            tokens += sum(b.num_tokens for b in step.microbatches)
            rows += sum(b.num_rows for b in step.microbatches)
        if count == WARM_STEPS:
            begun = time.perf_counter()
        if tokens >= arguments["tokens"]:
            break
    seconds = time.perf_counter() - begun
    return {
        "tokens_per_second": tokens / seconds,
        "padding": 1 - tokens / rows,
        "steps": count - WARM_STEPS,
        "dropout": prepared.encoder.hidden_dropout,
        "parameters": prepared.encoder.num_parameters(len(prepared.dataset.labels)),
        "token_budget": prepared.config.batch.token_budget,
        "precision": prepared.config.runtime.precision,
    }


def hf(arguments: dict[str, Any]) -> dict[str, Any]:
    """transformers' Trainer on the same token ids."""
    import torch
    import transformers

    from custom_bert import machine
    from custom_bert.config_sources import from_mapping
    from custom_bert.data.dataset import in_directory
    from custom_bert.training.prepare import prepare

    settings = {**in_directory(arguments["folder"]), "model.vocab_size": VOCABULARY}
    settings |= {"data.max_length": MAX_LENGTH, "data.cache_dir": arguments["cache"]}
    prepared = prepare(from_mapping(settings), lambda line: None)
    torch.set_num_threads(machine.cores())
    labels = prepared.dataset.train_label_ids
    generator = np.random.Generator(np.random.PCG64(0))
    best, batch = arguments.get("best", False), arguments["batch"]
    chosen = generator.permutation(len(labels))[: 60 * arguments["tokens"] // 50]
    store, rows_N = prepared.train.store, prepared.train.rows_N
    examples = [
        {"input_ids": store[int(rows_N[i])].tolist(), "labels": int(labels[i])} for i in chosen.tolist()
    ]
    for example in examples:
        example["attention_mask"] = [1] * len(example["input_ids"])
    seen: list[tuple[int, int]] = []

    class Tokens:
        """Pads as DataCollatorWithPadding does, and counts."""

        def __call__(self, features: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
            longest = max(len(f["input_ids"]) for f in features)
            if best:
                longest = -(-longest // 8) * 8
            if arguments.get("pad"):
                longest = MAX_LENGTH
            ids = torch.zeros(len(features), longest, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, feature in enumerate(features):
                n = len(feature["input_ids"])
                ids[row, :n], mask[row, :n] = torch.tensor(feature["input_ids"]), 1
            seen.append((int(mask.sum()), ids.numel()))
            return {
                "input_ids": ids,
                "attention_mask": mask,
                "labels": torch.tensor([f["labels"] for f in features]),
            }

    stamps: list[float] = []

    class Clock(transformers.TrainerCallback):
        """Notes the time of every step and ends when enough tokens went through."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Called after the update."""
            stamps.append(time.perf_counter())
            if sum(t for t, _ in seen[WARM_STEPS : len(stamps)]) >= arguments["tokens"]:
                control.should_training_stop = True

    dropout = arguments["dropout"]
    if dropout is None:
        dropout = prepared.encoder.hidden_dropout
    config = transformers.BertConfig(
        vocab_size=prepared.tokenizer.vocab_size,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=MLP,
        max_position_embeddings=MAX_LENGTH,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=0.0 if best else dropout,
        num_labels=len(prepared.dataset.labels),
        attn_implementation="eager" if best or arguments.get("pad") else None,
    )
    with tempfile.TemporaryDirectory() as folder:
        quiet = dict(output_dir=folder, report_to="none", save_strategy="no", logging_strategy="no")
        quiet |= dict(disable_tqdm=True, use_cpu=True, per_device_train_batch_size=batch)
        if best:
            quiet |= dict(bf16=True, train_sampling_strategy="group_by_length", optim="adamw_torch_fused")
        trainer = transformers.Trainer(
            model=transformers.BertForSequenceClassification(config),
            args=transformers.TrainingArguments(**quiet),  # type: ignore[arg-type]
            train_dataset=examples,  # type: ignore[arg-type]
            data_collator=Tokens(),
            callbacks=[Clock()],
        )
        trainer.train()
    timed = seen[WARM_STEPS : len(stamps)]
    tokens, rows = (sum(x) for x in zip(*timed, strict=True))
    return {
        "tokens_per_second": tokens / (stamps[-1] - stamps[WARM_STEPS - 1]),
        "padding": 1 - tokens / rows,
        "steps": len(timed),
        "dropout": dropout,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "precision": "bf16" if best else "fp32",
    }


def table_of(raw: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Ratios to the baseline, repeat by repeat."""
    head = [
        "side",
        "speed / HF default",
        "padding",
        "dropout",
        "precision",
        "peak memory",
        "tokens/s (this run)",
    ]
    rows = []
    for side, runs in raw.items():
        ratios = [
            run["tokens_per_second"] / base["tokens_per_second"]
            for run, base in zip(runs, raw[BASELINE], strict=False)
        ]
        rows.append(
            [
                side,
                shown(ratios),
                f"{runs[0]['padding']:.1%}",
                runs[0]["dropout"],
                runs[0]["precision"],
                f"{max(r['peak_mb'] for r in runs):,} MB",
                shown([r["tokens_per_second"] for r in runs], 0),
            ]
        )
    return markdown(head, rows)


def main() -> None:
    """Interleaves the sides; the record is complete after each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/training_speed.json"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=60_000, help="timed tokens of a measurement")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    options = parser.parse_args()
    raw: dict[str, list[dict[str, Any]]] = {side: [] for side in options.sides}
    with tempfile.TemporaryDirectory() as cache:
        common = {"folder": str(options.data.resolve()), "cache": cache, "tokens": options.tokens}
        for repeat in range(options.repeats):
            for side in options.sides:
                arguments = {**common, **SIDES[side]}
                found = in_child([__file__], arguments.pop("who"), arguments)
                raw[side].append(found)
                print(f"{repeat + 1} {side}: {found['tokens_per_second']:,.0f} tokens/s", flush=True)
            if BASELINE in raw:
                write_record(
                    options.out,
                    question=QUESTION,
                    command=f"python benchmarks/training_speed.py --data FOLDER --tokens {options.tokens}",
                    table=table_of(raw),
                    data=options.data.name,
                    raw=raw,
                )


if __name__ == "__main__":
    if not answer_as_child(sys.argv[1:], {"ours": ours, "hf": hf}):
        main()
