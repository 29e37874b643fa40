"""Hugging Face's Trainer at its best on a CPU, as the peer of fine-tuning."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import BEST, QUIET, accuracy

from custom_bert.bench.sets import lines

BATCH = 32


def training_arguments(
    folder: str, arguments: Mapping[str, Any], *, metric: str, half: bool, ends_with_best: bool
) -> Any:
    """The Trainer's settings: fused AdamW, lengths grouped, and an evaluation after every epoch. The weights
    are saved whenever they are the best.

    Args:
        folder: where it saves.
        arguments: `lr`, `epochs` and `seed`.
        metric: the measure by which weights are the best.
        half: whether it computes in bf16.
        ends_with_best: whether the model has the best weights at the end.
    """
    import transformers

    return transformers.TrainingArguments(
        **{**QUIET, **BEST, "save_strategy": "best"},
        output_dir=folder,
        seed=arguments["seed"],
        bf16=half,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=2 * BATCH,
        num_train_epochs=arguments["epochs"],
        learning_rate=arguments["lr"],
        warmup_steps=0.1,
        weight_decay=0.01,
        eval_strategy="epoch",
        metric_for_best_model=metric,
        save_total_limit=1,
        load_best_model_at_end=ends_with_best,
    )


def trained(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains a classifier with transformers' Trainer.

    It evaluates after every epoch and saves the weights whenever they are the best.

    Args:
        arguments: `checkpoint`, `folder` with the data, `lr`, `epochs`, `seed`, `max_length`; `pairs` if each
            line holds two texts. With `out` the best model is saved there. With `test`, a folder, and no
            `out`, the best weights are measured on its lines too.
    """
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
        id2label=dict(enumerate(labels)),
        label2id=ids,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager" if half else "sdpa",
    )
    tests = "test" in arguments and "out" not in arguments
    with tempfile.TemporaryDirectory() as steps:
        trainer = transformers.Trainer(
            model=model,
            args=training_arguments(
                steps, arguments, metric="accuracy", half=half, ends_with_best=tests or "out" in arguments
            ),
            train_dataset=examples("train"),
            eval_dataset=examples("val"),
            data_collator=transformers.DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8),
            compute_metrics=accuracy,
        )
        begun = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - begun
        tested = trainer.predict(examples("test", Path(arguments["test"]))) if tests else None
        if "out" in arguments:
            trainer.save_model(arguments["out"])
            tokenizer.save_pretrained(arguments["out"])

    def f1s(found: Any) -> dict[str, float]:
        """The F1 of each label."""
        from sklearn.metrics import f1_score

        scores = f1_score(
            found.label_ids, found.predictions.argmax(-1), labels=range(len(labels)), average=None
        )
        return dict(zip(labels, map(float, scores), strict=True))

    accuracies = [log["eval_accuracy"] for log in trainer.state.log_history if "eval_accuracy" in log]
    return {
        "accuracy": max(accuracies),
        **({} if tested is None else {"test_accuracy": accuracy(tested)["accuracy"], "test_f1": f1s(tested)}),
        "seconds": seconds,
        "epochs": arguments["epochs"],
        "lr": arguments["lr"],
        "precision": "bf16" if half else "fp32",
    }
