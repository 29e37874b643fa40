"""The scikit-learn estimator: what its users do with it, from fit to a grid, with their own labels."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config
from scipy.sparse import csr_matrix
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from training_runs import TINY, examples

import custom_bert
from custom_bert import Classifier, TextClassifier, TextRegressor, train_model
from custom_bert.cli import main
from custom_bert.data import sample
from custom_bert.errors import CustomBertWarning, RunError, WriteError
from custom_bert.model_files.native import load_model

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "scikit-learn.md").read_text(encoding="utf-8")
TEXTS, NAMES = examples(60)
IDS = np.unique(NAMES, return_inverse=True)[1]
HOT = np.stack([IDS == 0, IDS != 1, IDS == 9], axis=1).astype(int)
SOME = TEXTS[:6]


def tiny(**changes: Any) -> TextClassifier:
    given = {"init_from": "scratch", "epochs": 2, "lr": 3e-3, "max_length": 32, "floor": False}
    return TextClassifier(**{**given, "random_state": 0, "settings": TINY, **changes})


@pytest.fixture(scope="module")
def fitted() -> TextClassifier:
    return tiny(epochs=6, lr=1e-2).fit(TEXTS, NAMES)


@pytest.fixture(scope="module")
def of_sets() -> TextClassifier:
    sets = [{name, "named"} if i % 2 else {name} for i, name in enumerate(NAMES)]
    return tiny(epochs=6, lr=1e-2).fit(TEXTS, sets)


@pytest.mark.parametrize("labels", [NAMES, IDS + 9, IDS > 0], ids=["str", "int", "bool"])
def test_predictions_have_the_type_and_the_order_of_the_labels(labels: Any) -> None:
    model = tiny(epochs=6, lr=1e-2).fit(TEXTS, labels)
    assert np.array_equal(model.classes_, np.unique(labels))
    found, probabilities_NC = model.predict(TEXTS), model.predict_proba(TEXTS)
    assert found.dtype == model.classes_.dtype and found.shape == (60,)
    assert np.array_equal(model.classes_[probabilities_NC.argmax(1)], found)
    assert probabilities_NC.sum(1) == pytest.approx(np.ones(60), abs=1e-5)
    assert model.score(TEXTS, labels) == np.mean(found == np.array(labels)) > 0.5
    weights = np.arange(60)
    assert model.score(TEXTS, labels, weights) == pytest.approx(np.average(found == labels, weights=weights))


def test_labels_of_several_classes_come_back_as_sets_or_as_the_matrix_that_was_given(
    of_sets: TextClassifier,
) -> None:
    assert all(type(one) is set and one <= {*of_sets.classes_.tolist()} for one in of_sets.predict(SOME))
    assert of_sets.predict_proba(SOME).shape == (6, 4) and of_sets.classes_.tolist() == sorted(
        {*NAMES, "named"}
    )
    truth = of_sets.predict(TEXTS)
    assert of_sets.score(TEXTS, truth) == 1.0
    assert of_sets.score(TEXTS[:2], [truth[0], {"unheard"}], [3, 1]) == 0.75
    with pytest.raises(ValueError, match="expected the form that fit was given: set"):
        of_sets.score(TEXTS, HOT)
    dense, sparse = (tiny().fit(TEXTS, y) for y in (HOT, csr_matrix(HOT)))
    found = dense.predict(TEXTS)
    assert found.shape == HOT.shape and found.dtype.kind == "i" and not found[:, 2].any()
    assert np.array_equal(sparse.predict(TEXTS).toarray(), found)
    assert dense.predict_proba(TEXTS)[:, 2].max() == 0.0 and dense.classes_.tolist() == [0, 1, 2]
    assert dense.score(TEXTS, HOT) == np.mean((found == HOT).all(1))


def test_a_whole_number_repeats_a_fit_and_none_draws_another_seed() -> None:
    def found(random_state: Any) -> np.ndarray:
        return tiny(epochs=1, random_state=random_state).fit(TEXTS, NAMES).predict_proba(SOME)

    assert np.array_equal(found(3), found(3)) and not np.array_equal(found(3), found(4))
    np.random.seed(5)
    first, second = found(None), found(None)
    np.random.seed(5)
    assert np.array_equal(found(None), first) and not np.array_equal(first, second)
    assert np.array_equal(found(np.random.RandomState(5)), first)
    assert np.array_equal(found(np.random.default_rng(1)), found(np.random.default_rng(1)))


def test_the_parameters_reach_the_run_and_searches_may_draw_them() -> None:
    model = tiny(epochs=np.int64(1), lr=np.float64(1e-3), validation_fraction=0.2, class_weight="balanced")
    model.set_params(settings={**TINY, "optim": {"label_smoothing": 0.1}}).fit(TEXTS, NAMES)
    config = model.run_.json("run.json")["config"]
    names = ("optim.epochs", "optim.lr", "data.val_fraction", "optim.class_weights", "optim.label_smoothing")
    assert [config[name] for name in names] == [1, 1e-3, 0.2, "balanced", 0.1]
    assert [config[name] for name in ("data.max_length", "floor", "seed")] == [32, False, 0]
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"settings": {"optim.lr": 1e-3}}, r"settings: optim\.lr is the parameter lr$"),
        ({"settings": {"seed": 0}}, r"settings: seed is the parameter random_state$"),
        ({"settings": {"out": "x"}}, r"settings: out: nothing is written while fitting; save\(directory\).*"),
        ({"settings": {"optim.r_dorp": 1.0}}, r"unknown setting 'optim\.r_dorp' \(did you mean .*\)$"),
        ({"settings": 3}, r"settings: expected a mapping of settings, got 3$"),
        ({"task": "multi_label"}, r"task: 'multi_label', but these are labels of classification$"),
        ({"random_state": "x"}, r"random_state: expected None, a whole number, .* got 'x'$"),
        ({"random_state": -1}, r"seed must be between 0 and .*, got -1$"),
        (
            {"class_weight": "heavy"},
            r"class_weight: expected None, 'balanced', 'effective_number' or a dict, got 'heavy'$",
        ),
        ({"class_weight": {"unheard": 1.0}}, r"^class_weight: 'unheard' is not one of the labels$"),
        ({"class_weight": {"animals": -1}}, r"^weight 0: expected a finite number from 0 on, got -1"),
        ({"lr": "fast"}, r"optim\.lr: .*got 'fast'"),
        ({"epochs": 0}, r"optim\.epochs must be at least 1, got 0$"),
    ],
)
def test_parameters_that_cannot_be_used_are_refused_in_one_line(
    parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        tiny(**parameters).fit(TEXTS, NAMES)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ([], [], r"^there is no text: 0 samples, while at least 2 are needed$"),
        (TEXTS, NAMES[:-1], r"^there are 60 texts and 59 labels; each text needs one$"),
        (TEXTS, ["one"] * 60, r"^labels: there is one class, 'one', and at least two are needed$"),
        (TEXTS, [{"one"}] * 60, r"^labels: every line has the same labels; two different lines are needed$"),
        ([""] * 60, NAMES, r"^texts: every text is empty$"),
        (["a", "b"], ["x", "y"], r"no label has two different texts"),
    ],
)
def test_data_that_cannot_be_learned_is_refused_in_one_line(texts: Any, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        tiny().fit(texts, labels)
    assert len(str(caught.value).splitlines()) == 1


def test_nothing_is_predicted_scored_or_saved_before_a_fit(tmp_path: Path) -> None:
    model = tiny()
    for call in (model.predict, model.predict_proba, lambda texts: model.score(texts, NAMES[:6])):
        with pytest.raises(NotFittedError, match=r"^this TextClassifier is not fitted yet; call fit.*$"):
            call(SOME)
    with pytest.raises(NotFittedError):
        model.save(tmp_path / "run")


def test_what_scikit_learn_asks_of_an_estimator_of_texts(fitted: TextClassifier) -> None:
    tags = get_tags(fitted)
    assert is_classifier(fitted) and tags.input_tags.string and not tags.input_tags.two_d_array
    assert tags.classifier_tags is not None and tags.classifier_tags.multi_label
    assert get_tags(tiny(max_minutes=1)).non_deterministic and not tags.non_deterministic
    assert repr(TextClassifier(lr=0.001)) == "TextClassifier(lr=0.001)"
    assert "TextClassifier" in fitted._repr_html_()
    assert not hasattr(fitted, "n_features_in_") and not hasattr(fitted, "decision_function")
    assert fitted.predict([]).shape == (0,) and fitted.predict_proba([]).shape == (0, 3)


def test_pipelines_folds_and_grids_take_it() -> None:
    cleaned = Pipeline([("clean", FunctionTransformer(lambda texts: [t.lower() for t in texts]))])
    cleaned.steps.append(("model", tiny(epochs=1)))
    assert cross_val_score(cleaned, TEXTS, NAMES, cv=2).shape == (2,)
    assert cross_val_predict(tiny(epochs=1), TEXTS, IDS, cv=2).dtype == IDS.dtype
    assert cross_val_score(tiny(epochs=1), TEXTS, HOT, cv=2, scoring="f1_micro").shape == (2,)
    with parallel_config(backend="threading"):  # processes would each import torch, which takes long
        search = GridSearchCV(tiny(), {"epochs": [1, 2]}, cv=2, n_jobs=2).fit(TEXTS, NAMES)
    assert search.best_params_["epochs"] in (1, 2) and search.predict(SOME).shape == (6,)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.filterwarnings("ignore:.*under more than one label")
def test_weights_and_class_weights_decide_what_is_learned() -> None:
    texts = [f"{word} {i}" for i in range(40) for word in ("left", "right", "left", "right")]
    labels = np.array(["a", "b", "b", "a"] * 40)
    for heavy, expected in (([9, 9, 1, 1], ["a", "b"]), ([1, 1, 9, 9], ["b", "a"])):
        model = tiny(epochs=8, lr=1e-2).fit(texts, labels, sample_weight=heavy * 40)
        assert model.predict(["left 1", "right 1"]).tolist() == expected
    for heavy_class in ("a", "b"):
        model = tiny(epochs=8, lr=1e-2, class_weight={heavy_class: 20.0}).fit(texts, labels)
        assert model.predict(["left 1", "right 1"]).tolist() == [heavy_class] * 2


@pytest.mark.parametrize("form", ["sets", "matrix"])
def test_a_mapping_weighs_the_presence_of_labels_of_sets(form: str) -> None:
    texts = [f"{word} {i}" for i in range(60) for word in ("left", "right", "both")]
    rows = [[i % 3 == 0, i % 3 == 1, (i // 3) % 6 == 0] for i in range(180)]  # the last one by chance
    sets = [{name for name, has in zip("lrx", row, strict=True) if has} for row in rows]
    hot_NC = np.c_[np.array(rows), np.zeros(180)].astype(int)  # no text has the last column
    y, rare = (sets, "x") if form == "sets" else (hot_NC, 2)
    plain, heavy = (
        tiny(epochs=4, lr=1e-2, class_weight=weights).fit(texts, y).predict_proba(["left 1", "both 2"])
        for weights in (None, {rare: 20.0, **({} if form == "sets" else {3: 5.0})})
    )
    assert heavy[:, 2].min() > plain[:, 2].max() + 0.2, "the odds of the heavy label rise"
    assert abs(heavy[:, :2] - plain[:, :2]).max() < 0.2, "and of no other one"
    assert tiny(epochs=1, class_weight={}).fit(texts[:30], y[:30]).predict(texts[:2]) is not None
    recorded = tiny(epochs=1, class_weight={rare: 2.0}).fit(texts, y).run_.json("run.json")["config"]
    assert recorded["optim.class_weights"] == {str(rare): 2.0}
    with pytest.raises(ValueError, match=r"^class_weight: 'unheard' is not one of the labels$"):
        tiny(class_weight={"unheard": 2.0}).fit(texts, y)


def test_shares_are_an_array_or_dicts_and_the_majority_is_right() -> None:
    shares_NC = np.zeros((60, 4))  # no text has a share of the last label
    shares_NC[np.arange(60), IDS], shares_NC[np.arange(60), (IDS + 1) % 3] = 0.75, 0.25
    model = tiny(task="soft_labels", epochs=8, lr=1e-2).fit(TEXTS, shares_NC)
    assert model.classes_.tolist() == [0, 1, 2, 3] and model.predict(SOME).shape == (6,)
    found_NC = model.predict_proba(TEXTS)
    assert found_NC.shape == (60, 4) and not found_NC[:, 3].any()
    assert found_NC.sum(1) == pytest.approx(np.ones(60), abs=1e-5)
    assert model.score(TEXTS, shares_NC) == np.mean(model.predict(TEXTS) == IDS) > 0.7
    tied = np.where(shares_NC > 0, 0.5, 0)
    assert model.score(TEXTS, tied) == np.mean(tied[np.arange(60), model.predict(TEXTS)] > 0)
    dicts = [
        {name: 3, NAMES[(i + 1) % 60]: 1} if NAMES[(i + 1) % 60] != name else {name: 1}
        for i, name in enumerate(NAMES)
    ]
    with pytest.warns(CustomBertWarning, match="shares of .* do not add up to 1; they are taken as votes"):
        other = tiny(task="soft_labels", class_weight={"animals": 2.0}).fit(TEXTS, dicts)
    assert other.classes_.tolist() == sorted({*NAMES})
    assert other.run_.json("run.json")["config"]["optim.class_weights"] == {"animals": 2.0}
    assert cross_val_score(tiny(task="soft_labels", epochs=1), TEXTS, shares_NC[:, :3], cv=2).shape == (2,)


def test_a_fit_on_shares_is_saved_and_loaded(tmp_path: Path) -> None:
    model = tiny(task="soft_labels", epochs=1).fit(TEXTS, np.eye(3)[IDS] + 0.0)
    model.save(tmp_path / "run")
    again = TextClassifier.load(tmp_path / "run")
    assert again.task == "soft_labels" and np.array_equal(again.predict(SOME), model.predict(SOME))
    assert again.score(TEXTS, np.eye(3)[IDS]) == model.score(TEXTS, IDS)
    with pytest.raises(RunError, match=r"predicts no numbers; take TextClassifier\.load"):
        TextRegressor.load(tmp_path / "run")


@pytest.mark.parametrize(
    ("y", "changes", "fault"),
    [
        (HOT * 0.5, {}, r"row 0 has .*0.5.* in column .*; shares of labels need task='soft_labels'$"),
        ([{"a": 1}] * 60, {}, r"^labels: dicts of labels and shares need task='soft_labels'$"),
        (NAMES, {"task": "soft_labels"}, r"^labels: shares of labels are an array of texts x labels, or a"),
        (HOT - 0.5, {"task": "soft_labels"}, r"^label 0: the share of .* is -0.5; expected a finite number"),
        (HOT * np.nan, {"task": "soft_labels"}, r"^label 0: the share of 0 is nan; expected a finite number"),
        (HOT * 0, {"task": "soft_labels"}, r"^label 0: no label has a share of this text$"),
        ([{"a": "x"}] * 60, {"task": "soft_labels"}, r"^label 0: the share of 'a' is 'x'$"),
        ([{" a": 1}] * 60, {"task": "soft_labels"}, r"without white space around it$"),
        (
            [{"a": 1, "b": 1}, {"b": 1}] * 30,
            {"task": "soft_labels", "class_weight": {"A": 2}},
            r"no training text has the label 'A' \(did you mean 'a'\?\)",
        ),
    ],
)
def test_shares_that_cannot_be_used_are_refused_in_one_line(y: Any, changes: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        tiny(**changes).fit(TEXTS, y)
    assert "\n" not in str(caught.value)


def test_a_text_of_weight_zero_is_as_if_it_were_not_there() -> None:
    first = tiny(epochs=1).fit(TEXTS, NAMES)
    second = tiny(epochs=1).fit(
        [*TEXTS, "an unheard text"], [*NAMES, "unheard"], sample_weight=np.r_[np.ones(60), 0]
    )
    assert second.classes_.tolist() == first.classes_.tolist()
    assert np.array_equal(first.predict_proba(SOME), second.predict_proba(SOME))


@pytest.mark.parametrize("kind", ["str", "int", "set", "sparse"])
def test_a_saved_estimator_comes_back_and_is_a_run_that_commands_read(
    tmp_path: Path, kind: str, of_sets: TextClassifier, fitted: TextClassifier, capsys: Any
) -> None:
    made = {"str": lambda: fitted, "set": lambda: of_sets, "int": lambda: tiny(epochs=1).fit(TEXTS, IDS)}
    made["sparse"] = lambda: tiny(epochs=1).fit(TEXTS, csr_matrix(HOT))
    model, run = made[kind](), tmp_path / "run"
    model.save(run)
    again = TextClassifier.load(run)
    assert again.get_params() == model.get_params() and again.classes_.dtype == model.classes_.dtype
    assert np.array_equal(again.predict_proba(SOME), model.predict_proba(SOME))
    answers = [m.predict(SOME) for m in (again, model)]
    assert str(answers[0]) == str(answers[1])
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(WriteError, match="exists already and is not overwritten"):
        model.save(run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    (tmp_path / "texts.txt").write_text("a dog barks\n", encoding="utf-8")
    for command in (
        ["predict", str(run), str(tmp_path / "texts.txt")],
        ["info", str(run)],
        ["report", str(run)],
    ):
        main(command)
    assert main(["export", str(run), str(tmp_path / "exported")]) in (0, None)
    assert "/tmp/" not in (run / "run.json").read_text(encoding="utf-8").replace(str(tmp_path), "")


def test_a_run_of_the_command_line_is_an_estimator_too(tmp_path: Path) -> None:
    from custom_bert import Reporter, in_memory

    given = {
        **TINY,
        "optim.epochs": 1,
        "out": str(tmp_path / "run"),
        "data.cache_dir": str(tmp_path / "cache"),
    }
    given |= {"model.init_from": "scratch", "floor": True}
    train_model(given, source=in_memory(TEXTS, [str(i) for i in IDS + 8]), reporter=Reporter(silent=True))
    model, plain = TextClassifier.load(tmp_path / "run"), Classifier.load(tmp_path / "run")
    assert model.classes_.tolist() == ["10", "8", "9"] and plain.labels == ("8", "9", "10")
    assert model.predict(SOME).tolist() == [one.label for one in plain.predict(SOME)]  # type: ignore[attr-defined]
    assert np.array_equal(model.predict_proba(SOME), plain.predict_proba(SOME)[:, [2, 0, 1]])
    assert model.get_params() == TextClassifier().get_params()


def test_directories_that_are_no_classifier_are_refused_in_one_line(
    tmp_path: Path, fitted: TextClassifier
) -> None:
    with pytest.raises(RunError, match="nowhere"):
        TextClassifier.load(tmp_path / "nowhere")
    fitted.save(tmp_path / "run")
    path = tmp_path / "run" / "estimator.json"
    for spoilt in (
        "{",
        json.dumps({"format": "other"}),
        path.read_text().replace('"animals"', '"others"'),
        path.read_text().replace('"form": "one"', '"form": "two"'),
        path.read_text().replace('"<U8"', '"V8"'),
    ):
        path.write_text(spoilt, encoding="utf-8")
        with pytest.raises(RunError, match=r"run: .*estimator\.json") as caught:
            TextClassifier.load(tmp_path / "run")
        assert len(str(caught.value).splitlines()) == 1


def test_learning_goes_on_from_a_saved_run_with_other_texts_and_other_classes(
    tmp_path: Path, fitted: TextClassifier
) -> None:
    assert not hasattr(fitted, "partial_fit")
    fitted.save(tmp_path / "first")
    more = [name.upper() if i % 3 else "unheard" for i, name in enumerate(NAMES)]
    settings = {k: v for k, v in TINY.items() if not k.startswith("model.")}
    model = tiny(init_from=tmp_path / "first", epochs=1, lr=1e-9, settings=settings).fit(TEXTS, more)
    assert "unheard" in model.classes_
    model.save(tmp_path / "second")
    first, second = (load_model(tmp_path / name).model.encoder.state_dict() for name in ("first", "second"))
    assert all(np.allclose(first[name], second[name], atol=1e-6) for name in first)
    assert json.loads((tmp_path / "second" / "run.json").read_text())["pretrained"]


@pytest.mark.filterwarnings("ignore::custom_bert.errors.CustomBertWarning")
def test_what_the_page_shows_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """With few texts, and a tiny model in the place of the one that takes minutes."""

    def quick(**parameters: Any) -> TextClassifier:
        settings = {k: v for k, v in TINY.items() if "init_from" not in parameters or k[:6] != "model."}
        return tiny(**{**parameters, "max_minutes": None, "epochs": 1, "settings": settings})

    few = [sample.Example(text, name, "") for text, name in zip(TEXTS, NAMES, strict=True)]
    monkeypatch.setattr(sample, "make_examples", lambda: few)
    monkeypatch.setattr(sample, "divide", lambda rows: (rows, rows))
    monkeypatch.setattr(custom_bert, "TextClassifier", quick)
    monkeypatch.chdir(tmp_path)
    blocks, known = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL), {}
    assert len(blocks) == 3
    for block in blocks:
        exec(block.replace("n_jobs=2", "n_jobs=1"), known)
    printed = capsys.readouterr().out
    assert "'lr'" in printed and "'drawing'" in printed and (tmp_path / "areas" / "run.json").exists()


def test_what_is_doubtful_is_a_warning_where_nothing_is_printed_and_a_line_where_progress_is(
    capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    tiny(epochs=1).fit(TEXTS, NAMES)
    assert capsys.readouterr() == ("", "") and not recwarn.list
    texts = ["", *TEXTS[1:]]
    with pytest.warns(CustomBertWarning, match=r"^texts: 1 empty text \(line 1\)$") as caught:
        tiny(epochs=1).fit(texts, NAMES)
    assert caught[0].filename == __file__ and capsys.readouterr() == ("", "")
    recwarn.clear()
    tiny(epochs=1, verbose=1).fit(texts, NAMES)
    printed = capsys.readouterr().out
    assert "warning: texts: 1 empty text (line 1)" in printed and "epoch 1.00  validation" in printed
    assert not recwarn.list and "custom-bert-" not in printed and "--" not in printed.replace("---", "")
    tiny(epochs=1, verbose=2).fit(texts, NAMES)
    assert len(capsys.readouterr().out) > len(printed)
