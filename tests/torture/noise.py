"""E2, E4: random bytes in place of data files; texts that stand twice."""

from __future__ import annotations

import numpy as np
from data_files import read_config

from custom_bert.config import DataConfig
from custom_bert.data.findings import as_json
from custom_bert.errors import UserError
from torture.experiment import Experiment, Trial, nothing

NAMES = ("train_texts", "train_labels", "val_texts", "val_labels")
WORDS = (
    b"yes",
    b"no",
    b"a text",
    b"",
    b" ",
    b"\t",
    b"\xef\xbb\xbf",
    b"\r",
    b"\x00",
    b"\xff\xfe",
    "é".encode(),
)
BATCH = 100
"""Sets of files in a trial."""


def random_bytes(random: np.random.Generator) -> bytes:
    """Nothing, bytes, bytes of a few kinds, or lines of words that data files hold."""
    way, size = random.integers(4), int(random.integers(0, 200))
    if way == 0:
        return random.bytes(size)
    if way == 1:
        return bytes(random.choice(np.frombuffer(b"\n\r\x00ab \xc3\xa9\xef\xbb\xbf\x1f\x8b", np.uint8), size))
    words = [WORDS[i] for i in random.integers(len(WORDS), size=int(random.integers(0, 12)))]
    return b"".join(word + (b"\n", b"\r\n")[way - 2] for word in words)


def aligned(random: np.random.Generator) -> dict[str, bytes]:
    """A data set, with a byte or none changed."""
    found = {}
    for split, count in (("train", int(random.integers(4, 40))), ("val", int(random.integers(1, 9)))):
        labels = [b"yes", b"no"] + [(b"yes", b"no")[i] for i in random.integers(2, size=count)]
        texts = [
            b"text %d %s" % (i, random_bytes(random).translate(None, b"\n\r\x00")) for i in range(len(labels))
        ]
        for kind, lines in (("texts", texts), ("labels", labels)):
            content = bytearray(b"\n".join(line.decode("utf-8", "ignore").encode() for line in lines) + b"\n")
            if random.random() < 0.1:
                content[random.integers(len(content))] = random.integers(256)
            found[f"{split}_{kind}"] = bytes(content)
    return found


def garbage(trial: Trial) -> None:
    """A message of ours, or a data set; never another exception."""
    for number in range(BATCH):
        paths: dict[str, str] = {}
        whole = aligned(trial.random) if number % 2 else {}
        for name in NAMES:
            path = trial.directory / f"{name}.txt"
            path.unlink(missing_ok=True)
            if whole or trial.random.random() < 0.95:
                path.write_bytes(whole.get(name) or random_bytes(trial.random))
            paths[name] = str(path)
        try:
            read_config(DataConfig(**paths))
            trial.note("taken")
        except UserError as error:
            words = str(error)
            assert words and all(str(trial.directory) in line for line in words.splitlines()), words
            trial.note("refused")


def planted(trial: Trial) -> None:
    """Texts that stand twice, with the same label or another one, here or among the validation texts."""
    random, count = trial.random, int(trial.random.integers(20, 200))
    texts = [f"text {i}" for i in range(count)]
    labels = [("yes", "no", "other")[i] for i in random.integers(3, size=count)]
    again, at_odds, leaked = [], [], []
    for _ in range(int(random.integers(1, 20))):
        first = int(random.integers(count))
        other = bool(random.integers(2))
        label = ("yes", "no", "other")[(("yes", "no", "other").index(labels[first]) + other) % 3]
        texts.append(texts[first])
        labels.append(label)
        again.append([first + 1, len(texts)])
        if other:
            at_odds.append(again[-1])
    val = [f"new {i}" for i in range(20)]
    for line in sorted(random.choice(20, size=int(random.integers(1, 10)), replace=False).tolist()):
        first = int(random.integers(count))
        val[line] = texts[first]
        leaked.append([line + 1, first + 1])
    paths = {}
    lines = dict(train_texts=texts, train_labels=labels, val_texts=val, val_labels=labels[:20])
    for name, content in lines.items():
        paths[name] = str(trial.directory / f"{name}.txt")
        (trial.directory / f"{name}.txt").write_text("".join(f"{line}\n" for line in content))
    found = as_json(read_config(DataConfig(**paths)))
    assert found["files"]["train"]["duplicates"] == again
    assert found["files"]["train"]["conflicts"] == at_odds
    assert found["leaks"] == leaked
    for _ in again + leaked:
        trial.note("planted")


EXPERIMENTS = (
    Experiment(
        "E4",
        "planted duplicates, conflicts and leaks: all reported, with both lines",
        20,
        1000,
        nothing,
        planted,
    ),
    Experiment(
        "E2",
        f"random bytes for the four files, or in them, {BATCH} sets each: a message that "
        "names the file, or a data set",
        15,
        1000,
        nothing,
        garbage,
    ),
)
