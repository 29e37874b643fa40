"""`custom-bert export --format onnx` of a model that finds spans: the same spans, without torch."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from span_data import conll, sentences, span_settings, write_spans

from custom_bert import Classifier, train_model
from custom_bert.cli import main
from custom_bert.data.row_targets import RowTargets
from custom_bert.errors import RunError
from custom_bert.inference.exports import gate, onnx
from custom_bert.inference.exports.onnx import export_onnx

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

LONG = " ".join(" ".join(word for word, _ in one) for one in sentences(30, seed=5))
TEXTS = [*(" ".join(word for word, _ in one) for one in sentences(20, seed=4)), "", "  ", LONG, "mr Ünknown"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its data beside it."""
    folder = tmp_path_factory.mktemp("spans")
    data = write_spans(folder / "data")
    train_model(span_settings(data, folder / "run", **{"data.max_length": 32, "optim.epochs": 6}))
    return folder / "run"


@pytest.fixture(scope="module")
def out(run: Path) -> Path:
    """Its export in fp32."""
    export_onnx(run, run.parent / "out")
    return run.parent / "out"


def places(directory: Path) -> list[Any]:
    found = Classifier.load(directory).predict(TEXTS)
    return [[(span.start, span.end, span.label) for span in one.spans] for one in found]  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore:.*unknown to the vocabulary")
def test_the_spans_are_those_of_the_run_also_of_long_texts(run: Path, out: Path) -> None:
    described = json.loads((out / "custom_bert.json").read_text(encoding="utf-8"))
    assert described["task"] == "tokens" and described["verified"]["labels_changed"] == 0
    assert described["verified"]["measure"] == "F1" and described["verified"]["rows"] == 40
    assert places(out) == places(run)
    assert len(places(out)[TEXTS.index(LONG)]) > 40  # it is read in windows
    given = Classifier.load(out).predict([LONG])[0]
    assert all(LONG[one.start : one.end] == one.text for one in given.spans)  # type: ignore[union-attr]


def test_transformers_files_and_card_are_those_of_a_token_classifier(out: Path) -> None:
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    (name,) = config["architectures"]
    assert name.endswith("ForTokenClassification") and len(config["id2label"]) == 7
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: token-classification" in card and "F1" in card


@pytest.mark.parametrize("torch_is", ["there", "not installed"])
def test_the_command_predicts_from_it(
    torch_is: str, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("mr kim goes in new york\nthe work\n", encoding="utf-8")
    arguments = ["predict", str(out), str(tmp_path / "texts.txt"), "--json"]
    if torch_is == "there":
        assert main(arguments) == 0
        printed = capsys.readouterr().out
    else:
        code = (
            "import sys\nfor name in ('torch', 'sklearn', 'scipy'): sys.modules[name] = None\n"
            f"from custom_bert.cli import main\nsys.exit(main({arguments!r}))\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        assert done.stderr == b"" and done.returncode == 0
        printed = done.stdout.decode()
    first, second = map(json.loads, printed.splitlines())
    assert [(span["text"], span["label"]) for span in first["spans"]] == [("kim", "PER"), ("new york", "LOC")]
    assert second == {"spans": []}


def test_other_texts_can_be_compared(run: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "val.conll").write_bytes(conll(sentences(25, seed=9)))
    lines = export_onnx(run, tmp_path / "out", data=data)
    assert lines[1].startswith("verified on 25 rows: the same labels")
    with pytest.raises(Exception, match="no such file"):
        export_onnx(run, tmp_path / "other", data=tmp_path)
    assert not (tmp_path / "other").exists()


def test_int8_is_measured_by_f1_and_refused_if_it_loses(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FEWEST", 40)
    monkeypatch.setattr(onnx, "FEWEST", 40)
    lines = export_onnx(run, tmp_path / "out", int8=True)
    assert "int8" in lines[0] and lines[1].startswith("verified on 40 rows: ") and "F1" in lines[1]
    monkeypatch.setattr(gate, "MOST_LOST", -1.0)
    with pytest.raises(RunError, match=r"int8 loses 0\.\d{4} of F1"):
        export_onnx(run, tmp_path / "other", int8=True)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("wrong", ["the next token", "the last window"])
def test_a_fault_in_places_or_windows_is_noticed(
    wrong: str, run: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RowTargets.laid_out

    def faulty(self: RowTargets, indices: Any, cut: Any, slots_W: Any) -> Any:
        values, rows_M, about = real(self, indices, cut, slots_W)
        if wrong == "the next token":
            return values, np.minimum(rows_M + 1, rows_M.max()), about
        first_W = np.cumsum(slots_W) - slots_W
        return values, np.where(rows_M >= first_W[-1], rows_M - slots_W[-1], rows_M), about

    wanted = places(run)
    monkeypatch.setattr(RowTargets, "laid_out", faulty)
    assert places(out) != wanted
