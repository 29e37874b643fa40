"""What a run leaves in its directory: finished, interrupted, begun again, or damaged."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from e2e.test_locales import run_in
from training_runs import arguments, settings, write_data

from custom_bert import Classifier, train_model
from custom_bert.cli import main
from custom_bert.errors import RunError, UserError, WriteError
from custom_bert.model_files.native import write_weights
from custom_bert.training.identity import short_name
from custom_bert.training.log import Reporter

ROOT = Path(__file__).resolve().parents[2]


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_run_directory_holds_exactly_what_is_promised(run: Path) -> None:
    names = {"config.json", "model.safetensors", "tokenizer.json", "labels.json", "metrics.jsonl", "run.json"}
    assert {path.name for path in run.iterdir()} == names


def test_the_same_command_again_changes_nothing(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_of(run)
    result = train_model(settings(data, run))
    assert files_of(run) == before and result.steps == 0
    assert main(["train", *arguments(settings(data, run))]) == 0
    assert "this run is finished" in capsys.readouterr().out
    assert files_of(run) == before


def test_another_configuration_for_the_directory_is_refused_and_named(data: Path, run: Path) -> None:
    before = files_of(run)
    with pytest.raises(RunError, match=r"optim.epochs was 4, is 5"):
        train_model(settings(data, run, **{"optim.epochs": 5}))
    assert files_of(run) == before


def test_a_setting_that_a_run_did_not_know_counts_as_its_default(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = tmp_path / "older"
    shutil.copytree(run, older)
    record = json.loads((older / "run.json").read_text())
    del record["identity"]["settings"]["optim.whole_words"]
    (older / "run.json").write_text(json.dumps(record))
    assert train_model(settings(data, older)).steps == 0
    with pytest.raises(RunError, match=r"optim\.whole_words was False, is True"):
        train_model(settings(data, older, **{"optim.whole_words": True}))


def test_a_new_setting_leaves_the_names_of_runs_as_they_are() -> None:
    known = {"settings": {"seed": 1}, "data": {"train_texts": "x"}}
    name = short_name(known)
    assert short_name({**known, "settings": {"seed": 1, "optim.whole_words": False}}) == name
    assert short_name({**known, "settings": {"seed": 1, "optim.whole_words": True}}) != name
    assert short_name({**known, "settings": {"seed": 2}}) != name
    assert short_name({**known, "data": {"train_texts": "y"}}) != name


def test_changed_data_for_the_directory_is_refused(data: Path, run: Path, tmp_path: Path) -> None:
    other = write_data(tmp_path / "data", train=243)
    with pytest.raises(RunError, match="train texts changed"):
        train_model(settings(other, run))


def test_fresh_trains_in_a_numbered_sibling(data: Path, run: Path) -> None:
    before = files_of(run)
    result = train_model(settings(data, run), fresh=True)
    assert result.directory == run.with_name("run-2")
    assert files_of(run) == before
    assert (run.with_name("run-2") / "model.safetensors").read_bytes() == before["model.safetensors"]


def test_somebody_elses_directory_is_left_alone(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(RunError, match="not a run directory"):
        train_model(settings(data, tmp_path / "mine"))
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_without_out_the_name_is_a_function_of_settings_and_data(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = train_model(settings(data, None))
    again = train_model(settings(data, None))
    other = train_model(settings(data, None, seed=1))
    assert first.directory == again.directory != other.directory
    assert first.directory.parent == Path("runs") and again.steps == 0


def test_names_of_files_may_be_any_bytes(data: Path, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd \xff"))
    try:
        shutil.copytree(data, odd)
    except OSError:
        pytest.skip("this file system wants names in UTF-8")
    run = odd / "run"
    train = ["train", *arguments(settings(odd, run, **{"optim.epochs": 1}))]
    lines = [train, train, ["evaluate", str(run), str(odd)], ["info", str(run)], ["report", str(run)]]
    said = [run_in("utf-8", line) for line in lines]  # strict, as in most languages' locales
    assert [one.code for one in said] == [0] * 5, said
    assert os.fsencode(run) + b": this run is finished" in said[1].out
    assert json.loads((run / "run.json").read_text())["config"]["out"] == str(run)


def test_the_settings_that_a_record_holds_train_the_same_weights_again(run: Path, tmp_path: Path) -> None:
    """Then nothing is left to decide, and nothing to say about it."""
    record = json.loads((run / "run.json").read_text())
    attention = next(one["value"] for one in record["choices"] if one["name"] == "runtime.attention")
    given = {**record["config"], "runtime.attention": attention, "out": str(tmp_path / "again")}
    train_model(given, reporter=Reporter(verbose=True))
    assert json.loads((tmp_path / "again" / "run.json").read_text())["choices"] == []
    again, first = ((path / "model.safetensors").read_bytes() for path in (tmp_path / "again", run))
    assert again == first


def test_metrics_say_what_is_promised(run: Path) -> None:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    train = next(r for r in records if r["kind"] == "train")
    assert {
        "step",
        "epoch",
        "loss",
        "lr",
        "grad_norm",
        "tokens_per_second",
        "padding",
        "seconds",
    } <= train.keys()
    assert 0 <= train["padding"] < 1 and train["tokens_per_second"] > 0


def test_tensorboard_files_hold_the_same_numbers(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_model(settings(data, tmp_path / "run", **{"runtime.tensorboard": True}))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    records = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    wanted = [r["accuracy"] for r in records if r["kind"] == "eval"]
    assert [e.value for e in events.Scalars("eval/accuracy")] == pytest.approx(wanted)


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_keeps_the_last_evaluated_weights_and_a_checkpoint_and_says_where(
    data: Path, tmp_path: Path
) -> None:
    changes = {"optim.epochs": 5000, "optim.eval_every": 20}
    changes |= {"runtime.checkpoint_every": 0}  # none but the one that it asks for
    values = settings(data, tmp_path / "run", **changes)
    command = [sys.executable, "-u", "-m", "custom_bert", "train", *arguments(values)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            if "validation: accuracy" in line:
                break
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert f"--out {tmp_path}/run and the same settings continue it; the weights of step" in rest
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    assert Classifier.load(tmp_path / "run").predict(["a dog barks"])
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1


def test_weights_that_diverged_are_not_kept_and_the_directory_is_free_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from custom_bert.training import outcome

    real = outcome.measure

    def diverged(*args: Any, **kwargs: Any) -> Any:
        return dataclasses.replace(real(*args, **kwargs), loss=float("nan"))  # type: ignore[type-var]

    values = settings(data, tmp_path / "run", **{"optim.epochs": 1})
    monkeypatch.setattr(outcome, "measure", diverged)
    with pytest.raises(UserError, match=r"training diverged; lower optim\.lr$"):
        train_model(values)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(outcome, "measure", real)
    assert train_model(values | {"optim.lr": 1e-3}).directory == tmp_path / "run"


def test_a_finished_run_without_its_weights_is_no_success(data: Path, run: Path, tmp_path: Path) -> None:
    values = settings(data, tmp_path / "run", **{"optim.epochs": 1})
    train_model(values)
    (tmp_path / "run" / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"its model\.safetensors is missing; --fresh"):
        train_model(values)


def test_fresh_takes_an_empty_directory(data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert train_model(settings(data, tmp_path / "run", **{"optim.epochs": 1}), fresh=True).directory == (
        tmp_path / "run"
    )


def test_info_shows_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(run)]) == 0
    out = capsys.readouterr().out
    for word in ("finished", "accuracy", "animals", "train_dataset.txt", "optim.lr", "batch.plan"):
        assert word in out
    assert main(["info", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "finished"


def test_weights_that_cannot_be_written_are_not_called_kept(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up at the first evaluation leaves the directory free, later the weights before."""
    writes = []

    def write(directory: Path, state: object) -> tuple[int, str]:
        writes.append(directory)
        if len(writes) > allowed:
            raise WriteError(f"{directory}: cannot write: No space left on device")
        return write_weights(directory, state)  # type: ignore[arg-type]

    monkeypatch.setattr("custom_bert.training.run.write_weights", write)
    allowed = 0
    with pytest.raises(WriteError, match="No space left"):
        train_model(settings(data, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    allowed = 2
    with pytest.raises(WriteError, match="No space left"):
        train_model(settings(data, tmp_path / "run"))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    evaluations = [
        json.loads(line)
        for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
        if '"eval"' in line
    ]
    assert record["status"] == "interrupted" and record["best_step"] == evaluations[-1]["step"]
    assert Classifier.load(tmp_path / "run").labels


def test_ctrl_c_while_the_result_is_printed_leaves_a_finished_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("custom_bert.tasks.classification.score_lines", stop)
    with pytest.raises(KeyboardInterrupt):
        train_model(settings(data, tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


def test_an_error_in_the_last_evaluation_does_not_leave_a_run_that_seems_to_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(directory: Path, **options: Any) -> None:
        raise RunError(f"{directory}: cannot read")

    monkeypatch.setattr("custom_bert.training.outcome.read_run_weights", fail)
    with pytest.raises(RunError, match="cannot read"):
        train_model(settings(data, tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"


def test_damage_of_a_finished_run_is_noticed_when_it_is_loaded(run: Path, tmp_path: Path) -> None:
    for name, told in (
        ("model.safetensors", "its content is not what was written"),
        ("tokenizer.json", "not the"),
    ):
        copy = tmp_path / name
        shutil.copytree(run, copy)
        content = bytearray((copy / name).read_bytes())
        at = content.rindex(b"engine") if name == "tokenizer.json" else len(content) - 1
        content[at] ^= 1
        (copy / name).write_bytes(content)
        with pytest.raises(RunError, match=rf"{name}: damaged: {told}"):
            Classifier.load(copy)
