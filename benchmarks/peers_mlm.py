"""How fast is masked language modelling against Hugging Face's Trainer, and what is learned in the same time?

    python benchmarks/peers_mlm.py --text FILE --size 256x4
    python benchmarks/peers_mlm.py --text FILE --size 256x4 --minutes 10

FILE is running text (`docs/how-to/pretrain.md`). The peer trains `BertForMaskedLM`. Both sides train on the
same pieces of 128 tokens with the same vocabulary, which is trained on the text, and hide the same share of
the tokens. Each measurement is a fresh process, and the sides run in turn; the first steps are not timed. The
peer's best settings on a CPU are fused AdamW, larger batches, no dropout, and bf16 with eager attention where
the CPU computes bf16 in hardware; elsewhere fp32 with SDPA.

With --minutes both sides train that long, each with its own schedule compressed to the time. Both are then
measured on the same hidden tokens of the same held-out text. The peer runs with each of the learning rates.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from common import BEST, ENVIRONMENT, QUIET, begin, metrics_of, options_of, prepared, record_of

from custom_bert.bench.measure import (
    in_child,
    markdown,
    ratio_row,
    shown,
    write_record,
)
from custom_bert.process import LIBRARY_DEFAULTS

LENGTH, MASKED = 128, 0.3
WARM_STEPS = 5
QUESTION = "Masked language modelling against Hugging Face's Trainer"

SIDES: dict[str, dict[str, Any]] = {
    "ours, defaults": {"who": "ours"},
    "HF defaults": {"who": "hf", "batch": 8, "dropout": 0.1},
    "HF best": {"who": "hf", "batch": 32, "dropout": 0.0, "best": True},
    "HF best, its default dropout": {"who": "hf", "batch": 32, "dropout": 0.1, "best": True},
}
COMPARISONS = {
    "C4: against HF's defaults": ("ours, defaults", "HF defaults"),
    "C4: against HF's best, no dropout": ("ours, defaults", "HF best"),
    "C4: against HF's best, its default dropout": ("ours, defaults", "HF best, its default dropout"),
}


def settings_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """The settings with which both sides prepare the text, so that pieces and vocabulary are the same."""
    return {
        "task": "masked_lm",
        "runtime.device": "cpu",
        "data.corpus": [arguments["text"]],
        "data.max_length": LENGTH,
        "data.cache_dir": arguments["cache"],
        "model.vocab_size": arguments["vocabulary"],
        "model.hidden_size": arguments["width"],
        "model.num_hidden_layers": arguments["layers"],
        "optim.mask_rate": MASKED,
    }


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times the product's own training steps."""
    from custom_bert.bench.steps import time_steps

    plan, material = prepared(settings_of(arguments))
    timed = time_steps(plan, material, tokens=arguments["tokens"], warm=WARM_STEPS)
    return {
        "tokens_per_second": timed.texts / timed.seconds,
        "steps": timed.steps,
        "parameters": timed.parameters,
        "token_budget": plan.config.batch.token_budget,
        "precision": plan.config.runtime.precision,
    }


def trainer_of(arguments: dict[str, Any], folder: str, material: Any, **options: Any) -> Any:
    """Makes transformers' Trainer for the same pieces."""
    import torch
    import transformers

    from custom_bert import machine
    from custom_bert.threads import thread_count

    torch.set_num_threads(thread_count())
    best, dropout, width = arguments.get("best"), arguments["dropout"], arguments["width"]
    half = bool(best) and machine.has_cpu_bf16()
    pieces = material.train
    rows_N = pieces.rows_N
    if options.get("whole"):
        rows_N = rows_N[pieces.store.lengths_N[rows_N] == LENGTH]

    class Examples(torch.utils.data.Dataset[dict[str, Any]]):
        """Reads each piece from the store when it is asked for, as ours does, to hold no lists of tokens."""

        def __len__(self) -> int:
            return len(rows_N)

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"input_ids": pieces.store[int(rows_N[index])].tolist()}

    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=material.tokenizer.backend,
        **material.tokenizer.special_tokens(),
    )
    config = transformers.BertConfig(
        vocab_size=material.tokenizer.vocab_size,
        hidden_size=width,
        num_hidden_layers=arguments["layers"],
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        max_position_embeddings=LENGTH,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        attn_implementation=("eager" if half else "sdpa") if best else None,
    )
    training = {**QUIET, "output_dir": folder, "per_device_train_batch_size": arguments["batch"]}
    training |= options.get("training", {})
    if best:
        training |= {"bf16": half, "optim": BEST["optim"]}
    collator = transformers.DataCollatorForLanguageModeling(fast, mlm=True, mlm_probability=MASKED)
    return transformers.Trainer(
        model=transformers.BertForMaskedLM(config),
        args=transformers.TrainingArguments(**training),
        train_dataset=Examples(),
        data_collator=collator,
        callbacks=options.get("callbacks", []),
    )


