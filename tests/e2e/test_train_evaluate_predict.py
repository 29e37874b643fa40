"""Four files -> train -> reload -> evaluate = what training printed -> predict in input order."""

import dataclasses
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_runs import arguments, examples, ready, settings, write_data, write_lines

from custom_bert import Classifier, TrainConfig, train_model
from custom_bert.checkpoints.native import write_weights
from custom_bert.cli import COMMANDS, main
from custom_bert.config_sources import from_mapping
from custom_bert.errors import ConfigError, DataError, RunError, UserError, WriteError
from custom_bert.rules import choices
from custom_bert.training import decisions, fit
from custom_bert.training.phases import Phase
from custom_bert.training.state import State

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("module") / "data")


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    train_model(settings(data, data.parent / "run"))
    return data.parent / "run"


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_run_directory_holds_exactly_what_is_promised(run: Path) -> None:
    names = {"config.json", "model.safetensors", "tokenizer.json", "labels.json", "metrics.jsonl", "run.json"}
    assert {path.name for path in run.iterdir()} == names


def test_evaluating_again_gives_what_training_printed(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = json.loads((run / "run.json").read_text())["validation"]
    assert main(["evaluate", str(run), str(data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["confusion_matrix"] == trained["confusion_matrix"]
    assert found["accuracy"] == trained["accuracy"] and found["macro_f1"] == trained["macro_f1"]
    assert found["examples"] == 60 and set(found["per_class"]) == set(found["labels"])


def test_predictions_are_in_input_order_and_independent_of_company(data: Path, run: Path) -> None:
    classifier = Classifier.load(run)
    texts, labels = examples(1000, seed=3)
    together = classifier.predict(texts)
    assert len(together) == 1000
    assert np.mean([p.label == label for p, label in zip(together, labels, strict=True)]) >= 0.95
    for i in (0, 1, 499, 999):
        (alone,) = classifier.predict([texts[i]])
        assert alone.label == together[i].label
        assert alone.probability == pytest.approx(together[i].probability, abs=1e-5)
    backwards = classifier.predict(texts[::-1])
    assert [p.label for p in backwards[::-1]] == [p.label for p in together]


def test_probabilities_sum_to_one_and_agree_with_labels(run: Path) -> None:
    classifier = Classifier.load(run)
    texts = ["a dog barks", "", "snow covers all " * 500, "\u2028", "a猫"]
    probabilities = classifier.predict_proba(texts)
    assert probabilities.shape == (5, 3)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    best = [classifier.labels[i] for i in probabilities.argmax(1)]
    assert best == [p.label for p in classifier.predict(texts)]
    assert classifier.predict([]) == [] and classifier.predict_proba([]).shape == (0, 3)


def test_what_is_no_text_is_named_by_its_place(run: Path) -> None:
    classifier = Classifier.load(run)
    for wrong in (float("nan"), None, ("a", "b"), b"bytes"):
        with pytest.raises(TypeError, match=r"text 1: expected a string, got"):
            classifier.predict(["a text", wrong])  # type: ignore[list-item]


def test_a_single_string_is_refused(run: Path) -> None:
    with pytest.raises(TypeError, match="list of texts"):
        Classifier.load(run).predict("a dog barks")


def test_a_stream_is_read_as_it_is_predicted(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from custom_bert.inference import in_order as module

    monkeypatch.setattr(module, "WINDOW", 4)
    taken = 0

    def source():  # type: ignore[no-untyped-def]
        nonlocal taken
        for text in examples(20)[0]:
            taken += 1
            yield text

    stream = Classifier.load(run).stream(source())
    next(stream)
    assert taken == 4
    assert len(list(stream)) == 19


def test_one_line_out_for_one_line_in(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["a dog barks", "", "snow covers\u2028all", "the pump leaks\r"]
    (tmp_path / "texts.txt").write_bytes("\n".join(texts).encode())  # no newline at the end
    assert main(["predict", str(run), str(tmp_path / "texts.txt")]) == 0
    lines = capsys.readouterr().out.split("\n")[:-1]
    assert len(lines) == 4
    assert all(re.fullmatch(r"(animals|machines|weather)\t[01]\.\d{6}", line) for line in lines)
    assert main(["predict", str(run), str(tmp_path / "texts.txt"), "--json", "--all-probabilities"]) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line, value in zip(lines, objects, strict=True):
        assert value["label"] == line.split("\t")[0]
        assert max(value["probabilities"], key=value["probabilities"].get) == value["label"]
    assert main(["predict", str(run), str(tmp_path / "texts.txt"), "--all-probabilities"]) == 0
    for line, row in zip(lines, capsys.readouterr().out.splitlines(), strict=True):
        assert len(row.split("\t")) == 6 and row.split("\t")[:2] == line.split("\t")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_of_predictions_is_a_switch(
    precision: Any, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, _ = examples(60, seed=5)
    exact = Classifier.load(run).predict_proba(texts)
    found = Classifier.load(run, precision=precision).predict_proba(texts)
    difference = np.abs(found - exact).max()
    assert difference == 0 if precision == "fp32" else 0 < difference < 0.02
    write_lines(tmp_path / "texts.txt", texts)
    assert main(["predict", str(run), str(tmp_path / "texts.txt"), "--precision", precision]) == 0
    said = [float(line.split("\t")[1]) for line in capsys.readouterr().out.splitlines()]
    assert np.abs(np.array(said) - found.max(axis=1)).max() < 1e-5


def test_matrices_rounded_once_predict_what_autocast_does_bit_for_bit(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, _ = examples(60, seed=5)
    rounded = Classifier.load(run, precision="bf16")
    found = rounded.predict_proba(texts)  # the first use rounds
    assert rounded.model.head.projection.weight.dtype is torch.bfloat16
    assert rounded.model.encoder.embeddings.token.weight.dtype is torch.float32
    monkeypatch.setattr("custom_bert.inference.classifier.round_matrices", lambda *_: None)
    each_time = Classifier.load(run, precision="bf16")
    assert (found == each_time.predict_proba(texts)).all()
    assert each_time.model.head.projection.weight.dtype is torch.float32


def test_predictions_in_fp16_on_a_cpu_are_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match="fp16 is 10 x slower"):
        Classifier.load(run, device="cpu", precision="fp16")


def test_predict_reads_standard_input(run: Path) -> None:
    command = [sys.executable, "-m", "custom_bert", "predict", str(run)]
    done = subprocess.run(
        command, input=b"a dog barks\nsnow covers all\n", capture_output=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0 and done.stderr == b""
    assert done.stdout.count(b"\n") == 2
    nothing = subprocess.run(command, input=b"", capture_output=True, cwd=ROOT, check=False)
    assert (nothing.returncode, nothing.stdout) == (0, b"")


def test_a_line_of_standard_input_is_answered_before_the_next_comes(run: Path) -> None:
    command = [sys.executable, "-m", "custom_bert", "predict", str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdin and process.stdout
        for text in (b"a dog barks\n", b"snow covers all\n"):
            process.stdin.write(text)
            process.stdin.flush()
            assert select.select([process.stdout], [], [], 60)[0], "no answer"
            assert process.stdout.readline().count(b"\t") == 1
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_reader_that_goes_away_ends_predict_quietly(run: Path) -> None:
    command = [sys.executable, "-m", "custom_bert", "predict", str(run), "--all-probabilities"]
    reading, writing = os.pipe()
    os.close(reading)
    text = b"a dog barks\n" * 3000
    done = subprocess.run(command, input=text, stdout=writing, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_without_standard_output_a_run_trains(data: Path, tmp_path: Path) -> None:
    """As under a supervisor that gives none."""
    command = [sys.executable, "-m", "custom_bert", "train", *arguments(settings(data, tmp_path / "run"))]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command], stderr=subprocess.PIPE, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert name in said and ("--optim.lr" in said) == (name in ("train", "pretrain"))


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


def test_no_validation_files_sets_a_tenth_aside_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path / "data", val=None)
    train_model(settings(data, tmp_path / "run"))
    assert "24 of 240 lines are set aside, stratified by label" in capsys.readouterr().out
    trained = json.loads((tmp_path / "run" / "run.json").read_text())
    assert trained["data"]["val_set_aside_from_train"] is True
    assert main(["evaluate", str(tmp_path / "run"), str(data), "--json"]) == 0
    assert (
        json.loads(capsys.readouterr().out)["confusion_matrix"] == trained["validation"]["confusion_matrix"]
    )
    assert main(["evaluate", str(tmp_path / "run"), str(data), "--json", "--split", "train"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 216
    write_lines(data / "train_dataset.txt", examples(240, seed=9)[0])
    assert main(["evaluate", str(tmp_path / "run"), str(data)]) == 65
    assert "cannot be identified" in capsys.readouterr().err


def test_validation_files_that_came_later_do_not_make_held_out_rows_training_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path / "data", val=None)
    train_model(settings(data, tmp_path / "run"))
    write_data(tmp_path / "other")
    for name in ("val_dataset.txt", "val_labels.txt"):
        shutil.copy(tmp_path / "other" / name, data / name)
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), str(data), "--json", "--split", "train"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 216


def test_training_rows_are_never_evaluated_as_validation_rows(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path / "data")
    count = len((data / "train_labels.txt").read_text().splitlines())
    for name in ("val_dataset.txt", "val_labels.txt"):
        (data / name).unlink()
    assert main(["evaluate", str(run), str(data)]) == 65
    said = capsys.readouterr()
    assert not said.out and "set no rows aside" in said.err and said.err.count("\n") == 1
    assert main(["evaluate", str(run), str(data), "--json", "--split", "train"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == count


def test_evaluate_names_the_line_of_an_unknown_label(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path / "data")
    labels = (data / "val_labels.txt").read_text().split("\n")[:-1]
    write_lines(data / "val_labels.txt", [*labels[:6], "animal", *labels[7:]])
    assert main(["evaluate", str(run), str(data)]) == 65
    error = capsys.readouterr().err
    assert error.startswith(f"error: {data}/val_labels.txt:7: ") and "did you mean 'animals'?" in error


def test_a_second_run_uses_the_tokenised_data(data: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from custom_bert.data.tokenizer import TextTokenizer

    def refuse(*_: object) -> None:
        raise AssertionError("tokenised again")

    monkeypatch.setattr(TextTokenizer, "encode", refuse)
    train_model(settings(data, data.parent / "cached", seed=4))


def test_command_line_counts_more_than_config_file_and_config_file_more_than_preset(
    data: Path, tmp_path: Path
) -> None:
    values = settings(data, tmp_path / "run", **{"optim.epochs": 2, "model.hidden_dropout": 0.3, "seed": 5})
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert main(["train", "--config", str(tmp_path / "config.json"), "--seed", "6"]) == 0
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert (config["seed"], config["optim.epochs"]) == (6, 2)
    assert config["model.hidden_dropout"] == 0.3 and config["model.norm"] == "pre"


def test_the_command_line_reads_no_config_file_unless_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.py").write_text("raise SystemExit('read without being asked')")
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments(settings(data, tmp_path / "run"))]) == 0


def test_three_lines_train_with_the_module_and_no_main_guard(data: Path, tmp_path: Path) -> None:
    values = settings(data, tmp_path / "run")
    (tmp_path / "train.py").write_bytes((ROOT / "train.py").read_bytes())
    (tmp_path / "config.py").write_text(f"def get_config():\n    return {values!r}\n")
    (tmp_path / "three.py").write_text(
        "from train import train_model\nimport config\ntrain_model(config)\nprint('once')\n"
    )
    done = subprocess.run(
        [sys.executable, "three.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("once") == 1 and "accuracy" in done.stdout
    again = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0 and "this run is finished" in again.stdout


def test_a_config_object_works_too(data: Path, tmp_path: Path) -> None:
    from custom_bert.config_sources import from_mapping

    config = from_mapping(settings(data, tmp_path / "run", **{"optim.epochs": 1}))
    assert isinstance(config, TrainConfig)
    assert train_model(config).directory == tmp_path / "run"


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("legacy", {"batch.token_budget": None, "runtime.precision": None}),
        ("custom", {"batch.plan": "packed"}),
        ("custom", {"runtime.precision": "bf16", "batch.accumulation": 2}),
        ("custom", {"model.position": "sinusoidal", "model.hidden_act": "relu", "model.pooling": "mean"}),
        (
            "custom",
            {"optim.class_weights": "balanced", "optim.metric": "macro_f1", "optim.label_smoothing": 0.1},
        ),
        ("custom", {"optim.r_drop": 6.0, "optim.token_dropout": 0.1}),
        ("custom", {"batch.plan": "packed", "optim.r_drop": 6.0}),
        ("custom", {"runtime.skip_unread": False, "optim.embedding_lr_factor": 0.5}),
        ("legacy", {"batch.token_budget": None, "runtime.skip_unread": True}),
        ("legacy", {"batch.token_budget": None, "optim.r_drop": 6.0}),
        ("modern", {"model.local_attention": 4, "model.num_hidden_layers": 4}),
        ("modern", {"batch.plan": "packed", "model.pooling": "cls", "optim.schedule": "linear"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(str(v) for v in value.values()),
)
def test_every_switch_trains_saves_and_reloads(
    data: Path, tmp_path: Path, preset: str, changes: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train_model(settings(data, tmp_path / "run", preset=preset, **{"optim.epochs": 6} | changes))
    assert result.accuracy > 0.6
    assert main(["evaluate", str(tmp_path / "run"), str(data), "--json"]) == 0
    out = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(out)["accuracy"] == result.accuracy


def test_early_stopping_keeps_the_best_weights(data: Path, tmp_path: Path) -> None:
    result = train_model(
        settings(data, tmp_path / "run", **{"optim.epochs": 60, "optim.patience": 20, "optim.eval_every": 5})
    )
    assert result.steps < 400 and result.steps - result.step >= 20
    records = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    evaluations = {r["step"]: r["accuracy"] for r in records if r["kind"] == "eval"}
    assert result.accuracy == max(evaluations.values()) == evaluations[result.step]


def test_max_minutes_finishes_the_schedule_in_time(data: Path, tmp_path: Path) -> None:
    begun = time.perf_counter()
    train_model(settings(data, tmp_path / "run", **{"optim.epochs": 100_000, "optim.max_minutes": 0.03}))
    assert time.perf_counter() - begun < 60  # 1.8 s asked; the bound is for the slowest machine
    last = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()][-2:]
    assert any(r["kind"] == "train" and r["lr"] < 1e-6 for r in last)


@pytest.mark.parametrize("takes", [0.0, 3.0])
def test_a_run_that_the_time_ends_is_evaluated_as_often_as_it_affords(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: float
) -> None:
    """By steps, which the 100,000 passes would need, it came to one evaluation."""
    real = fit.evaluate_now

    def evaluate(*arguments: Any) -> Any:
        time.sleep(takes)
        return real(*arguments)

    monkeypatch.setattr(fit, "evaluate_now", evaluate)
    changes = {"optim.epochs": 100_000, "optim.max_minutes": 0.05, "runtime.checkpoint_every": 1000}
    result = train_model(settings(data, tmp_path / "run", **changes))
    records = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    evaluated = [r["step"] for r in records if r["kind"] == "eval"]
    assert evaluated[-1] == result.steps
    if takes:
        assert len(evaluated) <= 2
    else:
        assert len(evaluated) >= 4
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    chosen = next(one for one in record["choices"] if one["name"] == "optim.eval_every")
    assert chosen["value"] == "by time" and record["config"]["optim.eval_every"] is None


def test_names_of_files_may_be_any_bytes(data: Path, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd \xff"))
    try:
        shutil.copytree(data, odd)
    except OSError:
        pytest.skip("this file system wants names in UTF-8")
    run = odd / "run"
    train = ["train", *arguments(settings(odd, run, **{"optim.epochs": 1}))]
    lines = [train, train, ["evaluate", str(run), str(odd)], ["info", str(run)], ["report", str(run)]]
    program = f"from custom_bert.cli import main\nprint([main(line) for line in {lines!r}])"
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}  # as in most languages' locales
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, cwd=ROOT, env=environment
    )
    assert done.stdout.endswith(b"[0, 0, 0, 0, 0]\n"), done
    assert os.fsencode(run) + b": this run is finished" in done.stdout
    assert json.loads((run / "run.json").read_text())["config"]["out"] == str(run)


def test_no_vocabulary_is_kept_of_texts_that_changed_meanwhile(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(data, tmp_path / "data")
    real = decisions.train_tokenizer

    def train(*arguments: Any, **options: Any) -> Any:
        with (tmp_path / "data" / "train_dataset.txt").open("a") as stream:
            stream.write("a line that nobody checked\n")
        return real(*arguments, **options)

    monkeypatch.setattr(decisions, "train_tokenizer", train)
    with pytest.raises(DataError, match=r"train_dataset\.txt: the file changed while it was read"):
        ready(settings(tmp_path / "data", tmp_path / "run"), print)
    assert not list((tmp_path / "cache").rglob("*.json"))


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


def test_the_same_seed_gives_the_same_bits_and_another_does_not(data: Path, run: Path) -> None:
    weights = (run / "model.safetensors").read_bytes()
    train_model(settings(data, data.parent / "same"))
    train_model(settings(data, data.parent / "other", seed=1))
    assert (data.parent / "same" / "model.safetensors").read_bytes() == weights
    assert (data.parent / "other" / "model.safetensors").read_bytes() != weights


def test_choices_repeat_in_another_process_with_another_hash_seed(
    data: Path, run: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "77", "LANG": "C"}
    command = [sys.executable, "-m", "custom_bert", "train", *arguments(settings(data, tmp_path / "r"))]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment)
    ours, theirs = (json.loads((d / "run.json").read_text()) for d in (run, tmp_path / "r"))
    assert ours["identity"] == theirs["identity"] and ours["choices"] == theirs["choices"]
    assert (tmp_path / "r" / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


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


def test_a_diverging_loss_is_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = settings(data, tmp_path / "run")
    real = fit.step_within_memory

    def poisoned(state: State, phase: Phase, *rest: Any, **options: Any) -> Any:
        with torch.no_grad():
            for parameter in phase.model.parameters():
                parameter.fill_(float("nan"))
        return real(state, phase, *rest, **options)

    monkeypatch.setattr(fit, "step_within_memory", poisoned)
    assert main(["train", *arguments(values)]) == 64
    assert "training diverged; lower optim.lr" in capsys.readouterr().err


def test_weights_that_diverged_are_not_kept_and_the_directory_is_free_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from custom_bert.models.evaluate import Evaluation
    from custom_bert.training import evaluation

    real = evaluation.evaluate

    def diverged(*args: Any, **kwargs: Any) -> Evaluation:
        return dataclasses.replace(real(*args, **kwargs), loss=float("nan"))

    values = settings(data, tmp_path / "run", **{"optim.epochs": 1})
    monkeypatch.setattr(evaluation, "evaluate", diverged)
    with pytest.raises(UserError, match=r"training diverged; lower optim\.lr$"):
        train_model(values)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(evaluation, "evaluate", real)
    assert train_model(values | {"optim.lr": 1e-3}).directory == tmp_path / "run"


def test_a_run_of_one_step_learns_something(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", train=10, val=5)
    train_model(settings(data, tmp_path / "run", **{"optim.epochs": 1}))
    records = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [r["lr"] > 0 for r in records if r["kind"] == "train"] == [True]


def test_the_largest_seed_and_attention_dropout_train(data: Path, tmp_path: Path) -> None:
    changes = {"seed": (1 << 63) - 1, "model.attention_dropout": 0.1, "optim.token_dropout": 0.1}
    result = train_model(settings(data, tmp_path / "run", **changes, **{"optim.epochs": 1}))
    assert result.steps > 0


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


def test_settings_without_effect_are_told(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"batch.plan": "padded", "model.rope_theta": 5.0, "data.val_fraction": 0.2}
    train_model(settings(data, tmp_path / "run", **changes, **{"optim.epochs": 1}))
    told = [line for line in capsys.readouterr().out.splitlines() if "has no effect" in line]
    assert told == [
        "warning: batch.token_budget 256 has no effect: batch.plan is padded, which goes by batch.batch_size",
        "warning: model.rope_theta 5.0 has no effect: model.position is learned",
        "warning: data.val_fraction 0.2 has no effect: there are validation files",
    ]


def test_info_shows_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(run)]) == 0
    out = capsys.readouterr().out
    for word in ("finished", "accuracy", "animals", "train_dataset.txt", "optim.lr", "batch.plan"):
        assert word in out
    assert main(["info", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "finished"


def test_init_writes_files_that_train_and_refuses_to_overwrite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "config.py").read_bytes() == (ROOT / "config.py").read_bytes()
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path / "new", capture_output=True, text=True, check=False
    )
    assert done.returncode == 65 and done.stderr.startswith("error: data/train_dataset.txt: no such file")
    capsys.readouterr()
    assert main(["init", str(tmp_path / "new")]) == 74
    assert "exists already and is not overwritten" in capsys.readouterr().err


def test_faults_of_the_configuration_are_all_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        train_model({"lr": -1, "epohcs": 3})
    assert len(caught.value.faults) == 2


def test_mps_is_refused_in_one_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *arguments(settings(data, tmp_path / "run", **{"runtime.device": "mps"}))]) == 64
    assert capsys.readouterr().err.count("\n") == 1


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"custom-bert \d+\.\d+\.\d+\n", capsys.readouterr().out)


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


def test_windows_that_may_not_fit_into_memory_are_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings(data, tmp_path / "run", **{"data.long_texts": "windows", "data.max_length": 6})
    assert not any("longest texts" in line for line in ready(given, print).warnings)
    monkeypatch.setattr(choices, "fitting_rows", lambda bytes_per_row, memory: 8)
    (told,) = (line for line in ready(given, print).warnings if "longest texts" in line)
    assert re.search(r"steps of up to \d\d rows, and 8 fit into 25% of the memory", told)


def test_ctrl_c_while_the_result_is_printed_leaves_a_finished_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("custom_bert.training.outcome.score_lines", stop)
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


def test_a_damaged_vocabulary_in_the_cache_is_made_again(data: Path, tmp_path: Path) -> None:
    config = settings(data, None, **{"data.cache_dir": str(tmp_path)})
    whole = ready(config).tokenizer.sha256
    (path,) = (tmp_path / "tokenizers").glob("*.json")
    path.write_text(path.read_text().replace("engine", "engime"))
    assert ready(config).tokenizer.sha256 == whole
    assert "engime" not in path.read_text()


def test_a_suspicion_is_printed_and_kept_and_numpy_settings_are_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path / "data", train=60, val=None)
    for name, header in (("train_dataset.txt", "text\n"), ("train_labels.txt", "label\n")):
        (data / name).write_text(header + (data / name).read_text())
    numbers = {"optim.epochs": np.int64(1), "optim.lr": np.float32(0.5**10), "seed": np.array(3)}
    train_model({**settings(data, tmp_path / "run"), **numbers})
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    (told,) = (line for line in record["data"]["warnings"] if "look like a header" in line)
    assert f"warning: {told}\n" in capsys.readouterr().out
    stored = {name: record["config"][name] for name in numbers}
    assert stored == {"optim.epochs": 1, "optim.lr": 0.5**10, "seed": 3}


def test_a_cache_that_cannot_be_written_stops_no_training_and_is_told_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home directory is a file; the next start finds what the first left among the temporary files."""
    (tmp_path / "home").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    config = from_mapping(settings(data, tmp_path / "run", **{"data.cache_dir": None}))
    said: list[str] = []
    first = ready(config, said.append)
    place = tmp_path / f"custom-bert-{os.geteuid()}"
    told = f"cache: {tmp_path}/home/.cache/custom-bert: cannot write: Not a directory (ENOTDIR); "
    told += f"prepared data is kept in {place}"
    assert said[1:] == [told] and "training a WordPiece vocabulary" in said[0]
    again: list[str] = []
    assert ready(config, again.append).tokenizer.sha256 == first.tokenizer.sha256
    assert again == [told]
    assert {path.name for path in tmp_path.iterdir()} == {"home", place.name}
