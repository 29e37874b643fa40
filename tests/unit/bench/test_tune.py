"""Tuning pastes what is faster in every round and learns the same, and nothing else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from training_runs import settings, write_data

from custom_bert import machine
from custom_bert.bench import tune
from custom_bert.bench.advice import BESIDE, TOGETHER, advice
from custom_bert.bench.alternatives import Alternative, alternatives
from custom_bert.bench.measure import ChildError, in_child
from custom_bert.bench.steps import Timed
from custom_bert.bench.tune import of_the_run, run, steps_alone, time_settings
from custom_bert.cli import main
from custom_bert.config import TrainConfig, replace, to_flat
from custom_bert.config_sources import load
from custom_bert.errors import UserError
from custom_bert.templates import template

TAKEN = {
    "runtime.attention": "dense",
    "runtime.precision": "fp32",
    "runtime.compile": False,
    "runtime.threads": 2,
    "batch.plan": "uniform_length",
    "batch.token_budget": 1024,
}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("plan", ["uniform_length", "packed"])
def test_every_alternative_is_another_value_of_one_setting(
    device: str, plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "has_cpu_bf16", lambda: False)
    taken = {**TAKEN, "batch.plan": plan}
    found = alternatives(taken, device)
    known = to_flat(TrainConfig())
    assert all(one.setting in known for one in found)
    values = {(one.setting, one.value) for one in found}
    assert len(values) == len(found) and not values & {*taken.items()}
    assert {one.setting for one in found if not one.learns_the_same} == {"batch.token_budget"}
    on_gpu = device == "cuda"
    assert (("runtime.attention", "varlen") in values) == (on_gpu and plan == "packed")
    assert (("runtime.precision", "bf16") in values) == on_gpu  # this CPU has no bf16
    assert (("runtime.threads", 1) in values) == (not on_gpu)


def pretend(monkeypatch: pytest.MonkeyPatch, speeds: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Measurements by the setting that is changed: a speed for each round, or why it is refused."""
    asked: list[dict[str, Any]] = []
    seen: dict[str, int] = {}

    def measure(given: dict[str, Any], *, tokens: int, warm: int) -> dict[str, Any]:
        changes = {name: value for name, value in given.items() if name in TAKEN}
        assert given["optim.pretrain_epochs"] == 0
        asked.append(changes)
        key = " ".join(f"{name}={value}" for name, value in changes.items())
        seen[key] = seen.get(key, -1) + 1
        value = speeds.get(key, [100])[seen[key] % len(speeds.get(key, [100]))]
        if isinstance(value, str):
            return {"refused": value}
        timed = {"in_steps": value, "tokens_per_step": 900.0, "wall_seconds": 5.0}
        return {
            "tokens_per_second": value,
            "peak_mb": 500 + len(changes),
            "taken": TAKEN,
            "start": "scratch",
            **timed,
        }

    monkeypatch.setattr(tune, "measure", measure)
    return asked


def tuned(tmp_path: Path) -> tuple[dict[str, Any], str, list[str]]:
    said: list[str] = []
    out = tmp_path / "t.json"
    run(TrainConfig(), device="cpu", quick=False, repeats=3, out=out, command="c", say=said.append)
    return json.loads(out.read_text()), out.with_suffix(".md").read_text(), said


def test_what_is_faster_in_every_round_is_measured_together_and_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds = {
        "runtime.attention=matmul": [110],
        "runtime.attention=grouped": [120],
        "batch.plan=packed": [130, 102, 130],  # not in every round
        "runtime.compile=True": [150],
        "batch.token_budget=2048": [200],  # learns something else
        "runtime.threads=1": ["no such thing"],
        "runtime.attention=grouped runtime.compile=True": [170, 160, 180],
    }
    asked = pretend(monkeypatch, speeds)
    record, page, said = tuned(tmp_path)
    assert record["faster"] == {"runtime.attention": "grouped", "runtime.compile": True}
    assert said[-4].startswith("1.70 (1.60 to 1.80) times as fast as what is taken, in 3 rounds")
    assert said[-3] == "  command line: --runtime.attention grouped --runtime.compile True"
    assert said[-2] == '  config.py, in "runtime": "attention": "grouped", "compile": True,'
    by_id = {one["id"]: one for one in record["results"]}
    assert by_id["tune: --runtime.compile True"]["ratio_median"] == 1.5
    assert by_id["tune: all that are faster"]["repeats"] == 3
    assert "| --runtime.threads 1 | no such thing |" in page and "no, batches of another size" in page
    assert asked.count({"runtime.threads": 1}) == 1  # what is refused once is not asked again


