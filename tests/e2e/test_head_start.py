"""A head that starts from a linear probe, and the mean of vectors: by rule, exact, and in exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from e2e.test_pretrain import recipe, write_corpus
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from training_runs import break_off, built, examples, ready, settings, write_data, write_lines

from custom_bert import Classifier, Embedder, train_model
from custom_bert.cli import main
from custom_bert.errors import ConfigError, RunError
from custom_bert.model_files.native import load_model
from custom_bert.model_files.pretrained import load_pretrained
from custom_bert.models.heads import MEAN_WEIGHT
from custom_bert.rules import choices
from custom_bert.training.head_start import STRENGTH, start_head

MEANS = {
    "word_embedding_dimension": 32,
    "pooling_mode_cls_token": False,
    "pooling_mode_mean_tokens": True,
    "pooling_mode_max_tokens": False,
}


ARCHITECTURE = ("model.hidden_size", "model.num_hidden_layers", "model.num_attention_heads", "optim.lr")
"""Settings of small runs that a checkpoint decides."""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published_in(tmp_path_factory.mktemp("published"))


def published_in(folder: Path, **changes: Any) -> Path:
    """An encoder in Hugging Face's layout, of which sentence-transformers takes mean vectors."""
    data = write_data(folder / "data")
    train_model(settings(data, folder / "run", preset="legacy", **{"data.max_length": 32, **changes}))
    assert main(["export", str(folder / "run"), str(folder / "bert")]) == 0
    (folder / "bert" / "1_Pooling").mkdir()
    (folder / "bert" / "1_Pooling" / "config.json").write_text(json.dumps(MEANS))
    return folder / "bert"


def copy_without_pooling(published: Path, folder: Path) -> None:
    """Copies a checkpoint without the folder that says that it was made for mean vectors."""
    for path in published.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())


def from_published(data: Path, out: Path | None, published: Path, **changes: Any) -> dict[str, Any]:
    common = {name: value for name, value in settings(data, out).items() if name not in ARCHITECTURE}
    return {**common, "optim.epochs": 1, "model.init_from": str(published), **changes}


@pytest.fixture(scope="module")
def trained(published: Path) -> tuple[Path, Path]:
    folder = published.parent / "trained"
    data = write_data(folder / "data")
    train_model(from_published(data, folder / "run", published))
    return data, folder / "run"


def test_with_few_steps_a_label_the_head_starts_from_a_probe_on_means(trained: tuple[Path, Path]) -> None:
    record = json.loads((trained[1] / "run.json").read_text())
    config, reasons = record["config"], {one["name"]: one["reason"] for one in record["choices"]}
    assert (config["optim.head_init"], config["model.pooling"]) == ("probe", "mean_layer")
    assert reasons["optim.head_init"] == "about 8 steps for 3 labels"
    assert reasons["model.pooling"].endswith("was made for mean vectors")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"optim.head_init": "random"}, ("random", "cls")),
        ({"model.pooling": "cls"}, ("probe", "cls")),
        ({"model.pooling": "mean_layer", "optim.head_init": "random"}, ("random", "mean_layer")),
        ({"model.init_from": "scratch"}, ("random", "cls")),
        ({"task": "multi_label"}, ("probe", "mean_layer")),
        ({"runtime.shard": True}, ("random", "cls")),
        ({"optim.pretrain_epochs": 1}, ("random", "cls")),
    ],
)
def test_each_part_is_a_switch(
    trained: tuple[Path, Path], published: Path, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    found = ready(from_published(trained[0], None, published, **changes)).plan.config
    assert (found.optim.head_init, found.model.pooling) == expected


@pytest.mark.parametrize(("epochs", "expected"), [(7, "probe"), (8, "random")])
def test_many_steps_a_label_need_no_probe(
    trained: tuple[Path, Path], published: Path, epochs: int, expected: str
) -> None:
    config = from_published(trained[0], None, published, **{"optim.epochs": epochs})
    assert ready(config).plan.config.optim.head_init == expected


@pytest.mark.parametrize(
    ("pooling", "means"),
    [
        (MEANS, True),
        ({"pooling_mode": "mean"}, True),
        ({**MEANS, "pooling_mode_cls_token": True}, False),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, False),
        ({"pooling_mode": "lasttoken"}, False),
        (None, False),
    ],
)
def test_what_a_checkpoint_was_made_for_is_read(
    tmp_path: Path, published: Path, pooling: dict[str, Any] | None, means: bool
) -> None:
    copy_without_pooling(published, tmp_path)
    if pooling is not None:
        (tmp_path / "1_Pooling").mkdir()
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    assert load_pretrained(tmp_path).for_means == means


