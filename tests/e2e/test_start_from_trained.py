"""Training from a pretrained encoder: its weights are the start, its architecture stays, it exports again."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import Ready, built, ready, settings, write_lines

from custom_bert import train_model
from custom_bert.config_sources import from_mapping
from custom_bert.errors import ConfigError, RunError
from custom_bert.inference.exports.hf import export_hugging_face
from custom_bert.model_files import hub
from custom_bert.model_files.native import load_model
from custom_bert.model_files.pretrained import load_pretrained
from custom_bert.rules import choices
from custom_bert.tasks.predicting_tokens import masker
from custom_bert.training.log import Reporter


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("trained") / "first"
    train_model(settings(data, directory, **{"model.num_hidden_layers": 3}))
    return directory


@pytest.fixture(scope="module")
def published(run: Path) -> Path:
    """The run in Hugging Face's layout."""
    export_hugging_face(run, run.parent / "published")
    return run.parent / "published"


def start(data: Path, init_from: Path | str, out: Path | None = None, **changes: Any) -> dict[str, Any]:
    chosen = ("model.hidden_size", "model.num_hidden_layers", "model.num_attention_heads", "optim.lr")
    chosen += ("optim.embedding_lr_factor", "optim.token_dropout", "optim.r_drop", "optim.pretrain_epochs")
    common = {k: v for k, v in settings(data, out).items() if k not in chosen}
    return {**common, "optim.epochs": 1, "model.init_from": str(init_from), **changes}


def prepared(given: dict[str, Any]) -> Ready:
    return ready(given)


def test_only_vectors_of_tokens_that_the_texts_hold_are_trained(
    data: Path, tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for split in ("train", "val"):
        labels = (data / f"{split}_labels.txt").read_text().splitlines()
        write_lines(few / f"{split}_labels.txt", labels)
        write_lines(few / f"{split}_dataset.txt", [f"again {label}" for label in labels])
    state = built(prepared(start(few, run)))
    table = state.model.encoder.embeddings.token
    moving = [p for group in state.phases[-1].optimizer.param_groups for p in group["params"]]
    assert any(p is table.rows for p in moving) and all(p is not table.weight for p in moving)
    result = train_model(start(few, run, tmp_path / "out"), reporter=Reporter(verbose=True))
    assert "token vectors are trained" in capsys.readouterr().out
    name = "encoder.embeddings.token.weight"
    before, after = (load_model(path).model.state_dict()[name] for path in (run, result.directory))
    moved = (before != after).any(1)
    assert 0 < int(moved.sum()) < 0.5 * len(moved)


@pytest.mark.parametrize("source", ["run", "published"])
def test_training_starts_from_the_trained_weights(
    source: str, data: Path, request: pytest.FixtureRequest, run: Path
) -> None:
    state = built(prepared(start(data, request.getfixturevalue(source))))
    trained = load_model(run).model.state_dict()
    for name, tensor in state.model.state_dict().items():
        assert torch.equal(tensor, trained[name]) == (not name.startswith("head.projection")), name


def test_every_choice_for_a_trained_encoder_is_made_and_told(data: Path, published: Path) -> None:
    found = prepared(start(data, published))
    reasons = {choice.name: choice.reason for choice in found.choices}
    assert reasons["model.norm"] == "as trained" and found.encoder.num_hidden_layers == 3
    assert "trained encoder" in reasons["optim.lr"] and found.config.optim.layer_lr_decay == 0.95
    assert found.config.optim.embedding_init == "checkpoint"
    assert (found.config.optim.token_dropout, found.config.optim.pretrain_epochs) == (0, 0)
    assert found.config.data.max_length == 32


def test_a_better_start_learns_faster(data: Path, published: Path, tmp_path: Path) -> None:
    brief = {"optim.lr": 2e-3, "optim.epochs": 2}
    from_trained = train_model(start(data, published, tmp_path / "a", **brief))
    from_scratch = train_model(settings(data, tmp_path / "b", **brief, **{"model.num_hidden_layers": 3}))
    assert from_trained.accuracy > 0.9 > from_scratch.accuracy


def test_positions_limit_the_length(data: Path, published: Path) -> None:
    given = start(data, published)
    del given["data.max_length"]
    assert prepared(given).config.data.max_length == 32
    with pytest.raises(ConfigError, match=r"data.max_length 64: .* has 32 positions"):
        prepared(start(data, published, **{"data.max_length": 64}))


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("model.norm", "post", "model.norm post: .* has pre, and a trained architecture cannot be changed"),
        ("model.hidden_size", 64, "model.hidden_size 64: .* has 32"),
        ("model.num_hidden_layers", 2, "model.num_hidden_layers 2: .* has 3"),
        ("model.hidden_act", "relu", "model.hidden_act relu: .* has gelu"),
        ("model.size", "tiny", "model.size tiny: .* has its own"),
        ("model.vocab_size", 500, "model.vocab_size 500: "),
        ("data.tokenizer", "vocab.txt", "data.tokenizer: .* brings its own"),
        ("optim.embedding_init", "ppmi", "optim.embedding_init: model.init_from brings token vectors"),
        ("optim.freeze_layers", 4, "optim.freeze_layers 4: .* has 3 layers"),
    ],
)
def test_what_the_checkpoint_decides_cannot_be_asked_for(
    setting: str, value: Any, told: str, data: Path, published: Path
) -> None:
    with pytest.raises(ConfigError, match=told):
        prepared(start(data, published, **{setting: value}))


