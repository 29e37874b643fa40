"""Predictions: in input order, one for each text, from Python and from the command line."""

import json
import os
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_runs import examples, write_lines

from custom_bert import Classifier
from custom_bert.cli import main
from custom_bert.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def test_predictions_are_in_input_order_and_independent_of_company(data: Path, run: Path) -> None:
    classifier = Classifier.load(run)
    texts, labels = examples(1000, seed=3)
    together = classifier.predict(texts)
    assert len(together) == 1000
    assert np.mean([p.label == label for p, label in zip(together, labels, strict=True)]) >= 0.95
    for i in (0, 1, 499, 999):
        (alone,) = classifier.predict([texts[i]])
        assert alone.label == together[i].label
        assert alone.probability == pytest.approx(together[i].probability, abs=1e-5)
    backwards = classifier.predict(texts[::-1])
    assert [p.label for p in backwards[::-1]] == [p.label for p in together]


def test_probabilities_sum_to_one_and_agree_with_labels(run: Path) -> None:
    classifier = Classifier.load(run)
    texts = ["a dog barks", "", "snow covers all " * 500, "\u2028", "a猫"]
    probabilities = classifier.predict_proba(texts)
    assert probabilities.shape == (5, 3)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    best = [classifier.labels[i] for i in probabilities.argmax(1)]
    assert best == [p.label for p in classifier.predict(texts)]
    assert classifier.predict([]) == [] and classifier.predict_proba([]).shape == (0, 3)


def test_what_is_no_text_is_named_by_its_place(run: Path) -> None:
    classifier = Classifier.load(run)
    for wrong in (float("nan"), None, ("a", "b"), b"bytes"):
        with pytest.raises(TypeError, match=r"text 1: expected a string, got"):
            classifier.predict(["a text", wrong])  # type: ignore[list-item]


def test_a_single_string_is_refused(run: Path) -> None:
    with pytest.raises(TypeError, match="list of texts"):
        Classifier.load(run).predict("a dog barks")


def test_a_stream_is_read_as_it_is_predicted(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from custom_bert.inference import chunks as module

    monkeypatch.setattr(module, "CHUNK", 4)
    taken = 0

    def source():  # type: ignore[no-untyped-def]
        nonlocal taken
        for text in examples(20)[0]:
            taken += 1
            yield text

    stream = Classifier.load(run).stream(source())
    next(stream)
    assert taken == 4
    assert len(list(stream)) == 19


def test_one_line_out_for_one_line_in(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["a dog barks", "", "snow covers\u2028all", "the pump leaks\r"]
    (tmp_path / "texts.txt").write_bytes("\n".join(texts).encode())  # no newline at the end
    assert main(["predict", str(run), str(tmp_path / "texts.txt")]) == 0
    lines = capsys.readouterr().out.split("\n")[:-1]
    assert len(lines) == 4
    assert all(re.fullmatch(r"(animals|machines|weather)\t[01]\.\d{6}", line) for line in lines)
    assert main(["predict", str(run), str(tmp_path / "texts.txt"), "--json", "--all-probabilities"]) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line, value in zip(lines, objects, strict=True):
        assert value["label"] == line.split("\t")[0]
        assert max(value["probabilities"], key=value["probabilities"].get) == value["label"]
    assert main(["predict", str(run), str(tmp_path / "texts.txt"), "--all-probabilities"]) == 0
    for line, row in zip(lines, capsys.readouterr().out.splitlines(), strict=True):
        assert len(row.split("\t")) == 6 and row.split("\t")[:2] == line.split("\t")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_of_predictions_is_a_switch(
    precision: Any, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, _ = examples(60, seed=5)
    exact = Classifier.load(run).predict_proba(texts)
    found = Classifier.load(run, precision=precision).predict_proba(texts)
    difference = np.abs(found - exact).max()
    assert difference == 0 if precision == "fp32" else 0 < difference < 0.02
    write_lines(tmp_path / "texts.txt", texts)
    assert main(["predict", str(run), str(tmp_path / "texts.txt"), "--precision", precision]) == 0
    said = [float(line.split("\t")[1]) for line in capsys.readouterr().out.splitlines()]
    assert np.abs(np.array(said) - found.max(axis=1)).max() < 1e-5


def test_matrices_rounded_once_predict_what_autocast_does_bit_for_bit(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, _ = examples(60, seed=5)
    rounded = Classifier.load(run, precision="bf16")
    found = rounded.predict_proba(texts)  # the first use rounds
    assert rounded.scores.model.head.projection.weight.dtype is torch.bfloat16
    assert rounded.scores.model.encoder.embeddings.token.weight.dtype is torch.float32
    monkeypatch.setattr("custom_bert.inference.encoder_scores.round_matrices", lambda *_: None)
    each_time = Classifier.load(run, precision="bf16")
    assert (found == each_time.predict_proba(texts)).all()
    assert each_time.scores.model.head.projection.weight.dtype is torch.float32


def test_predictions_in_fp16_on_a_cpu_are_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match="fp16 is 10 x slower"):
        Classifier.load(run, device="cpu", precision="fp16")


def test_standard_input_without_a_line_has_no_answer(run: Path) -> None:
    command = [sys.executable, "-m", "custom_bert", "predict", str(run)]
    nothing = subprocess.run(command, input=b"", capture_output=True, cwd=ROOT, check=False)
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, b"", b"")


def test_a_line_of_standard_input_is_answered_before_the_next_comes(run: Path) -> None:
    command = [sys.executable, "-m", "custom_bert", "predict", str(run)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT) as process:
        assert process.stdin and process.stdout and process.stderr
        for text in (b"a dog barks\n", b"snow covers all\n"):
            process.stdin.write(text)
            process.stdin.flush()
            assert select.select([process.stdout], [], [], 60)[0], "no answer"
            assert process.stdout.readline().count(b"\t") == 1
        process.stdin.close()
        assert process.wait(60) == 0
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")


def test_a_reader_that_goes_away_ends_predict_quietly(run: Path) -> None:
    command = [sys.executable, "-m", "custom_bert", "predict", str(run), "--all-probabilities"]
    reading, writing = os.pipe()
    os.close(reading)
    text = b"a dog barks\n" * 3000
    done = subprocess.run(command, input=text, stdout=writing, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
