"""How accurate are the defaults, from scratch, on real sets, beside TF-IDF with logistic regression?

    python benchmarks/accuracy.py --data FOLDER --sets trec ag_news

Each set is a folder with the four data files. Nothing is tuned per set. The kept weights are those of the
best evaluation on the validation rows, so the accuracy of the last evaluation stands beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from custom_bert.bench.measure import answer_as_child, in_child, markdown, write_record

SETS = ("trec", "ag_news", "sst2", "banking77", "20ng", "zh_chnsenticorp_htl")
QUESTION = "Accuracy of the default settings from scratch"


def lines(folder: Path, name: str) -> list[str]:
    """The lines of a data file."""
    return (folder / name).read_bytes().decode().removesuffix("\n").split("\n")


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains with defaults; nothing is cached from earlier runs."""
    from custom_bert import train_model
    from custom_bert.data.dataset import in_directory

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        settings = {**in_directory(arguments["folder"]), **arguments["settings"]}
        result = train_model({**settings, "out": str(out), "data.cache_dir": f"{folder}/cache"})
        record = json.loads((out / "run.json").read_text())
        metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    last = [m for m in metrics if m["kind"] == "eval"][-1]
    config = record["config"]
    speed = [m["tokens_per_second"] for m in metrics if m["kind"] == "train"]
    return {
        "accuracy": result.accuracy,
        "macro_f1": result.macro_f1,
        "last_accuracy": last["accuracy"],
        "seconds": result.seconds,
        "steps": result.steps,
        "best_step": result.step,
        "tokens_per_second": sorted(speed)[len(speed) // 2],
        "train_tokens": record["data"]["train_tokens"],
        "choices": {c["name"]: c["value"] for c in record["choices"]},
        "epochs": config["optim.epochs"],
        "pretrain_epochs": config["optim.pretrain_epochs"],
    }


def tfidf(arguments: dict[str, Any]) -> dict[str, Any]:
    """TF-IDF of words (1-2 grams; for text with few spaces characters, 1-3 grams), logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    folder = Path(arguments["folder"])
    texts, labels = lines(folder, "train_dataset.txt"), lines(folder, "train_labels.txt")
    val_texts, val_labels = lines(folder, "val_dataset.txt"), lines(folder, "val_labels.txt")
    characters = sum(map(len, texts[:2000]))
    spaced = sum(text.count(" ") for text in texts[:2000]) > characters / 30
    vectorizer = (
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        if spaced
        else TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    )
    rows, val_rows = vectorizer.fit_transform(texts), vectorizer.transform(val_texts)
    by_c: dict[str, dict[str, float]] = {}
    for c in (1, 10, 30):  # 1 is scikit-learn's default
        predicted = LogisticRegression(C=c, max_iter=1000).fit(rows, labels).predict(val_rows)
        hits = sum(p == t for p, t in zip(predicted, val_labels, strict=True))
        by_c[str(c)] = {
            "accuracy": hits / len(val_labels),
            "macro_f1": float(f1_score(val_labels, predicted, average="macro")),
        }
    common_label = Counter(labels).most_common(1)[0][0]
    return {
        **by_c["30"],
        "by_c": by_c,
        "majority_accuracy": val_labels.count(common_label) / len(val_labels),
    }


def table_of(results: dict[str, Any]) -> list[str]:
    """One row a set; the peer's best setting on these validation rows stands beside its default."""
    head = ["set", "accuracy", "last evaluation", "TF-IDF + LR, default", "TF-IDF + LR, best of C 1, 10, 30"]
    head += ["majority", "macro-F1", "wall", "peak memory", "epochs (pretraining + labels)"]
    rows = []
    for name, found in results.items():
        us, them = found["ours"], found["tfidf"]
        rows.append(
            [
                name,
                f"{us['accuracy']:.3f}",
                f"{us['last_accuracy']:.3f}",
                f"{them['by_c']['1']['accuracy']:.3f}",
                f"{max(one['accuracy'] for one in them['by_c'].values()):.3f}",
                f"{them['majority_accuracy']:.3f}",
                f"{us['macro_f1']:.3f}",
                f"{us['wall_seconds'] / 60:.1f} min",
                f"{us['peak_mb']:,} MB",
                f"{us['pretrain_epochs']} + {us['epochs']}",
            ]
        )
    return markdown(head, rows)


def main() -> None:
    """Runs the sets one after the other; the record is complete after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with a folder for each set")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/accuracy.json"))
    parser.add_argument("--quick", action="store_true", help="one epoch: shows that it works")
    options = parser.parse_args()
    settings = {"optim.epochs": 1, "optim.pretrain_epochs": 0} if options.quick else {}
    results: dict[str, Any] = {}
    for name in options.sets:
        folder = str((options.data / name).resolve())
        print(f"{name} ...", flush=True)
        them = in_child([__file__], "tfidf", {"folder": folder})
        us = in_child([__file__], "ours", {"folder": folder, "settings": settings})
        results[name] = {"ours": us, "tfidf": them}
        print(f"{name}: {us['accuracy']:.4f} (TF-IDF {them['accuracy']:.4f}), {us['wall_seconds']:.0f} s")
        write_record(
            options.out,
            question=QUESTION,
            command=f"python benchmarks/accuracy.py --data FOLDER --sets {' '.join(options.sets)}",
            table=table_of(results),
            results=results,
        )


if __name__ == "__main__":
    if not answer_as_child(sys.argv[1:], {"ours": ours, "tfidf": tfidf}):
        main()
