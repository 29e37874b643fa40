"""Two processes train what one trains: the same examples in each step, the same losses; and end together."""

import faulthandler
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ranks_worker
from e2e.test_pretrain import recipe, write_corpus
from pair_data import write_pairs
from span_data import span_settings, write_spans
from torture.runs import forked, wait
from training_runs import settings, write_data

from custom_bert.cli import main
from custom_bert.number_metrics import MEASURES

ROOT = Path(__file__).resolve().parents[2]
WORKER = ROOT / "tests" / "ranks_worker.py"
INEXACT = (
    *("loss", "perplexity", "divergence", "calibration_error", "calibration"),
    *(*MEASURES, "intervals", "per_output"),
)
"""Of an evaluation: apart by rounding, where sums are taken in another order; all else is counted."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    write_data(folder / "data", train=90, val=31)
    write_corpus(folder / "corpus")
    return folder


def classification(folder: Path, out: Path, **changes: Any) -> dict[str, Any]:
    options = {
        "optim.pretrain_epochs": 2,
        "optim.epochs": 4,
        "optim.class_weights": "balanced",
        "optim.token_dropout": 0.2,
        "model.hidden_dropout": 0.0,
        "batch.token_budget": 128,
        "batch.accumulation": 2,
        "runtime.log_every": 1,
        "floor": True,
    }
    return settings(folder / "data", out, **{**options, **changes})


def label_sets(folder: Path, out: Path, **changes: Any) -> dict[str, Any]:
    data = folder / "sets"
    if not data.exists():
        write_data(data, train=90, val=31)
        for name in ("train", "val"):
            path = data / f"{name}_labels.txt"
            lines = [f"{x}\tnamed" if i % 2 else x for i, x in enumerate(path.read_text().splitlines())]
            path.write_text("".join(f"{line}\n" for line in lines))
    return settings(data, out, **{"task": "multi_label", "floor": True, **SETS, **changes})


def shares(folder: Path, out: Path, **changes: Any) -> dict[str, Any]:
    data = folder / "shares"
    if not data.exists():
        write_data(data, train=90, val=31)
        for name in ("train", "val"):
            path = data / f"{name}_labels.txt"
            labels = path.read_text().splitlines()
            path.write_text(
                "".join(f"{x}:{1 - i % 2 / 4}\tother:{i % 2 / 4}\n" for i, x in enumerate(labels))
            )
    return settings(data, out, **{"task": "soft_labels", "floor": True, **SETS, **changes})


def numbers(folder: Path, out: Path, **changes: Any) -> dict[str, Any]:
    data = folder / "numbers"
    if not data.exists():
        write_data(data, train=90, val=31)
        for name in ("train", "val"):
            texts = (data / f"{name}_dataset.txt").read_text().splitlines()
            rows = [f"{len(text) / 8}\t{100 * len(text.split())}" for text in texts]
            (data / f"{name}_labels.txt").write_text("".join(f"{row}\n" for row in rows))
    return settings(data, out, **{"task": "regression", "floor": True, **SETS, **changes})


def in_order(folder: Path, out: Path, **changes: Any) -> dict[str, Any]:
    order = {"data.label_order": "weather,animals,machines"}
    return settings(folder / "data", out, **{"task": "ordinal", **SETS, **order, **changes})


SETS = {"optim.epochs": 6, "model.hidden_dropout": 0.0, "batch.token_budget": 128, "batch.accumulation": 2}


def of_two_texts(folder: Path, out: Path, **changes: Any) -> dict[str, Any]:
    data = folder / "pairs"
    if not data.exists():
        write_pairs(data, train=90, val=31)
    options = {**SETS, "data.pairs": True, "optim.token_dropout": 0.2, "floor": True}
    return settings(data, out, **{**options, **changes})


def of_spans(folder: Path, out: Path, **changes: Any) -> dict[str, Any]:
    data = folder / "spans"
    if not data.exists():
        write_spans(data, train=90, val=31)
    return span_settings(data, out, **{**SETS, "optim.class_weights": "balanced", **changes})


def masked(folder: Path, out: Path, **changes: Any) -> dict[str, Any]:
    options = {"optim.epochs": 2, "batch.accumulation": 2, "runtime.log_every": 1}
    return recipe(folder / "corpus", out, **{**options, **changes})


def trained(config: dict[str, Any], ranks: int, *arguments: str) -> tuple[int, str]:
    """The worst exit code and what was said; forked, so that torch is loaded once."""
    out = Path(config["out"])
    path, said = out.with_suffix(".json"), out.with_suffix(".said")
    path.write_text(json.dumps(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def work(rank: int) -> None:
        where = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "LOCAL_WORLD_SIZE": ranks,
            "WORLD_SIZE": ranks,
        }
        os.environ |= {name: str(value) for name, value in where.items()} if ranks > 1 else {}
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        stacks = out.with_suffix(f".errors{rank}.stacks").open("w")
        faulthandler.register(signal.SIGUSR1, stacks)
        with said.open("a") as stream, redirect_stdout(stream), redirect_stderr(stream):
            raise SystemExit(ranks_worker.work(str(path), str(out.with_suffix(".log")), *arguments))

    children = [forked(partial(work, rank), out.with_suffix(f".errors{rank}")) for rank in range(ranks)]
    codes = []
    for rank, child in enumerate(children):
        code = wait(child, 60.0)
        if code is None:
            os.kill(child, signal.SIGUSR1)
            time.sleep(1)
            for one in children:
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
            where = out.with_suffix(f".errors{rank}.stacks").read_text()
            raise AssertionError(f"rank {rank} still runs: {said.read_text()}\n{where}")
        codes.append(code)
    errors = [path.read_text() for path in out.parent.glob(f"{out.name}.errors*")]
    return next((code for code in codes if code), 0), "\n".join([said.read_text(), *errors])


def steps(out: Path, ranks: int) -> list[tuple[str, int, list[int], float]]:
    """Of all ranks together: phase, step, the examples seen, and the loss, which is the same at each."""
    logs = [
        [json.loads(line) for line in Path(f"{out.with_suffix('.log')}.{rank}").read_text().splitlines()]
        for rank in range(ranks)
    ]
    found = []
    for lines in zip(*logs, strict=True):
        assert len({(phase, step, loss) for phase, step, _, loss in lines}) == 1
        phase, step, _, loss = lines[0]
        found.append((phase, step, sorted(i for line in lines for i in line[2]), loss))
    return found


def weights(out: Path) -> bytes:
    return (out / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (classification, {}),
        (
            classification,
            {
                "batch.token_budget": 16,
                "batch.accumulation": 1,
                "optim.pretrain_epochs": 0,
                "optim.epochs": 1,
            },
        ),
        (classification, {"runtime.shard": True, "optim.pretrain_epochs": 0, "optim.epochs": 6}),
        (label_sets, {"runtime.log_every": 1}),
        (label_sets, {"runtime.log_every": 1, "runtime.shard": True}),
        (shares, {"runtime.log_every": 1, "optim.class_weights": {"other": 2.0}}),
        (of_two_texts, {"runtime.log_every": 1}),
        (masked, {}),
        (numbers, {"runtime.log_every": 1}),
        (in_order, {"runtime.log_every": 1, "runtime.shard": True}),
        (of_spans, {"runtime.log_every": 1}),
        (of_spans, {"runtime.log_every": 1, "runtime.shard": True, "data.max_length": 12}),
    ],
    ids=[
        *("labels", "fewer texts than ranks", "FSDP2", "label sets", "label sets, FSDP2", "shares", "pairs"),
        *("masked tokens", "numbers", "labels in order, FSDP2", "spans", "spans in windows, FSDP2"),
    ],
)
def test_two_ranks_see_what_one_sees(
    folder: Path, tmp_path: Path, make: Callable[..., dict[str, Any]], changes: dict[str, Any]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for out, ranks in ((one, 1), (two, 2)):
        code, said = trained(make(folder, out, **changes), ranks)
        assert code == 0, said
    alone, together = steps(one, 1), steps(two, 2)
    assert len(alone) == len(together) >= 20
    for (*same, loss), (*other, their_loss) in zip(alone, together, strict=True):
        assert same == other
        assert their_loss == pytest.approx(loss, rel=1e-4)
    for (*_, loss), (*_, their_loss) in zip(alone[:20], together[:20], strict=True):
        assert their_loss == pytest.approx(loss, abs=1e-5)
    found, theirs = (json.loads((out / "run.json").read_text())["validation"] for out in (one, two))
    for validation in (found, theirs):  # thresholds are midpoints of probabilities, apart by rounding
        for scores in validation.get("per_class", {}).values():
            scores["threshold"] = round(scores.get("threshold", 0.0), 3)
    assert theirs["loss"] == pytest.approx(found["loss"], abs=1e-4)
    for key in (*MEASURES, "examples"):
        assert theirs.get(key, 0.0) == pytest.approx(found.get(key, 0.0), rel=1e-3, abs=1e-3)
    assert {k: v for k, v in theirs.items() if k not in INEXACT} == {
        k: v for k, v in found.items() if k not in INEXACT
    }
    lines = [[json.loads(x) for x in (o / "metrics.jsonl").read_text().splitlines()] for o in (one, two)]
    assert [x["kind"] for x in lines[0]] == [x["kind"] for x in lines[1]]
    assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in two.iterdir())


def test_a_request_to_one_rank_ends_all_and_the_run_is_continued_bit_for_bit(
    folder: Path, tmp_path: Path
) -> None:
    changes = {"model.hidden_dropout": 0.1}
    whole, broken = (classification(folder, tmp_path / name, **changes) for name in ("whole", "broken"))
    code, said = trained(whole, 2)
    assert code == 0, said
    code, said = trained(broken, 2, "9", str(int(signal.SIGTERM)))
    assert code == 143 and "interrupted after step" in said, said
    code, said = trained(broken, 2)
    assert code == 0 and "continues after step" in said, said
    assert weights(tmp_path / "broken") == weights(tmp_path / "whole")


def test_torchrun_ends_soon_when_a_rank_is_killed_and_the_run_is_continued(
    folder: Path, tmp_path: Path
) -> None:
    changes = {"runtime.checkpoint_every": 1, "optim.pretrain_epochs": 0}
    config = classification(folder, tmp_path / "run", **changes)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(config))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(WORKER), str(path), str(tmp_path / "run.log"), "9", str(int(signal.SIGKILL))]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    last = (tmp_path / "run.log.0").stat().st_mtime
    assert done.returncode != 0 and time.time() - last < 30
    code, said = trained(config, 2)
    assert code == 0 and "continues after step" in said, said


def test_a_rank_that_is_lost_is_one_line(folder: Path, tmp_path: Path) -> None:
    config = classification(folder, tmp_path / "run", **{"runtime.checkpoint_every": 1})
    code, said = trained(config, 2, "9", str(int(signal.SIGKILL)))
    assert code == 66 and said.count("another process of this run has ended") == 1
    assert "Traceback" not in said
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"


def test_another_number_of_ranks_continues_with_a_warning(folder: Path, tmp_path: Path) -> None:
    config = classification(folder, tmp_path / "run", **{"runtime.checkpoint_every": 1})
    code, _ = trained(config, 2, "9", str(int(signal.SIGTERM)))
    assert code != 0
    code, said = trained(config, 1)
    assert code == 0, said
    assert "since the checkpoint the ranks was 2, is 1: the result may not be the same bit for bit" in said
    lines = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    numbers = [line["step"] for line in lines if line["kind"] == "train"]
    assert numbers == list(range(1, numbers[-1] + 1)), "each step once"


def test_what_is_wrong_is_told_once(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    code, said = trained(classification(folder, tmp_path / "run"), 2)
    assert code != 0
    assert said.count("exists and is not a run directory") == 1 and "Traceback" not in said
    (tmp_path / "file").write_text("mine")
    code, said = trained(classification(folder, tmp_path / "file"), 2)
    assert code != 0
    assert said.count("error: ") == said.count("is not a directory") == 1 and "Traceback" not in said


@pytest.mark.parametrize("rank", [0, 1])
def test_what_is_wrong_with_the_arguments_is_told_once_a_machine(
    rank: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", str(2 + rank))
    monkeypatch.setenv("LOCAL_RANK", str(rank))
    assert main(["train", "--optim.lr", "-1"]) == 64
    said = capsys.readouterr().err
    assert said.count("error: ") == (rank == 0) and ("optim.lr" in said) == (rank == 0)


def test_ranks_fit_the_weights_of_an_ensemble_as_one_process_does(folder: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", train=2_100, val=61)
    for path in (data / "train_labels.txt", data / "val_labels.txt"):
        labels = path.read_text().splitlines()
        labels[::8] = labels[1::8] + labels[: len(labels[::8]) - len(labels[1::8])]
        path.write_text("".join(f"{label}\n" for label in labels))
    options = {"optim.epochs": 1, "optim.lr": 3e-4, "model.hidden_dropout": 0.0, "floor": True}
    options |= {"data.test_texts": str(data / "val_dataset.txt")}  # so that both have to score the same
    options |= {"data.test_labels": str(data / "val_labels.txt")}
    found = []
    for ranks in (1, 2):
        config = settings(data, tmp_path / f"of {ranks}", **options)
        assert trained(config, ranks)[0] == 0
        record = json.loads((tmp_path / f"of {ranks}" / "run.json").read_text())
        found.append((record["ensemble"], record["validation"]["loss"], record["validation"]["accuracy"]))
        assert record["test"]["loss"] == pytest.approx(record["validation"]["loss"], abs=1e-5)
        assert record["test"]["accuracy"] == record["validation"]["accuracy"]
        assert record["test"]["encoder"] == record["ensemble"]["encoder_alone"]
    (one, one_loss, one_accuracy), (two, two_loss, two_accuracy) = found
    assert one["factors"]["encoder"] > 0 and one["factors"] == pytest.approx(two["factors"], rel=1e-3)
    assert one_loss == pytest.approx(two_loss, abs=1e-4) and one_accuracy == pytest.approx(two_accuracy)
