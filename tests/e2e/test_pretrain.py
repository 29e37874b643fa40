"""Pretraining on running text: learns, is continued bit for bit, starts classifiers, goes to transformers."""

import importlib.util
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_runs import PLACES, SUBJECTS, settings, write_data

from custom_bert import Embedder, files, train_model
from custom_bert.cli import main
from custom_bert.config import ModelConfig
from custom_bert.data.tokenizer_files import from_vocab
from custom_bert.model_files.description import Description, write_description
from custom_bert.model_files.native import load_model, write_weights
from custom_bert.model_files.pretrained import load_pretrained
from custom_bert.models.encoder import Encoder as EncoderModel
from custom_bert.models.masked_lm import MaskedLanguageModel
from custom_bert.presets import encoder_config
from custom_bert.tasks.masked_lm import MaskedLanguageModelling
from custom_bert.training import fit
from custom_bert.training.log import Reporter


def write_corpus(folder: Path, documents: int = 150) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.Generator(np.random.PCG64(0))
    lines = []
    for _ in range(documents):
        subject = list(SUBJECTS.values())[generator.integers(3)]
        for _ in range(int(generator.integers(1, 6))):
            words = [subject[generator.integers(5)], PLACES[generator.integers(7)]]
            lines.append(" ".join(words))
        lines.append("")
    (folder / "text.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("pretrain") / "corpus")


def recipe(corpus: Path, out: Path, **changes: Any) -> dict[str, Any]:
    return {
        "task": "masked_lm",
        "out": str(out),
        "data.corpus": [str(corpus)],
        "data.val_fraction": 0.1,
        "data.max_length": 32,
        "data.cache_dir": str(corpus.parent / "cache"),
        "model.hidden_size": 32,
        "model.num_hidden_layers": 1,
        "model.num_attention_heads": 2,
        "batch.token_budget": 128,
        "optim.epochs": 6,
        "optim.lr": 5e-3,
        "optim.eval_every": 20,
        "runtime.precision": "fp32",
        "runtime.threads": 1,
        **changes,
    }


@pytest.fixture(scope="module")
def run(corpus: Path) -> Path:
    train_model(recipe(corpus, corpus.parent / "run", **{"optim.epochs": 30}))
    return corpus.parent / "run"


def metrics(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def test_hidden_tokens_are_learned(run: Path) -> None:
    evaluations = metrics(run, "eval")
    assert evaluations[-1]["loss"] < evaluations[0]["loss"] - 2 and evaluations[-1]["accuracy"] > 0.3
    assert evaluations[-1]["perplexity"] == pytest.approx(np.exp(evaluations[-1]["loss"]))
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished" and record["data"]["documents"] == 150
    assert record["validation"].keys() == {"loss", "accuracy", "perplexity"}
    assert load_model(run).described.max_length == 32


STOPS = {
    "as it is": ({}, 17),
    "packed, whole words": (
        {"batch.accumulation": 4, "optim.whole_words": True, "batch.plan": "packed"},
        5,
    ),
}


@pytest.mark.parametrize("name", STOPS)
def test_a_stopped_run_is_continued_bit_for_bit(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, ctrl_c: None
) -> None:
    changes, at = STOPS[name]
    steps = train_model(recipe(corpus, tmp_path / "whole", **changes)).steps
    real, done = fit.step_within_memory, 0

    def step(*arguments: Any, **options: Any) -> Any:
        nonlocal done
        done += 1
        if done == at:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments, **options)

    monkeypatch.setattr(fit, "step_within_memory", step)
    with pytest.raises(KeyboardInterrupt):
        train_model(recipe(corpus, tmp_path / "run", **changes))
    train_model(recipe(corpus, tmp_path / "run", **changes))
    assert done == steps  # none was done again
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "run")]
    assert weights[0] == weights[1]
    losses = [[line["loss"] for line in metrics(tmp_path / name, "pretrain")] for name in ("whole", "run")]
    assert losses[0] == losses[1]


