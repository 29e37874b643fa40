"""The command serve: answers are those of predict, an end loses nothing, and bad starts are one line."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Command
from data_files import write_run, write_set
from pair_data import pairs_of, write_pairs
from serve_process import Load, Process, serving
from served import Running, running, until
from training_runs import examples, settings

from custom_bert import Classifier, Embedder, train_model
from custom_bert.inference.chosen_model import ChosenModel
from custom_bert.model_files.description import Description, read_description, write_description
from custom_bert.model_files.native import load_model, write_weights
from custom_bert.models.encoder import Encoder as EncoderModel
from custom_bert.models.masked_lm import MaskedLanguageModel
from custom_bert.server.serving import load_offer
from custom_bert.tasks.masked_lm import MaskedLanguageModelling
from custom_bert.training.log import Reporter

QUIET = Reporter(silent=True)
TEXTS = [*examples(60, seed=5)[0], "", "zebra 😀 日本", "the cat " * 40, "a", "half a pair \ud83c", "a\tb\nc"]


@pytest.fixture(scope="module")
def process(run: Path) -> Iterator[Process]:
    with serving(run) as one:
        yield one


def close(answers: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    """Equal but for the last digits of probabilities and numbers."""
    assert len(answers) == len(wanted)
    for answer, one in zip(answers, wanted, strict=True):
        assert answer.keys() == one.keys()
        for key, value in one.items():
            if key in ("label", "labels"):
                assert answer[key] == value
            elif key == "probabilities":
                assert answer[key] == pytest.approx(value, abs=1e-5)
            elif key == "numbers":
                assert answer[key] == pytest.approx(value, rel=1e-5)
            else:
                assert answer[key] == pytest.approx(value, abs=1e-5)


def test_answers_are_those_of_predict(process: Process, run: Path) -> None:
    wanted = [one.as_dict() for one in Classifier.load(run).predict(TEXTS)]
    close(process.ask("/predict", {"texts": TEXTS}).json["predictions"], wanted)


def test_all_probabilities_are_those_of_predict(process: Process, run: Path) -> None:
    (wanted,) = Classifier.load(run).stream(TEXTS[:1], every=True)
    answer = process.ask("/predict", {"text": TEXTS[0], "probabilities": True})
    close(answer.json["predictions"], [wanted.as_dict()])


def test_answers_do_not_depend_on_who_else_asks(process: Process, run: Path) -> None:
    """Many clients at a time, so that requests are joined in batches that nobody chose."""
    wanted = [one.as_dict() for one in Classifier.load(run).predict(TEXTS)]
    mistakes: list[Exception] = []

    def ask(number: int) -> None:
        draw = np.random.Generator(np.random.PCG64(number))
        client = process.client()
        try:
            for _ in range(15):
                chosen = draw.integers(0, len(TEXTS), draw.integers(1, 12)).tolist()
                answer = client.ask("/predict", {"texts": [TEXTS[i] for i in chosen]})
                close(answer.json["predictions"], [wanted[i] for i in chosen])
        except Exception as error:
            mistakes.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not mistakes, mistakes[0]
    page = process.ask("/metrics").content.decode()
    batches, texts = (float(re.search(rf"batch_texts_{x} (\S+)", page)[1]) for x in ("count", "sum"))  # type: ignore[index]
    assert texts > batches


def test_words_that_count_are_those_of_explain(process: Process, run: Path) -> None:
    text = "the cat sleeps near the river 😀 at night"
    wanted = Classifier.load(run).explain(text, most=3).as_dict()
    answer = process.ask("/explain", {"text": text, "most": 3}).json
    assert (answer["text"], answer["tried"], answer["complete"]) == (text, wanted["tried"], True)
    for one, other in zip(answer["labels"], wanted["labels"], strict=True):
        assert one["label"] == other["label"]
        effects = {(word["start"], word["end"]): word["effect"] for word in other["words"]}
        assert {(word["start"], word["end"]): word["effect"] for word in one["words"]} == pytest.approx(
            effects, abs=1e-4
        )
    refused = process.ask("/explain", {"text": text, "label": "animal"})
    assert refused.status == 422
    assert refused.json["error"] == (
        "label: 'animal' is not one of this model's labels (did you mean 'animals'?)"
    )


def test_vectors_are_those_of_the_embedder(process: Process, run: Path) -> None:
    answer = process.ask("/embed", {"texts": TEXTS[:5]})
    vectors = np.array(answer.json["vectors"], dtype=np.float32)
    assert np.abs(vectors - Embedder.load(run).embed(TEXTS[:5])).max() < 1e-6


def test_the_description_names_every_way_and_the_answers_fit_it(process: Process) -> None:
    value = process.ask("/openapi.json").json
    assert set(value["paths"]) == {"/predict", "/explain", "/embed", "/health", "/metrics"}
    responses = value["paths"]["/predict"]["post"]["responses"]
    assert {"200", "400", "401", "413", "422", "429", "503", "504"} <= set(responses)
    for path, body in (("/predict", {"text": "a"}), ("/explain", {"text": "a"}), ("/embed", {"text": "a"})):
        schema = value["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert set(process.ask(path, body).json) == set(schema["required"])


def test_at_its_end_the_server_answers_what_it_has_accepted(run: Path) -> None:
    with serving(run) as one:
        load = Load(one, 12)
        load.start()
        until(lambda: load.answered > 50)
        code, out, err = one.end(signal.SIGTERM)
        load.join()
    assert (code, err) == (0, "")
    found = re.search(r"ended: ([\d,]+) of ([\d,]+) accepted requests were answered\n$", out)
    assert found and found[1] == found[2]
    assert int(found[1].replace(",", "")) == load.answered
    assert load.wrong == 0 and set(load.codes) <= {200, 503}


def test_no_text_of_a_request_is_ever_printed_until_ctrl_c_ends_the_server(run: Path) -> None:
    with serving(run) as one:
        for body in ({"text": "SECRET"}, {"texts": ["SECRET", 3]}, b'{"text": "SECRET', {"SECRET": 1}):
            one.ask("/predict", body)
        one.ask("/explain", {"text": "SECRET words", "label": "SECRET"})
        one.ask("/SECRET")
        one.ask("/embed", {"text": "日本 SECRET"})
        client = one.client()
        client.send(b"SECRET /SECRET SECRET\r\n\r\n")
        client.answer()
        client.close()
        assert b"SECRET" not in one.ask("/metrics").content
        code, out, err = one.end(signal.SIGINT)
    assert code == 0 and "SECRET" not in out + err


def served(directory: Path) -> Any:
    """A directory behind a real socket, in this process."""
    offer = load_offer(ChosenModel(directory=str(directory)), say=lambda line: None)
    return running(offer)


def test_a_mistake_inside_is_500_and_its_place_is_printed_without_the_text(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from custom_bert.server.service import where_raised

    def fail(self: Classifier, texts: Any, **options: Any) -> Any:
        raise RuntimeError(f"a mistake with {texts}")

    one: Running
    with served(run) as one:
        monkeypatch.setattr(Classifier, "stream", fail)
        answer = one.ask("/predict", {"text": "SECRET"})
        assert answer.status == 500 and b"SECRET" not in answer.content
        (mistake,) = one.mistakes
    line = where_raised(mistake)
    assert re.search(r"^RuntimeError at .*test_serve\.py:\d+$", line) and "SECRET" not in line


def test_pairs_are_read_where_the_model_reads_pairs(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "data", train=60, val=20)
    changes = {"data.pairs": True, "optim.epochs": 1}
    directory = train_model(settings(data, tmp_path / "run", **changes), reporter=QUIET).directory
    pairs = [list(pair) for pair in pairs_of(20, seed=3)[0]]
    wanted = [one.as_dict() for one in Classifier.load(directory).predict(pairs)]
    with served(directory) as one:
        close(one.ask("/predict", {"texts": pairs}).json["predictions"], wanted)
        close(one.ask("/predict", {"text": pairs[0]}).json["predictions"], wanted[:1])
        explained = one.ask("/explain", {"text": pairs[0]}).json
        words = Classifier.load(directory).explain(pairs[0]).as_dict()
        assert (explained["text"], explained["second_text"]) == tuple(pairs[0])
        assert explained["tried"] == words["tried"]
        assert {word["second"] for word in explained["labels"][0]["words"]} == {False, True}
        assert one.ask("/explain", {"text": "a"}).status == 422
        assert b'data-pairs="yes" data-predicts="yes" data-explains="yes"' in one.ask("/").content


@pytest.mark.parametrize("task", ["regression", "multi_label", "ordinal"])
def test_every_task_answers_what_predict_prints(task: str, tmp_path: Path) -> None:
    texts, _ = examples(60)
    labels = {
        "regression": [str(i % 7) for i in range(60)],
        "multi_label": ["a\tb" if i % 3 else "a" for i in range(60)],
        "ordinal": [str(1 + i % 3) for i in range(60)],
    }[task]
    data = write_set(tmp_path / "data", texts, labels, texts[:20], labels[:20])
    changes = {"task": task, "optim.epochs": 1}
    directory = train_model(settings(data, tmp_path / "run", **changes), reporter=QUIET).directory
    wanted = [one.as_dict() for one in Classifier.load(directory).predict(texts[:10])]
    with served(directory) as one:
        close(one.ask("/predict", {"texts": texts[:10]}).json["predictions"], wanted)
        explained = one.ask("/explain", {"text": texts[0]})
        assert explained.status == (501 if task == "regression" else 200)


def test_an_onnx_directory_is_served_where_torch_is_not_installed(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    from custom_bert.inference.exports.onnx import export_onnx

    directory = tmp_path / "out"
    export_onnx(run, directory)
    wanted = [one.as_dict() for one in Classifier.load(directory).predict(TEXTS)]
    with serving(directory, without=("torch", "sklearn", "scipy", "transformers")) as one:
        close(one.ask("/predict", {"texts": TEXTS}).json["predictions"], wanted)
        explained = one.ask("/explain", {"text": "the cat sleeps"}).json
        assert explained["labels"][0]["label"] == "animals"
        refused = one.ask("/embed", {"text": "a"})
        assert refused.status == 501
        assert refused.json["error"].startswith(f"there are no vectors here: {directory}: ")
        code, _, err = one.end()
    assert (code, err) == (0, "")


def encoder_of(run: Path, directory: Path) -> Path:
    """A pretrained encoder without a head for texts."""
    directory.mkdir()
    trained = load_model(run)
    described = read_description(run)
    model = MaskedLanguageModel(EncoderModel(described.encoder))
    task = MaskedLanguageModelling()
    write_description(directory, Description(described.encoder, task, 16), trained.tokenizer)
    write_weights(directory, model.state_dict())
    return directory


def test_an_encoder_without_labels_is_served_for_its_vectors(tmp_path: Path) -> None:
    directory = encoder_of(write_run(tmp_path / "run"), tmp_path / "encoder")
    said: list[str] = []
    offer = load_offer(ChosenModel(directory=str(directory)), say=said.append)
    assert len(said) == 1 and said[0].startswith(f"only vectors are served: {directory}: ")
    with running(offer) as one:
        vectors = np.array(one.ask("/embed", {"texts": ["a b", "c"]}).json["vectors"], dtype=np.float32)
        assert np.abs(vectors - Embedder.load(directory).embed(["a b", "c"])).max() < 1e-6
        refused = one.ask("/predict", {"text": "a"})
        assert refused.status == 501 and str(directory) in refused.json["error"]
        assert b'data-predicts="no"' in one.ask("/").content


def test_a_run_that_is_damaged_is_refused_and_not_served_for_vectors_alone(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    (directory / "labels.json").unlink()
    with pytest.raises(Exception, match=r"labels\.json"):
        load_offer(ChosenModel(directory=str(directory)), say=lambda line: None)


def test_bad_starts_are_one_line_each(command: Command, tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "token").write_text("a1b2c3d4e5f6a7b8c9d0")
    for name in ("empty", "token"):
        os.chmod(tmp_path / name, 0o600)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert command.refused(f"serve DIR/run --port {port}", 64) == [
            f"127.0.0.1:{port}: cannot listen there: Address already in use (EADDRINUSE); "
            "--port takes another port"
        ]
    (line,) = command.refused("serve DIR/none --port 0", 66)
    assert line.startswith("DIR/none: ")
    assert command.refused("serve DIR/run --host 0.0.0.0", 64) == [
        "--host 0.0.0.0: other machines reach this address, and without a token everybody may ask; "
        "give --token-file FILE, or set CUSTOM_BERT_TOKEN"
    ]
    assert command.refused("serve DIR/run --token-file DIR/empty", 64) == [
        "DIR/empty: the token is empty; openssl rand -hex 32 makes one"
    ]
    assert command.refused("serve DIR/run --port 70000", 64) == ["--port must be at most 65535, got 70000"]
    assert command.refused("serve DIR/run --wait 0", 64) == [
        "--wait must be above 0 and at most 3600 seconds, got 0"
    ]
    assert command.refused("serve DIR/run --queue 0", 64) == ["--queue must be at least 1, got 0"]
    (line,) = command.refused("serve DIR/run --host no.such.host.invalid --token-file DIR/token", 64)
    assert line.startswith("--host no.such.host.invalid: no address of this machine: ")


def test_a_token_that_others_can_read_is_warned_of(command: Command, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a1b2c3d4e5f6a7b8c9d0")
    os.chmod(tmp_path / "token", 0o644)
    result = command("serve DIR/none --port 0 --token-file DIR/token")
    assert result.err.splitlines()[0] == (
        "warning: DIR/token: others on this machine can read the token; chmod 600 DIR/token"
    )
    assert result.code == 66


def test_without_its_packages_the_command_says_what_to_install(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert command.refused("serve DIR/run", 69) == [
        'the server needs more packages: pip install "custom-bert[serve]"'
    ]
