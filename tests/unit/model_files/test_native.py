"""Model directories: strict, complete, finite, and nothing that runs code."""

import json
import math
import struct
import time
from pathlib import Path

import pytest
import torch
from data_files import write_run
from training_runs import settings, write_data

from custom_bert import train_model
from custom_bert.errors import UserError
from custom_bert.model_files import native
from custom_bert.model_files.native import load_model, write_weights
from custom_bert.model_files.pretrained import load_pretrained
from custom_bert.model_files.tensor_files import parse_tensors


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("native")
    train_model(settings(write_data(base / "data"), base / "run", **{"optim.epochs": 1}))
    return base / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    for path in trained.iterdir():
        (tmp_path / "run" / path.name).write_bytes(path.read_bytes())
    return tmp_path / "run"


def test_loading_gives_the_written_weights_in_evaluation_mode(run: Path) -> None:
    checkpoint = load_model(run)
    assert not checkpoint.model.training
    assert checkpoint.task.output_names == ("animals", "machines", "weather")
    assert checkpoint.described.max_length == 32
    write_weights(run, checkpoint.model.state_dict())
    again = load_model(run)
    for name, tensor in checkpoint.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"surprise": 1}, "unknown key 'surprise'"),
        (
            {"task": "clasification"},
            "task is 'clasification'; known are classification, multi_label, soft_labels, masked_lm",
        ),
        ({"task": ["masked_lm"]}, r"task is \['masked_lm'\]; known are"),
        (
            {"format": "other"},
            "not a configuration of the format custom-bert/1 or custom-bert/2 or custom-bert/3",
        ),
        ({"num_labels": True}, "num_labels is True"),
        ({"num_labels": "3\n4"}, r"num_labels is '3\\n4'"),
        ({"objective": "masked_lm"}, "unknown key 'objective'"),
        ({"format": "custom-bert/2"}, "unknown key 'task'"),
        ({"format": "custom-bert/2", "objective": "multi_label"}, "objective is 'multi_label'; known are"),
        ({"max_length": -3}, "max_length is -3, not between 3 and"),
        ({"num_labels": 4}, "expected 4 labels"),
        ({"encoder": {"hidden_sise": 3}}, "unknown key 'hidden_sise' .did you mean 'hidden_size'"),
        ({"encoder": {"hidden_size": 64}}, "expected float32"),
        ({"encoder": {"hidden_size": 33}}, "not divisible"),
        ({"encoder": {"num_hidden_layers": 2}}, "is missing"),
        ({"encoder": {"norm": "sideways"}}, "expected one of pre, post"),
        ({"encoder": {"vocab_size": 50}}, "but the model has vectors for 50"),
    ],
)
def test_a_changed_config_is_refused_in_one_line(run: Path, change: dict, words: str) -> None:
    config = json.loads((run / "config.json").read_text())
    encoder = change.pop("encoder", {})
    config |= change
    config["encoder"] |= encoder
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=words) as caught:
        load_model(run)
    assert "\n" not in str(caught.value)


def test_a_label_that_stands_twice_among_65536_is_found_at_once(tmp_path: Path) -> None:
    labels = [f"{i}" for i in range(65_536)]
    run = write_run(tmp_path / "run", labels)
    (run / "labels.json").write_text(json.dumps([*labels[:-1], labels[-2]]))
    started = time.process_time()
    with pytest.raises(UserError, match=r"labels\.json: the label '65534' stands there twice"):
        load_model(run)
    assert time.process_time() - started < 5  # counting each of them among all took a minute


def test_weights_that_are_missing_extra_damaged_or_not_finite_are_refused(run: Path) -> None:
    state = load_model(run).model.state_dict()
    some = next(iter(state))
    (run / "run.json").unlink()  # which has the hash of the weights
    for changed, words in (
        ({n: t for n, t in state.items() if n != some}, f"the tensor {some} is missing"),
        (state | {"surprise": torch.zeros(1)}, "unknown tensor surprise"),
        (state | {some: state[some].double()}, "float64"),
        (state | {some: torch.full_like(state[some], torch.nan)}, "not finite"),
    ):
        write_weights(run, changed)
        with pytest.raises(UserError, match=words):
            load_model(run)
    for content in (b"", b"abc", struct.pack("<Q", 1 << 60) + b"{}", (run / "config.json").read_bytes()):
        (run / "model.safetensors").write_bytes(content)
        with pytest.raises(UserError, match="damaged"):
            load_model(run)


@pytest.mark.parametrize("name", ["config.json", "labels.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        load_model(run)


@pytest.mark.parametrize("before", ["custom-bert/1", "custom-bert/2"])
def test_a_directory_of_a_format_before_is_read(run: Path, before: str) -> None:
    described = json.loads((run / "config.json").read_text())
    assert described["format"] == "custom-bert/3" and described.pop("task") == "classification"
    (run / "config.json").write_text(json.dumps({**described, "format": before}))
    assert load_model(run).task.output_names == ("animals", "machines", "weather")
    assert load_pretrained(run).encoder == load_model(run).model.encoder.config


def test_sinusoidal_positions_of_a_format_before_become_a_table_with_the_same_vectors(run: Path) -> None:
    """Vaswani et al. 2017, section 3.5: sines in the even places, cosines in the odd ones."""
    described = json.loads((run / "config.json").read_text())
    del described["task"]
    described["format"], described["encoder"]["position"] = "custom-bert/2", "sinusoidal"
    (run / "config.json").write_text(json.dumps(described))
    state = load_model_without_record(run)
    del state["encoder.embeddings.position.weight"]
    write_weights(run, state)
    (run / "run.json").unlink()
    found = load_model(run).model.encoder
    table = found.embeddings.position.weight[found.config.position_offset :]  # type: ignore[union-attr]
    width = table.shape[1]
    for position, place in ((0, 0), (7, 4), (31, 10)):
        angle = position / 10_000 ** (place / width)
        assert table[position, place].item() == pytest.approx(math.sin(angle), abs=1e-5)
        assert table[position, place + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_sinusoidal_positions_need_an_even_width(run: Path) -> None:
    described = json.loads((run / "config.json").read_text())
    described["encoder"] |= {"position": "sinusoidal", "hidden_size": 33, "num_attention_heads": 3}
    (run / "config.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match=r"model\.position sinusoidal needs an even width, got 33"):
        load_model(run)


def test_no_table_of_positions_is_made_before_the_weights_confirm_its_size(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "sinusoids", lambda *_: pytest.fail("a table is made"))
    described = json.loads((run / "config.json").read_text())
    described["encoder"] |= {"position": "sinusoidal", "hidden_size": 1 << 15}
    described["encoder"]["max_position_embeddings"] = 1 << 20
    (run / "config.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match=r"describes|expected float32|is missing|unknown tensor"):
        load_model(run)


def load_model_without_record(run: Path) -> dict[str, torch.Tensor]:
    return parse_tensors(run / "model.safetensors", (run / "model.safetensors").read_bytes())
