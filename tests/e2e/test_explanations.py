"""Which words count: the same as predicting the shortened texts one by one, for every kind of model."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pair_data import write_pairs
from training_runs import examples, settings, write_lines

from custom_bert import Classifier, Explanation, Reporter, train_model
from custom_bert.data.words import words
from custom_bert.decoding.classes import ClassDecoder
from custom_bert.decoding.sets import SetDecoder
from custom_bert.errors import CustomBertWarning
from custom_bert.inference import explanation

KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "ensemble": (2_100, {"floor": True, "optim.epochs": 1}),
    "encoder": (240, {}),
    "floor": (240, {"floor": True, "optim.epochs": 1}),
    "multi_label": (240, {"task": "multi_label", "data.long_texts": "windows"}),
}
TEXTS = [
    "",
    " \t",
    "engine",
    "!?",
    "the cat sleeps near the river, and a motor hums all day long",
    "雪覆盖一切 and wires spark hot",
    "rain falls hard " * 15,
]
UNKNOWN_ALLOWED = pytest.mark.filterwarnings("ignore:.* of the characters are unknown")


@pytest.fixture(scope="module", params=KINDS)
def classifier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    count, changes = KINDS[request.param]
    folder = tmp_path_factory.mktemp("explain")
    texts, labels = examples(count)
    labels = [labels[(i + 1) % count] if i % 8 == 0 else label for i, label in enumerate(labels)]
    if request.param == "multi_label":
        labels = [f"{label}\tlong" if len(texts[i]) > 60 else label for i, label in enumerate(labels)]
    for kind, lines in (("dataset", texts), ("labels", labels)):
        write_lines(folder / f"train_{kind}.txt", lines)
    train_model(settings(folder, folder / "run", **changes), reporter=Reporter(silent=True))
    if request.param != "floor":
        return Classifier.load(folder / "run")
    (folder / "run" / "model.safetensors").unlink()
    with pytest.warns(CustomBertWarning, match="the floor predicts"):
        return Classifier.load(folder / "run")


def one_by_one(classifier: Classifier, text: str) -> np.ndarray:
    """(words, labels) the effects of each word, from a prediction for each shortened text."""
    whole = classifier.predict_proba([text])[0]
    without = [classifier.predict_proba([text[:begin] + text[end:]])[0] for begin, end in words(text)]
    return np.log(whole) - np.log(np.reshape(without, (-1, len(whole))))


@pytest.fixture(scope="module", params=["encoder", "floor"])
def of_pairs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    folder = write_pairs(tmp_path_factory.mktemp("pairs"), train=160, val=None)
    changes = {"data.pairs": True, "floor": request.param == "floor", "optim.epochs": 8}
    train_model(settings(folder, folder / "run", **changes), reporter=Reporter(silent=True))
    if request.param == "encoder":
        return Classifier.load(folder / "run", encoder_only=True)
    (folder / "run" / "model.safetensors").unlink()
    with pytest.warns(CustomBertWarning, match="the floor predicts"):
        return Classifier.load(folder / "run")


@UNKNOWN_ALLOWED
def test_words_of_both_texts_of_a_pair_are_left_out_one_at_a_time(of_pairs: Classifier) -> None:
    first, second = pair = ("the cat of a dog", "engine on by the dog, 雪 pump")
    whole = np.log(of_pairs.predict_proba([pair])[0])
    expected = {}
    for i, text in enumerate(pair):
        for begin, end in words(text):
            shorter = text[:begin] + text[end:]
            given = (shorter, second) if i == 0 else (first, shorter)
            expected[bool(i), begin, end] = whole - np.log(of_pairs.predict_proba([given])[0])
    for column, label in enumerate(of_pairs.labels):
        found = of_pairs.explain(pair, label=label, most=1_000)
        effects = {(one.second, one.start, one.end): one.effect for one in found.labels[0].words}
        assert effects == pytest.approx({at: row[column] for at, row in expected.items()}, abs=2e-4)
        assert all(pair[bool(one.second)][one.start : one.end] == one.word for one in found.labels[0].words)
    assert (found.text, found.second_text, found.complete) == (first, second, True)
    assert found.tried == len(expected) == 12


@UNKNOWN_ALLOWED
def test_an_explanation_of_a_pair_says_which_text_each_word_is_of(of_pairs: Classifier) -> None:
    found = of_pairs.explain(["dog", "dog"], label="machines")
    line = found.line().split("\t")
    assert line[0] == "machines" and sorted(word.split(" ")[:2] for word in line[2:]) == [
        ["dog", "(1)"],
        ["dog", "(2)"],
    ]
    value = json.loads(json.dumps(found.as_dict()))
    assert (value["text"], value["second_text"]) == ("dog", "dog")
    assert sorted(word["second"] for word in value["labels"][0]["words"]) == [False, True]
    for wrong, name in ((("a",), r"\('a',\)"), ("a b", "'a b'"), (("a", 3), r"\('a', 3\)")):
        with pytest.raises(TypeError, match=f"^text: expected two texts, .* got {name}; .*"):
            of_pairs.explain(wrong)  # type: ignore[arg-type]


@UNKNOWN_ALLOWED
@pytest.mark.parametrize(
    ("counts", "tried"),
    [((300, 300), (128, 128)), ((300, 10), (246, 10)), ((10, 300), (10, 246)), ((0, 300), (0, 256))],
)
def test_both_texts_of_a_long_pair_have_their_share_of_the_words(
    of_pairs: Classifier, counts: tuple[int, int], tried: tuple[int, int]
) -> None:
    pair = tuple("dog " * count for count in counts)
    found = of_pairs.explain(pair, label="machines", most=1_000)
    seconds = [one.second for one in found.labels[0].words]
    assert (seconds.count(False), seconds.count(True)) == tried
    assert found.tried == 256 and not found.complete


@UNKNOWN_ALLOWED
@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_effects_are_those_of_predicting_the_shortened_texts_one_by_one(
    classifier: Classifier, text: str
) -> None:
    expected = one_by_one(classifier, text)
    for column, label in enumerate(classifier.labels):
        (found,) = classifier.explain(text, label=label, most=1_000).labels
        effects = [one.effect for one in sorted(found.words, key=lambda one: one.start)]
        assert effects == pytest.approx(expected[:, column].tolist(), abs=2e-4)
        sizes = [abs(one.effect) for one in found.words]
        assert sizes == sorted(sizes, reverse=True)
        assert found.probability == pytest.approx(classifier.predict_proba([text])[0, column], abs=1e-5)


@UNKNOWN_ALLOWED
@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_it_explains_what_is_predicted_and_the_places_give_the_words_again(
    classifier: Classifier, text: str
) -> None:
    found = classifier.explain(text)
    (predicted,) = classifier.predict([text])
    labels = predicted.as_dict().get("labels", [predicted.as_dict().get("label")])
    assert [one.label for one in found.labels] == labels
    assert found.text == text and found.complete and found.tried == len(list(words(text)))
    for label in found.labels:
        assert len(label.words) == min(10, found.tried)
        assert all(text[one.start : one.end] == one.word for one in label.words)


def test_what_it_returns_is_json_and_a_line_for_each_label(classifier: Classifier) -> None:
    found = classifier.explain("the engine starts", label="machines", most=2)
    assert isinstance(found, Explanation)
    label, probability, *effects = found.line().split("\t")
    (one,) = found.labels
    assert label == "machines" and float(probability) == pytest.approx(one.probability, abs=1e-6)
    assert effects == [f"{word.word} {word.effect:+.3f}" for word in one.words] and len(effects) == 2
    value = json.loads(json.dumps(found.as_dict()))
    assert value["labels"][0]["words"][0].keys() == {"word", "start", "end", "effect"}
    assert (value["text"], value["tried"], value["complete"]) == ("the engine starts", 3, True)


def test_it_warns_of_nothing_since_nobody_wrote_the_shortened_texts(classifier: Classifier) -> None:
    assert classifier.explain("!?", label="weather").tried == 0
    assert classifier.explain("雪 snow", label="weather").tried == 2


def test_what_cannot_be_explained_is_told(classifier: Classifier) -> None:
    with pytest.raises(ValueError, match=r"'machine' is not one of .*did you mean 'machines'"):
        classifier.explain("a", label="machine")
    with pytest.raises(TypeError, match="text: expected a string, got 3"):
        classifier.explain(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="most: expected a whole number from 0 on, got -1"):
        classifier.explain("a", most=-1)
    assert classifier.explain("a b", label="weather", most=0).labels[0].words == ()


def test_the_number_of_predictions_is_bounded_and_the_rest_is_told(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "rain falls hard " * 200
    found = classifier.explain(text, label="weather", most=1_000)
    assert found.tried == explanation.MOST_WORDS == len(found.labels[0].words) and not found.complete
    monkeypatch.setattr(explanation, "MOST_CHARACTERS", 3 * len(text))
    assert classifier.explain(text).tried == 3
    monkeypatch.setattr(explanation, "MOST_CHARACTERS", 1)
    assert classifier.explain(text).tried == 1


def test_certain_predictions_have_effects_too() -> None:
    outputs = np.array([[30.0, 0.0], [25.0, 0.0]], dtype=np.float32)
    for decoder in (ClassDecoder(("a", "b")), SetDecoder(("a", "b"))):
        logs = decoder.log_probabilities(outputs)
        assert decoder.probabilities(outputs)[:, 0].tolist() == [1.0, 1.0]
        assert 0 > logs[0, 0] > logs[1, 0] and np.isfinite(logs).all()
