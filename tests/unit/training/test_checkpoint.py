"""Runs that are continued: when a checkpoint is due, what is told, what is refused. Kills: tests/torture."""

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import settings, write_data, write_lines

from custom_bert import files, machine, train_model
from custom_bert.errors import RunError, UserError
from custom_bert.training import checkpoint, fit, loop, state_tensors
from custom_bert.training import pace as pace_module
from custom_bert.training.pace import Pace


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("continued") / "data", train=90, val=30)


pytestmark = pytest.mark.usefixtures("ctrl_c")


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Ctrl-C in the n-th step of this process; 0 for never."""
    real, at, done = fit.step_within_memory, 0, 0

    def step(*arguments: Any, **options: Any) -> Any:
        nonlocal done
        result = real(*arguments, **options)
        done += 1
        if done == at:
            os.kill(os.getpid(), signal.SIGINT)
        return result

    def stop(number: int) -> None:
        nonlocal at, done
        at, done = number, 0

    monkeypatch.setattr(fit, "step_within_memory", step)
    return stop


def stopped(values: dict[str, Any], stop_at: Callable[[int], None], step: int) -> None:
    stop_at(step)
    with pytest.raises(KeyboardInterrupt):
        train_model(values)
    stop_at(0)


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def test_a_number_of_steps_or_never() -> None:
    assert [step for step in range(1, 10) if Pace(3).due(step)] == [3, 6, 9]
    assert not any(Pace(0).due(step) for step in range(1, 10))


def test_saving_takes_its_share_of_the_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(pace_module.time, "perf_counter", lambda: now)
    pace, saves = Pace(None), 0
    while now < 100_000:
        now += 1.0
        if pace.due(1):
            now += 4.0  # a save
            pace.saved(4.0)
            saves += 1
    assert 4 * saves / now == pytest.approx(pace_module.SHARE, rel=0.05)
    pace = Pace(None)
    pace.saved(0.001)
    now += pace_module.SECONDS - 1
    assert not pace.due(1)
    now += 1
    assert pace.due(1)


def test_a_finished_run_has_no_checkpoints(data: Path, tmp_path: Path) -> None:
    train_model(settings(data, tmp_path / "run", **{"runtime.checkpoint_every": 1, "optim.epochs": 1}))
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_two_checkpoints_stay(data: Path, tmp_path: Path, stop_at: Callable[[int], None]) -> None:
    stopped(settings(data, tmp_path / "run", **{"runtime.checkpoint_every": 1}), stop_at, 6)
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["000005-train-5", "000006-train-6"]


def test_stopping_early_is_continued(data: Path, tmp_path: Path, stop_at: Callable[[int], None]) -> None:
    changes = {"optim.patience": 6, "optim.eval_every": 3, "optim.epochs": 40, "model.hidden_dropout": 0.2}
    whole = train_model(settings(data, tmp_path / "whole", **changes))
    assert whole.steps < 40 * 6
    values = settings(data, tmp_path / "run", **changes)
    stopped(values, stop_at, whole.step + 4)
    found = train_model(values)
    assert (found.step, found.steps) == (whole.step, whole.steps)
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_a_request_during_an_evaluation_is_obeyed_there_and_the_evaluation_done_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, values = settings(data, tmp_path / "whole"), settings(data, tmp_path / "run")
    train_model(whole)
    real, calls = fit.evaluate_now, 0

    def evaluate(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(fit, "evaluate_now", evaluate)
    with pytest.raises(KeyboardInterrupt):
        train_model(values)
    (saved,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert json.loads((saved / "state.json").read_text())["progress"]["evaluation_due"]
    train_model(values)

    def evaluations(run: Path) -> list[tuple[int, float]]:
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return [(line["step"], line["loss"]) for line in lines if line["kind"] == "eval"]

    assert evaluations(tmp_path / "run") == evaluations(tmp_path / "whole")


def test_what_bits_depend_on_is_told_and_training_goes_on(
    data: Path, tmp_path: Path, stop_at: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    values = settings(data, tmp_path / "run")
    stopped(values, stop_at, 5)
    capsys.readouterr()
    train_model({**values, "runtime.threads": 2})
    out = capsys.readouterr().out
    assert (
        "warning: since the checkpoint the threads was 1, is 2: the result may not be the same bit for bit"
        in out
    )
    assert "continues after step 5 of training, from 000001-train-5" in out
    facts = machine.description(torch.device("cpu"))
    assert set(checkpoint.SAME_BITS) - {"custom_bert", "source", "ranks"} <= facts.keys()


def test_another_machine_finds_the_run_and_keeps_its_plan(
    data: Path,
    tmp_path: Path,
    stop_at: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a rule takes from the machine is no part of the run, but its place in the plan counts by it."""
    monkeypatch.chdir(tmp_path)
    open_ = dict.fromkeys(("batch.token_budget", "runtime.precision", "optim.eval_every"))
    values = {**settings(data, None), **open_}
    with monkeypatch.context() as small:
        small.setattr(machine, "memory_of", lambda device: 1 << 20)
        whole = train_model({**values, "out": str(tmp_path / "whole")})
        stopped(values, stop_at, 5)
    record = json.loads((whole.directory / "run.json").read_text())
    budget = record["config"]["batch.token_budget"]
    capsys.readouterr()
    result = train_model(values)
    out = capsys.readouterr().out
    assert f"warning: batch.token_budget stays {budget}, as the run began; this machine would take 512" in out
    assert "continues after step 5 of training" in out
    assert weights(result.directory) == weights(whole.directory)
    assert train_model(values).steps == 0, "the run is finished"
    with pytest.raises(RunError, match=rf"batch.token_budget was {budget}, is 512"):
        train_model({**values, "batch.token_budget": 512, "out": str(result.directory)})
    assert train_model({**values, "batch.token_budget": budget, "out": str(result.directory)}).steps == 0


