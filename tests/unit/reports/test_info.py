"""What `info` says of a run, finished or not, with labels or running text."""

from __future__ import annotations

from typing import Any

import pytest

from custom_bert.reports.facts import trained_on
from custom_bert.reports.info import info_lines
from custom_bert.reports.page import report_page

LABELLED = {"train_examples": 1240, "train_tokens": 3134, "val_examples": 60, "val_tokens": 782}
RUNNING = {"documents": 150, "train_tokens": 2459, "val_tokens": 263}
ENDED = {"best_step": 30, "steps": 52, "seconds": 1.2}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (LABELLED, "1,240 texts, 3,134 tokens; validated on 60"),
        (RUNNING, "150 documents, 2,459 tokens; measured on 263 held-out tokens"),
    ],
)
def test_info_and_the_page_tell_the_same_of_the_data(data: dict[str, Any], words: str) -> None:
    record = {"status": "running", "started": "now", "data": data}
    assert trained_on(record) == words
    assert f"trained on  {words}" in info_lines(record)
    assert f"It was trained on {words}." in report_page("run", record, [])


def test_a_record_that_does_not_say_on_what_it_was_trained_is_shown_without() -> None:
    assert not any(line.startswith("trained on") for line in info_lines({}))
    assert "It was trained on" not in report_page("run", {"status": "running"}, [])


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        ({"accuracy": 0.5, "macro_f1": 0.25, "loss": 1.0}, "accuracy 0.5000, macro-F1 0.2500"),
        ({"accuracy": 0.5, "perplexity": 9.5, "loss": 1.0}, "accuracy 0.5000, perplexity 9.5000"),
    ],
)
def test_a_finished_run_tells_every_measure_that_it_has(validation: dict[str, Any], words: str) -> None:
    lines = info_lines({**ENDED, "validation": validation})
    assert f"result      {words} at step 30 of 52, 1 s" in lines


@pytest.mark.parametrize(
    ("named", "words"), [({"kept_by": "1 / perplexity"}, "1 / perplexity"), ({}, "metric")]
)
def test_an_unfinished_run_tells_by_what_its_weights_were_kept(named: dict[str, str], words: str) -> None:
    lines = info_lines({**ENDED, "best_metric": 0.125, **named})
    assert f"kept        weights of step 30 of 52, {words} 0.1250" in lines
