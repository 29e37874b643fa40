"""A server of a model that finds spans: the spans of predict, and a page that marks them."""

import json
from pathlib import Path

import pytest
from serve_process import serving
from span_data import sentences, span_settings, write_spans

from custom_bert import Classifier, train_model

TEXTS = [" ".join(word for word, _ in one) for one in sentences(20, seed=4)]
TEXTS += ["", "mr kim\tgoes 😀 in\r\nnew york", "é" * 30]


@pytest.mark.filterwarnings("ignore:.*unknown to the vocabulary")
def test_spans_are_those_of_predict_and_the_page_knows_that_there_are_spans(tmp_path: Path) -> None:
    data = write_spans(tmp_path / "data")
    train_model(span_settings(data, tmp_path / "run", **{"optim.epochs": 4}))
    wanted = [one.as_dict() for one in Classifier.load(tmp_path / "run").predict(TEXTS)]
    with serving(tmp_path / "run") as server:
        found = server.ask("/predict", {"texts": TEXTS}).json["predictions"]
        assert sum(len(one["spans"]) for one in found) > 20
        for ours, theirs in zip(found, wanted, strict=True):
            for one, other in zip(ours["spans"], theirs["spans"], strict=True):
                assert one == {**other, "score": pytest.approx(other["score"], abs=1e-5)}
        for one, text in zip(found, TEXTS, strict=True):
            assert all(text[span["start"] : span["end"]] == span["text"] for span in one["spans"])
        (every,) = server.ask("/predict", {"text": "mr kim", "probabilities": True}).json["predictions"]
        assert [(unit["start"], unit["end"]) for unit in every["units"]] == [(0, 2), (3, 6)]
        assert all(sum(unit["probabilities"].values()) == pytest.approx(1) for unit in every["units"])
        refused = server.ask("/explain", {"text": "mr kim"})
        assert refused.status == 501 and "finds spans" in refused.json["error"]
        assert b'data-explains="no" data-spans="yes"' in server.ask("/").content
        described = json.loads(server.ask("/openapi.json").content)
        schema = described["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]
        one = schema["schema"]["properties"]["predictions"]["items"]["properties"]
        assert set(one["spans"]["items"]["properties"]) == set(wanted[0]["spans"][0])
        assert set(one["units"]["items"]["properties"]) == set(every["units"][0])