def test_what_it_has_may_be_repeated_and_dropout_and_pooling_are_free(data: Path, published: Path) -> None:
    found = prepared(start(data, published, **{"model.norm": "pre", "model.hidden_dropout": 0.3}))
    assert found.encoder.hidden_dropout == 0.3
    assert prepared(start(data, published, **{"model.pooling": "mean"})).encoder.pooling == "mean"


def test_going_on_with_masked_language_takes_the_small_rate(data: Path, published: Path) -> None:
    one = prepared(start(data, published, **{"optim.pretrain_epochs": 2}))
    pretraining, training = built(one).phases
    assert pretraining.lr == training.lr == one.config.optim.lr


def test_what_has_no_effect_or_cannot_be_exported_is_told(data: Path, published: Path) -> None:
    found = prepared(start(data, published, **{"data.lowercase": False, "model.pooling": "mean"}))
    assert any(line.startswith("data.lowercase False has no effect") for line in found.warnings)
    assert any("export will refuse this run" in line and "pooling" in line for line in found.warnings)
    plain = prepared(start(data, published))
    assert not any("export" in line or "lowercase" in line for line in plain.warnings)
    assert ("preset", "of training; the architecture is the checkpoint's") in {
        (choice.name, choice.reason) for choice in plain.choices
    }


def test_r_drop_needs_dropout(data: Path, published: Path) -> None:
    given = start(data, published, **{"optim.r_drop": 1.0, "model.hidden_dropout": 0.0})
    with pytest.raises(ConfigError, match=r"optim\.r_drop"):
        prepared(given)
    config = json.loads((published / "config.json").read_text())
    bare = published.parent / "bare"
    shutil.copytree(published, bare, dirs_exist_ok=True)
    for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
        config[key] = 0.0
    (bare / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="the checkpoint has none"):
        prepared(start(data, bare, **{"optim.r_drop": 1.0}))


def test_freezing_needs_something_trained(data: Path) -> None:
    given = {**settings(data, None), "optim.freeze_layers": 1}
    with pytest.raises(ConfigError, match=r"optim\.freeze_layers: nothing is trained yet"):
        from_mapping({**given, "model.init_from": "scratch"})
    with pytest.raises(ConfigError, match=r"nothing is trained yet \(model\.hidden_size 32 is asked for\)"):
        ready(given)


def test_the_checkpoints_weights_are_not_kept_twice(data: Path, published: Path) -> None:
    found = prepared(start(data, published))
    pretrained = found.material.pretrained
    assert pretrained is not None and pretrained.state
    built(found)
    assert not pretrained.state


