"""The floor learns what scikit-learn learns, from a bounded part of the texts, with calibrated scores."""

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC
from training_runs import examples

from custom_bert.floor import limits
from custom_bert.floor.linear import LEAST_SHARE, fit_classes, fit_shares
from custom_bert.floor.linear_sets import fit_sets
from custom_bert.floor.ngrams import NGrams, NoFloorError, kinds_for


def numbered(labels: list[str]) -> tuple[np.ndarray, int]:
    names = sorted(set(labels))
    return np.array([names.index(label) for label in labels]), len(names)


def test_margins_are_scikit_learns() -> None:
    texts, labels = examples(300)
    ids_N, num_classes = numbered(labels)
    floor = fit_classes(texts, ids_N, num_classes, seed=0)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    rows = np.hstack([one.fit_transform(texts).toarray() for one in (words, characters)])
    machine = LinearSVC(C=0.3, random_state=0).fit(rows, ids_N)
    np.testing.assert_allclose(floor.margins(texts), machine.decision_function(rows), atol=1e-3)


def test_two_classes_have_a_column_each() -> None:
    texts, labels = examples(120)
    kept = [(text, label) for text, label in zip(texts, labels, strict=True) if label != "weather"]
    texts, labels = [text for text, _ in kept], [label for _, label in kept]
    ids_N, num_classes = numbered(labels)
    scores_NC = fit_classes(texts, ids_N, num_classes, seed=0).scores(texts)
    assert scores_NC.shape == (len(texts), 2)
    np.testing.assert_allclose(scores_NC[:, 0], -scores_NC[:, 1], atol=1e-5)
    assert (scores_NC.argmax(1) == ids_N).mean() == 1


def test_confidence_is_as_large_as_accuracy_on_texts_that_were_not_learned() -> None:
    texts, labels = examples(900)
    ids_N, num_classes = numbered(labels)
    drawn = np.random.default_rng(0)
    wrong_N = drawn.random(900) < 0.3  # three labels in ten are drawn anew: nobody can be right more often
    ids_N = np.where(wrong_N, drawn.integers(num_classes, size=900), ids_N)
    floor = fit_classes(texts[:600], ids_N[:600], num_classes, seed=0)
    probabilities_NC = softmax(floor.scores(texts[600:]), axis=1)
    accuracy = (probabilities_NC.argmax(1) == ids_N[600:]).mean()
    assert probabilities_NC.max(1).mean() == pytest.approx(accuracy, abs=0.1)
    assert floor.scale != 1.0


def test_a_seed_gives_the_same_floor() -> None:
    texts, labels = examples(200)
    ids_N, num_classes = numbered(labels)
    one, other = (fit_classes(texts, ids_N, num_classes, seed=3) for _ in range(2))
    assert np.array_equal(one.scores(texts), other.scores(texts))


def test_a_class_that_is_only_among_the_held_out_texts_does_no_harm() -> None:
    texts, labels = examples(60)
    labels[7] = "rare"
    ids_N, num_classes = numbered(labels)
    for seed in range(8):  # in some of them the only text is held out
        assert np.isfinite(fit_classes(texts, ids_N, num_classes, seed=seed).scores(texts)).all()


def test_shares_are_learned_as_texts_that_stand_there_once_for_each_class() -> None:
    texts, labels = examples(200)
    ids_N, num_classes = numbered(labels)
    shares_NC = 0.7 * np.eye(num_classes)[ids_N] + 0.3 * np.eye(num_classes)[(ids_N + 1) % num_classes]
    shares_NC[::2] = np.eye(num_classes)[ids_N[::2]]
    weights_N = np.linspace(0.5, 2.0, 200)
    heavy_C = np.array([3.0, 1.0, 0.5])
    floor = fit_shares(texts, shares_NC, seed=0, class_weights_C=heavy_C, weights_N=weights_N)
    rows_E, ids_E = np.nonzero(shares_NC)
    matrix = NGrams.learn(texts, num_classes)[1][rows_E]
    weights_E = shares_NC[rows_E, ids_E] * weights_N[rows_E] * heavy_C[ids_E]
    machine = LinearSVC(C=0.3, random_state=0)
    machine.fit(matrix, ids_E, weights_E)
    np.testing.assert_allclose(floor.weights_FC, machine.coef_.T, atol=1e-3)
    assert floor.scale > 0 and floor.scale != 1.0


