"""Where the user leaves the start open, training begins from the default checkpoint if that is right, and
says why or why not. A tiny checkpoint stands in for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from command_line import Command
from published import Published, sha256
from training_runs import Ready, break_off, ready, settings, write_lines

from custom_bert import Reporter, in_memory, train_model
from custom_bert.config import ModelConfig
from custom_bert.errors import ConfigError, RunError
from custom_bert.inference.exports.hf import export_hugging_face
from custom_bert.model_files.native import load_model

SHAPE = ("model.hidden_size", "model.num_hidden_layers", "model.num_attention_heads")
QUIET = Reporter(silent=True)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose vocabulary knows the words of `data`, in Hugging Face's layout."""
    folder = tmp_path_factory.mktemp("trained")
    train_model(settings(data, folder / "run", **{"optim.epochs": 1}), reporter=QUIET)
    export_hugging_face(folder / "run", folder / "published")
    return folder / "published"


@pytest.fixture
def tiny(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    encoder = load_model(trained.parent / "run").described.encoder
    names = [name for name in vars(ModelConfig()) if hasattr(encoder, name)]
    architecture = {name: getattr(encoder, name) for name in (*names, "max_position_embeddings")}
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    return Published(trained, architecture, tmp_path / "site", monkeypatch)


def given(data: Path, out: Path | None = None, **changes: Any) -> dict[str, Any]:
    """Settings that leave the architecture open."""
    return {k: v for k, v in settings(data, out).items() if k not in SHAPE} | {"optim.epochs": 1} | changes


def start(found: Ready) -> tuple[str, str]:
    """What training starts from, and the reason."""
    reasons = [choice.reason for choice in found.choices if choice.name == "model.init_from"]
    return found.config.model.init_from, "".join(reasons)


def test_the_default_checkpoint_is_taken_and_the_run_says_what_and_why(
    data: Path, tiny: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny.install()
    result = train_model(given(data, tmp_path / "run"))
    (model,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("model "))
    assert "; all from minilm: the texts read as English (1." in model
    assert "pieces a word, 0% of the characters unknown)" in model
    record = json.loads((result.directory / "run.json").read_text())
    assert record["config"]["model.init_from"] == "minilm" and record["config"]["preset"] == "custom"
    assert record["pretrained"] == {
        "name": "minilm",
        "place": "package tiny-checkpoint",
        "repository": "some/tiny",
        "revision": "",
        "license": "Apache-2.0",
        "sha256": sha256(folder / "model.safetensors"),
    }
    assert record["encoder"]["hidden_size"] == 32 and tiny.asked == []


def test_verbose_says_where_it_was_and_what_was_left_behind(
    data: Path, tiny: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.install()
    train_model(given(data, tmp_path / "quiet"))
    assert "minilm: newly initialised" not in capsys.readouterr().out
    train_model(given(data, tmp_path / "verbose"), reporter=Reporter(verbose=True))
    said = capsys.readouterr().out
    assert "minilm: package tiny-checkpoint, Apache-2.0, SHA-256 " in said
    assert "minilm: newly initialised" in said


def test_an_export_and_what_is_trained_from_the_run_name_the_licence(
    data: Path, tiny: Published, tmp_path: Path, command: Command
) -> None:
    tiny.install()
    run = train_model(given(data, tmp_path / "run"), reporter=QUIET).directory
    export_hugging_face(run, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "base_model: some/tiny\n" in card
    assert (
        "Training started from `some/tiny`, which is licensed under Apache-2.0. SHA-256 of the weights: `"
        in card
    )
    assert (
        f"began from  minilm, some/tiny, Apache-2.0, {'package tiny-checkpoint'}; SHA-256 "
        in command(f"info {run}").out
    )
    more = train_model(given(data, tmp_path / "more", **{"model.init_from": str(run)}), reporter=QUIET)
    record = json.loads((more.directory / "run.json").read_text())["pretrained"]
    assert (record["name"], record["license"]) == (str(run), "Apache-2.0")


def test_a_card_names_no_directory_of_this_machine(run: Path, data: Path, tmp_path: Path) -> None:
    more = train_model(given(data, tmp_path / "more", **{"model.init_from": str(run)}), reporter=QUIET)
    export_hugging_face(more.directory, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "started from pretrained weights, whose licence the run does not know. SHA-256 " in card
    assert str(run.parent) not in card and "base_model" not in card


def test_a_card_of_a_start_from_scratch_names_none(data: Path, run: Path, tmp_path: Path) -> None:
    export_hugging_face(run, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "started from" not in card and "base_model" not in card
    assert json.loads((run / "run.json").read_text())["pretrained"] is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"preset": "legacy"}, "preset legacy has its own architecture"),
        ({"preset": "modern"}, "preset modern has its own architecture"),
        ({"model.hidden_size": 64}, "model.hidden_size 64 is asked for"),
        ({"model.size": "tiny"}, "model.size tiny is asked for"),
        ({"model.norm": "post"}, "model.norm post is asked for"),
        ({"model.vocab_size": 500}, "model.vocab_size 500 is asked for"),
        ({"data.max_length": 64}, "data.max_length 64 is asked for, and minilm has 32 positions"),
        ({"data.lowercase": False}, "data.lowercase is False, and minilm does not see capitals"),
        ({"optim.embedding_init": "random"}, "optim.embedding_init random is asked for"),
    ],
)
def test_what_asks_for_another_architecture_trains_from_scratch(
    changes: Mapping[str, Any], reason: str, data: Path, tiny: Published
) -> None:
    tiny.install()
    said: list[str] = []
    assert start(ready(given(data, **changes), said.append)) == ("scratch", reason)
    assert not any("custom-bert fetch" in line for line in said)


def test_what_the_checkpoint_has_may_be_asked_for(data: Path, tiny: Published) -> None:
    tiny.install()
    changes = {"model.hidden_size": 32, "model.norm": "pre", "model.hidden_dropout": 0.3}
    found = ready(given(data, **changes, **{"optim.freeze_layers": 1, "optim.embedding_init": "checkpoint"}))
    assert start(found)[0] == "minilm" and found.encoder.hidden_dropout == 0.3
    with pytest.raises(ConfigError, match=r"optim\.freeze_layers 2: minilm has 1 layers"):
        ready(given(data, **{"optim.freeze_layers": 2}))


def test_scratch_and_a_named_start_are_no_choices(data: Path, tiny: Published) -> None:
    tiny.install()
    assert start(ready(given(data, **{"model.init_from": "scratch"}))) == ("scratch", "")
    assert start(ready(given(data, **{"model.init_from": "minilm"}))) == ("minilm", "")
    with pytest.raises(ConfigError, match="checkpoint needs model"):
        ready(given(data, **{"model.init_from": "scratch", "optim.embedding_init": "checkpoint"}))


def test_pretraining_starts_from_scratch_and_labels_of_any_kind_do_not(
    data: Path, tiny: Published, tmp_path: Path
) -> None:
    tiny.install()
    write_lines(tmp_path / "corpus.txt", ["some words of a document", ""] * 40)
    corpus = {"task": "masked_lm", "data.corpus": [str(tmp_path / "corpus.txt")], "data.val_fraction": 0.5}
    found = start(ready(given(data, **corpus)))
    assert found == ("scratch", "task masked_lm pretrains an encoder of its own")
    assert start(ready(given(data, **corpus, **{"model.init_from": "minilm"})))[0] == "minilm"
    assert start(ready(given(data, task="multi_label")))[0] == "minilm"
    texts, labels = ((data / f"train_{name}.txt").read_text().splitlines() for name in ("dataset", "labels"))
    files = ("data.train_texts", "data.train_labels", "data.val_texts", "data.val_labels")
    plain = {k: v for k, v in given(data, tmp_path / "run").items() if k not in files}
    run = train_model(plain, source=in_memory(texts, labels), reporter=QUIET).directory
    assert json.loads((run / "run.json").read_text())["config"]["model.init_from"] == "minilm"


def test_texts_of_another_script_are_not_sent_to_it(data: Path, tiny: Published, tmp_path: Path) -> None:
    tiny.install()
    for split in ("train", "val"):
        count = len((data / f"{split}_labels.txt").read_text().splitlines())
        write_lines(tmp_path / f"{split}_dataset.txt", [f"房间很干净, 服务员很好 {i}" for i in range(count)])
        (tmp_path / f"{split}_labels.txt").write_bytes((data / f"{split}_labels.txt").read_bytes())
    name, reason = start(ready(given(tmp_path)))
    assert name == "scratch" and reason.startswith("the texts do not read as English (only 0% of the letters")
    for split in ("train", "val"):  # Latin letters, which its vocabulary cuts to pieces
        count = len((data / f"{split}_labels.txt").read_text().splitlines())
        write_lines(tmp_path / f"{split}_dataset.txt", [f"qxjz vwkq zzyx {i}" for i in range(count)])
    name, reason = start(ready(given(tmp_path)))
    assert name == "scratch" and "pieces a word" in reason


def test_where_it_is_not_at_hand_one_line_says_how_to_get_it(data: Path, tiny: Published) -> None:
    said: list[str] = []
    found = ready(given(data), said.append)
    assert start(found) == ("scratch", "minilm is not on this machine")
    (line,) = (line for line in said if "custom-bert fetch minilm" in line)
    assert "brings it (91 MB, Apache-2.0)" in line
    assert tiny.connections == []


@pytest.mark.parametrize("how", ["weights", "tokenizer in the cache", "weights in the cache"])
def test_a_damaged_one_is_named_and_training_goes_on_without(
    how: str, data: Path, tiny: Published, tmp_path: Path
) -> None:
    folder = tiny.fetched(tmp_path / "cached") if "cache" in how else tiny.install()
    damaged = folder / ("tokenizer.json" if "tokenizer" in how else "model.safetensors")
    damaged.write_bytes(damaged.read_bytes()[:-200])
    said: list[str] = []
    assert start(ready(given(data), said.append)) == ("scratch", "minilm is not on this machine")
    (line,) = (line for line in said if "it is not used" in line)
    assert str(damaged) in line and "\n" not in line
    if "tokenizer" not in how:
        assert sha256(damaged) in line


def test_a_run_goes_on_from_the_start_that_it_had(
    data: Path, tiny: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = given(data, tmp_path / "scratch", **{"runtime.checkpoint_every": 1})
    break_off(config, 3)  # nothing is installed, so it is from scratch
    tiny.install()
    assert start(ready(config))[0] == "minilm"
    capsys.readouterr()
    first = train_model(config)
    said = capsys.readouterr().out
    assert "from scratch, preset custom: as the run began" in said and "continues after step 2" in said
    assert train_model(config, reporter=QUIET).steps == 0  # the finished run is found, and is still the same
    assert json.loads((first.directory / "run.json").read_text())["pretrained"] is None
    fresh = train_model(config, fresh=True, reporter=QUIET)
    assert json.loads((fresh.directory / "run.json").read_text())["pretrained"]["name"] == "minilm"
    with pytest.raises(RunError, match="holds another run"):
        train_model({**config, "model.init_from": "minilm"}, reporter=QUIET)


def test_without_the_weights_that_it_began_from_a_run_is_refused_with_the_way_out(
    data: Path, tiny: Published, tmp_path: Path
) -> None:
    folder = tiny.install()
    config = given(data, tmp_path / "run")
    train_model(config, reporter=QUIET)
    elsewhere = tiny.fetched(tmp_path / "cached")
    (folder / "config.json").write_text("{}")
    assert train_model(config, reporter=QUIET).steps == 0  # the hub's cache has the same weights
    before = (tmp_path / "run" / "run.json").read_bytes()
    (elsewhere / "model.safetensors").unlink()
    with pytest.raises(RunError) as caught:
        train_model(config, reporter=QUIET)
    message = str(caught.value)
    assert message.startswith("this run began from minilm, weights with the SHA-256 hash ")
    assert "not on this machine (package tiny-checkpoint: " in message and "\n" not in message
    assert message.endswith("custom-bert fetch minilm brings them, or --fresh trains in a numbered sibling")
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_other_settings_than_those_of_the_run_are_still_told(
    data: Path, tiny: Published, tmp_path: Path
) -> None:
    tiny.install()
    train_model(given(data, tmp_path / "run"), reporter=QUIET)
    with pytest.raises(RunError, match="holds another run"):
        train_model(given(data, tmp_path / "run", **{"model.hidden_size": 64}), reporter=QUIET)


def test_fetch_brings_it_and_then_it_is_the_default(
    data: Path, tiny: Published, tmp_path: Path, command: Command
) -> None:
    assert start(ready(given(data)))[0] == "scratch"
    tiny.fetched(tmp_path / "cached")
    code, out, err = command("fetch minilm")
    assert (code, err) == (0, "")
    asking, done = out.splitlines()
    assert asking == "minilm: asking the Hugging Face Hub for some/tiny"
    assert " MB in DIR/cached; Apache-2.0; SHA-256 of the weights: as known" in done
    assert start(ready(given(data)))[0] == "minilm"
    assert "not measured here" in command("fetch minilm --revision v2").out
    assert tiny.connections[-1]["revision"] == "v2"
    listed = command("fetch")
    assert listed.code == 0 and listed.out.splitlines()[1].startswith("minilm  ")
    code, _, err = command("fetch minilmm")
    assert code == 64 and "no checkpoint is called 'minilmm' (did you mean 'minilm'?)" in err
