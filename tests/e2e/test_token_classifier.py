"""`TokenClassifier`: spans behind scikit-learn's fit, predict and score."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from span_data import sentences
from training_runs import TINY

from custom_bert import TextClassifier, TextRegressor, TokenClassifier
from custom_bert.cli import main
from custom_bert.errors import RunError
from custom_bert.spans.conll import joined
from custom_bert.spans.schemes import read_tags

FAST: dict[str, Any] = {
    "init_from": "scratch",
    "epochs": 10,
    "lr": 5e-3,
    "random_state": 0,
    "settings": {name: value for name, value in TINY.items() if "drop" not in name},
}


def given(count: int, seed: int = 0) -> tuple[list[str], list[list[dict[str, Any]]]]:
    """Texts and spans in memory."""
    texts, spans = [], []
    for one in sentences(count, seed):
        text, words = joined([word for word, _ in one])
        entities, _ = read_tags([tag for _, tag in one], "BIO")
        texts.append(text)
        spans.append(
            [{"start": words[a][0], "end": words[b - 1][1], "label": label} for a, b, label in entities]
        )
    return texts, spans


TEXTS, SPANS = given(120)


@pytest.fixture(scope="module")
def fitted() -> TokenClassifier:
    return TokenClassifier(**FAST).fit(TEXTS, SPANS)


def test_it_finds_spans_and_scores_f1(fitted: TokenClassifier) -> None:
    texts, spans = given(40, 1)
    found = fitted.predict(texts)
    assert fitted.score(texts, spans) > 0.8 and fitted.types_ == ("LOC", "ORG", "PER")
    for text, of_text in zip(texts, found, strict=True):
        assert all(text[one["start"] : one["end"]] == one["text"] for one in of_text)
    assert fitted.score(texts, found) == 1.0, "what it predicts can be given to it"
    as_tuples = [[(one["start"], one["end"], one["label"]) for one in of_text] for of_text in spans]
    assert fitted.score(texts, as_tuples) == fitted.score(texts, spans)


def test_it_is_copied_pickled_saved_and_loaded(
    fitted: TokenClassifier, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = fitted.predict(TEXTS[:5])
    assert pickle.loads(pickle.dumps(fitted)).predict(TEXTS[:5]) == wanted
    assert clone(fitted).get_params() == fitted.get_params()
    fitted.save(tmp_path / "run")
    back = TokenClassifier.load(tmp_path / "run")
    assert back.predict(TEXTS[:5]) == wanted and back.types_ == fitted.types_ and back.epochs == 10
    (tmp_path / "texts.txt").write_text(f"{TEXTS[0]}\n")
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "texts.txt")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(wanted[0]) + 1


def test_a_fit_with_one_random_state_is_repeated_bit_for_bit() -> None:
    one, other = (TokenClassifier(**{**FAST, "epochs": 1}).fit(TEXTS, SPANS) for _ in range(2))
    assert one.run_.contents["model.safetensors"] == other.run_.contents["model.safetensors"]


def test_it_is_cross_validated() -> None:
    scores = cross_val_score(TokenClassifier(**{**FAST, "epochs": 3}), TEXTS, SPANS, cv=2)
    assert len(scores) == 2 and scores.min() > 0.2


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([[]], "there are 2 texts and 1 lists of spans"),
        (None, "fit requires y to be passed"),
        ("ab", "expected a list with a list of spans for each text"),
        ([[], "x"], "spans of text 1: expected a list of spans"),
        ([[], [{"start": 0, "end": 3}]], "spans of text 1: expected start, end and label"),
        ([[], [(0, 99, "A")]], "spans of text 1: 0 to 99 is not within the text, which has 8 characters"),
        ([[], [(0.5, 2, "A")]], "spans of text 1: start and end are whole numbers"),
        ([[], [(0, 3, "A"), (2, 4, "B")]], "spans of text 1: 0 to 3 and 2 to 4 overlap"),
        ([[], []], "no text has a span, so there is nothing to learn"),
    ],
)
def test_spans_that_cannot_be_used_are_refused_in_one_line(spans: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(message)) as caught:
        TokenClassifier(**FAST).fit(["a text", "in paris"], spans)
    assert "\n" not in str(caught.value) and "/tmp" not in str(caught.value)


def test_parameters_that_are_wrong_are_refused() -> None:
    for parameters, message in (
        ({"class_weight": {"PERS": 2.0}}, "no training text has the label 'PERS'"),
        ({"settings": {"data.train_spans": "x"}}, "data.train_spans: fit is given the texts and their spans"),
    ):
        with pytest.raises(ValueError, match=message):
            TokenClassifier(**{**FAST, **parameters}).fit(TEXTS, SPANS)
    with pytest.raises(NotFittedError, match=r"call fit, or take TokenClassifier\.load"):
        TokenClassifier().predict(["a"])


def test_a_run_of_labels_is_no_model_of_spans(tmp_path: Path) -> None:
    from data_files import write_run

    with pytest.raises(RunError, match=r"its model finds no spans; take TextClassifier\.load"):
        TokenClassifier.load(write_run(tmp_path / "run"))


def test_a_model_of_spans_is_loaded_by_no_other_estimator(fitted: TokenClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path / "run")
    for other, message in (
        (TextRegressor, "its model predicts no numbers; take TokenClassifier.load"),
        (TextClassifier, "its model predicts no labels"),
    ):
        with pytest.raises(RunError, match=re.escape(message)):
            other.load(tmp_path / "run")
