"""`TextRegressor` for scikit-learn, and `TextClassifier` for ranks."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from training_runs import TINY

from custom_bert import TextClassifier, TextRegressor
from custom_bert.cli import main
from custom_bert.errors import RunError

WORTH = {"awful": -2.0, "bad": -1.0, "plain": 0.0, "good": 1.0, "great": 2.0}
draw = np.random.default_rng(0)
ROWS = [draw.choice(list(WORTH), 3).tolist() for _ in range(120)]
TEXTS = [" ".join(["the film was", *row]) for row in ROWS]
NUMBERS = np.array([100 + 10 * sum(map(WORTH.__getitem__, row)) for row in ROWS])
FAST: dict[str, Any] = {
    "init_from": "scratch",
    "epochs": 10,
    "lr": 1e-2,
    "floor": False,
    "random_state": 0,
    "settings": {**TINY, "optim.eval_every": 1000},
}


@pytest.fixture(scope="module")
def fitted() -> TextRegressor:
    return TextRegressor(**FAST).fit(TEXTS, NUMBERS)


def test_it_predicts_numbers_and_scores_r2(fitted: TextRegressor) -> None:
    found = fitted.predict(TEXTS)
    assert found.shape == (120,) and found.dtype == np.float64
    assert fitted.score(TEXTS, NUMBERS) == r2_score(NUMBERS, found) > 0.7
    weights = np.arange(120.0)
    assert fitted.score(TEXTS, NUMBERS, weights) == r2_score(NUMBERS, found, sample_weight=weights)
    assert clone(fitted).get_params() == fitted.get_params()


def test_several_numbers_have_a_column_each() -> None:
    both = np.column_stack([NUMBERS, -NUMBERS])
    found = TextRegressor(**FAST).fit(TEXTS, both).predict(TEXTS[:5])
    assert found.shape == (5, 2) and np.allclose(found[:, 0], -found[:, 1], atol=40)


def test_pairs_of_texts_have_numbers_too() -> None:
    pairs = [("of another film", text) for text in TEXTS]
    model = TextRegressor(**FAST).fit(pairs, NUMBERS)
    assert model.score(pairs, NUMBERS) > 0.5
    as_array = np.array(pairs, dtype=object)
    assert np.array_equal(model.predict(as_array), model.predict(pairs))
    with pytest.raises(TypeError, match=r"^pair 0: expected two texts, .* got 'a'; this model reads pairs"):
        model.predict(["a"])


def test_a_saved_regressor_comes_back_and_is_a_run_that_commands_read(
    fitted: TextRegressor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted.save(tmp_path / "run")
    again = TextRegressor.load(tmp_path / "run")
    assert again.epochs == 10 and np.array_equal(again.predict(TEXTS), fitted.predict(TEXTS))
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict(TEXTS), fitted.predict(TEXTS))
    (tmp_path / "texts.txt").write_text(TEXTS[0] + "\n")
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "texts.txt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["numbers"] == pytest.approx(fitted.predict(TEXTS[:1]).tolist())
    with pytest.raises(RunError, match="its model predicts no labels"):
        TextClassifier.load(tmp_path / "run")


def test_what_cannot_be_learned_is_refused_in_one_line(tmp_path: Path) -> None:
    for numbers, words in (
        ([1.0, float("nan")], "Input y contains NaN"),
        (["a", "b"], "could not convert string to float"),
        ([1.0], "there are 2 texts and 1 labels"),
        ([3.0, 3.0], "the number is 3 on every line"),
        ([10**400, 1], r"^numbers: at least one is larger than 1e\+30; write them in another unit$"),
        (np.array([1j, 2]), "^numbers: Complex data not supported; got an array of complex128$"),
        (np.array(["2026-01-01", "2026-01-02"], "datetime64[D]"), "^numbers: dates and times are no numbers"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            TextRegressor(**FAST).fit(["a b", "c d"], numbers)
        assert "\n" not in str(caught.value)
    for wrong in ({1.0, 2.0}, "12", {1.0: 2.0}):
        with pytest.raises(TypeError, match=r"^numbers: expected a list or an array, got "):
            TextRegressor(**FAST).fit(["a b", "c d"], wrong)
    with pytest.raises(NotFittedError, match="this TextRegressor is not fitted yet; call fit, or take Text"):
        TextRegressor().predict(["a"])
    with pytest.raises(ValueError, match=r"settings: optim\.lr is the parameter lr"):
        TextRegressor(settings={"optim.lr": 1.0}).fit(TEXTS, NUMBERS)


def test_a_classifier_learns_ranks_when_asked(tmp_path: Path) -> None:
    stars = np.digitize(NUMBERS, [80, 100, 120])
    model = TextClassifier(**FAST, task="ordinal").fit(TEXTS, stars)
    assert set(model.predict(TEXTS)) <= {0, 1, 2, 3} and model.score(TEXTS, stars) > 0.5
    record = model.run_.json("run.json")
    assert record["config"]["task"] == "ordinal" and record["validation"]["kappa"] > 0
    with pytest.raises(ValueError, match="but these are labels of multi_label"):
        TextClassifier(**FAST, task="ordinal").fit(TEXTS[:2], [{"a"}, {"b"}])
    model.save(tmp_path / "run")
    with pytest.raises(RunError, match=r"predicts no numbers; take TextClassifier\.load"):
        TextRegressor.load(tmp_path / "run")
