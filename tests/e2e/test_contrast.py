"""With few texts a label, the encoder first learns to put texts of one label near each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from e2e.test_head_start import from_published, published_in
from hypothesis import given, strategies
from torch.nn.functional import cosine_similarity, normalize
from training_runs import break_off, built, examples, ready, write_lines

from custom_bert import Reporter, train_model
from custom_bert.errors import ConfigError
from custom_bert.ops.losses import supervised_contrast_sum
from custom_bert.rules import choices
from custom_bert.training import contrast
from custom_bert.training.contrast import TEXTS, draw_together, drawn

QUIET = Reporter(silent=True)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder that was made for mean vectors."""
    return published_in(tmp_path_factory.mktemp("published"), **{"model.num_hidden_layers": 2})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten texts of each of three labels."""
    folder = tmp_path / "data"
    folder.mkdir()
    for split, count in (("train", 30), ("val", 12)):
        texts, labels = examples(count, seed=count)
        write_lines(folder / f"{split}_dataset.txt", texts)
        write_lines(folder / f"{split}_labels.txt", labels)
    return folder


def test_the_loss_is_the_mean_cross_entropy_of_finding_each_text_of_the_same_label() -> None:
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn(7, 5, generator=draw, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 0])
    expected = torch.zeros((), dtype=torch.float64)
    for i in range(7):
        others = [j for j in range(7) if j != i]
        scores = {j: cosine_similarity(vectors[i], vectors[j], dim=0) / 0.2 for j in others}
        total = torch.logsumexp(torch.stack(list(scores.values())), 0)
        friends = [j for j in others if labels[j] == labels[i]]
        for j in friends:
            expected = expected - (scores[j] - total) / len(friends)
    found = supervised_contrast_sum(vectors, labels, temperature=0.2)
    assert torch.allclose(found, expected)
    (gradient,) = torch.autograd.grad(found, vectors)
    assert gradient.isfinite().all() and gradient.any()
    weights = torch.tensor([1.0, 0, 0, 0, 0, 0, 0], dtype=torch.float64)
    alone = supervised_contrast_sum(vectors, labels, temperature=0.2, weights_N=weights)
    assert 0 < alone.item() < found.item()


@given(
    counts=strategies.lists(strategies.integers(0, 40), min_size=1, max_size=60),
    seed=strategies.integers(0, 99),
)
def test_a_step_has_equally_many_texts_of_some_labels(counts: list[int], seed: int) -> None:
    classes = np.repeat(np.arange(len(counts)), counts)
    if not len(classes):
        return
    rows = drawn(classes, np.random.Generator(np.random.PCG64(seed)))
    assert 1 <= len(rows) <= TEXTS and len({*rows.tolist()}) == len(rows)
    if max(counts) > 1:
        _, taken = np.unique(classes[rows], return_counts=True)
        assert taken.min() >= 2
        assert len(taken) == min(TEXTS // 2, sum(count > 1 for count in counts))


@pytest.mark.parametrize(("asked", "epochs"), [({}, 5), ({"optim.head_init": "random"}, 20)])
def test_few_passes_follow_it_unless_the_user_says_how_many(
    data: Path, tmp_path: Path, published: Path, asked: dict[str, Any], epochs: int
) -> None:
    given = from_published(data, tmp_path / "run", published) | {"optim.epochs": None, **asked}
    assert ready(given).plan.config.optim.epochs == epochs


def test_it_is_taken_with_few_texts_a_label(data: Path, tmp_path: Path, published: Path) -> None:
    result = train_model(from_published(data, tmp_path / "run", published), reporter=QUIET)
    record = json.loads((result.directory / "run.json").read_text())
    assert record["config"]["optim.head_init"] == "contrast"
    assert record["config"]["model.pooling"] == "mean_layer"
    (reason,) = [one["reason"] for one in record["choices"] if one["name"] == "optim.head_init"]
    assert reason == "about 10 texts a label"
    assert choices.head_init(20 * 3, epochs=9, classes=3)[0] == "contrast"
    assert choices.head_init(20 * 3 + 1, epochs=9, classes=3)[0] != "contrast"
    assert choices.head_init(5, epochs=9, classes=3)[0] == "random"


def cosines(data: Path, published: Path, *, after: bool) -> float:
    """By how much texts of one label are nearer to each other than to those of others, in the mean."""
    one = ready(from_published(data, None, published))
    state = built(one)
    if after:
        assert draw_together(state, *one, lambda: False) == contrast.STEPS
    rows = np.argsort(-one.train.lengths_N, kind="stable")
    model: Any = state.model.eval()
    with torch.no_grad():
        unit = normalize(model.vectors(one.train.build_for_evaluation(rows)), dim=-1)
    assert one.train.targets is not None
    labels = torch.from_numpy(one.train.targets.values(rows))
    same = labels[:, None] == labels
    return float((unit @ unit.T)[same].mean() - (unit @ unit.T)[~same].mean())


def test_texts_of_one_label_come_nearer(data: Path, published: Path) -> None:
    assert cosines(data, published, after=True) > cosines(data, published, after=False) + 0.3


def test_frozen_layers_stay(data: Path, published: Path) -> None:
    one = ready(from_published(data, None, published, **{"optim.freeze_layers": 1}))
    state = built(one)
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    draw_together(state, *one, lambda: False)
    after = state.model.state_dict()
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    frozen = {name for name, tensor in state.model.named_parameters() if not tensor.requires_grad}
    assert frozen and changed and not changed & frozen
    assert all(name.startswith("encoder.") for name in changed)


def test_a_frozen_encoder_has_a_probe(data: Path, published: Path) -> None:
    one = ready(from_published(data, None, published, **{"optim.freeze_layers": 2}))
    assert one.plan.config.optim.head_init == "probe"


def test_who_asks_for_an_end_does_not_wait_for_it(data: Path, published: Path) -> None:
    one = ready(from_published(data, None, published))
    assert draw_together(built(one), *one, lambda: True) == 0


def test_a_run_repeats_and_goes_on_bit_for_bit(data: Path, tmp_path: Path, published: Path) -> None:
    def config(name: str) -> dict[str, Any]:
        more = {"optim.epochs": 8, "runtime.checkpoint_every": 2, "model.hidden_dropout": 0.1}
        return from_published(data, tmp_path / name, published, **more)

    for name in ("whole", "again"):
        train_model(config(name), reporter=QUIET)
    break_off(config("broken"), step=5)
    train_model(config("broken"), reporter=QUIET)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "again", "broken")]
    assert weights[0] == weights[1] == weights[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "multi_label"}, "task multi_label has no contrast; take probe or random"),
        ({"model.init_from": "scratch"}, "a contrast needs a pretrained encoder; name a model.init_from"),
        ({"optim.pretrain_epochs": 1}, "a contrast is of no use before optim.pretrain_epochs"),
        ({"optim.freeze_layers": 2}, "optim.freeze_layers leaves the encoder as it is; take probe"),
    ],
)
def test_where_it_cannot_be_it_is_refused_in_a_line(
    data: Path, tmp_path: Path, published: Path, changes: dict[str, Any], message: str
) -> None:
    asked = from_published(data, tmp_path / "run", published, **{"optim.head_init": "contrast", **changes})
    with pytest.raises(ConfigError) as refused:
        train_model(asked, reporter=QUIET)
    assert str(refused.value) == f"config: optim.head_init: {message}"
