"""The process around training and prediction: threads that are there, forks, and a caller who finds all as it
was."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_runs import arguments, break_off, examples, settings

from custom_bert import Classifier, TrainResult, openmp, train_model
from custom_bert.errors import ConfigError, CustomBertWarning, RunError, UserError
from custom_bert.inference import in_order
from custom_bert.training import decisions, fit

ROOT = Path(__file__).resolve().parents[2]
needs_openmp = pytest.mark.skipif(openmp._library() is None, reason="this build of torch has no OpenMP")


@pytest.fixture(scope="module")
def wide(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of matrices that are large enough for torch to divide among threads."""
    directory = tmp_path_factory.mktemp("process") / "wide"
    train_model(settings(data, directory, **{"model.hidden_size": 256, "optim.epochs": 1}))
    return directory


def python(code: str, **given: str) -> tuple[str, str]:
    """Standard output and error of a program that is not one of ours."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")} | given
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        text=True,
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


# Threads


@needs_openmp
def test_a_library_call_trains_in_fp32_where_openmp_may_withhold_threads(data: Path, tmp_path: Path) -> None:
    wanted = {"runtime.precision": "bf16", "runtime.threads": 2, "optim.epochs": 1}
    config = settings(data, tmp_path / "run", **wanted)
    out, _ = python(f"from custom_bert import train_model; train_model({config!r})", OMP_DYNAMIC="true")
    assert out.count("fp32 is taken instead of bf16") == 1
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["config"]["runtime.precision"] == "fp32"
    # the same command finds the run, though what it asked for is not what it got
    assert train_model(settings(data, tmp_path / "run", **wanted)).steps == 0


@needs_openmp
@pytest.mark.parametrize("given", [{"OMP_DYNAMIC": "true"}, {"OMP_THREAD_LIMIT": "1"}])
def test_a_program_trains_in_bf16_within_the_limits(
    data: Path, tmp_path: Path, given: dict[str, str]
) -> None:
    config = settings(data, tmp_path / "run", **{"runtime.precision": "bf16", "runtime.threads": None})
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")} | given
    out = subprocess.check_output(
        [sys.executable, "-m", "custom_bert", "train", *arguments({**config, "optim.epochs": 1})],
        env=environment,
        text=True,
        cwd=ROOT,
    )
    assert "instead of bf16" not in out
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["config"]["runtime.precision"] == "bf16"
    if "OMP_THREAD_LIMIT" in given:
        assert record["config"]["runtime.threads"] == 1
        assert {"name": "runtime.threads", "value": 1, "reason": "OMP_THREAD_LIMIT"} in record["choices"]


def test_more_threads_than_the_limit_are_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    with pytest.raises(ConfigError, match=r"runtime.threads 2: OMP_THREAD_LIMIT is 1; lower the one"):
        train_model(settings(data, tmp_path / "run", **{"runtime.threads": 2}))


PREDICT = """
import ctypes, json, sys, torch, warnings
from custom_bert import Classifier, openmp
from custom_bert.errors import CustomBertWarning
torch.set_num_threads(2)
texts = ["a dog barks in the yard", "snow covers all near the river"] * 64
exact = Classifier.load(sys.argv[1]).predict_proba(texts)
doubted = Classifier.load(sys.argv[1], precision="bf16")
{turn_on}
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    found = [doubted.predict_proba(texts) for _ in range(2)]
print(json.dumps([float(abs(found[1] - exact).max()), [str(one.message) for one in said]]))
"""


@needs_openmp
@pytest.mark.parametrize(
    ("given", "turn_on"),
    [({"OMP_THREAD_LIMIT": "1"}, ""), ({}, "openmp._library().omp_set_dynamic(1)")],
)
def test_predictions_in_bf16_are_right_where_threads_are_withheld(
    run: Path, given: dict[str, str], turn_on: str
) -> None:
    code = PREDICT.replace("{turn_on}", turn_on).replace("sys.argv[1]", repr(str(run)))
    out, _ = python(code, **given)
    difference, said = json.loads(out)
    assert difference == 0
    assert len(said) == 1 and said[0].startswith("fp32 is taken instead of bf16")


def test_loading_computes_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "custom_bert.inference.encoder_scores.sound_precision", lambda *_: pytest.fail("asked")
    )
    Classifier.load(run, precision="bf16")


# A run goes on in the precision that it began with


class StopError(Exception):
    pass


@pytest.fixture
def begun(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A run that a rule had begin in bf16, with a checkpoint."""
    config = settings(data, tmp_path / "run", **{"runtime.precision": None, "runtime.checkpoint_every": 2})
    monkeypatch.setattr(decisions, "choose_precision", lambda *_: ("bf16", "for the test"))
    break_off(config, step=4)
    monkeypatch.undo()
    return config


