"""The page of a run: made of whatever a record has, and safe to open."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from custom_bert import files
from custom_bert.errors import RunError, WriteError
from custom_bert.metrics import ConfusionMatrix
from custom_bert.reports import measures, progress, sections
from custom_bert.reports.measures import Measure
from custom_bert.reports.page import report_page, write_report
from custom_bert.reports.progress import Series, read_metrics
from custom_bert.reports.sections import Section

STEP = {
    "kind": "train",
    "step": 1,
    "loss": 2.3,
    "lr": 2.5e-5,
    "tokens_per_second": 1e4,
    "padding": 0.1,
    "grad_norm": 3.0,
}
EVALUATION = {"kind": "eval", "step": 1, "loss": 2.0, "accuracy": 0.5, "macro_f1": 0.4}


def validation(labels: list[str]) -> dict[str, Any]:
    matrix = ConfusionMatrix(len(labels))
    matrix.add(np.arange(len(labels)), np.zeros(len(labels), dtype=int))
    return matrix.scores().as_dict(labels) | {"loss": 1.0}


def page_of(metrics: list[dict[str, Any]], **record: Any) -> str:
    return report_page("run", {"status": "finished", **record}, metrics)


def test_labels_with_html_in_them_are_text() -> None:
    label = "<img src=x onerror='alert(1)'>\"&"
    names = [label, f"{label}2"]
    for labels in (names, [*names, *(f"c{i}" for i in range(sections.MATRIX_UP_TO))]):
        page = page_of([], validation=validation(labels), data={"warnings": [label]}, config={label: label})
        assert "<img" not in page and "&lt;img src=x" in page
        assert page.count("&quot;&amp;") > 3, "nor does it end an attribute"


def test_a_run_without_metrics_has_a_page_that_says_so() -> None:
    page = page_of([])
    assert "<svg" not in page and "metrics.jsonl holds no step and no evaluation." in page


def test_a_page_of_one_step_and_one_evaluation_has_every_chart() -> None:
    assert page_of([STEP, EVALUATION]).count("<svg") == 6


def test_numbers_that_are_not_finite_are_left_out() -> None:
    lost = STEP | {"step": 2, "loss": math.nan, "grad_norm": math.inf, "tokens_per_second": math.inf}
    page = page_of([STEP, lost, EVALUATION | {"step": 2, "accuracy": math.nan, "macro_f1": math.nan}])
    charts = page.split('<div class="charts">')[1].split("</div>")[0]
    assert "nan" not in charts and "inf" not in charts
    assert ">Loss" in charts and ">Validation" not in charts
    assert "<b>10,000</b>tokens per second" in page, "the mean of the speeds that are known"


def test_a_step_whose_loss_was_left_out_is_no_point() -> None:
    steps = [STEP | {"step": i, "loss": None if i == 2 else 1.0 * i} for i in (1, 2, 3)]
    loss = page_of(steps).split(">Loss")[1].split("</svg>")[0]
    assert loss.count("<circle") == 2


def test_a_new_measure_and_a_new_section_are_shown_by_a_row_each(monkeypatch: pytest.MonkeyPatch) -> None:
    error = Measure("ece", "calibration error", "Calibration error", "{:.1f}")
    monkeypatch.setattr(measures, "MEASURES", (*measures.MEASURES, error))
    series = Series(error.chart, error.words, error.key, progress.EVALUATION)
    monkeypatch.setattr(progress, "SERIES", (*progress.SERIES, series))
    residuals = Section("Residuals", "residuals", lambda found: f"<p>{len(found['residuals'])} of them</p>")
    monkeypatch.setattr(sections, "SECTIONS", (*sections.SECTIONS, residuals))
    found = {"ece": 1.25, "loss": 0.5, "residuals": [0.1, 0.2]}
    page = page_of([{"kind": "eval", "step": 1, "loss": 0.5, "ece": 1.25}], validation=found)
    assert "<b>1.2</b>calibration error" in page and "<h2>Residuals</h2><p>2 of them</p>" in page
    assert "<figcaption>Calibration error" in page and "accuracy" not in page
    assert measures.in_words(found) == "calibration error 1.2500"


def test_the_course_of_every_measure_is_drawn() -> None:
    keys = {one.key for one in progress.SERIES if one.kinds == progress.EVALUATION}
    assert keys == {"loss", *(one.key for one in measures.MEASURES)}


@pytest.mark.parametrize(
    "line",
    [
        "5",
        "null",
        '{"step": 1}',
        '{"kind": "train"}',
        '{"kind": "train", "step": "1"}',
        '{"kind": "train", "step": 1e999}',
        '{"kind": "train", "step": 1%s}' % ("0" * 400),
        '{"kind": "train", "step": 1, "loss": "low"}',
    ],
)
def test_a_line_of_metrics_that_is_no_record_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f"{json.dumps(STEP)}\n{line}\n", encoding="utf-8")
    with pytest.raises(RunError) as caught:
        read_metrics(path)
    assert str(caught.value) == f"{path}:2: damaged: not the record of a step or of an evaluation"


def test_a_line_that_is_being_written_is_not_read_yet(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{json.dumps(STEP)}\n{{"kind": "tra', encoding="utf-8")
    assert read_metrics(path) == [STEP]


def written_run(folder: Path, **record: Any) -> Path:
    files.write_json(folder / "run.json", {"status": "finished", **record})
    return folder


def test_a_number_that_no_format_takes_is_a_damaged_record(tmp_path: Path) -> None:
    run = written_run(tmp_path, seconds=10**400)
    with pytest.raises(RunError, match=r"run\.json: damaged: not the record of a run"):
        write_report(run)


def test_what_is_no_file_is_not_replaced_and_not_waited_for(tmp_path: Path) -> None:
    run = written_run(tmp_path)
    os.mkfifo(tmp_path / "pipe.html")
    (tmp_path / "folder").mkdir()
    for name in ("pipe.html", "folder"):
        with pytest.raises(WriteError, match=f"{name}: cannot be replaced by the page: "):
            write_report(run, tmp_path / name)
    assert write_report(run) == write_report(run) == run / "report.html"
