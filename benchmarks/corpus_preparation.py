"""How fast does running text become token ids on disk, against datasets.map, and does memory stay flat?

    python benchmarks/corpus_preparation.py --text FILE

FILE is a text of some 10 MB, on which a vocabulary is trained. Both sides tokenise it in turn with this
vocabulary and the same number of threads; the peer uses datasets.map with batches, as the run_mlm example of
transformers does. The text is then repeated up to --gigabytes, with its documents in another order each time,
and prepared by a fresh process whose memory is watched.
"""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import begin, options_of

from custom_bert.bench.measure import (
    in_child,
    markdown,
    ratio_row,
    shown,
    write_record,
)

QUESTION = "Preparing running text: speed against datasets.map, and memory"
LENGTH = 128


def _tokenizer(arguments: dict[str, Any]) -> Any:
    from custom_bert.data.tokenizer_files import load_tokenizer

    return load_tokenizer(arguments["tokenizer"])


def vocabulary(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains the vocabulary that both sides use."""
    from custom_bert.data.corpus import read_corpus
    from custom_bert.data.vocabulary import train_tokenizer

    corpus = read_corpus([arguments["text"]])
    begun = time.perf_counter()
    tokenizer = train_tokenizer(
        corpus.blocks, vocab_size=30_522, lowercase=True, characters=corpus.characters
    )
    Path(arguments["tokenizer"]).write_text(tokenizer.to_json(), encoding="utf-8")
    return {"seconds": time.perf_counter() - begun}


def ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times checking, hashing, tokenising, cutting and writing, and samples the memory meanwhile."""
    from custom_bert.data.cache import Cache
    from custom_bert.data.corpus import read_corpus
    from custom_bert.data.pieces import open_pieces

    samples: list[float] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(1.0):
            samples.append(
                int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * 4096 / 2**20
            )

    tokenizer = _tokenizer(arguments)
    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    begun = time.perf_counter()
    corpus = read_corpus([arguments["text"]])
    checked = time.perf_counter()
    with tempfile.TemporaryDirectory() as cache:
        options: dict[str, Any] = dict(max_length=LENGTH, held_out=0.01, seed=0, cache=Cache(Path(cache)))
        train, _ = open_pieces(corpus, tokenizer, **options)
        done = time.perf_counter()
        open_pieces(corpus, tokenizer, **options)
        again = time.perf_counter()
    stop.set()
    thread.join()
    return {
        "seconds": done - begun,
        "checking": checked - begun,
        "again": again - done,
        "tokens": int(train.lengths_N.sum()),
        "samples": samples,
    }


def theirs(arguments: dict[str, Any]) -> dict[str, Any]:
    """Times run_mlm's two maps, with some processes: tokenise the lines, then join and cut them."""
    import datasets
    import transformers

    tokenizer = _tokenizer(arguments)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend, **tokenizer.special_tokens()
    )
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as cache:
        raw = datasets.load_dataset("text", data_files=arguments["text"], split="train", cache_dir=cache)

        def tokenise(examples: dict[str, Any]) -> Any:
            return fast(examples["text"], return_special_tokens_mask=True)

        def group(examples: dict[str, Any]) -> dict[str, Any]:
            joined = {key: list(itertools.chain(*values)) for key, values in examples.items()}
            total = len(joined["input_ids"]) // LENGTH * LENGTH
            return {
                key: [values[i : i + LENGTH] for i in range(0, total, LENGTH)]
                for key, values in joined.items()
            }

        count = arguments["processes"]
        options: dict[str, Any] = dict(batched=True, num_proc=count if count > 1 else None)
        tokenised = raw.map(tokenise, remove_columns=["text"], **options)
        grouped = tokenised.map(group, **options)
        tokens = LENGTH * len(grouped)
    return {"seconds": time.perf_counter() - begun, "tokens": tokens}


def multiply(text: Path, out: Path, size: float) -> None:
    """Writes the text's documents again and again, in another order each time, up to `size` bytes."""
    documents = text.read_text(encoding="utf-8").split("\n\n")
    generator = np.random.Generator(np.random.PCG64(0))
    with out.open("w", encoding="utf-8") as stream:
        while stream.tell() < size:
            for i in generator.permutation(len(documents)):
                stream.write(documents[i].strip("\n") + "\n\n")


def main() -> None:
    """Compares the speed with the sides in turn, prepares the large text, and writes the record."""
    parser = options_of(__file__, __doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    options = parser.parse_args()
    size = options.text.stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        common = {"text": str(options.text.resolve()), "tokenizer": f"{folder}/tokenizer.json"}
        trained = in_child([__file__], "vocabulary", common)
        raw: dict[str, list[dict[str, Any]]] = {
            "ours": [],
            "datasets.map": [],
            "datasets.map, 2 processes": [],
        }
        environment = {"TOKENIZERS_PARALLELISM": "true"}
        for _ in range(options.repeats):
            raw["ours"].append(in_child([__file__], "ours", common, environment=environment))
            for side, processes in (("datasets.map", 1), ("datasets.map, 2 processes", 2)):
                arguments = {**common, "processes": processes}
                raw[side].append(in_child([__file__], "theirs", arguments, environment=environment))
            print({side: round(runs[-1]["seconds"], 1) for side, runs in raw.items()}, flush=True)
        large = Path(folder) / "large.txt"
        multiply(options.text, large, options.gigabytes * 1e9)
        big = in_child([__file__], "ours", {**common, "text": str(large)}, environment=environment)
        bytes_ = large.stat().st_size
    ratios = {
        side: [b["seconds"] / a["seconds"] for a, b in zip(raw["ours"], raw[side], strict=True)]
        for side in raw
        if side != "ours"
    }
    rows = [
        [
            side,
            shown([size / 1e6 / run["seconds"] for run in runs]),
            f"{max(run['peak_mb'] for run in runs):,} MB",
        ]
        for side, runs in raw.items()
    ]
    table = markdown(["side", "MB/s, all cores", "peak memory"], rows)
    table += ["", *markdown(["against", "speed, ours / theirs"], [[k, shown(v)] for k, v in ratios.items()])]
    samples = big["samples"]
    quarters = [samples[min(len(samples) - 1, len(samples) * q // 4)] for q in range(5)]
    table += [
        "",
        f"{bytes_ / 1e9:.2f} GB: {big['seconds']:.0f} s ({bytes_ / 1e6 / big['seconds']:.1f} MB/s), of which "
        f"{big['checking']:.0f} s reading and checking; {big['tokens']:,} tokens; opened again in "
        f"{big['again']:.1f} s. Resident memory at 0, 25, 50, 75 and 100 %: "
        + ", ".join(f"{mb:,.0f}" for mb in quarters)
        + " MB.",
    ]
    write_record(
        options.out,
        question=QUESTION,
        table=table,
        data=options.text.parent.name,
        bytes=size,
        results=[ratio_row(f"preparing text against {side}", values) for side, values in ratios.items()],
        raw={**raw, "vocabulary": trained, "large": {**big, "bytes": bytes_}},
    )
    print("\n".join(table))


if __name__ == "__main__":
    begin(main, {"vocabulary": vocabulary, "ours": ours, "theirs": theirs})
