"""Labels and texts in every form that scikit-learn's users have, and one line for what cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from custom_bert.estimator.given import texts_of
from custom_bert.estimator.labels import read_labels

pandas = pytest.importorskip("pandas")

ROOT = Path(__file__).resolve().parents[3]
TEXTS = ["one", "two", "three"]


@pytest.mark.parametrize(
    "given",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        np.array(TEXTS)[:, None],
        (text for text in TEXTS),
        pandas.Series(TEXTS, index=[7, 8, 9]),
        pandas.Series(TEXTS, dtype="string"),
        pandas.Series(TEXTS, dtype="category"),
        pandas.DataFrame({"text": TEXTS}),
    ],
    ids=lambda given: type(given).__name__,
)
def test_texts_are_read_from_whatever_holds_one_column_of_them(given: Any) -> None:
    assert texts_of(given) == TEXTS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("one text", r"^expected a list of texts, got a single string; write \[text\]$"),
        (
            ["one", None],
            r"^text 1: expected a string, got None; it stands for a missing value: leave it out.*$",
        ),
        (pandas.Series(["one", None], dtype="string"), r"^text 1: .*<NA>; it stands for a missing value.*$"),
        (pandas.Series(["one", np.nan], dtype=object), r"^text 1: .*nan; it stands for a missing value.*$"),
        (pandas.DataFrame({"a": ["x"], "b": ["y"]}), r"^expected a list of texts, got a table.*'a', 'b'.*$"),
        (np.array([["x", "y"]]), r"^expected a list of texts, got an array of shape \(1, 2\).*$"),
        ([3], r"^text 0: expected a string, got 3; write str\(text\).*$"),
        ({"x"}, r"^expected a list of texts, got a set.*$"),
    ],
)
def test_what_is_no_column_of_texts_is_refused_in_one_line(given: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        texts_of(given)


@pytest.mark.parametrize(
    ("given", "classes", "kind"),
    [
        (["b", "a", "b"], ["a", "b"], "U"),
        (np.array(["b", "a", "b"], dtype=object), ["a", "b"], "O"),
        (pandas.Series(["b", "a", "b"], dtype="category"), ["a", "b"], "U"),
        ([10, 9, 10], [9, 10], "i"),
        (np.array([10, 9, 10], dtype=np.int8), [9, 10], "i"),
        (pandas.Series([10, 9, 10], dtype="Int64"), [9, 10], "i"),
        ([True, False, True], [False, True], "b"),
        (np.array([2.0, 1.0, 2.0]), [1.0, 2.0], "f"),
        (pandas.DataFrame({"label": ["b", "a", "b"]}), ["a", "b"], None),
    ],
)
def test_classes_keep_the_type_of_the_labels_and_numpys_order(
    given: Any, classes: list[Any], kind: str | None
) -> None:
    found = read_labels(given)
    assert found.labels.classes.tolist() == classes
    assert kind is None or found.labels.classes.dtype.kind == kind
    assert found.lines() == [str(label) for label in np.asarray(given).ravel().tolist()]
    answers = found.labels.answers(found.rows, 3)
    assert answers.tolist() == np.asarray(given).ravel().tolist()
    assert answers.dtype == found.labels.classes.dtype


HOT = np.array([[0, 1, 0], [1, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    "given",
    [
        [{"b"}, {"a", "b"}, set()],
        [frozenset("b"), frozenset("ab"), frozenset()],
        [["b"], ["a", "b"], []],
        [("b",), ("a", "b"), ()],
        pandas.Series([{"b"}, {"a", "b"}, set()]),
        [{2}, {1, 2}, set()],
    ],
)
def test_sets_of_labels_come_back_as_they_were_given(given: Any) -> None:
    found = read_labels(given)
    names = [str(label) for label in found.labels.classes.tolist()]
    assert found.lines() == [names[1], "\t".join(names), ""]
    answers = found.labels.answers(found.rows, 3)
    assert answers == list(given) and all(type(a) is type(b) for a, b in zip(answers, given, strict=True))


@pytest.mark.parametrize(
    "given",
    [HOT, HOT > 0, HOT * 1.0, HOT.tolist(), csr_matrix(HOT), pandas.DataFrame(HOT, columns=[*"xyz"])],
    ids=lambda given: type(given).__name__,
)  # fmt: skip
def test_an_indicator_matrix_comes_back_as_one_also_with_columns_without_a_one(given: Any) -> None:
    found = read_labels(given)
    named = hasattr(given, "columns")
    assert found.labels.classes.tolist() == ([*"xyz"] if named else [0, 1, 2])
    assert found.lines() == (["y", "x\ty", ""] if named else ["1", "0\t1", ""])
    answers = found.labels.answers(found.rows, 3)
    assert hasattr(answers, "tocsr") == hasattr(given, "tocsr")
    assert (answers.toarray() if hasattr(answers, "tocsr") else answers).tolist() == HOT.tolist()


def test_a_column_of_labels_is_taken_as_scikit_learn_takes_it() -> None:
    with pytest.warns(match="A column-vector y was passed"):
        assert read_labels(np.array([["b"], ["a"]])).labels.classes.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, r"requires y to be passed, but the target y is None"),
        ("label", r"^expected a list of labels, got 'label'$"),
        (["a", None], r"^label 1: expected a label, got None; it stands for a missing value: leave it.*$"),
        ([1.0, float("nan")], r"^label 1: expected a label, got nan; it stands for a missing value.*$"),
        (pandas.Series(["a", None], dtype="string"), r"^label 1: .*<NA>; it stands for a missing value.*$"),
        (["a", 1], r"^labels of mixed types: label 0 is 'a', and label 1 is 1; write all of them as str$"),
        ([1, True], r"^labels of mixed types: label 0 is 1, and label 1 is True; write all of them as int$"),
        ([0.5, 1.5], r"continuous"),
        ([1.0, float("inf")], r"^label 1: expected a finite number, got inf$"),
        ([b"a", b"b"], r"^label 0: expected a string, a number or a bool, got b'a'$"),
        (["a", ""], r"^'' cannot be a label: write one line of 1 to 1,000 characters without tabs$"),
        (["a", "b\tc"], r"^'b\\tc' cannot be a label: .*$"),
        (["a", "b\nc"], r"^'b\\nc' cannot be a label: .*$"),
        ([{"a"}, {" b"}], r"^' b' cannot be a label: .* without white space around it$"),
        (
            ["\u00e9", "e\u0301"],
            r"^the labels 'e\u0301' and '\u00e9' are the same in Unicode's composed form.*$",
        ),
        ([["a", "a"], ["b"]], r"^label 0: a label occurs twice in \['a', 'a'\]; remove one$"),
        ([{"a"}, "b"], r"^label 1: expected a set of labels .*, got 'b'$"),
        ([{"a"}, {None}], r"^label 0: expected a label, got None; it stands for a missing value.*$"),
        (np.array([[0, 2], [1, 0]]), r"^Unknown label type: .* row 0 has .*2.* in column 1; shares of"),
        (np.array([["a", "b"], ["c", "d"]]), r"^Unknown label type: .* zeros and ones.*$"),
    ],
)
def test_what_cannot_be_labels_is_refused_in_one_line(given: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        read_labels(given)
    assert len(str(caught.value).splitlines()) == 1


def test_pandas_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert texts_of(TEXTS) == TEXTS and read_labels(["a", "b"]).rows == [[0], [1]]
    assert read_labels(csr_matrix(HOT)).rows == [[1], [0, 1], []]
    modules = (ROOT / "custom_bert" / "estimator").glob("*.py")
    assert not any("import pandas" in module.read_text(encoding="utf-8") for module in modules)
