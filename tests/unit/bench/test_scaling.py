"""Scaling curves: what is measured lands in the record, the table and the picture."""

import json
from pathlib import Path
from typing import Any

import pytest

from custom_bert.bench import scaling
from custom_bert.bench.picture import Bar, Line, bars, lines


def test_the_record_the_table_and_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def measured(switches: Any, workload: Any, **settings: Any) -> dict[str, Any] | None:
        asked.append({"recipe": switches, "length": workload.max_length, **settings})
        if workload.max_length == 8192 and switches.attention == "naive":
            return None
        return {"tokens_per_second": 1e6 / workload.max_length, "step_mb": workload.max_length}

    monkeypatch.setattr(scaling, "measure", measured)
    monkeypatch.setattr(scaling.machine, "cores", lambda: 2)
    monkeypatch.setattr(scaling, "in_child", lambda *_: {"seconds": 0.5, "peak_mb": 300})
    out = tmp_path / "record.json"
    scaling.run(device="cpu", quick=False, repeats=2, out=out, tell=lambda line: None)
    record = json.loads(out.read_text())
    assert len(record["raw"]["length"]) == 8 and record["raw"]["length"]["legacy, 8192"] == [None, None]
    assert {a["threads"] for a in asked if "threads" in a} == {1, 2}
    assert {a["size"] for a in asked} == set(scaling.SIZES)
    table = out.with_suffix(".md").read_text()
    assert "does not fit into memory" in table and "2048.0 (2048.0 to 2048.0)" in table
    assert "1,000,000" in table
    assert out.with_suffix(".svg").read_text().count("<circle") == 2 * (4 + 3)


def test_planning_is_measured_on_the_stated_number_of_texts() -> None:
    found = scaling.plan_an_epoch({"examples": 2000})
    assert found["seconds"] > 0 and found["batches"] == pytest.approx(2000 * 53 / 8192, abs=2)


def test_bars_end_at_the_median_and_show_the_spread() -> None:
    picture = bars("t", "s", ("one",), [Bar("a < b", 0, (1.0, 2.0, 4.0))], "x")
    assert "a &lt; b" in picture and ">2.00</text>" in picture
    import re

    (x1, x2) = map(
        float,
        re.findall(r'<line x1="([\d.]+)" x2="([\d.]+)" y1="[\d.]+" y2="[\d.]+" stroke="#1a', picture)[0],
    )
    (width,) = map(float, re.findall(r'<rect x="260" y="[\d.]+" width="([\d.]+)"', picture))
    scale = width / 2
    assert (x1, x2) == pytest.approx((260 + scale, 260 + 4 * scale), abs=0.2)


def test_curves_rise_where_the_numbers_do() -> None:
    picture = lines("t", {"p": [Line("a", ((128, 10.0), (256, 1000.0)))]}, "x")
    import re

    (path,) = re.findall(r'<polyline points="([^"]+)"', picture)
    (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in path.split())
    assert x2 > x1 and y2 < y1