def test_a_classifier_starts_from_it(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_data(tmp_path / "data", train=60, val=30)
    config = settings(data, tmp_path / "cls", **{"model.init_from": str(run), "data.max_length": 32})
    for name in ("model.hidden_size", "model.num_hidden_layers", "model.num_attention_heads"):
        del config[name]
    train_model(config, reporter=Reporter(verbose=True))
    assert capsys.readouterr().out.count("the encoder is taken, and its head left behind") == 1
    assert "init_from" in json.loads((tmp_path / "cls" / "run.json").read_text())["identity"]["data"]
    assert Embedder.load(run).embed(["the cat sleeps"]).shape == (1, 32)
    assert main(["info", str(run)]) == 0
    out = capsys.readouterr().out
    assert "150 documents" in out and "perplexity" in out


def test_pretraining_goes_on_from_a_run_and_from_transformers(
    corpus: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its prediction head: the first evaluation after one tiny step is the last one of the run."""
    starts = [run]
    if importlib.util.find_spec("transformers"):
        assert main(["export", str(run), str(tmp_path / "exported")]) == 0
        out = capsys.readouterr().out
        assert "RobertaPreLayerNormForMaskedLM" in out and "verified with transformers" in out
        starts.append(tmp_path / "exported")
    record = json.loads((run / "run.json").read_text())
    wanted = record["validation"]["loss"]
    assert wanted == pytest.approx(min(line["loss"] for line in metrics(run, "eval")), abs=1e-5)
    for i, start in enumerate(starts):
        changes = {"model.init_from": str(start), "optim.lr": 1e-9, "optim.epochs": 1, "optim.eval_every": 1}
        config = recipe(corpus, tmp_path / f"more{i}", **changes)
        for name in ("model.hidden_size", "model.num_hidden_layers", "model.num_attention_heads"):
            del config[name]
        train_model(config)
        assert metrics(tmp_path / f"more{i}", "eval")[0]["loss"] == pytest.approx(wanted, abs=1e-4)


def test_another_decay_begins_where_the_learning_rate_began_to_fall(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The moments are taken: a first step without a warm-up moves the weights as the next one had moved
    them."""
    moments: dict[str, list[float]] = {}
    real = fit.step_within_memory

    def step(state: Any, *rest: Any, **options: Any) -> Any:
        name = f"{state.progress.step}"
        found = [float(one["exp_avg_sq"].sum()) for one in state.phase.optimizer.state.values()]
        moments.setdefault(name, found)
        return real(state, *rest, **options)

    monkeypatch.setattr(fit, "step_within_memory", step)
    train_model(recipe(corpus, tmp_path / "run", **{"optim.epochs": 4, "optim.decay": 0.5, "optim.lr": 4e-3}))
    before = dict(moments)
    assert (tmp_path / "run" / "stable" / "model.safetensors").is_file()
    moments.clear()
    changes = {"model.init_from": str(tmp_path / "run" / "stable"), "optim.epochs": 1, "optim.warmup": 0.0}
    config = recipe(corpus, tmp_path / "again", **{**changes, "optim.decay": 1.0})
    for name in ("model.hidden_size", "model.num_hidden_layers", "model.num_attention_heads", "optim.lr"):
        del config[name]
    train_model(config)
    assert json.loads((tmp_path / "again" / "run.json").read_text())["config"]["optim.lr"] == 4e-3
    assert "training goes on with the moments of AdamW" in capsys.readouterr().out
    assert moments["0"] in before.values() and moments["0"] != before["0"]
    losses = [metrics(tmp_path / name, "eval")[-1]["loss"] for name in ("run", "again")]
    assert losses[1] < losses[0] + 0.5


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("pretrain --out DIR/x", 64, "data.corpus: masked_lm needs text files or folders of them"),
        ("pretrain DIR/no.txt --out DIR/x", 65, "DIR/no.txt: no such file"),
        ("pretrain DIR/corpus --data.corpus DIR/other --out DIR/x", 64, "contradict each other; give one"),
        ("pretrain DIR/corpus --optim.mask-rate 0.9", 64, "optim.mask_rate must be between 0.05 and 0.6"),
        (
            "pretrain DIR/corpus --batch.warmup 0.1",
            64,
            "--batch.warmup no longer exists: steps have one size; leave it out",
        ),
        ("pretrain DIR/corpus --data.held-out 2", 64, "data.val_fraction must be between 0 and 0.9"),
        ("predict RUN DIR/corpus/text.txt", 66, "a pretrained encoder, which knows no labels"),
        ("evaluate RUN DIR/corpus", 66, "a pretrained encoder, which knows no labels"),
    ],
)
def test_what_does_not_fit_is_one_line(
    corpus: Path, run: Path, capsys: pytest.CaptureFixture[str], line: str, code: int, told: str
) -> None:
    words = [w.replace("DIR", str(corpus.parent)).replace("RUN", str(run)) for w in line.split()]
    assert main(words) == code
    said = capsys.readouterr().err
    assert (
        told.replace("DIR", str(corpus.parent)) in said and said.count("\n") == 1 and "Traceback" not in said
    )


def test_an_encoder_of_any_size_is_a_start(tmp_path: Path) -> None:
    """Weights may be larger than the files that describe something."""
    config = encoder_config(
        "custom",
        ModelConfig(hidden_size=256, num_hidden_layers=1),
        vocab_size=70_000,
        pad_token_id=0,
        max_length=16,
        default_shape=(256, 1),
    )
    tokenizer = from_vocab(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"], lowercase=True)
    write_description(tmp_path, Description(config, MaskedLanguageModelling(), 16), tokenizer)
    write_weights(tmp_path, MaskedLanguageModel(EncoderModel(config)).state_dict())
    assert (tmp_path / "model.safetensors").stat().st_size > files.LARGEST_JSON
    assert load_pretrained(tmp_path).encoder == config


def test_settings_that_nothing_reads_are_told(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"optim.class_weights": "balanced", "optim.label_smoothing": 0.1, "optim.epochs": 1}
    train_model(recipe(corpus, tmp_path / "run", **changes))
    out = capsys.readouterr().out
    assert "optim.class_weights balanced has no effect: task is masked_lm" in out
    assert "optim.label_smoothing 0.1 has no effect: task is masked_lm" in out
    data = write_data(tmp_path / "data", train=30, val=15)
    train_model(settings(data, tmp_path / "cls", **{"optim.mask_rate": 0.2, "data.label_separator": ","}))
    out = capsys.readouterr().out
    assert "optim.mask_rate 0.2 has no effect: nothing is masked" in out
    assert "data.label_separator , has no effect: task is classification" in out