def test_the_best_one_is_pasted_where_gains_do_not_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds = {"runtime.attention=grouped": [110], "runtime.compile=True": [150]}
    pretend(monkeypatch, {**speeds, "runtime.attention=grouped runtime.compile=True": [140]})
    record, _, said = tuned(tmp_path)
    assert record["faster"] == {"runtime.compile": True}
    assert said[-4].startswith("1.50 (1.50 to 1.50)") and not any("grouped" in line for line in said[-3:])


def test_all_that_are_faster_have_to_be_it_together_in_every_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds = {"runtime.attention=grouped": [110], "runtime.compile=True": [120]}
    pretend(monkeypatch, {**speeds, "runtime.attention=grouped runtime.compile=True": [180, 180, 80]})
    assert tuned(tmp_path)[0]["faster"] == {"runtime.compile": True}


def test_what_fails_once_is_not_advised_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = pretend(monkeypatch, {"runtime.compile=True": [150, "does not fit"], "batch.plan=packed": [104]})
    record, page, said = tuned(tmp_path)
    assert (
        record["faster"] == {"batch.plan": "packed"} and "| --runtime.compile True | does not fit |" in page
    )
    assert asked.count({"runtime.compile": True}) == 2 and "in 3 rounds" in said[-4]


def test_settings_that_cannot_be_trained_with_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, {"": [100, "a batch does not fit into memory"]})  # the second time
    with pytest.raises(UserError, match="nothing to tune: a batch does not fit into memory"):
        tuned(tmp_path)


def test_of_two_rounds_nothing_is_advised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, {"runtime.compile=True": [200]})
    said: list[str] = []
    out = tmp_path / "t.json"
    run(TrainConfig(), device="cpu", quick=False, repeats=2, out=out, command="c", say=said.append)
    assert said[-1].startswith("of fewer than 3 rounds") and json.loads(out.read_text())["faster"] == {}


def test_another_plan_than_padded_has_batches_of_another_size() -> None:
    found = alternatives({**TAKEN, "batch.plan": "padded", "batch.token_budget": None}, "cpu")
    assert {one.learns_the_same for one in found if one.setting == "batch.plan"} == {False}


def test_what_is_printed_can_be_pasted(tmp_path: Path) -> None:
    chosen = [
        Alternative("runtime.attention", "grouped"),
        Alternative("runtime.compile", True),
        Alternative("runtime.threads", 1),
        Alternative("batch.plan", "packed"),
    ]
    cells = [{"tokens_per_second": 1.0}]
    lines = advice(chosen, {TOGETHER: cells, BESIDE: cells})
    text = template("config.py")
    for line in lines:
        if line.startswith("  config.py, in "):
            group, _, entries = line.removeprefix("  config.py, in ").partition(": ")
            assert text.count(f"{group}: {{\n") == 1
            text = text.replace(f"{group}: {{\n", f"{group}: {{\n            {entries}\n")
    (tmp_path / "config.py").write_text(text)
    found = to_flat(load(tmp_path / "config.py"))
    assert {one.setting: found[one.setting] for one in chosen} == {one.setting: one.value for one in chosen}
    options = lines[1].removeprefix("  command line: ").split()
    assert options == [word for one in chosen for word in (f"--{one.setting}", str(one.value))]


def test_compiling_counts_as_it_would_in_the_whole_run() -> None:
    timed = {"texts": 1000, "tokens": 1000, "rows": 1000, "steps": 10, "seconds": 1.0, "parameters": 1}
    slow_start = Timed(**timed, ready_seconds=50.0, planned=50_000)  # 50 s before 50 s of steps
    assert of_the_run(slow_start, None) == pytest.approx(500)
    assert of_the_run(slow_start, 100 / 60) == pytest.approx(500)  # the time allows all passes
    assert of_the_run(slow_start, 75 / 60) == pytest.approx(1000 * 25 / 75)
    assert of_the_run(Timed(**timed, ready_seconds=0.0, planned=50_000), 0.5) == pytest.approx(1000)


