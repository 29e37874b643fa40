"""How many real tokens per second does a whole training step take, against Hugging Face's Trainer?

    python benchmarks/peers.py --data FOLDER --size 256x4

FOLDER holds the four files of one set. Every side trains a classifier of the same width, depth and vocabulary
on the same texts, from the data on disk to the optimizer's update. Each measurement is a fresh process, and
the sides run in turn, so that a change of the machine's speed affects all of them. Tokens are those of the
texts, without padding. Where token dropout leaves some out, as our defaults do, they are counted, and their
share is shown beside the speed; the other comparisons are without token dropout. The first steps are not
timed. The peer's best settings on a CPU are fused AdamW, lengths grouped and padded to a multiple of 8, and
bf16 with eager attention where the CPU computes bf16 in hardware; elsewhere fp32, with eager attention and
with SDPA.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import BEST, ENVIRONMENT, QUIET, begin, options_of, padded, prepared

from custom_bert.bench.measure import (
    in_child,
    markdown,
    ratio_row,
    shown,
    write_record,
)

MAX_LENGTH, VOCABULARY = 256, 16_000
WARM_STEPS = 8
QUESTION = "Real tokens per second of whole training steps against Hugging Face's Trainer"

SIDES: dict[str, dict[str, Any]] = {
    "ours, defaults": {"who": "ours", "preset": "custom"},
    "HF defaults": {"who": "hf", "batch": 8, "dropout": 0.1},
    "ours, dropout 0.1": {"who": "ours", "preset": "custom", "dropout": 0.1},
    "HF best, dropout 0.1": {"who": "hf", "batch": 32, "dropout": 0.1, "best": "eager"},
    "HF best, SDPA, dropout 0.1": {"who": "hf", "batch": 32, "dropout": 0.1, "best": "sdpa"},
    "ours, dropout 0": {"who": "ours", "preset": "custom", "dropout": 0.0},
    "HF best, dropout 0": {"who": "hf", "batch": 32, "dropout": 0.0, "best": "eager"},
    "HF best, SDPA, dropout 0": {"who": "hf", "batch": 32, "dropout": 0.0, "best": "sdpa"},
    "ours, legacy preset": {"who": "ours", "preset": "legacy"},
    "HF fp32 eager, padded to 256": {"who": "hf", "batch": 32, "dropout": 0.1, "pad": True},
}
BASELINE = "HF defaults"
COMPARISONS = {
    "C1: ours at its defaults against HF at its defaults": ("ours, defaults", "HF defaults"),
    "C1: hidden dropout 0.1 on both sides, HF otherwise at its defaults": (
        "ours, dropout 0.1",
        "HF defaults",
    ),
    "C2: against HF's best, dropout 0.1": ("ours, dropout 0.1", "HF best, dropout 0.1"),
    "C2: against HF's best with SDPA, dropout 0.1": ("ours, dropout 0.1", "HF best, SDPA, dropout 0.1"),
    "C2: against HF's best, dropout 0": ("ours, dropout 0", "HF best, dropout 0"),
    "C2: against HF's best with SDPA, dropout 0": ("ours, dropout 0", "HF best, SDPA, dropout 0"),
    "legacy: our legacy preset against HF padded to 256": (
        "ours, legacy preset",
        "HF fp32 eager, padded to 256",
    ),
}
"""The ratios of the record: our side and the peer's side of each."""


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times the product's own training steps on the prepared data."""
    from custom_bert.bench.steps import time_steps
    from custom_bert.data.reading import in_directory

    settings: dict[str, Any] = {
        **in_directory(arguments["folder"]),
        "model.init_from": "scratch",
        "runtime.device": "cpu",
        "preset": arguments["preset"],
        "model.hidden_size": arguments["width"],
        "model.num_hidden_layers": arguments["layers"],
        "model.vocab_size": VOCABULARY,
        "data.max_length": MAX_LENGTH,
        "data.cache_dir": arguments["cache"],
        "optim.pretrain_epochs": 0,
        "optim.embedding_init": "random",
        "optim.r_drop": 0.0,
    }
    if "dropout" in arguments:
        settings |= {"model.hidden_dropout": arguments["dropout"], "optim.token_dropout": 0.0}
    plan, material = prepared(settings)
    timed = time_steps(plan, material, tokens=arguments["tokens"], warm=WARM_STEPS)
    return {
        "tokens_per_second": timed.texts / timed.seconds,
        "padding": 1 - timed.tokens / timed.rows,
        "left_out": 1 - timed.tokens / timed.texts,
        "steps": timed.steps,
        "dropout": plan.encoder.hidden_dropout,
        "parameters": timed.parameters,
        "token_budget": plan.config.batch.token_budget,
        "precision": plan.config.runtime.precision,
    }


