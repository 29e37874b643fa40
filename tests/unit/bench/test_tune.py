"""Tuning pastes what is faster in every round and learns the same, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
from training_runs import settings, write_data

from custom_bert import machine
from custom_bert.bench import tune
from custom_bert.bench.__main__ import main
from custom_bert.bench.tune import Alternative, alternatives, run, time_settings
from custom_bert.config import TrainConfig, to_flat
from custom_bert.errors import UserError

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
    assert {one.setting for one in found if not one.learns_alike} == {"batch.token_budget"}
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
        asked.append(changes)
        key = " ".join(f"{name}={value}" for name, value in changes.items())
        seen[key] = seen.get(key, -1) + 1
        value = speeds.get(key, [100])[seen[key] % len(speeds.get(key, [100]))]
        if isinstance(value, str):
            return {"refused": value}
        return {"tokens_per_second": value, "peak_mb": 500 + len(changes), "taken": TAKEN}

    monkeypatch.setattr(tune, "measure", measure)
    return asked


def tuned(tmp_path: Path) -> tuple[dict[str, Any], str, list[str]]:
    said: list[str] = []
    out = tmp_path / "t.json"
    run(TrainConfig(), device="cpu", quick=False, repeats=3, out=out, command="c", tell=said.append)
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
    assert said[-2:] == [
        "  command line: --runtime.attention grouped --runtime.compile True",
        '  config.py:    "runtime.attention": \'grouped\', "runtime.compile": True',
    ]
    assert said[-3].startswith("1.70 (1.60 to 1.80) times as fast")
    by_id = {one["id"]: one for one in record["results"]}
    assert by_id["tune: --runtime.compile True"]["ratio_median"] == 1.5
    assert by_id["tune: all that are faster"]["repeats"] == 3
    assert "| --runtime.threads 1 | no such thing |" in page and "no, another batch" in page
    assert asked.count({"runtime.threads": 1}) == 1  # what is refused once is not asked again


def test_the_best_one_is_pasted_where_gains_do_not_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds = {"runtime.attention=grouped": [110], "runtime.compile=True": [150]}
    pretend(monkeypatch, {**speeds, "runtime.attention=grouped runtime.compile=True": [140]})
    record, _, said = tuned(tmp_path)
    assert record["faster"] == {"runtime.compile": True}
    assert said[-3].startswith("1.50 (1.50 to 1.50)") and "grouped" not in said[-1] + said[-2]


def test_where_nothing_is_faster_the_rules_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, {"runtime.compile=True": [102]})
    record, _, said = tuned(tmp_path)
    assert record["faster"] == {} and said[-1].startswith("nothing is 3% faster in every round")


def test_steps_are_those_of_the_settings_and_what_cannot_be_is_refused(tmp_path: Path) -> None:
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
    write_data(tmp_path / "here" / "data", train=120, val=30)
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "mine.py").write_text(
        "def get_config():\n    return {'model.size': 'tiny', 'data.cache_dir': 'cache', 'optim.epochs': 2}\n"
    )
    only = [Alternative("batch.token_budget", 256, learns_alike=False)]
    monkeypatch.setattr(tune, "alternatives", lambda taken, device: only)
    words = ["tune", "data", "--config", "mine.py", "--device", "cpu", "--quick", "--out", "t"]
    assert main(words) == 0
    record = json.loads(Path("t.json").read_text())
    assert record["command"] == "custom-bert bench tune DATA --config CONFIG --device cpu --quick --out FILE"
    assert record["results"][0]["id"] == "tune: --batch.token_budget 256" and Path("cache").is_dir()
    assert record["raw"]["as taken"][0]["parameters"] < 2_000_000
    assert (
        record["faster"] == {} and "config.py:" not in capsys.readouterr().out
    )  # of one step nothing follows
    with pytest.raises(UserError, match=r"nothing to tune: .*nowhere"):
        main(["tune", "nowhere", "--quick", "--out", "u"])