def hf(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times the peer. It gets only pieces of the full length, so that it pads nothing."""
    import transformers

    stamps: list[float] = []
    batch = arguments["batch"] * LENGTH

    class Clock(transformers.TrainerCallback):
        """Notes the time of every step and ends when enough tokens went through."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Called after the update."""
            stamps.append(time.perf_counter())
            if (len(stamps) - WARM_STEPS) * batch >= arguments["tokens"]:
                control.should_training_stop = True

    with tempfile.TemporaryDirectory() as folder:
        _, material = prepared(settings_of(arguments))
        trainer = trainer_of(arguments, folder, material, whole=True, callbacks=[Clock()])
        trainer.train()
    steps = len(stamps) - WARM_STEPS
    return {
        "tokens_per_second": steps * batch / (stamps[-1] - stamps[WARM_STEPS - 1]),
        "steps": steps,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "precision": "bf16" if trainer.args.bf16 else "fp32",
    }


def ours_learns(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains ours for some minutes, and returns the held-out accuracy over time."""
    from custom_bert import train_model

    with tempfile.TemporaryDirectory() as folder:
        settings = {
            **settings_of(arguments),
            "out": f"{folder}/run",
            "optim.max_minutes": arguments["minutes"],
        }
        result = train_model({**settings, "seed": arguments["seed"]})
        lines = metrics_of(Path(f"{folder}/run"))
        record = record_of(Path(f"{folder}/run"))
    curve = [(x["run_seconds"], x["accuracy"], x["loss"]) for x in lines if x["kind"] == "eval"]
    return {"curve": curve, **record["validation"], "steps": result.steps, "seconds": result.seconds}


def hf_learns(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains the peer at its best settings for some minutes, with a linear schedule over that time.

    It is measured on the same hidden tokens of the same held-out text as ours.
    """
    import torch
    import transformers

    from custom_bert.training.evaluation import evaluation_batches
    from custom_bert.training.step import ALONE

    plan, material = prepared(settings_of(arguments))
    limit, begun, curve = 60 * arguments["minutes"], 0.0, []
    state: dict[str, float] = {"evaluating": 0.0, "next": 0.0}

    def measure(model: Any) -> tuple[float, float]:
        """Accuracy and loss on the batches on which ours is measured."""
        model.eval()
        right = loss = targets = 0.0
        with torch.no_grad():
            for batch in evaluation_batches(material.val, plan, material, ALONE):
                ids_NS, mask_NS, at = _rectangle(batch)
                logits_MV = model(input_ids=ids_NS, attention_mask=mask_NS).logits.flatten(0, 1)[at].float()
                right += float((logits_MV.argmax(-1) == batch.targets.values).sum())
                loss += float(
                    torch.nn.functional.cross_entropy(logits_MV, batch.targets.values, reduction="sum")
                )
                targets += len(batch.targets.values)
        model.train()
        return right / targets, loss / targets

    class Clock(transformers.TrainerCallback):
        """Sets the learning rate by the time, evaluates twelve times, and ends on time."""

        def on_step_begin(self, args: Any, trainer_state: Any, control: Any, **kwargs: Any) -> None:
            """Sets the learning rate: a linear warm-up over a tenth of the time, then a line to 0."""
            done = min(1.0, (time.perf_counter() - begun - state["evaluating"]) / limit)
            factor = done / 0.1 if done < 0.1 else (1 - done) / 0.9
            for group in kwargs["optimizer"].param_groups:
                group["lr"] = arguments["lr"] * factor

        def on_step_end(self, args: Any, trainer_state: Any, control: Any, **kwargs: Any) -> None:
            """Called after the update."""
            spent = time.perf_counter() - begun - state["evaluating"]
            if spent >= state["next"] or spent >= limit:
                at = time.perf_counter()
                curve.append((round(spent, 1), *measure(kwargs["model"])))
                state["evaluating"] += time.perf_counter() - at
                state["next"] = spent + limit / 12
            control.should_training_stop = spent >= limit

    with tempfile.TemporaryDirectory() as folder:
        training = {
            "num_train_epochs": 1000,
            "learning_rate": arguments["lr"],
            "lr_scheduler_type": "constant",
            "seed": arguments["seed"],
            "weight_decay": 0.01,
        }
        trainer = trainer_of(
            {**arguments, "dropout": 0.0, "best": True},
            folder,
            material,
            training=training,
            callbacks=[Clock()],
        )
        begun = time.perf_counter()
        trainer.train()
    return {
        "curve": curve,
        "accuracy": curve[-1][1],
        "loss": curve[-1][2],
        "steps": trainer.state.global_step,
        "seconds": curve[-1][0],
    }


def _rectangle(batch: Any) -> tuple[Any, Any, Any]:
    """A packed batch in the peer's form: (N, S) ids and mask, and (M,) flat places of the hidden tokens."""
    import torch

    lengths, starts = batch.layout.lengths_N, batch.layout.first_N
    wide = int(lengths.max())
    ids = torch.zeros(len(lengths), wide, dtype=torch.long)
    mask = torch.arange(wide) < lengths[:, None]
    rows = (starts[:, None] + torch.arange(wide))[mask]
    ids[mask] = batch.input_ids_T[rows]
    place = torch.full((batch.num_rows,), -1)
    place[rows] = torch.arange(ids.numel()).view_as(ids)[mask]
    return ids, mask.long(), place[batch.targets.rows_M]


def speed(options: argparse.Namespace, common: dict[str, Any]) -> None:
    """Measures tokens per second with the sides in turn, and writes the record after each round."""
    raw: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for repeat in range(options.repeats):
        for side, about in SIDES.items():
            found = in_child(
                [__file__], about["who"], {**common, **about}, environment=ENVIRONMENT[about["who"]]
            )
            raw[side].append(found)
            print(f"{repeat + 1} {side}: {found['tokens_per_second']:,.0f} tokens/s", flush=True)
        ratios = {
            name: [
                a["tokens_per_second"] / b["tokens_per_second"] for a, b in zip(raw[x], raw[y], strict=True)
            ]
            for name, (x, y) in COMPARISONS.items()
        }
        rows = [[name, shown(values), len(values)] for name, values in ratios.items()]
        sides = [
            [
                side,
                runs[0]["precision"],
                f"{runs[0]['parameters'] / 1e6:.1f} M",
                f"{max(run['peak_mb'] for run in runs):,} MB",
                shown([run["tokens_per_second"] for run in runs], 0),
            ]
            for side, runs in raw.items()
        ]
        table = markdown(["comparison", "speed, ours / theirs", "repeats"], rows)
        table += [
            "",
            *markdown(["side", "precision", "parameters", "peak memory", "tokens/s (this run)"], sides),
        ]
        write_record(
            options.out,
            question=f"{QUESTION}: tokens per second, {options.size}, vocabulary {options.vocabulary:,}, "
            f"{MASKED:.0%} hidden, pieces of {LENGTH}",
            table=table,
            data=options.text.parent.name,
            results=[ratio_row(f"{name}, {options.size}", values) for name, values in ratios.items()],
            raw=raw,
        )


def learning(options: argparse.Namespace, common: dict[str, Any]) -> None:
    """Measures the held-out accuracy of all sides after the same time, and writes the record."""
    common |= {"minutes": options.minutes, "batch": 32, "seed": 0}
    raw = {"ours, defaults": in_child([__file__], "ours_learns", common)}
    for lr in options.rates:
        arguments = {**common, "lr": lr}
        raw[f"HF best, lr {lr:g}"] = in_child(
            [__file__], "hf_learns", arguments, environment=LIBRARY_DEFAULTS
        )
        print(lr, raw[f"HF best, lr {lr:g}"]["accuracy"], flush=True)
    rows = [
        [
            side,
            f"{run['accuracy']:.4f}",
            f"{run['loss']:.3f}",
            f"{run['steps']:,}",
            f"{run['seconds'] / 60:.1f}",
        ]
        for side, run in raw.items()
    ]
    table = markdown(["side", "accuracy of hidden tokens", "loss", "steps", "minutes"], rows)
    curves = [
        [
            side,
            "; ".join(f"{seconds / 60:.1f} min {accuracy:.3f}" for seconds, accuracy, _ in run["curve"][:14]),
        ]
        for side, run in raw.items()
    ]
    table += ["", *markdown(["side", "accuracy on the way"], curves)]
    write_record(
        options.out,
        question=f"{QUESTION}: the same {options.minutes:g} minutes, {options.size}, vocabulary "
        f"{options.vocabulary:,}, {MASKED:.0%} hidden",
        table=table,
        data=options.text.parent.name,
        raw=raw,
    )
    print("\n".join(table))


def main() -> None:
    """Measures speed or, with --minutes, what is learned."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--size", default="256x4", help="width x layers")
    parser.add_argument("--vocabulary", type=int, default=30_522, help="entries")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=60_000, help="timed tokens of a measurement")
    parser.add_argument("--minutes", type=float, help="train that long instead")
    parser.add_argument("--rates", type=float, nargs="+", default=[5e-4, 1e-3], help="of the peer")
    options = parser.parse_args()
    width, layers = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as cache:
        common = {"text": str(options.text.resolve()), "cache": cache, "tokens": options.tokens}
        common |= {"width": width, "layers": layers, "vocabulary": options.vocabulary}
        in_child([__file__], "prepare", common)  # the vocabulary and the pieces, once for all
        if options.minutes:
            learning(options, common)
        else:
            speed(options, common)


def prepare_only(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains the vocabulary and cuts the text, so that the cache holds both for all sides."""
    return {"tokens": int(prepared(settings_of(arguments))[1].train.lengths_N.sum())}


TASKS = {
    "ours": ours,
    "hf": hf,
    "ours_learns": ours_learns,
    "hf_learns": hf_learns,
    "prepare": prepare_only,
}

if __name__ == "__main__":
    begin(main, TASKS)
