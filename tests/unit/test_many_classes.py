"""Thousands of classes: the same metrics, in memory that grows with them and not with their square."""

import json
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from custom_bert import files, metrics
from custom_bert.data.labels import MAX_LABELS, MAX_LABELS_BYTES
from custom_bert.metrics import MATRIX_UP_TO, MOST_CONFUSIONS, ConfusionMatrix, Scores
from custom_bert.reports.info import info_lines
from custom_bert.reports.page import report_page
from custom_bert.reports.tables import TABLE_ROWS, score_lines


def drawn(classes: int, examples: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes, half of them right."""
    draw = np.random.Generator(np.random.PCG64(0))
    true_N = draw.integers(0, classes, examples)
    return true_N, np.where(draw.random(examples) < 0.5, true_N, draw.integers(0, classes, examples))


def scored(true_N: np.ndarray, predicted_N: np.ndarray, classes: int) -> Scores:
    matrix = ConfusionMatrix(classes)
    for start in range(0, len(true_N), 333):
        matrix.add(true_N[start : start + 333], predicted_N[start : start + 333])
    return matrix.scores()


def names(classes: int) -> list[str]:
    return [f"class {i}" for i in range(classes)]


def test_scores_of_2500_classes_equal_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    monkeypatch.setattr(metrics, "MERGED_AT", 1000)  # counted in several parts
    true_N, predicted_N = drawn(2_500)
    scores = scored(true_N, predicted_N, 2_500)
    assert scores.accuracy == pytest.approx(sklearn.accuracy_score(true_N, predicted_N))
    assert scores.macro_f1 == pytest.approx(sklearn.f1_score(true_N, predicted_N, average="macro"))
    wanted = sklearn.precision_recall_fscore_support(
        true_N, predicted_N, labels=range(2_500), zero_division=0
    )
    found = [[vars(one)[name] for one in scores.classes] for name in ("precision", "recall", "f1", "support")]
    assert np.allclose(found, wanted)


def test_the_matrix_and_the_pairs_count_the_same() -> None:
    true_N, predicted_N = drawn(40)
    scores = scored(true_N, predicted_N, 40)
    counts_CC = np.zeros((40, 40), dtype=np.int64)
    np.add.at(counts_CC, (true_N, predicted_N), 1)
    assert (scores.counts_CC == counts_CC).all()
    assert scores.as_dict(names(40))["confusion_matrix"] == counts_CC.tolist()
    assert (Scores.of(counts_CC).pairs_P3 == scores.pairs_P3).all()
    assert Scores.of(counts_CC).classes == scores.classes


def test_a_matrix_is_written_of_up_to_256_classes_and_of_more_the_most_frequent_confusions() -> None:
    few, many = (scored(*drawn(n), n) for n in (MATRIX_UP_TO, MATRIX_UP_TO + 1))
    assert len(few.as_dict(names(MATRIX_UP_TO))["confusion_matrix"]) == MATRIX_UP_TO == 256
    labels = names(MATRIX_UP_TO + 1)
    value = many.as_dict(labels)
    assert "confusion_matrix" not in value and len(value["per_class"]) == len(value["labels"]) == 257
    wrong = Counter((t, p) for t, p in zip(*map(np.ndarray.tolist, drawn(257)), strict=True) if t != p)
    assert len(value["confusions"]) == MOST_CONFUSIONS
    assert value["confusions_left_out"] == len(wrong) - MOST_CONFUSIONS
    counts = [count for *_, count in value["confusions"]]
    assert counts == sorted(wrong.values(), reverse=True)[:MOST_CONFUSIONS]
    for true, predicted, count in value["confusions"]:
        assert wrong[labels.index(true), labels.index(predicted)] == count
    with pytest.raises(ValueError, match="257 classes: a matrix is made of up to 256"):
        _ = many.counts_CC


def test_memory_grows_with_the_classes_and_not_with_their_square() -> None:
    tracemalloc.start()
    scores = scored(*drawn(MAX_LABELS), MAX_LABELS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert scores.examples == 20_000
    assert peak < 100e6, "a matrix would take 34 GB"


def test_the_record_of_the_largest_set_of_labels_can_be_read_again(tmp_path: Path) -> None:
    """Labels as long as they may be, the longest of them in every confusion."""
    longest, rest = 1_000, MAX_LABELS - 1_000
    labels = [f"{i:04d}" + "\N{HAIR SPACE}" * 996 for i in range(longest)]
    room = MAX_LABELS_BYTES - sum(len(json.dumps(label, ensure_ascii=False).encode()) for label in labels)
    labels += [f"{i:05d}".ljust(room // rest - 2, "x") for i in range(rest)]
    true_N = np.concatenate([np.arange(MAX_LABELS), np.tile(np.arange(longest), 3)])
    predicted_N = true_N.copy()
    predicted_N[-2 * longest :] = (true_N[-2 * longest :] + 1) % longest
    validation = scored(true_N, predicted_N, MAX_LABELS).as_dict(labels)
    assert validation["confusions"][0][0] == labels[0] and len(validation["confusions"]) == MOST_CONFUSIONS
    files.write_json(
        tmp_path / "run.json", {"data": {"labels": dict.fromkeys(labels, 3)}, "validation": validation}
    )
    assert files.read_run_json(tmp_path, "run.json")["validation"]["labels"] == labels


def test_a_long_table_shows_the_classes_with_most_examples_and_says_how_many_it_leaves_out() -> None:
    true_N = np.concatenate([np.arange(TABLE_ROWS + 50), [240, 240, 230]])
    scores = scored(true_N, true_N, TABLE_ROWS + 50)
    lines = score_lines(scores, names(TABLE_ROWS + 50))
    assert [line.split()[1] for line in lines[1:4]] == ["240", "230", "0"]
    assert len(lines) == TABLE_ROWS + 4
    assert lines[-3] == ("50 more classes are not shown; custom-bert evaluate --json prints every class")
    whole = score_lines(scored(true_N[:TABLE_ROWS], true_N[:TABLE_ROWS], TABLE_ROWS), names(TABLE_ROWS))
    assert len(whole) == TABLE_ROWS + 3 and not any("more classes" in line for line in whole)


def test_a_runs_description_shows_the_labels_with_most_examples() -> None:
    examples = dict.fromkeys(names(TABLE_ROWS + 50), 1) | {"class 240": 7}
    lines = info_lines({"data": {"labels": examples}})
    first = lines.index("labels (training examples)") + 1
    assert lines[first].split() == ["7", "class", "240"] and lines[first + 1].split() == ["1", "class", "0"]
    assert lines[first + TABLE_ROWS] == "  50 more labels are not shown; info --json prints every label"


def test_a_page_tells_the_same_confusions_from_a_matrix_and_from_pairs() -> None:
    """Runs of before have a matrix, however many classes there are."""
    classes = MATRIX_UP_TO + 44
    true_N, predicted_N = drawn(classes)
    validation = scored(true_N, predicted_N, classes).as_dict(names(classes))
    counts_CC = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts_CC, (true_N, predicted_N), 1)
    before = {k: v for k, v in validation.items() if "confusions" not in k}
    before["confusion_matrix"] = counts_CC.tolist()
    page, old = (
        report_page("run", {"status": "finished", "validation": value}, []) for value in (validation, before)
    )
    assert page == old and "<th>texts</th>" in page
    left_out = int((counts_CC > 0).sum() - (counts_CC.diagonal() > 0).sum()) - 30
    assert f"{left_out:,} more pairs are not shown" in page


def test_a_page_shows_a_thousand_classes_and_says_how_many_it_leaves_out() -> None:
    true_N = np.arange(1_200)
    validation = scored(true_N, true_N, 1_200).as_dict(names(1_200))
    page = report_page("run", {"status": "finished", "validation": validation}, [])
    assert page.count("<tr><td>class") == 1_000
    assert "200 more classes are not shown" in page