def hf(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times transformers' Trainer on the same token ids."""
    import torch
    import transformers

    from custom_bert import machine
    from custom_bert.data.reading import in_directory
    from custom_bert.threads import thread_count

    settings = {**in_directory(arguments["folder"]), "model.vocab_size": VOCABULARY}
    settings |= {"data.max_length": MAX_LENGTH, "data.cache_dir": arguments["cache"]}
    settings |= {"model.init_from": "scratch", "runtime.device": "cpu"}
    _, material = prepared(settings)
    torch.set_num_threads(thread_count())
    train = material.train
    assert train.targets is not None
    labels_N = train.targets.values(np.arange(len(train.rows_N)))
    generator = np.random.Generator(np.random.PCG64(0))
    best, batch = arguments.get("best"), arguments["batch"]
    half = best == "eager" and machine.has_cpu_bf16()
    chosen = generator.permutation(len(labels_N))[: 60 * arguments["tokens"] // 50]
    store, rows_N = train.store, train.rows_N

    class Examples(torch.utils.data.Dataset[dict[str, Any]]):
        """Reads each text from the store when it is asked for, as ours does, to hold no lists of tokens."""

        def __len__(self) -> int:
            return len(chosen)

        def __getitem__(self, index: int) -> dict[str, Any]:
            i = int(chosen[index])
            ids = store[int(rows_N[i])].tolist()
            return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(labels_N[i])}

    seen: list[tuple[int, int]] = []

    class Tokens:
        """Pads as DataCollatorWithPadding does, and counts tokens and rows."""

        def __call__(self, features: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
            least = MAX_LENGTH if arguments.get("pad") else 0
            made = padded(features, multiple=8 if best else 1, at_least=least)
            seen.append((int(made["attention_mask"].sum()), made["input_ids"].numel()))
            return made

    stamps: list[float] = []

    class Clock(transformers.TrainerCallback):
        """Notes the time of every step and ends when enough tokens went through."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Called after the update."""
            stamps.append(time.perf_counter())
            if sum(t for t, _ in seen[WARM_STEPS : len(stamps)]) >= arguments["tokens"]:
                control.should_training_stop = True

    dropout, width = arguments["dropout"], arguments["width"]
    config = transformers.BertConfig(
        vocab_size=material.tokenizer.vocab_size,
        hidden_size=width,
        num_hidden_layers=arguments["layers"],
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        max_position_embeddings=MAX_LENGTH,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=0.0 if best else dropout,
        num_labels=len(material.source.labels),
        attn_implementation="eager" if arguments.get("pad") else best,
    )
    with tempfile.TemporaryDirectory() as folder:
        training = {**QUIET, "output_dir": folder, "per_device_train_batch_size": batch}
        if best:
            training |= {**BEST, "bf16": half}
        trainer = transformers.Trainer(
            model=transformers.BertForSequenceClassification(config),
            args=transformers.TrainingArguments(**training),
            train_dataset=Examples(),
            data_collator=Tokens(),
            callbacks=[Clock()],
        )
        trainer.train()
    timed = seen[WARM_STEPS : len(stamps)]
    tokens, rows = (sum(x) for x in zip(*timed, strict=True))
    return {
        "tokens_per_second": tokens / (stamps[-1] - stamps[WARM_STEPS - 1]),
        "padding": 1 - tokens / rows,
        "left_out": 0.0,
        "steps": len(timed),
        "dropout": dropout,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "precision": "bf16" if half else "fp32",
    }


def comparisons(raw: dict[str, list[dict[str, Any]]]) -> dict[str, list[float]]:
    """The ratios of our speed to theirs, by comparison, one for each repeat."""
    by_name = {}
    for name, (ours_side, theirs) in COMPARISONS.items():
        pairs = zip(raw.get(ours_side, []), raw.get(theirs, []), strict=False)
        by_name[name] = [a["tokens_per_second"] / b["tokens_per_second"] for a, b in pairs]
    return {name: ratios for name, ratios in by_name.items() if ratios}


def results_of(raw: dict[str, list[dict[str, Any]]], size: str) -> list[dict[str, Any]]:
    """The comparisons as entries of the record."""
    return [ratio_row(f"{name}, {size}", ratios) for name, ratios in comparisons(raw).items()]


def comparison_table(raw: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The table of the comparisons."""
    rows = [[name, shown(ratios), len(ratios)] for name, ratios in comparisons(raw).items()]
    return markdown(["comparison", "speed, ours / theirs", "repeats"], rows)


def table_of(raw: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The table of all sides, with their speed as a ratio to the baseline's."""
    head = [
        "side",
        "speed / HF default",
        "padding",
        "tokens left out",
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
                f"{runs[0]['left_out']:.0%}",
                runs[0]["dropout"],
                runs[0]["precision"],
                f"{max(r['peak_mb'] for r in runs):,} MB",
                shown([r["tokens_per_second"] for r in runs], 0),
            ]
        )
    return markdown(head, rows)


def main() -> None:
    """Runs the sides in turn, and writes the record after each round."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--size", default="256x4", help="width x layers")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=60_000, help="timed tokens of a measurement")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    options = parser.parse_args()
    width, layers = map(int, options.size.split("x"))
    raw: dict[str, list[dict[str, Any]]] = {side: [] for side in options.sides}
    with tempfile.TemporaryDirectory() as cache:
        common = {"folder": str(options.data.resolve()), "cache": cache, "tokens": options.tokens}
        common |= {"width": width, "layers": layers}
        for repeat in range(options.repeats):
            for side in options.sides:
                arguments = {**common, **SIDES[side]}
                who = arguments.pop("who")
                found = in_child([__file__], who, arguments, environment=ENVIRONMENT[who])
                raw[side].append(found)
                print(f"{repeat + 1} {side}: {found['tokens_per_second']:,.0f} tokens/s", flush=True)
            if BASELINE in raw:
                write_record(
                    options.out,
                    question=f"{QUESTION}, {width} wide, {layers} layers",
                    table=[*comparison_table(raw), "", *table_of(raw)],
                    data=options.data.name,
                    results=results_of(raw, options.size),
                    raw=raw,
                )


if __name__ == "__main__":
    begin(main, {"ours": ours, "hf": hf})
