"""`custom-bert export --format onnx`: the directory predicts as the run does, without torch."""

import copy
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import TASKS, encoder_of, write_run
from training_runs import examples

from custom_bert import Classifier, Embedder
from custom_bert.cli import main
from custom_bert.data.unknown import UnknownText
from custom_bert.errors import ConfigError, CustomBertWarning, LibraryError, RunError
from custom_bert.floor.ensemble import Ensemble, write_ensemble
from custom_bert.floor.linear import fit_classes
from custom_bert.floor.storage import write_floor
from custom_bert.inference.exports import gate, graph, onnx
from custom_bert.inference.exports.int8 import quantised, reads_tokens
from custom_bert.inference.exports.onnx import export_onnx
from custom_bert.model_files.native import load_model

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [*examples(50, seed=3)[0], "", "a", "the cat sleeps " * 30, "snow"]
FILES = {
    "model.onnx",
    "custom_bert.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "labels.json",
    "README.md",
}


@pytest.fixture(scope="module")
def out(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of the shared run."""
    folder = tmp_path_factory.mktemp("onnx") / "out"
    export_onnx(run, folder)
    return folder


@pytest.fixture
def same_graph(out: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """torch's exporter takes seconds: exports of the shared run's weights take the graph that there is."""
    import onnx as library

    model = library.load(out / "model.onnx")
    monkeypatch.setattr(onnx, "graph_of", lambda outputs: copy.deepcopy(model))
    yield model


def scores(directory: Path, texts: list[str]) -> np.ndarray:
    return np.concatenate(list(Classifier.load(directory).scores.of(texts, UnknownText())))


def test_the_directory_predicts_explains_and_evaluates_as_the_run(
    run: Path, out: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {path.name for path in out.iterdir()} == FILES | {"config.json"}
    ours, theirs = Classifier.load(run), Classifier.load(out)
    assert np.abs(ours.predict_proba(TEXTS) - theirs.predict_proba(TEXTS)).max() < 1e-5
    assert [one.label for one in ours.predict(TEXTS)] == [one.label for one in theirs.predict(TEXTS)]
    assert list(theirs.predict([])) == [] and theirs.labels == ours.labels
    text = "the cat sleeps near the river"
    assert [word.word for word in ours.explain(text, most=2).labels[0].words] == [
        word.word for word in theirs.explain(text, most=2).labels[0].words
    ]
    found = []
    for directory in (run, out):
        assert main(["evaluate", str(directory), str(data), "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["accuracy"] == found[1]["accuracy"] and found[0]["labels"] == found[1]["labels"]
    (data.parent / "texts.txt").write_text("the engine starts\nrain falls hard\n")
    assert main(["predict", str(out), str(data.parent / "texts.txt")]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["machines", "weather"]


def test_the_command_says_what_it_compared(
    run: Path, tmp_path: Path, same_graph: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run), str(tmp_path / "out"), "--format", "onnx"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'out'}: model.onnx in fp32, 0.1 MB, 3 labels")
    assert lines[1].startswith("verified on 60 rows: the same labels, the largest change ")
    assert lines[1].endswith("accuracy 1.0000 before and 1.0000 after")
    assert lines[2].startswith("a text alone ") and len(lines) == 3
    described = json.loads((tmp_path / "out" / "custom_bert.json").read_text())
    assert described["verified"]["rows"] == 60 and described["verified"]["on_enough_rows"] is True
    assert described["verified"]["in_words"] == lines[1]
    card = (tmp_path / "out" / "README.md").read_text()
    assert lines[1] in card and 'Classifier.load("out")' in card and "by onnxruntime" in card
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert list(config["id2label"].values()) == ["animals", "machines", "weather"]


def test_no_path_of_this_machine_is_in_the_directory(run: Path, out: Path) -> None:
    for path in out.iterdir():
        content = path.read_bytes()
        assert (
            str(run).encode() not in content and str(Path(graph.__file__).parents[2]).encode() not in content
        )


def test_a_file_is_labelled_in_shards_where_torch_and_others_are_not_installed(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("the engine starts\nrain falls hard\n" * 30)
    code = (
        "import sys\n"
        "for name in ('torch', 'sklearn', 'scipy', 'transformers', 'onnx', 'rich', 'pyarrow'):\n"
        "    sys.modules[name] = None\n"
        "from custom_bert.bulk import shards\n"
        "from custom_bert.cli import main\n"
        "shards.ROWS = 16\n"
        "sys.exit(main(['predict', sys.argv[1], 'texts.txt', '--out', 'o.txt.gz', '--processes', '1']))\n"
    )
    command = [sys.executable, "-c", code, str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")
    assert main(["predict", str(out), str(tmp_path / "texts.txt")]) == 0
    labels = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    with gzip.open(tmp_path / "o.txt.gz", "rt", encoding="utf-8") as stream:
        assert [line.split("\t")[0] for line in stream] == labels


def test_it_predicts_where_torch_and_others_are_not_installed(out: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'sklearn', 'scipy', 'transformers', 'onnx', 'rich', 'pyarrow'):\n"
        "    sys.modules[name] = None\n"
        "from custom_bert import Classifier\n"
        f"print(Classifier.load({str(out)!r}).predict(['the engine starts'])[0].label)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert (found.stdout, found.stderr) == ("machines\n", "")


def test_a_process_may_load_a_model_and_then_fork(out: Path) -> None:
    code = (
        "import os, sys\nfrom custom_bert import Classifier\n"
        f"model = Classifier.load({str(out)!r})\n"
        "child = os.fork()\n"
        "label = model.predict(['the engine starts'])[0].label\n"
        "if child:\n    print(label, os.waitpid(child, 0)[1])\n"
        "else:\n    sys.exit(label != 'machines')\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False, timeout=60
    )
    assert (found.stdout, found.stderr) == ("machines 0\n", "")


def test_onnxruntime_gets_the_threads_that_the_machine_rule_says(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    asked = []
    real = onnxruntime.InferenceSession

    def session(content: bytes, options: Any, **named: Any) -> Any:
        asked.append((options.intra_op_num_threads, options.inter_op_num_threads))
        return real(content, options, **named)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    Classifier.load(out).predict(["a dog barks"])
    assert asked == [(3, 1)]


def test_unknown_text_is_told(out: Path) -> None:
    with pytest.warns(CustomBertWarning, match=r"unknown to the vocabulary.*predictions for such texts"):
        Classifier.load(out).predict(["雪覆盖一切"])


def test_other_devices_and_precisions_are_refused(out: Path) -> None:
    with pytest.raises(ConfigError, match="computes as it was exported"):
        Classifier.load(out, precision="bf16")
    with pytest.raises(ConfigError, match="computes on the cpu, and cuda was asked for"):
        Classifier.load(out, device="cuda")


def test_int8_on_few_rows_is_written_and_not_verified(run: Path, tmp_path: Path, same_graph: Any) -> None:
    lines = export_onnx(run, tmp_path / "out", int8=True)
    assert "model.onnx in int8 (products)" in lines[0]
    assert lines[1].startswith("not verified: 60 rows are too few to judge int8, which takes 1,000; ")
    described = json.loads((tmp_path / "out" / "custom_bert.json").read_text())
    assert described["int8"] == "products" and described["verified"]["on_enough_rows"] is False
    assert lines[1] in (tmp_path / "out" / "README.md").read_text()
    # the products are really in int8: probabilities move, labels of clear texts do not
    found, wanted = (Classifier.load(one).predict_proba(TEXTS) for one in (tmp_path / "out", run))
    assert 1e-5 < np.abs(found - wanted).max() < 0.3
    assert (found.argmax(1) == wanted.argmax(1)).mean() > 0.95


def test_int8_on_enough_rows_has_its_token_vectors_in_int8(
    run: Path, tmp_path: Path, same_graph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FEWEST", 60)
    monkeypatch.setattr(onnx, "FEWEST", 60)
    lines = export_onnx(run, tmp_path / "out", int8=True)
    assert "int8 (products and token vectors)" in lines[0] and lines[1].startswith("verified on 60 rows: ")
    assert size(tmp_path / "out") < len(same_graph.SerializeToString())


def test_token_vectors_in_int8_that_change_labels_are_kept_in_fp16(
    run: Path, tmp_path: Path, same_graph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FEWEST", 60)
    monkeypatch.setattr(onnx, "FEWEST", 60)
    monkeypatch.setattr(gate, "MOST_CHANGED", -1.0)
    lines = export_onnx(run, tmp_path / "out", int8=True)
    assert "int8 (products)" in lines[0] and lines[1].startswith("verified on 60 rows: ")
    assert any(line.startswith("token vectors are in fp16; in int8 the same labels, ") for line in lines)
    assert "its token vectors are kept in fp16" in (tmp_path / "out" / "README.md").read_text()
    assert token_table(tmp_path / "out").dtype == np.float16
    table = load_model(run).model.encoder.embeddings.token.weight
    assert 2 * table.numel() < len(same_graph.SerializeToString()) - size(tmp_path / "out")
    found = Classifier.load(tmp_path / "out").predict_proba(TEXTS)
    assert np.abs(found - Classifier.load(run).predict_proba(TEXTS)).max() < 0.3


def size(directory: Path) -> int:
    return (directory / "model.onnx").stat().st_size


def token_table(directory: Path) -> np.ndarray:
    """The table of token vectors, as the file has it."""
    import onnx as library
    from onnx import numpy_helper

    found = library.load(directory / "model.onnx").graph
    (reader,) = (node for node in found.node if reads_tokens(node))
    (table,) = (one for one in found.initializer if one.name == reader.input[0])
    return numpy_helper.to_array(table)


def test_token_vectors_too_large_for_fp16_are_refused(same_graph: Any, tmp_path: Path) -> None:
    from onnx import numpy_helper

    graph = copy.deepcopy(same_graph)
    (reader,) = (node for node in graph.graph.node if reads_tokens(node))
    (table,) = (one for one in graph.graph.initializer if one.name == reader.input[0])
    values = numpy_helper.to_array(table).copy()
    values[-1, 0] = 1e5
    table.CopyFrom(numpy_helper.from_array(values, table.name))
    with pytest.raises(RunError, match=r"^token vectors have numbers that are too large for fp16; export"):
        quantised(graph, tmp_path, token_vectors=False)


def spoiled(model: Any) -> Any:
    """The graph with the first weights of a product turned round."""
    from onnx import numpy_helper

    matrices = [one for one in model.graph.initializer if len(one.dims) == 2]
    largest = max(matrices, key=lambda one: int(np.prod(one.dims)))
    largest.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(largest), largest.name))
    return model


@pytest.mark.parametrize("broken", ["both", "token vectors"])
def test_int8_that_loses_is_refused_or_keeps_its_token_vectors(
    broken: str, run: Path, tmp_path: Path, same_graph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FEWEST", 60)
    monkeypatch.setattr(onnx, "FEWEST", 60)

    def broken_int8(model: Any, folder: Path, *, token_vectors: bool) -> Any:
        if broken == "both" or token_vectors:
            model = spoiled(copy.deepcopy(model))
        return quantised(model, folder, token_vectors=token_vectors)

    monkeypatch.setattr(onnx, "quantised", broken_int8)
    if broken == "both":
        with pytest.raises(
            RunError, match=r"int8 loses 0\.\d{4} of accuracy.*; export without --int8$"
        ) as caught:
            export_onnx(run, tmp_path / "out", int8=True)
        assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []
        return
    lines = export_onnx(run, tmp_path / "out", int8=True)
    assert "int8 (products)" in lines[0] and lines[1].startswith("verified on 60 rows")
    assert any(line.startswith("token vectors are in fp16; in int8 ") for line in lines)


@pytest.mark.parametrize("int8", [False, True])
def test_a_graph_that_computes_something_else_is_refused(
    int8: bool, run: Path, tmp_path: Path, same_graph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "graph_of", lambda outputs: spoiled(copy.deepcopy(same_graph)))
    with pytest.raises(RunError, match=r"the ONNX model does not compute what the run does: .*up to 1e-04"):
        export_onnx(run, tmp_path / "out", int8=int8)
    assert list(tmp_path.iterdir()) == []


def test_rows_that_are_given_are_compared(run: Path, tmp_path: Path, same_graph: Any) -> None:
    texts, labels = examples(30, seed=8)
    rows = ["text,label", *(f"{text},{label}" for text, label in zip(texts, labels, strict=True))]
    (tmp_path / "more.csv").write_text("\n".join(rows))
    line = f"export {run} {tmp_path / 'out'} --format onnx --data {tmp_path / 'more.csv'}"
    assert main(line.split()) == 0
    described = json.loads((tmp_path / "out" / "custom_bert.json").read_text())
    assert described["verified"]["rows"] == 30


def test_a_run_whose_data_are_gone_is_compared_on_random_texts(
    run: Path, tmp_path: Path, same_graph: Any
) -> None:
    moved = shutil.copytree(run, tmp_path / "run")
    record = json.loads((moved / "run.json").read_text())
    record["config"].update(
        {name: "gone/x.txt" for name in record["config"] if name.endswith(("_texts", "_labels"))}
    )
    (moved / "run.json").write_text(json.dumps(record))
    lines = export_onnx(moved, tmp_path / "out")
    assert lines[1].startswith("verified on random texts only, where the largest change is ")
    assert lines[1].endswith("--data names rows to compare on") and "gone/x.txt" in lines[1]


def test_encoder_and_floor_predict_together_from_the_directory(
    run: Path, data: Path, tmp_path: Path, same_graph: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fused, out = shutil.copytree(run, tmp_path / "run"), tmp_path / "out"
    texts, labels = examples(240)
    names = Classifier.load(run).labels
    ids = np.array([names.index(label) for label in labels])
    write_floor(fused, fit_classes(texts, ids, len(names), seed=0))
    write_ensemble(fused, Ensemble(0.6, 0.7))
    export_onnx(fused, out)
    assert np.abs(scores(fused, TEXTS) - scores(out, TEXTS)).max() < 1e-4
    assert np.abs(scores(out, TEXTS) - scores(run, TEXTS)).max() > 0.01
    alone = Classifier.load(out, encoder_only=True).scores.of(TEXTS, UnknownText())
    assert np.abs(np.concatenate(list(alone)) - scores(run, TEXTS)).max() < 1e-4
    assert main(["evaluate", str(out), str(data), "--json"]) == 0
    assert {"floor", "encoder"} <= json.loads(capsys.readouterr().out).keys()


def damaged(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "custom_bert.json"
        value = json.loads(path.read_text())
        change(value)
        path.write_text(json.dumps(value))

    return edit


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-9]) and None


def renamed(folder: Path) -> None:
    """A model whose input has another name, with the hash that fits."""
    import hashlib

    import onnx as library

    model = library.load(folder / "model.onnx")
    model.graph.input[0].name = "ids"
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == "input_ids":
                node.input[i] = "ids"
    content = model.SerializeToString()
    (folder / "model.onnx").write_bytes(content)
    written = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    damaged(lambda value: value.update(model=written))(folder)


DAMAGED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no model": (
        lambda folder: (folder / "model.onnx").unlink(),
        "DIR/out: not a complete directory: it holds no model.onnx",
    ),
    "half a model": (cut("model.onnx"), "DIR/out/model.onnx: damaged: its content is not what was written"),
    "half a description": (
        lambda folder: (folder / "custom_bert.json").write_text("["),
        "DIR/out/custom_bert.json: not valid JSON: Expecting value: line 1 column 2 (char 1)",
    ),
    "another format": (
        damaged(lambda value: value.update(format="custom-bert-onnx/9")),
        "DIR/out/custom_bert.json: not a description of the format custom-bert-onnx/1",
    ),
    "a key is missing": (
        damaged(lambda value: value.pop("max_length")),
        "DIR/out/custom_bert.json: the key 'max_length' is missing",
    ),
    "an unknown key": (
        damaged(lambda value: value.update(max_lenght=3)),
        "DIR/out/custom_bert.json: unknown key 'max_lenght' (did you mean 'max_length'?)",
    ),
    "a length that is none": (
        damaged(lambda value: value.update(max_length="long")),
        "DIR/out/custom_bert.json: max_length is 'long': expected a whole number",
    ),
    "a length out of range": (
        damaged(lambda value: value.update(max_length=2)),
        "DIR/out/custom_bert.json: max_length is 2, not between 3 and 1048576",
    ),
    "inputs of another kind": (
        damaged(lambda value: value.update(inputs=["pixels"])),
        "DIR/out/custom_bert.json: inputs is ['pixels']; known are input_ids, attention_mask, token_type_ids",
    ),
    "an unknown task": (
        damaged(lambda value: value.update(task="chess")),
        "DIR/out/custom_bert.json: task is 'chess'; known are classification, multi_label, soft_labels, "
        "regression, ordinal, tokens",
    ),
    "another width": (
        damaged(lambda value: value.update(width=4)),
        "DIR/out/custom_bert.json: width is 4, and there are 3 outputs",
    ),
    "no hash": (
        damaged(lambda value: value.update(model={})),
        "DIR/out/custom_bert.json: model is {}, not a size and a hash",
    ),
    "thresholds that are none": (
        damaged(lambda value: value.update(thresholds=[0.5, "x", 0.5])),
        "DIR/out/custom_bert.json: thresholds is [0.5, 'x', 0.5], not a list of finite numbers",
    ),
    "labels of another number": (
        lambda folder: (folder / "labels.json").write_text('["a", "b"]'),
        "DIR/out/labels.json: expected 3 labels, got 2",
    ),
    "no tokenizer": (
        lambda folder: (folder / "tokenizer.json").unlink(),
        "DIR/out/tokenizer.json: no such tokenizer file",
    ),
    "an encoder": (
        damaged(lambda value: value.update(output="last_hidden_state")),
        "DIR/out: an encoder for embeddings, which predicts nothing; Embedder.load reads it",
    ),
    "an input of another name": (
        renamed,
        "DIR/out/model.onnx: its inputs are attention_mask, ids, not attention_mask, input_ids; export the "
        "run again",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_directory_is_told_in_one_line(
    damage: str, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, message = DAMAGED[damage]
    shutil.copytree(out, tmp_path / "out")
    spoil(tmp_path / "out")
    (tmp_path / "texts.txt").write_text("a dog barks\n")
    assert main(["predict", str(tmp_path / "out"), str(tmp_path / "texts.txt")]) == 66
    said = capsys.readouterr()
    assert said.err.replace(str(tmp_path), "DIR") == f"error: {message}\n" and said.out == ""


def test_a_classifier_has_no_vectors(out: Path) -> None:
    with pytest.raises(RunError, match="a classifier, which has no vectors of texts"):
        Embedder.load(out)


REFUSED: dict[str, tuple[str, int, str]] = {
    "--int8 alone": (
        "export RUN OUT --int8",
        64,
        "--int8: is for --format onnx; --format hf does not read it",
    ),
    "--data alone": (
        "export RUN OUT --data DIR",
        64,
        "--data: is for --format onnx; --format hf does not read it",
    ),
    "OUT exists": ("export RUN RUN --format onnx", 74, "RUN: exists already and is not overwritten"),
    "no run": ("export DIR/none OUT --format onnx", 66, "DIR/none: no such run directory"),
    "no data": (
        "export RUN OUT --format onnx --data DIR/none",
        65,
        "DIR/none: no such folder; expected one with the data files",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_mistakes_are_told_in_one_line_before_anything_is_exported(
    mistake: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line, code, message = REFUSED[mistake]
    places = {"RUN": str(run), "OUT": str(tmp_path / "out"), "DIR": str(tmp_path)}

    def placed(words: str) -> str:
        for word, path in places.items():
            words = words.replace(word, path)
        return words

    assert main(placed(line).split()) == code
    assert capsys.readouterr().err == f"error: {placed(message)}\n"
    assert not (tmp_path / "out").exists()


def test_a_run_without_weights_is_told(run: Path, tmp_path: Path) -> None:
    empty = shutil.copytree(run, tmp_path / "run")
    (empty / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"no model.safetensors; the run has not been evaluated yet"):
        export_onnx(empty, tmp_path / "out")


def test_missing_libraries_are_told(
    run: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    missing = {"onnxruntime", "onnxscript"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name in missing else real(name, *more)
    )
    with pytest.raises(LibraryError) as caught:
        export_onnx(run, tmp_path / "out")
    assert str(caught.value) == (
        '--format onnx needs onnxscript and onnxruntime; pip install "custom-bert[onnx]"'
    )
    with pytest.raises(LibraryError) as caught:
        Classifier.load(out)
    assert str(caught.value) == f'{out}: onnxruntime is not installed; pip install "custom-bert[onnx]"'


def test_ranks_are_written_without_a_config_that_no_class_of_transformers_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out is told before the graph is made."""
    run = write_run(tmp_path / "run", TASKS["ordinal"], encoder_of("bert"))
    monkeypatch.setattr(onnx, "graph_of", lambda outputs: (_ for _ in ()).throw(RunError("enough")))
    with pytest.raises(RunError, match="enough"):
        export_onnx(run, tmp_path / "out")
    export = onnx._Export(onnx.load_model(run), run, None, {})
    (tmp_path / "folder").mkdir()
    (line,) = export._write_common(tmp_path / "folder")
    reason = "no class of transformers has these outputs"
    assert line == f"without config.json, by which other programs know a model: {reason}"
    assert {path.name for path in (tmp_path / "folder").iterdir()} == {
        "labels.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