def test_shares_of_one_class_each_are_learned_as_classes_and_tiny_shares_are_left_out() -> None:
    texts, labels = examples(120)
    ids_N, num_classes = numbered(labels)
    hot_NC = np.eye(num_classes, dtype=np.float32)[ids_N]
    plain = fit_classes(texts, ids_N, num_classes, seed=0)
    for shares_NC in (hot_NC, np.where(hot_NC > 0, 1.0, LEAST_SHARE / 2)):
        soft = fit_shares(texts, shares_NC, seed=0)
        np.testing.assert_allclose(soft.scores(texts), plain.scores(texts), atol=1e-5)
    with pytest.raises(NoFloorError, match="those of one label"):
        fit_shares(texts, np.eye(num_classes)[np.zeros(120, dtype=int)], seed=0)


def test_a_heavy_class_is_given_more_often() -> None:
    texts = [f"{word} {i}" for i in range(40) for word in ("left", "right")]
    ids_N = np.array([i % 2 if i % 3 else 1 - i % 2 for i in range(80)])
    light, heavy = (
        (fit_classes(texts, ids_N, 2, seed=0, class_weights_C=weights_C).scores(texts).argmax(1) == 0).sum()
        for weights_C in (np.array([0.2, 1.0]), np.array([5.0, 1.0]))
    )
    assert heavy > light


def test_sets_have_probabilities_of_their_own() -> None:
    texts, labels = examples(400)
    ids_N, num_classes = numbered(labels)
    hot_NC = np.eye(num_classes)[ids_N] > 0
    hot_NC[:, 1] |= np.array(["night" in text for text in texts])
    floor = fit_sets(texts[:300], hot_NC[:300], texts[300:], hot_NC[300:])
    scores_NC = floor.scores(texts[300:])
    assert ((expit(scores_NC) > 0.5) == hot_NC[300:]).mean() > 0.95


def test_a_class_that_every_text_has_or_none_is_given_so() -> None:
    texts, labels = examples(80)
    ids_N, num_classes = numbered(labels)
    hot_NC = np.hstack([np.eye(num_classes)[ids_N] > 0, np.ones((80, 1)) > 0, np.zeros((80, 1)) > 0])
    floor = fit_sets(texts[:60], hot_NC[:60], texts[60:], hot_NC[60:])
    assert (floor.margins(texts)[:, -2:] == [1, -1]).all()


@pytest.mark.parametrize(
    ("texts", "kinds"),
    [
        (["the cat sleeps", "a dog barks"], ("words", "characters")),
        (
            ["酒店很好房间也很干净下次还会来这里", "服务太差不会再来了房间里没有热水"],
            ("characters without words",),
        ),
        (["ภาษาไทยไม่มีช่องว่างระหว่างคำ"], ("characters without words",)),
        (["the cat sleeps " * 100] * 2, ("words",)),
    ],
)
def test_the_kinds_of_ngrams_go_by_the_texts(texts: list[str], kinds: tuple[str, ...]) -> None:
    assert kinds_for(texts) == kinds
    assert tuple(part.kind for part in NGrams.learn(texts, 2)[0].parts) == kinds


@pytest.mark.parametrize("texts", [["", "  "], []])
def test_texts_without_ngrams_have_no_floor(texts: list[str]) -> None:
    with pytest.raises(NoFloorError, match="no n-gram"):
        NGrams.learn(texts, 2)


def test_few_texts_are_all_read() -> None:
    portion = limits.training_portion(1000, 60, np.array([0, 5]), 2, seed=0)
    assert portion is not None and portion.is_whole


@pytest.mark.parametrize(("mean", "classes"), [(100, 4), (2_000, 4), (100, 1_000), (50_000, 20)])
def test_the_characters_that_are_read_are_bounded(mean: float, classes: int) -> None:
    firsts = np.arange(classes)
    portion = limits.training_portion(5_000_000, mean, firsts, classes, seed=0)
    assert portion is not None and not portion.is_whole
    read = len(portion.rows_N) * min(mean, limits.TEXT)
    assert read <= limits.CHARACTERS_OF_LONG_TEXTS + classes * mean
    assert read * classes <= 1.2 * limits.WORK
    assert set(firsts.tolist()) <= set(portion.rows_N.tolist())
    assert (np.diff(portion.rows_N) > 0).all()


def test_too_many_classes_have_no_floor() -> None:
    assert limits.training_portion(1_000_000, 100, np.arange(20_000), 20_000, seed=0) is None


def test_validation_is_bounded_too() -> None:
    assert len(limits.measured_portion(3_000_000, 100, seed=0).rows_N) == limits.MEASURED // 100
    assert limits.measured_portion(100, 100, seed=0).is_whole
