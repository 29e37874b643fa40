"""Scaling curves: what is measured lands in the record, the table and the picture."""

import json
from pathlib import Path
from typing import Any

import pytest

from custom_bert.bench import scaling


def test_the_record_the_table_and_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def measured(switches: Any, workload: Any, **settings: Any) -> dict[str, Any] | None:
        asked.append({"recipe": switches, "length": workload.max_length, **settings})
        if workload.max_length == 8192 and switches.attention == "naive":
            return None
        return {"tokens_per_second": 1e6 / workload.max_length, "step_mb": workload.max_length}

    monkeypatch.setattr(scaling, "measure", measured)
    monkeypatch.setattr(scaling, "thread_count", lambda: 2)

    def child(_: Any, task: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if task == "plan":
            return {"seconds": 0.5, "peak_mb": 300}
        assert task == "attend" and arguments["window"] in (-1, 64)  # |i - j| <= 128 // 2, as modern has it
        return {"tokens_per_second": 1e6 / (arguments["window"] + 3), "step_mb": arguments["length"]}

    monkeypatch.setattr(scaling, "in_child", child)
    out = tmp_path / "record.json"
    scaling.run(device="cpu", quick=False, repeats=2, out=out, command="bench", say=lambda line: None)
    record = json.loads(out.read_text())
    assert len(record["raw"]["length"]) == 8 and record["raw"]["length"]["legacy, 8192"] == [None, None]
    assert {a["threads"] for a in asked if "threads" in a} == {1, 2}
    assert {a["size"] for a in asked} == set(scaling.SIZES)
    table = out.with_suffix(".md").read_text()
    assert "does not fit into memory" in table and "2048.0 (2048.0 to 2048.0)" in table
    assert "1,000,000" in table
    assert "| all tokens, 8192 | 2.0 (2.0 to 2.0) | 8192 (8192 to 8192) |" in table
    assert "| a window of 64 to each side, 8192 | 67.0 (67.0 to 67.0) | 8192 (8192 to 8192) |" in table
    assert out.with_suffix(".svg").read_text().count("<circle") == 2 * (4 + 3)


def test_planning_is_measured_on_the_stated_number_of_texts() -> None:
    found = scaling.plan_an_epoch({"examples": 2000})
    assert found["seconds"] > 0 and found["batches"] == pytest.approx(2000 * 53 / 8192, abs=2)


@pytest.mark.parametrize("window", [-1, 64])
def test_attention_is_measured_by_itself(window: int) -> None:
    found = scaling.attend({"length": 512, "window": window, "device": "cpu", "passes": 2})
    assert found["tokens_per_second"] > 0 and found["step_mb"] >= 0