def test_what_comes_before_the_steps_is_left_out_as_the_settings_allow() -> None:
    trained = replace(TrainConfig(), {"model.init_from": "somewhere"})
    assert "optim.embedding_init" not in steps_alone(trained)  # which init_from refuses
    scratch = replace(TrainConfig(), {"model.init_from": "scratch"})
    assert steps_alone(scratch)["optim.embedding_init"] == "random"
    assert "optim.embedding_init" not in steps_alone(TrainConfig())  # the start is not decided yet
    masked = replace(TrainConfig(), {"task": "masked_lm"})
    assert steps_alone(masked) == {}


def test_a_process_that_is_killed_is_told_in_one_line_without_places(tmp_path: Path) -> None:
    (tmp_path / "die.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    with pytest.raises(ChildError) as caught:
        in_child([str(tmp_path / "die.py")], "tune", {"settings": {"data.train_texts": str(tmp_path)}})
    assert "killed" in caught.value.reason and str(tmp_path) not in caught.value.reason


def test_where_nothing_is_faster_the_rules_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, {"runtime.compile=True": [102]})
    record, _, said = tuned(tmp_path)
    assert record["faster"] == {} and said[-1].startswith("nothing is 3% faster in every round")


def test_steps_are_those_of_the_settings_and_what_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "limit_memory", lambda: None)  # it would stay
    data = write_data(tmp_path / "data", train=200, val=30)
    common = settings(data, None, **{"batch.token_budget": 128, "runtime.threads": 1})
    found = time_settings({"settings": common, "tokens": 300, "warm": 1})
    assert found["tokens_per_second"] > 0 and found["steps"] >= 2
    assert found["taken"]["batch.token_budget"] == 128 and found["taken"]["runtime.threads"] == 1
    assert found["taken"]["runtime.attention"] in ("matmul", "dense")
    wrong = {**common, "runtime.attention": "varlen"}
    assert "varlen needs CUDA" in time_settings({"settings": wrong, "tokens": 1, "warm": 1})["refused"]
    short = time_settings({"settings": {**common, "optim.epochs": 1}, "tokens": 1, "warm": 10_000})
    assert "are not timed" in short["refused"]


def test_the_command_measures_where_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data(tmp_path / "here" / "tune", train=120, val=30)
    (tmp_path / "here" / "statistics.py").write_text("raise ImportError('somebody else')\n")
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "mine.py").write_text(
        "def get_config():\n    return {'model.size': 'tiny', 'data.cache_dir': 'cache', 'optim.epochs': 2, "
        "'runtime.device': 'cpu'}\n"
    )
    only = [Alternative("batch.token_budget", 256, learns_the_same=False)]
    monkeypatch.setattr(tune, "alternatives", lambda taken, device: only)
    words = ["bench", "tune", "tune", "--config", "mine.py", "--quick", "--out", "t"]
    assert main(words) == 0
    record = json.loads(Path("t.json").read_text())
    assert record["command"] == "custom-bert bench tune DATA --config CONFIG --quick --out FILE"
    assert record["results"][0]["id"] == "tune: --batch.token_budget 256" and Path("cache").is_dir()
    assert record["raw"]["as taken"][0]["parameters"] < 2_000_000
    assert (
        record["faster"] == {} and "config.py:" not in capsys.readouterr().out
    )  # of one step nothing follows
    assert main(["bench", "tune", "nowhere", "--quick", "--out", "u"]) == 64
    told = capsys.readouterr().err
    assert re.fullmatch(r"error: .*nothing to tune: .*nowhere.*\n", told)
    Path("masked.json").write_text('{"task": "masked_lm", "data.corpus": ["x.txt"]}')
    assert main(["bench", "tune", "tune", "--config", "masked.json", "--quick", "--out", "u"]) == 64
    assert "leave DATA out" in capsys.readouterr().err
