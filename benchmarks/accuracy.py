"""How accurate are the defaults, from scratch, on real sets, beside TF-IDF and fastText?

    python benchmarks/accuracy.py --data FOLDER --sets trec ag_news
    python benchmarks/accuracy.py --data FOLDER --tflop 240

Each set is a folder with the four data files. Nothing is tuned per set. The weights of the best evaluation on
the validation rows are kept, so the table also shows the accuracy of the last evaluation. The peers are
TF-IDF with logistic regression, and fastText (as floret, its maintained successor). Each is shown at its
defaults and at the best of a small grid, chosen on the same rows. With --tflop, each set gets the time in
which this machine computes that many operations in bare matrix products, as the roofline measures them (240
are about ten minutes of two cores at 400 GFLOP/s). The peers take all the time that they need.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from common import begin, metrics_of, options_of, record_of

from custom_bert.bench.measure import in_child, markdown, write_record
from custom_bert.bench.sets import lines

SETS = ("trec", "ag_news", "sst2", "banking77", "20ng", "zh_chnsenticorp_htl")
QUESTION = "Accuracy of the default settings from scratch"


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains with the defaults. The cache is empty, so that preparation is timed too."""
    from custom_bert import train_model
    from custom_bert.data.reading import in_directory

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        settings = {**in_directory(arguments["folder"]), **arguments["settings"]}
        result = train_model({**settings, "out": str(out), "data.cache_dir": f"{folder}/cache"})
        record = record_of(out)
        metrics = metrics_of(out)
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


def rate(arguments: dict[str, Any]) -> dict[str, Any]:
    """FLOP/s of a layer's bare products, in the type that training uses here: the best of ten tries."""
    import torch

    from custom_bert.bench.roofline import gemm_rate
    from custom_bert.precision import DTYPES, choose_precision
    from custom_bert.threads import thread_count

    torch.set_num_threads(thread_count())
    device = torch.device("cpu")
    precision = choose_precision(None, device)[0]
    rows, width = arguments["rows"], arguments["width"]
    rates = [gemm_rate(rows, width, DTYPES[precision], device) for _ in range(10)]
    return {"flops_per_second": max(rates), "precision": precision}


def has_spaces(texts: list[str]) -> bool:
    """Whether spaces separate the words, which they do not in Chinese."""
    return sum(text.count(" ") for text in texts[:2000]) > sum(map(len, texts[:2000])) / 30


def tfidf(arguments: dict[str, Any]) -> dict[str, Any]:
    """Logistic regression on TF-IDF of words (1-2 grams) or, without spaces, of characters (1-3 grams)."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    folder = Path(arguments["folder"])
    texts, labels = lines(folder, "train_dataset"), lines(folder, "train_labels")
    val_texts, val_labels = lines(folder, "val_dataset"), lines(folder, "val_labels")
    vectorizer = (
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        if has_spaces(texts)
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


def fasttext(arguments: dict[str, Any]) -> dict[str, Any]:
    """fastText at its defaults, and with more epochs, larger learning rates and bigrams."""
    import floret

    folder = Path(arguments["folder"])
    texts, labels = lines(folder, "train_dataset"), lines(folder, "train_labels")
    val_texts, val_labels = lines(folder, "val_dataset"), lines(folder, "val_labels")
    spaced = has_spaces(texts)
    ids = {label: i for i, label in enumerate(sorted(set(labels)))}

    def words(text: str) -> str:
        """The text in lower case with punctuation set apart or, without spaces, as single characters."""
        return " ".join(re.findall(r"\w+|[^\w\s]", text.lower()) if spaced else text.replace(" ", ""))

    by_setting = {}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "train.txt"
        examples = (f"__label__{ids[y]} {words(x)}\n" for x, y in zip(texts, labels, strict=True))
        path.write_text("".join(examples), encoding="utf-8")
        for epochs, rate, ngrams in ((5, 0.1, 1), (25, 0.5, 1), (25, 0.5, 2), (50, 1.0, 2)):
            settings = {"epoch": epochs, "lr": rate, "wordNgrams": ngrams}
            model = floret.train_supervised(str(path), **settings, thread=1, verbose=0)
            found, _ = model.predict([words(text) for text in val_texts])
            hits = sum(
                one[0] == f"__label__{ids[y]}" for one, y in zip(found, val_labels, strict=True) if one
            )
            by_setting[f"{epochs} epochs, rate {rate:g}, {ngrams}-grams"] = hits / len(val_labels)
    return {"by_setting": by_setting}


def table_of(results: dict[str, Any]) -> list[str]:
    """The table, with a row for each set."""
    head = ["set", "accuracy", "last evaluation", "TF-IDF + LR, default", "TF-IDF + LR, best of C 1, 10, 30"]
    head += ["fastText, default", "fastText, best of 4"]
    head += ["majority", "macro-F1", "wall", "peak memory", "epochs (pretraining + labels)"]
    rows = []
    for name, found in results.items():
        us, them, fast = found["ours"], found["tfidf"], list(found["fasttext"]["by_setting"].values())
        rows.append(
            [
                name,
                f"{us['accuracy']:.3f}",
                f"{us['last_accuracy']:.3f}",
                f"{them['by_c']['1']['accuracy']:.3f}",
                f"{max(one['accuracy'] for one in them['by_c'].values()):.3f}",
                f"{fast[0]:.3f}",
                f"{max(fast):.3f}",
                f"{them['majority_accuracy']:.3f}",
                f"{us['macro_f1']:.3f}",
                f"{us['wall_seconds'] / 60:.1f} min",
                f"{us['peak_mb']:,} MB",
                f"{us['pretrain_epochs']} + {us['epochs']}",
            ]
        )
    return markdown(head, rows)


def main() -> None:
    """Runs the sets one after the other, and writes the record after each."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with a folder for each set")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--quick", action="store_true", help="train one epoch, to see that it works")
    parser.add_argument("--tflop", type=float, help="operations that limit the time of each set, in TFLOP")
    options = parser.parse_args()
    settings: dict[str, Any] = {"model.init_from": "scratch"}
    settings |= {"optim.epochs": 1, "optim.pretrain_epochs": 0} if options.quick else {}
    question = QUESTION
    if options.tflop:
        reached = in_child([__file__], "rate", {"rows": 2048, "width": 256})
        settings["optim.max_minutes"] = options.tflop * 1e12 / reached["flops_per_second"] / 60
        speed = f"{reached['flops_per_second'] / 1e9:,.0f} GFLOP/s ({reached['precision']})"
        minutes = f"{settings['optim.max_minutes']:.1f} minutes at {speed}"
        question += f", in the time of {options.tflop:g} TFLOP of matrix products: {minutes}"
    results: dict[str, Any] = {}
    for name in options.sets:
        folder = str((options.data / name).resolve())
        print(f"{name} ...", flush=True)
        them = in_child([__file__], "tfidf", {"folder": folder})
        fast = in_child([__file__], "fasttext", {"folder": folder})
        us = in_child([__file__], "ours", {"folder": folder, "settings": settings})
        results[name] = {"ours": us, "tfidf": them, "fasttext": fast}
        print(f"{name}: {us['accuracy']:.4f}, {us['wall_seconds']:.0f} s; {them} {fast}", flush=True)
        write_record(
            options.out,
            question=question,
            table=table_of(results),
            settings=settings,
            results=results,
        )


if __name__ == "__main__":
    begin(main, {"ours": ours, "tfidf": tfidf, "fasttext": fasttext, "rate": rate})