def test_in_the_hubs_cache_the_file_about_pooling_is_a_link_to_a_blob(
    tmp_path: Path, published: Path
) -> None:
    repository = tmp_path / "models--some--model"
    snapshot, blobs = repository / "snapshots" / "abc", repository / "blobs"
    blobs.mkdir(parents=True)
    (snapshot / "1_Pooling").mkdir(parents=True)
    for i, file in enumerate(path for path in sorted(published.rglob("*")) if path.is_file()):
        name = file.relative_to(published)
        (blobs / str(i)).write_bytes(file.read_bytes())
        (snapshot / name).symlink_to("../" * (len(name.parts) + 1) + f"blobs/{i}")
    found = load_pretrained(snapshot)
    assert found.state and found.for_means
    (tmp_path / "elsewhere").write_text(json.dumps(MEANS))
    (snapshot / "1_Pooling" / "config.json").unlink()
    (snapshot / "1_Pooling" / "config.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="leads out of the directory"):
        load_pretrained(snapshot)


def test_a_damaged_file_about_pooling_is_one_line(tmp_path: Path, published: Path) -> None:
    copy_without_pooling(published, tmp_path)
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{")
    with pytest.raises(RunError, match=r"1_Pooling/config\.json: not valid JSON"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.init_from": "scratch"}, "a probe needs a pretrained encoder; name a model.init_from"),
        ({"runtime.shard": True}, "probe does not go with runtime.shard"),
        ({"optim.pretrain_epochs": 1}, "a probe is of no use before optim.pretrain_epochs"),
    ],
)
def test_a_probe_that_cannot_be_is_one_line(
    trained: tuple[Path, Path], published: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"optim.head_init: {message}"):
        ready(from_published(trained[0], None, published, **{"optim.head_init": "probe", **changes}))


def test_the_probe_is_scikit_learns_logistic_regression(trained: tuple[Path, Path], published: Path) -> None:
    data, _ = trained
    prepared = ready(from_published(data, None, published))
    state = built(prepared)
    assert start_head(state, prepared.plan, prepared.material) == 240
    texts, labels = examples(240)
    encoder = Embedder.load(str(published), max_length=32)
    means, firsts = (encoder.embed(texts, pooling=one, normalize=False) for one in ("mean", "cls"))
    mixed = firsts + MEAN_WEIGHT * means
    features = np.tanh((mixed - mixed.mean(1, keepdims=True)) / mixed.std(1, keepdims=True))
    scaler = StandardScaler().fit(features)
    ids = [prepared.plan.task.output_names.index(label) for label in labels]
    # its penalty is half the sum of squares beside C times the sum of losses
    peer = LogisticRegression(C=1 / (2 * STRENGTH * len(texts)), tol=1e-8, max_iter=2000)
    peer.fit(scaler.transform(features), ids)
    expected = peer.predict_log_proba(scaler.transform(features))
    head = state.model.head
    assert torch.equal(head.dense.weight, torch.eye(32)) and not head.dense.bias.any()
    with torch.no_grad():
        found = head.projection(torch.from_numpy(features).float()).log_softmax(-1).numpy()
    assert np.allclose(found, expected, rtol=0.01, atol=1e-4)


@pytest.mark.parametrize(("begins", "right"), [("probe", True), ("random", False)])
def test_a_run_begins_with_it(
    trained: tuple[Path, Path], tmp_path: Path, published: Path, begins: str, right: bool
) -> None:
    changes = {"optim.head_init": begins, "optim.lr": 1e-9, "model.pooling": "mean_layer"}
    result = train_model(from_published(trained[0], tmp_path / "run", published, **changes))
    assert result.accuracy is not None and (result.accuracy > 0.8) == right


def test_label_sets_have_a_probe_with_their_own_loss(tmp_path: Path, published: Path) -> None:
    data = write_data(tmp_path / "data")
    labels = (data / "train_labels.txt").read_text().splitlines()
    write_lines(data / "train_labels.txt", [f"{x}\tnamed" if i % 2 else x for i, x in enumerate(labels)])
    prepared = ready(from_published(data, None, published, task="multi_label"))
    state = built(prepared)
    start_head(state, prepared.plan, prepared.material)
    bias = dict(zip(prepared.plan.task.output_names, state.model.head.projection.bias.tolist(), strict=True))
    assert set(bias) == {"animals", "machines", "named", "weather"}
    model, batch = state.model.eval(), prepared.material.train.build_for_evaluation(np.arange(200))
    with torch.no_grad():
        right = (model(batch) > 0) == (batch.targets.values > 0)
    assert right.float().mean() > 0.8


def test_a_run_that_was_broken_off_ends_with_the_same_weights(
    trained: tuple[Path, Path], tmp_path: Path, published: Path
) -> None:
    data, whole = trained
    for step, every in ((2, 1), (1, 100)):  # continued, and begun again
        config = from_published(
            data, tmp_path / f"run {step}", published, **{"runtime.checkpoint_every": every}
        )
        break_off(config, step=step)
        train_model(config)
        assert (tmp_path / f"run {step}" / "model.safetensors").read_bytes() == (
            whole / "model.safetensors"
        ).read_bytes()


def exported(run: Path, out: Path) -> dict[str, Any]:
    assert main(["export", str(run), str(out)]) == 0
    config: dict[str, Any] = json.loads((out / "config.json").read_text())
    return config


def test_an_export_computes_the_mean_as_one_more_layer(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transformers = pytest.importorskip("transformers")
    data, run = trained
    config = exported(run, tmp_path / "out")
    layers = load_model(run).described.encoder.num_hidden_layers
    assert config["model_type"] == "bert" and config["num_hidden_layers"] == layers + 1
    assert "verified with transformers" in capsys.readouterr().out
    texts = (data / "val_dataset.txt").read_text().splitlines()
    pipe = transformers.pipeline(
        "text-classification", str(tmp_path / "out"), top_k=None, truncation=True, batch_size=8
    )
    classifier = Classifier.load(run)
    theirs = [{one["label"]: one["score"] for one in row} for row in pipe(texts)]
    for row, scores in zip(classifier.predict_proba(texts), theirs, strict=True):
        assert row.tolist() == pytest.approx([scores[label] for label in classifier.labels], abs=1e-5)


def test_our_own_export_is_read_without_the_layer_more(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = trained
    exported(run, tmp_path / "out")
    texts = (data / "val_dataset.txt").read_text().splitlines()
    ours, again = (Classifier.load(one) for one in (run, tmp_path / "out"))
    layers = load_model(run).described.encoder.num_hidden_layers
    assert again.scores.model.config.num_hidden_layers == layers  # type: ignore[attr-defined]
    assert np.abs(again.predict_proba(texts) - ours.predict_proba(texts)).max() < 1e-6
    vectors_ND, again_ND = (Embedder.load(one).embed(texts) for one in (run, tmp_path / "out"))
    assert np.abs(vectors_ND - again_ND).max() < 1e-6


def test_an_encoder_that_goes_on_to_predict_tokens_has_no_layer_more(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    write_corpus(tmp_path / "corpus")
    config = recipe(tmp_path / "corpus", tmp_path / "run", **{"model.init_from": str(trained[1])})
    train_model({name: value for name, value in config.items() if name not in ARCHITECTURE})
    found = exported(tmp_path / "run", tmp_path / "out")
    assert found["num_hidden_layers"] == load_model(tmp_path / "run").described.encoder.num_hidden_layers


def test_a_pre_norm_encoder_has_no_such_layer(trained: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match=r"pooling mean_layer needs model\.norm post"):
        ready(settings(trained[0], None, **{"model.pooling": "mean_layer", "model.init_from": "scratch"}))


def test_of_many_texts_the_probe_takes_as_many_as_it_may_spread_evenly(
    trained: tuple[Path, Path], published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = ready(from_published(trained[0], None, published))
    monkeypatch.setattr(choices, "PROBE_TEXTS", 230)
    assert start_head(built(prepared), prepared.plan, prepared.material) == 230


@pytest.mark.parametrize(
    "changes",
    [
        {"optim.class_weights": "balanced", "optim.label_smoothing": 0.1, "optim.r_drop": 1.0},
        {"data.long_texts": "windows", "data.max_length": 5},
        {"optim.freeze_layers": 1},
    ],
)
def test_a_probe_goes_with_every_way_of_training(
    trained: tuple[Path, Path], published: Path, changes: dict[str, Any]
) -> None:
    prepared = ready(from_published(trained[0], None, published, **changes))
    assert prepared.plan.config.optim.head_init == "probe"
    state = built(prepared)
    start_head(state, prepared.plan, prepared.material)
    model, batch = state.model.eval(), prepared.material.train.build_for_evaluation(np.arange(240))
    with torch.no_grad():
        assert (model(batch).argmax(1) == batch.targets.values).float().mean() > 0.8


def test_more_labels_than_a_probe_has_texts_for_have_a_random_head() -> None:
    assert choices.head_init(300, epochs=4, classes=150)[0] == "contrast"
    assert [choices.probe_texts(9_000, classes=classes) for classes in (6, 77, 150, 500)] == [
        3_000, 3_080, 6_000, 9_000
    ]  # fmt: skip
    assert choices.probe_texts(1_000, classes=6) == 1_000
    assert choices.probe_texts(1_000_000, classes=500) == 10_000
    value, reason = choices.head_init(300, epochs=4, classes=151)
    assert value == "random" and reason == "151 labels are too many for a probe on 300 texts"
    assert choices.head_init(1_000_000, epochs=1, classes=5_001)[0] == "random"