def test_frozen_layers_keep_their_weights(data: Path, run: Path, tmp_path: Path) -> None:
    train_model(start(data, run, tmp_path / "run", **{"optim.freeze_layers": 2, "optim.lr": 1e-2}))
    before, after = (load_model(path).model.state_dict() for path in (run, tmp_path / "run"))
    kept = ("encoder.embeddings.", "encoder.layers.0.", "encoder.layers.1.")
    for name, tensor in after.items():
        if not name.startswith("head.projection"):
            assert torch.equal(tensor, before[name]) == name.startswith(kept), name


def test_the_same_start_is_the_same_run_and_another_is_not(
    data: Path, published: Path, tmp_path: Path
) -> None:
    train_model(start(data, published, tmp_path / "run"))
    moved = shutil.copytree(published, tmp_path / "elsewhere")
    again = train_model(start(data, moved, tmp_path / "run"))
    assert again.directory == tmp_path / "run"
    weights = bytearray((moved / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (moved / "model.safetensors").write_bytes(weights)
    with pytest.raises(RunError, match="holds another run \\(init from changed\\)"):
        train_model(start(data, moved, tmp_path / "run"))


@pytest.mark.parametrize("family", ["Bert", "Roberta", "DistilBert", "RobertaPreLayerNorm", "ModernBert"])
def test_every_family_is_fine_tuned_and_exported_back(
    family: str, data: Path, run: Path, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    sizes: dict[str, Any] = dict(vocab_size=1000, max_position_embeddings=64, pad_token_id=0)
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    if family == "DistilBert":
        names = ("dim", "n_layers", "n_heads", "hidden_dim")
    config = getattr(transformers, f"{family}Config")(
        **sizes, **dict(zip(names, (32, 2, 2, 48), strict=True))
    )
    getattr(transformers, f"{family}ForMaskedLM")(config).save_pretrained(tmp_path / "base")
    shutil.copy(run / "tokenizer.json", tmp_path / "base")
    train_model(start(data, tmp_path / "base", tmp_path / "run"))
    said = export_hugging_face(tmp_path / "run", tmp_path / "out")
    assert f"{family}ForSequenceClassification, 3 labels" in said[0] and "verified" in said[1]
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["model_type"] == config.model_type


def test_a_name_that_is_no_directory_is_looked_up_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(RunError, match="no such directory, and no id"):
        hub.locate("./nowhere")
    with pytest.raises(RunError, match="no such directory, and no id"):
        hub.locate("a b/c")
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked: dict[str, Any] = {}

    def unreachable(name: str, **arguments: Any) -> str:
        asked.update(arguments, name=name)
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(RunError, match="some/model: no such directory here, not in the hub's cache"):
        hub.locate("some/model")
    assert asked["name"] == "some/model"
    assert not any(pattern.endswith((".bin", ".py", ".pt")) for pattern in asked["allow_patterns"])


def test_the_cache_serves_where_the_hub_cannot_be_reached(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def behind_a_proxy(name: str, *, local_files_only: bool = False, **_: Any) -> str:
        if local_files_only and name == "some/cached":
            return str(published)
        raise ConnectionResetError("the proxy says no\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", behind_a_proxy)
    said: list[str] = []
    assert hub.locate("some/cached", said.append) == published
    assert said == ["some/cached: no such directory here; asking the Hugging Face Hub"]
    with pytest.raises(RunError, match=r"cannot be fetched from the hub \(the proxy says no\); download"):
        hub.locate("some/other")


@pytest.mark.parametrize("shared", [False, True])
def test_files_of_the_hubs_cache_are_links_to_blobs(tmp_path: Path, published: Path, shared: bool) -> None:
    """Of the repository, or, as huggingface_hub 2 has them, of all repositories."""
    repository = tmp_path / "models--some--model"
    snapshot, blobs = repository / "snapshots" / "abc", repository / "blobs"
    for folder in (snapshot, blobs):
        folder.mkdir(parents=True)
    for i, file in enumerate(sorted(published.iterdir())):
        digest = f"{i:02x}" + "0" * 62
        kept = blobs / digest
        if shared:
            kept = tmp_path / "blobs" / digest[:2] / digest
            kept.parent.mkdir(parents=True)
            (blobs / digest).symlink_to(kept)
        shutil.copy(file, kept)
        (snapshot / file.name).symlink_to(f"../../blobs/{digest}")
    assert load_pretrained(snapshot).state
    (snapshot / "config.json").unlink()
    (tmp_path / "elsewhere").write_text("{}")
    (snapshot / "config.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"a link to .*elsewhere, which leads out of the directory .*; cp -rL"):
        load_pretrained(snapshot)


def test_a_pickle_on_the_hub_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(tmp_path))
    with pytest.raises(RunError, match=r"no model\.safetensors of it; if it has a pickle, convert it"):
        hub.locate("some/model")


def test_a_fetched_checkpoint_is_its_directory(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(published))
    assert hub.locate("some/model") == published


def test_ids_of_no_token_are_trained_around_and_exported(
    data: Path, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "gap"
    shutil.copytree(published, folder)
    value = json.loads((folder / "tokenizer.json").read_text())
    vocabulary: dict[str, int] = value["model"]["vocab"]
    gap = vocabulary.pop(next(token for token, i in vocabulary.items() if i == len(vocabulary) // 2))
    (folder / "tokenizer.json").write_text(json.dumps(value))
    given = start(data, folder, tmp_path / "run", **{"optim.pretrain_epochs": 1})
    found = prepared(given)
    assert masker(found.config, found.tokenizer, 0).special_ids == (*found.tokenizer.special_ids, gap)
    train_model(given)
    assert f"tokenizer: 1 of {len(vocabulary) + 1} ids belong to no token" in capsys.readouterr().out
    assert "verified" in export_hugging_face(tmp_path / "run", tmp_path / "out")[1]


def test_without_a_place_of_its_own_the_hubs_cache_is_no_directory_called_tilde(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a home, and where its place cannot be written; what an earlier start fetched serves offline."""
    import huggingface_hub
    from huggingface_hub import constants

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("HF_XET_CACHE", raising=False)
    kept = tmp_path / f"custom-bert-{os.geteuid()}"

    def download(name: str, *, cache_dir: Path, local_files_only: bool = False, **_: Any) -> str:
        if not local_files_only and kept not in Path(cache_dir).parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(cache_dir))
        target = Path(cache_dir) / "model"
        if not target.exists():
            if local_files_only:
                raise FileNotFoundError(name)
            assert os.environ["HF_XET_CACHE"] == str(kept / "xet")
            shutil.copytree(published, target)
        return str(target)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    for place, told in (
        ("~/.cache/huggingface/hub", "there is no home directory for ~/.cache/huggingface/hub"),
        (str(tmp_path / "own"), f"{tmp_path}/own: cannot write: Permission denied"),
    ):
        said: list[str] = []
        monkeypatch.setattr(constants, "HF_HUB_CACHE", place)
        assert hub.locate("some/model", said.append) == kept / "hub" / "model"
        assert said[1:] == [f"cache: {told}; the checkpoint is kept in {kept}"]
        assert "HF_XET_CACHE" not in os.environ
        shutil.rmtree(kept)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]


def test_a_large_step_on_a_cpu_is_computed_in_several_batches(
    data: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_ = {"batch.token_budget": None, "optim.epochs": 1}
    whole = prepared(start(data, run, **open_)).plan.config.batch
    assert whole.accumulation == 1
    monkeypatch.setattr(choices, "ROWS_AT_ONCE", 128)
    given = start(data, run, tmp_path / "out", **open_)
    divided = prepared(given).plan.config.batch
    assert divided.accumulation == -(-whole.token_budget // 128) > 1 and divided.token_budget <= 128
    assert divided.token_budget * divided.accumulation >= whole.token_budget
    # what the user sets, and training from scratch, stay as they are
    for kept in (
        {**given, "batch.token_budget": 512},
        {**given, "batch.accumulation": 1},
        {**given, "model.init_from": "scratch", "model.hidden_size": 32, "optim.lr": 1e-3},
    ):
        assert prepared(kept).plan.config.batch.accumulation == 1
    train_model(given)
    assert f"{divided.token_budget} tokens each, {divided.accumulation} to a step" in capsys.readouterr().out
    # another machine would choose otherwise, and finds the run
    monkeypatch.setattr(choices, "ROWS_AT_ONCE", 2048)
    train_model(given)
    assert "is finished" in capsys.readouterr().out