def test_another_device_has_generators_that_the_checkpoint_does_not_know(
    data: Path, tmp_path: Path, stop_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = settings(data, tmp_path / "run")
    stopped(values, stop_at, 5)
    real = state_tensors.random_state
    more = {"random.cuda": torch.zeros(16, dtype=torch.uint8)}
    monkeypatch.setattr(checkpoint, "random_state", lambda device: {**real(device), **more})
    assert train_model(values).steps > 5


def test_changed_data_and_settings_are_refused_by_name(
    tmp_path: Path, stop_at: Callable[[int], None]
) -> None:
    folder = write_data(tmp_path / "data", train=90, val=30)
    values = settings(folder, tmp_path / "run")
    stopped(values, stop_at, 5)
    with pytest.raises(RunError, match=r"holds another run \(optim\.lr was 0\.003, is 0\.001\)"):
        train_model({**values, "optim.lr": 1e-3})
    labels = (folder / "train_labels.txt").read_text().splitlines()
    write_lines(folder / "train_labels.txt", [labels[1], *labels[1:]])
    with pytest.raises(RunError, match=r"holds another run \(train labels changed\)"):
        train_model(values)


def test_a_spoilt_checkpoint_is_passed_over_with_a_warning(
    data: Path, tmp_path: Path, stop_at: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = settings(data, tmp_path / "whole", **{"model.hidden_dropout": 0.1})
    train_model(whole)
    values = settings(data, tmp_path / "run", **{"runtime.checkpoint_every": 2, "model.hidden_dropout": 0.1})
    stopped(values, stop_at, 7)
    newest = tmp_path / "run" / "checkpoints" / "000004-train-7"
    (newest / "optimizer.safetensors").write_bytes(b"spoilt")
    capsys.readouterr()
    train_model(values)
    out = capsys.readouterr().out
    assert f"warning: {newest}/optimizer.safetensors: damaged" in out and "from 000003-train-6" in out
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_without_a_checkpoint_a_run_begins_again(
    data: Path, tmp_path: Path, stop_at: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    whole, values = settings(data, tmp_path / "whole"), settings(data, tmp_path / "run")
    train_model(whole)
    stopped(values, stop_at, 7)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    capsys.readouterr()
    train_model(values)
    assert "has no checkpoint; it begins again" in capsys.readouterr().out
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_a_checkpoint_of_another_run_is_not_taken(
    data: Path, tmp_path: Path, stop_at: Callable[[int], None]
) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        stopped(settings(data, tmp_path / name, seed=seed), stop_at, 5)
    shutil.rmtree(tmp_path / "a" / "checkpoints")
    shutil.copytree(tmp_path / "b" / "checkpoints", tmp_path / "a" / "checkpoints")
    with pytest.raises(RunError, match="the checkpoint of another run; no checkpoint of this run is left"):
        train_model(settings(data, tmp_path / "a", seed=1))


def test_ctrl_c_before_the_first_step_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = state_tensors.begin_moments

    def begin(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        real(*arguments)

    monkeypatch.setattr(fit, "begin_moments", begin)
    with pytest.raises(KeyboardInterrupt):
        train_model(settings(data, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_sigterm_ends_with_its_code(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    real = fit.step_within_memory

    def step(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments, **options)

    monkeypatch.setattr(fit, "step_within_memory", step)
    try:
        with pytest.raises(SystemExit) as caught:
            train_model(settings(data, tmp_path / "run"))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught.value.code == 143
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1


def test_a_directory_that_is_trained_into_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with (
        files.locked(tmp_path / "run"),
        pytest.raises(RunError, match="another process trains into it; wait for it, or choose another --out"),
    ):
        train_model(settings(data, tmp_path / "run"))


def test_names_that_are_not_checkpoints_stay(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints" / "mine"
    folder.mkdir(parents=True)
    checkpoint.discard(tmp_path / "run")
    assert folder.is_dir() and not checkpoint.exists(tmp_path / "run")


def test_the_first_checkpoint_waits_for_what_its_size_will_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(pace_module.time, "perf_counter", lambda: now)
    pace = Pace(None, size=int(2 * pace_module.DISK))
    now = 2 / pace_module.SHARE - 1
    assert not pace.due(1)
    now += 1
    assert pace.due(1)


def test_checkpoints_of_a_run_that_diverges_stay_and_are_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from custom_bert.tasks.token_scorer import TokenCrossEntropy

    real, calls = TokenCrossEntropy.loss_sum, 0

    def broken(*arguments: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1  # the estimate makes two
        return real(*arguments) + (float("nan") if calls > 8 else 0.0)

    monkeypatch.setattr(TokenCrossEntropy, "loss_sum", broken)
    changes = {"optim.pretrain_epochs": 3, "runtime.checkpoint_every": 2}
    with pytest.raises(UserError, match=r"lower optim\.lr; the last checkpoint is .*000004-pretrain-8$"):
        train_model(settings(data, tmp_path / "run", **changes))
    assert checkpoint.exists(tmp_path / "run")


def test_best_weights_that_a_disk_spoils_are_not_certified(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop.finish

    def finish(*arguments: Any) -> Any:
        path = tmp_path / "run" / "model.safetensors"
        content = bytearray(path.read_bytes())
        content[-2] ^= 1
        path.write_bytes(content)
        return real(*arguments)

    monkeypatch.setattr(loop, "finish", finish)
    with pytest.raises(RunError, match=r"model\.safetensors: damaged: its content is not what was written"):
        train_model(settings(data, tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"


def test_a_request_in_the_last_evaluation_is_continued_there(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, values = settings(data, tmp_path / "whole"), settings(data, tmp_path / "run")
    train_model(whole)
    real = loop.finish

    def finish(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(loop, "finish", finish)
    with pytest.raises(KeyboardInterrupt):
        train_model(values)
    monkeypatch.setattr(loop, "finish", real)
    capsys.readouterr()
    train_model(values)
    before, continues, after = capsys.readouterr().out.partition("continues after step")
    assert continues and "begins again" not in before
    assert "validation: accuracy" not in after.split("label")[0]
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_a_checkpoint_from_before_empty_steps_were_counted_is_read(
    data: Path, tmp_path: Path, stop_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, values = settings(data, tmp_path / "whole"), settings(data, tmp_path / "run")
    train_model(whole)
    with monkeypatch.context() as before:
        real = dataclasses.asdict
        without = lambda value: {k: v for k, v in real(value).items() if k not in checkpoint.NEWER}  # noqa: E731
        before.setattr(checkpoint.dataclasses, "asdict", without)
        stopped(values, stop_at, 5)
    (saved,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert "empty" not in json.loads((saved / "state.json").read_text())["progress"]
    train_model(values)
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
