"""Numbers and ranks open in transformers with what our model computes, in every family: what a user gets by
the code of the model card equals what `Classifier` predicts. Planted mistakes have to be noticed."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from custom_bert import Classifier
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.text_pairs import paired
from custom_bert.errors import RunError
from custom_bert.inference.exports.hf import export_hugging_face
from custom_bert.model_files.description import Description, write_description
from custom_bert.model_files.native import write_weights
from custom_bert.model_files.pretrained import load_pretrained
from custom_bert.models.ranks import RankHead
from custom_bert.ops.ranks import logits_above, rank_log_probabilities
from custom_bert.tasks import ordinal
from custom_bert.tasks.ordinal import Ordinal, RanksAbove
from custom_bert.tasks.regression import Regression
from custom_bert.tasks.task import Task

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from parity.comparison import randomise  # noqa: E402
from parity.test_pairs import checkpoint  # noqa: E402
from parity.test_pretrained import MODELS  # noqa: E402

TEXTS = ["", "a b", "c d e f g h i j k l m n o p q r s t u v w x y z", "q", "z z z z", "a c e", "k j i h"]
PAIRS = list(zip(TEXTS, [*TEXTS[:0:-1], "m n"], strict=True))
"""Without an empty second text, which a pipeline of transformers takes for none."""

RANKS = ("poor", "fair", "good", "very good")
ONE = Regression((500.0,), (40.0,))
SEVERAL = Regression((500.0, -3.0, 0.25), (40.0, 0.5, 2.0))


def run_of(folder: Path, family: str, task: Task, *, pairs: bool = False) -> Path:
    """A run directory with a model of the family, whose every weight is random."""
    checkpoint(folder / "published", family)
    found, run = load_pretrained(folder / "published"), folder / "run"
    model = task.model(found.encoder, None)
    randomise(model)
    head = model.get_submodule("head")
    run.mkdir()
    tokenizer = found.tokenizer.reading(pairs=pairs)
    if isinstance(head, RankHead):  # so that texts have different ranks
        texts = [paired(*one) for one in PAIRS] if pairs else TEXTS
        encoded = tokenizer.encode(texts, 24)
        rows = np.arange(len(texts))
        batch = BatchBuilder(encoded, rows, None, tokenizer.pad_id).build(rows, "packed", 24)
        with torch.no_grad():
            above = model.eval()(batch).double().exp().cumsum(-1)[:, 0]
            scores = (head.thresholds[0] - above.logit()).sort().values.float()
        head.begin_with(scores[[1, 3, 5]] + 0.01 * (scores[[2, 4, 6]] - scores[[1, 3, 5]]))
    write_description(run, Description(found.encoder, task, 24, pairs=pairs), tokenizer)
    write_weights(run, model.state_dict())
    return run


def by_the_card(out: Path, inputs: list[Any]) -> list[list[str]]:
    """What the code of the model card prints for each text or pair, line by line."""
    card = (out / "README.md").read_text().split("```python\n")[1].split("```")[0]
    card = card.replace('["a text"]', "[GIVEN]").replace('("a text")', "(GIVEN)")
    card = card.replace('[{"text": "a text", "text_pair": "another"}]', "[GIVEN]")
    card = card.replace('({"text": "a text", "text_pair": "another"})', "(GIVEN)")
    card = card.replace(f'"{out.name}"', repr(str(out)))
    code, printed = compile(card, "README.md", "exec"), []
    for given in inputs:
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            exec(code, {"GIVEN": given})
        printed.append(told.getvalue().splitlines())
    return printed


@pytest.mark.parametrize("pairs", [False, True], ids=["texts", "pairs"])
@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("task", [ONE, SEVERAL], ids=["one number", "three numbers"])
def test_numbers_are_those_of_the_run_in_every_family(
    family: str, task: Regression, pairs: bool, tmp_path: Path
) -> None:
    run, out = run_of(tmp_path, family, task, pairs=pairs), tmp_path / "out"
    said = export_hugging_face(run, out)
    assert "logits within" in said[1]
    ours_NK = Classifier.load(run).predict_proba(PAIRS if pairs else TEXTS)
    inputs = [{"text": a, "text_pair": b} for a, b in PAIRS] if pairs else TEXTS
    for (line,), row_K in zip(by_the_card(out, inputs), ours_NK, strict=True):
        answers = eval(line)
        answers = [answers] if isinstance(answers, dict) else answers
        answers = answers[0] if isinstance(answers[0], list) else answers
        theirs = {one["label"]: one["score"] for one in answers}
        found_K = np.array([theirs[f"LABEL_{i}"] for i in range(len(row_K))])
        assert np.allclose(found_K, row_K, rtol=1e-5, atol=1e-4), family


@pytest.mark.parametrize("pairs", [False, True], ids=["texts", "pairs"])
@pytest.mark.parametrize("family", MODELS)
def test_ranks_are_those_of_the_run_in_every_family(family: str, pairs: bool, tmp_path: Path) -> None:
    run, out = run_of(tmp_path, family, Ordinal(RANKS), pairs=pairs), tmp_path / "out"
    said = export_hugging_face(run, out)
    assert "4 ranks; an output is the probability of being above a rank" in said[0]
    assert "logits within" in said[1]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(out)
    assert type(model).__name__ == f"{MODELS[family][0]}ForSequenceClassification"
    assert model.config.id2label == {0: "> poor", 1: "> fair", 2: "> good"}
    assert model.config.problem_type == "multi_label_classification"
    classifier, given = Classifier.load(run), (PAIRS if pairs else TEXTS)
    inputs = [{"text": a, "text_pair": b} for a, b in PAIRS] if pairs else TEXTS
    predicted, ours_NC = classifier.predict(given), classifier.predict_proba(given)
    assert len({one.as_dict()["label"] for one in predicted}) > 1
    for printed, one, row_C in zip(by_the_card(out, inputs), predicted, ours_NC, strict=True):
        assert printed[0] == one.as_dict()["label"]
        theirs = eval(printed[1])
        assert list(theirs) == list(RANKS) and list(theirs.values()) == pytest.approx(row_C, abs=1e-5)


class OtherOrder(RanksAbove):
    """Gives the outputs the thresholds in the wrong order."""

    def published_tensors(self, state: Any) -> dict[str, Tensor]:
        tensors = super().published_tensors(state)
        return {**tensors, "head.projection.bias": tensors["head.projection.bias"].flip(0)}


class NoThresholds(RanksAbove):
    """Leaves the thresholds out."""

    def published_tensors(self, state: Any) -> dict[str, Tensor]:
        tensors = super().published_tensors(state)
        bias = state["head.projection.bias"]
        return {**tensors, "head.projection.bias": bias.expand(len(RANKS) - 1).contiguous()}


class Below(RanksAbove):
    """Answers whether a text is at most at a rank, which is the opposite."""

    def published_tensors(self, state: Any) -> dict[str, Tensor]:
        tensors = super().published_tensors(state)
        names = ("head.projection.weight", "head.projection.bias")
        return {**tensors, **{name: -tensors[name] for name in names}}


@pytest.mark.parametrize("mistake", [OtherOrder, NoThresholds, Below])
def test_planted_mistakes_are_noticed_by_the_verification(
    mistake: type[RanksAbove], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path, "bert", Ordinal(RANKS))
    monkeypatch.setattr(ordinal, "RanksAbove", mistake)
    with pytest.raises(RunError, match=r"computes logits that differ by"):
        export_hugging_face(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_log_odds_of_being_above_a_rank_are_exact_for_scores_of_any_size() -> None:
    thresholds = torch.tensor([-2.0, -1.9999, 0.5, 30.0], dtype=torch.float64)
    scores_N = torch.tensor([-300.0, -20.0, -2.0, 0.0, 0.5, 25.0, 300.0], dtype=torch.float64)
    found = logits_above(rank_log_probabilities(scores_N, thresholds))
    assert torch.allclose(found, scores_N[:, None] - thresholds, rtol=1e-9, atol=1e-9)