def test_a_run_goes_on_in_the_precision_that_it_began_with(
    begun: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(decisions, "choose_precision", lambda *_: ("fp32", "for the test"))
    train_model(begun)
    out = capsys.readouterr().out
    assert "runtime.precision stays bf16, as the run began; this machine would take fp32" in out
    record = json.loads((Path(begun["out"]) / "run.json").read_text())
    assert record["config"]["runtime.precision"] == "bf16" and record["status"] == "finished"
    (choice,) = (one for one in record["choices"] if one["name"] == "runtime.precision")
    assert choice["value"] == "bf16" and choice["reason"] == "as the run began"


def test_a_run_stops_with_one_line_where_it_cannot_go_on_in_its_precision(
    begun: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "choose_precision", lambda *_: ("fp32", "for the test"))
    said = "fp32 is taken instead of bf16, which would compute wrong numbers: for the test"
    monkeypatch.setattr("custom_bert.training.identity.sound_precision", lambda *_: ("fp32", said))
    before = {path: path.read_bytes() for path in Path(begun["out"]).rglob("*") if path.is_file()}
    with pytest.raises(RunError) as raised:
        train_model(begun)
    assert "\n" not in str(raised.value)
    assert "began with runtime.precision bf16, and cannot go on in this process" in str(raised.value)
    assert before == {path: path.read_bytes() for path in Path(begun["out"]).rglob("*") if path.is_file()}


# Forks


FORK = """
import os, sys, threading, warnings, faulthandler
from custom_bert import Classifier, Embedder
count = lambda: len(os.listdir("/proc/self/task"))
import numpy, torch
texts = ["a dog barks"] * 64
before = count()
loaded = {
    "fp32": Classifier.load(RUN, precision="fp32"),
    "bf16": Classifier.load(RUN, precision="bf16"),
    "vectors": Embedder.load(RUN),
}
assert count() == before, (before, count())
def work(name):
    return len(loaded[name].embed(texts) if name == "vectors" else loaded[name].predict(texts))
def in_a_child(name):
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(30, exit=True)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            done = work(name), work(name)
        print(name, *done, len(said), *(str(one.message)[:40] for one in said[:1]), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
for name in loaded:
    in_a_child(name)
for name in ("fp32", "bf16"):
    work(name)
    in_a_child(name)
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")


@linux
def test_a_forked_child_predicts_and_embeds(wide: Path) -> None:
    """As gunicorn --preload does it; a child of a process that has predicted already has one thread."""
    out, _ = python(FORK.replace("RUN", repr(str(wide))), TOKENIZERS_PARALLELISM="false")
    assert out.splitlines() == [
        "fp32 64 64 0",
        "bf16 64 64 0",
        "vectors 64 64 0",
        "fp32 64 64 1 this process was forked from one that ha",
        "bf16 64 64 1 this process was forked from one that ha",
    ]


@linux
def test_a_forked_child_trains_after_its_parent_has_trained(data: Path, tmp_path: Path) -> None:
    first = settings(data, tmp_path / "one", **{"runtime.threads": 2, "optim.epochs": 1})
    second = settings(data, tmp_path / "two", **{"runtime.threads": 2, "optim.epochs": 1})
    out, _ = python(
        "import os, faulthandler\n"
        "from custom_bert import train_model\n"
        f"train_model({first!r})\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    faulthandler.dump_traceback_later(60, exit=True)\n"
        f"    train_model({second!r})\n"
        "    os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0",
        TOKENIZERS_PARALLELISM="false",
    )
    assert out.count("this process was forked from one that had computed") == 1
    record = json.loads((tmp_path / "two" / "run.json").read_text())
    assert record["status"] == "finished" and record["config"]["runtime.threads"] == 1


# The caller's process


def test_training_leaves_the_callers_process_as_it_was(data: Path, tmp_path: Path) -> None:
    torch.set_num_threads(2)
    torch.manual_seed(7)
    torch.use_deterministic_algorithms(True, warn_only=True)
    np.random.seed(7)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index,union-attr]

    def check() -> None:
        assert torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index,union-attr]

    try:
        train_model(settings(data, tmp_path / "run", **{"optim.epochs": 1}))
        check()
        with pytest.raises(UserError):
            train_model(settings(data, tmp_path / "other", **{"data.tokenizer": "x"}))
        check()
        with pytest.raises(ConfigError):
            train_model(
                settings(data, tmp_path / "third", **{"runtime.compile": True, "runtime.compile_mode": "x"})
            )
        check()
    finally:
        torch.use_deterministic_algorithms(False)


def test_training_on_a_cpu_loads_neither_torchs_compiler_nor_sympy(data: Path, tmp_path: Path) -> None:
    out, _ = python(
        "import sys\n"
        "from custom_bert import train_model\n"
        f"train_model({settings(data, tmp_path / 'run', **{'optim.epochs': 1})!r})\n"
        "heavy = ('sympy', 'mpmath', 'torch._inductor', 'torch._dynamo', 'transformers')\n"
        "print('loaded:', [name for name in heavy if name in sys.modules])"
    )
    assert "loaded: []" in out


def test_a_fault_in_the_middle_of_training_leaves_the_process_as_it_was(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*_: Any, **__: Any) -> Any:
        torch.rand(3)
        raise StopError

    monkeypatch.setattr(fit, "step_within_memory", step)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with pytest.raises(StopError):
        train_model(settings(data, tmp_path / "run", **{"runtime.threads": 2, "runtime.deterministic": True}))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == 1 and not torch.are_deterministic_algorithms_enabled()


# Text that the vocabulary does not know


def test_a_prediction_of_unknown_text_is_warned_of(run: Path) -> None:
    classifier = Classifier.load(run)
    texts = [*examples(10)[0], "ビールがおいしい", "a dog barks", "Ω"]
    with pytest.warns(CustomBertWarning, match=r"in 2 texts \(items 10, 12\) it is more than half") as said:
        classifier.predict(texts)
    assert len(said) == 1 and said[0].filename == __file__


# What a reviewer found


def test_bf16_is_asked_about_before_every_window(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two texts of a stream the caller's code runs, and may turn OpenMP's adjustment on."""
    monkeypatch.setattr("custom_bert.inference.chunks.CHUNK", 2)
    fault: list[str] = []
    monkeypatch.setattr(
        "custom_bert.inference.encoder_scores.sound_precision",
        lambda wanted, device: ("fp32", fault[0]) if fault else (wanted, None),
    )
    used: list[str] = []
    real = in_order.begin

    def begin(*positional: Any, **named: Any) -> Any:
        used.append(named["precision"])
        return real(*positional, **named)

    monkeypatch.setattr("custom_bert.inference.encoder_scores.begin", begin)
    classifier = Classifier.load(run, precision="bf16")
    stream = classifier.stream_proba(["a dog barks"] * 6)
    next(stream)
    fault.append("for the test")
    with pytest.warns(CustomBertWarning, match="for the test") as said:
        assert len(list(stream)) == 5
    assert used == ["bf16", "fp32", "fp32"] and len(said) == 1


def test_threads_that_are_given_other_precisions_do_not_disturb_each_other(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenMP's settings belong to a thread: one may have bf16 while another has fp32."""
    withheld = threading.local()
    monkeypatch.setattr(
        "custom_bert.inference.encoder_scores.sound_precision",
        lambda wanted, device: ("fp32", None) if getattr(withheld, "now", False) else (wanted, None),
    )
    classifier, texts = Classifier.load(run, precision="bf16"), ["a dog barks in the yard"] * 8
    expected = Classifier.load(run).predict_proba(texts)
    found: list[Any] = []

    def work(now: bool) -> None:
        withheld.now = now
        try:
            found.extend(np.abs(classifier.predict_proba(texts) - expected).max() for _ in range(30))
        except RuntimeError as error:
            found.append(error)

    workers = [threading.Thread(target=work, args=(i % 2 == 0,)) for i in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert len(found) == 120 and max(found) < 0.02


def test_loading_in_several_threads_leaves_their_number_of_threads(run: Path) -> None:
    torch.set_num_threads(2)
    counts: list[int] = []

    def work() -> None:
        for _ in range(5):
            Classifier.load(run)
        counts.append(torch.get_num_threads())

    for _ in range(3):
        workers = [threading.Thread(target=work) for _ in range(4)]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
    late = threading.Thread(target=lambda: counts.append(torch.get_num_threads()))
    late.start()
    late.join()
    assert counts == [2] * 13 and torch.get_num_threads() == 2


@linux
def test_a_forked_child_fine_tunes_and_predicts_whatever_its_parent_did(
    wide: Path, data: Path, tmp_path: Path
) -> None:
    """The parent was refused a training, and then it predicted; of each state a child."""
    changes = {"model.init_from": str(wide), "optim.epochs": 1, "optim.embedding_lr_factor": 1.0}
    named = ("model.hidden_size", "model.num_hidden_layers", "model.num_attention_heads")
    config = settings(data, None, **changes, **dict.fromkeys(named))
    refused = {**config, "model.hidden_size": 32, "out": str(tmp_path / "refused")}
    out, _ = python(
        "import os, faulthandler\n"
        "from custom_bert import Classifier, train_model\n"
        "from custom_bert.errors import ConfigError\n"
        "def in_a_child(out):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        faulthandler.dump_traceback_later(60, exit=True)\n"
        "        loaded.predict(['a dog barks'] * 64)\n"
        f"        print('trained', train_model({{**{config!r}, 'out': out}}).accuracy, flush=True)\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        f"loaded = Classifier.load({str(wide)!r})\n"
        "try:\n"
        f"    train_model({refused!r})\n"
        "    raise AssertionError\n"
        "except ConfigError:\n"
        f"    in_a_child({str(tmp_path / 'one')!r})\n"
        "loaded.predict(['a dog barks'] * 64)\n"
        f"in_a_child({str(tmp_path / 'two')!r})\n",
        TOKENIZERS_PARALLELISM="false",
    )
    assert sum(line.startswith("trained ") for line in out.splitlines()) == 2


@pytest.fixture(scope="module")
def in_bf16(data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    out = tmp_path_factory.mktemp("process") / "bf16"
    return train_model(settings(data, out, **{"runtime.precision": "bf16"}))


@pytest.mark.parametrize("mode", ["autocast", "no_grad", "inference_mode", "float64", "meta"])
def test_the_callers_modes_do_not_reach_training(
    data: Path, in_bf16: TrainResult, tmp_path: Path, mode: str
) -> None:
    modes: dict[str, Callable[[], Any]] = {
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "no_grad": torch.no_grad,
        "inference_mode": torch.inference_mode,
        "float64": contextlib.nullcontext,
        "meta": lambda: torch.device("meta"),
    }
    torch.set_default_dtype(torch.float64 if mode == "float64" else torch.float32)
    try:
        with modes[mode]():
            found = train_model(settings(data, tmp_path / "run", **{"runtime.precision": "bf16"}))
            assert torch.is_autocast_enabled("cpu") == (mode == "autocast")
            assert torch.get_default_device().type == ("meta" if mode == "meta" else "cpu")
        assert torch.get_default_dtype() == (torch.float64 if mode == "float64" else torch.float32)
    finally:
        torch.set_default_dtype(torch.float32)
    weights = [(one.directory / "model.safetensors").read_bytes() for one in (in_bf16, found)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("runtime.precision", ""),
        ("runtime.precision", "a\nb" * 200),
        ("runtime.precision", ["bf16"]),
        ("batch.token_budget", 10**30),
        ("labels", None),
        ("labels", {}),
    ],
)
def test_a_damaged_record_stops_the_run_with_one_line(begun: dict[str, Any], name: str, value: Any) -> None:
    path = Path(begun["out"]) / "run.json"
    record = json.loads(path.read_text())
    record["data" if name == "labels" else "config"][name] = value
    path.write_text(json.dumps(record))
    open_ = {**begun, "batch.token_budget": None}
    record["identity"]["settings"]["batch.token_budget"] = None
    path.write_text(json.dumps(record))
    with pytest.raises(RunError) as raised:
        train_model(open_ if name == "batch.token_budget" else begun)
    assert "damaged" in str(raised.value) and "\n" not in str(raised.value) and len(str(raised.value)) < 300
