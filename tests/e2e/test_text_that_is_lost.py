"""Text that would be lost in silence: without spaces, with accents apart, of zero-width characters. And
labels whose order is not what one takes it for."""

import json
import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from data_files import write_set
from training_runs import break_off, examples, settings, write_data

from custom_bert import Classifier, train_model
from custom_bert.cli import main
from custom_bert.errors import CustomBertWarning, DataError, RunError
from custom_bert.model_files.native import load_model
from custom_bert.training import fit
from custom_bert.training.log import Reporter

THAI = [
    "ร้าน",
    "อาหาร",
    "โรงแรม",
    "ห้อง",
    "บริการ",
    "พนักงาน",
    "ที่",
    "นี่",
    "เรา",
    "ไป",
    "กับ",
    "เพื่อน",
    "และ",
    "ได้",
    "ลอง",
    "กิน",
    "ข้าว",
    "กาแฟ",
    "น้ำ",
    "ราคา",
    "เวลา",
]
GOOD, BAD = ["อร่อย", "สะอาด", "ดีมาก", "ประทับใจ", "ชอบ"], ["แย่", "สกปรก", "ช้า", "แพง", "ผิดหวัง"]


def reviews(count: int, words: int = 40) -> tuple[list[str], list[str]]:
    """Texts of 160 characters without a space, as Thai is written."""
    draw, texts = random.Random(1), []
    for i in range(count):
        chosen = draw.choices(THAI, k=words - 4) + draw.choices(GOOD if i % 2 else BAD, k=4)
        draw.shuffle(chosen)
        texts.append("".join(chosen))
    return texts, ["bad", "good"] * (count // 2)


def small(data: Path, out: Path, **changes: Any) -> dict[str, Any]:
    """Fast settings with the pretraining that is on by default for little text."""
    return settings(data, out, **{"optim.pretrain_epochs": 2, "optim.epochs": 2, **changes})


def test_text_without_spaces_is_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts, labels = reviews(300)
    data = write_set(tmp_path / "data", texts[:240], labels[:240], texts[240:], labels[240:])
    found = train_model(small(data, tmp_path / "run", **{"data.max_length": 64, "optim.epochs": 12}))
    assert found.accuracy >= 0.9
    assert "unknown to" not in capsys.readouterr().out
    classifier = Classifier.load(tmp_path / "run")
    first, second = classifier.predict_proba([texts[0] * 2, texts[1] * 2])
    assert abs(first - second).max() > 0.1


@pytest.fixture(scope="module")
def vietnamese(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw, directory = random.Random(0), tmp_path_factory.mktemp("vietnamese")
    words = [
        "phòng",
        "khách",
        "sạn",
        "nhân",
        "viên",
        "phục",
        "vụ",
        "món",
        "ăn",
        "giá",
        "cả",
        "tôi",
        "đã",
        "ở",
        "đây",
        "với",
        "gia",
        "đình",
        "một",
        "hai",
    ]
    good, bad = ["tốt", "đẹp", "tuyệt", "vời", "rẻ", "ngon"], ["tệ", "xấu", "bẩn", "đắt", "chậm", "dở"]
    texts = [
        " ".join(draw.choices(words, k=6) + draw.choices(good if i % 2 else bad, k=3)) for i in range(300)
    ]
    labels = ["tệ", "tốt"] * 150
    for form in ("NFC", "NFD"):
        changed = [unicodedata.normalize(form, text) for text in texts]
        names = [unicodedata.normalize(form, label) for label in labels]
        write_set(directory / form, changed[:240], names[:240], changed[240:], names[240:])
    train_model(small(directory / "NFC", directory / "run", **{"optim.epochs": 6}))
    return directory


def test_composed_and_decomposed_texts_and_labels_are_the_same(
    vietnamese: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = []
    for form in ("NFC", "NFD"):
        assert main(["evaluate", str(vietnamese / "run"), str(vietnamese / form), "--json"]) == 0
        scores.append(json.loads(capsys.readouterr().out))
    assert scores[0] == scores[1] and scores[0]["accuracy"] >= 0.9


def test_an_evaluation_in_python_knows_labels_in_either_form(vietnamese: Path) -> None:
    texts, labels = (
        (vietnamese / "NFD" / name).read_text().splitlines() for name in ("val_dataset.txt", "val_labels.txt")
    )
    assert Classifier.load(vietnamese / "run").evaluate(texts, labels).accuracy >= 0.9


def test_an_exported_tokenizer_composes_and_cuts_too(vietnamese: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    assert main(["export", str(vietnamese / "run"), str(tmp_path / "out")]) == 0
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "out"))
    ours = load_model(vietnamese / "run").tokenizer
    texts = (vietnamese / "NFD" / "val_dataset.txt").read_text().splitlines()
    texts += ["phòng" * 60, "tốt\U0001fae0tệ", "", *reviews(4)[0]]
    for text, ids in zip(texts, ours.encode(texts, 512).sequences, strict=True):
        assert theirs(text)["input_ids"] == ids.tolist()


# Nothing to predict


@pytest.mark.parametrize("nothing", ["", "\u200b", "\u3000\u200d"])
def test_pretraining_on_many_empty_texts_goes_on_and_says_what_was_left_out(
    tmp_path: Path, nothing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, labels = examples(60)
    data = write_set(tmp_path / "data", [nothing] * 360 + texts, labels * 7, *examples(30, seed=1))
    train_model(small(data, tmp_path / "run", **{"batch.token_budget": 64}))
    out = capsys.readouterr().out
    assert "train_dataset.txt: 360 empty texts (lines 1, 2, 3, 4, 5, ...)" in out
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    last = [record for record in records if record["kind"] == "pretrain"][-1]
    assert last["skipped"] == 0 and last["empty"] > 0
    said = f"warning: {last['empty']} of {last['step']} steps of pretraining had nothing to learn from"
    assert said in out


def test_steps_that_were_skipped_are_told_with_their_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, count = fit.step_within_memory, 0

    def step(*positional: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        found = real(*positional, **named)
        if count in (2, 5):
            found.skipped.fill_(1)
        return found

    monkeypatch.setattr(fit, "step_within_memory", step)
    train_model(settings(write_data(tmp_path / "data"), tmp_path / "run"))
    out = capsys.readouterr().out
    assert "warning: 2 of " in out and "were left out: loss or gradient were not finite" in out


def test_running_text_that_the_vocabulary_does_not_know_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n\n".join(["สวัสดี ครับ"] * 50))
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    config = {
        "task": "masked_lm",
        "data.corpus": (str(tmp_path / "text.txt"),),
        "data.tokenizer": str(tmp_path / "vocab.txt"),
        "data.val_fraction": 0.2,
        "data.cache_dir": str(tmp_path / "cache"),
        "model.hidden_size": 32,
        "model.num_hidden_layers": 1,
        "model.num_attention_heads": 2,
        "optim.epochs": 1,
        "out": str(tmp_path / "run"),
    }
    with pytest.raises(DataError, match="the texts hold no token that could be hidden"):
        train_model(config)
    assert not (tmp_path / "run").exists()


# What is told of unknown text


def with_a_small_vocabulary(tmp_path: Path) -> tuple[Path, str]:
    """English headers before Thai sentences, and a vocabulary that knows English alone."""
    english, labels = examples(60)
    texts = [f"{text} {thai}" for text, thai in zip(english, reviews(60)[0], strict=True)]
    data = write_set(tmp_path / "data", texts, labels, texts[:9], labels[:9])
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + list("0123456789")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + letter for letter in letters)]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    return data, str(tmp_path / "vocab.txt")


def test_unknown_text_is_counted_in_characters_at_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, vocabulary = with_a_small_vocabulary(tmp_path)
    train_model(settings(data, tmp_path / "run", **{"data.tokenizer": vocabulary, "data.max_length": 256}))
    out = capsys.readouterr().out
    for name in ("train_dataset.txt", "val_dataset.txt"):
        (line,) = (line for line in out.splitlines() if name in line and "unknown to" in line)
        share = int(line.split("%")[0].rsplit(" ", 1)[1])
        assert 50 < share < 90 and "of the characters are unknown to the vocabulary" in line
        assert "texts (lines 1, 2, 3" in line and "choose a vocabulary" in line


def test_unknown_text_is_told_by_check_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, vocabulary = with_a_small_vocabulary(tmp_path)
    assert main(["check-data", str(data), "--vocabulary", vocabulary]) == 0
    assert capsys.readouterr().out.count("of the characters are unknown to the vocabulary of") == 2
    assert main(["check-data", str(data)]) == 0
    assert "unknown to" not in capsys.readouterr().out
    other, labels = ["Ξένη γλώσσα εδώ"] * 9, examples(9)[1]
    write_set(tmp_path / "data", *examples(60), other, labels)
    assert main(["check-data", str(data), "--json"]) == 0
    (warning,) = (w for w in json.loads(capsys.readouterr().out)["warnings"] if "unknown to" in w)
    assert warning.startswith(str(data / "val_dataset.txt")) and "that train would make" in warning


def test_what_check_data_says_of_a_new_vocabulary_is_what_training_finds(tmp_path: Path) -> None:
    from data_files import read

    from custom_bert.data.vocabulary import train_tokenizer
    from custom_bert.training.check_data import _unknown_to_a_new_one, unknown_of

    draw = random.Random(0)
    rare = [chr(draw.randrange(0x4E00, 0x9FFF)) for _ in range(3000)]
    texts = ["".join(draw.choices(rare, k=20)) + " film" for _ in range(200)]
    dataset = read(write_set(tmp_path, texts, ["a", "b"] * 100))
    (said,) = _unknown_to_a_new_one([dataset.train.file])
    made = train_tokenizer(
        lambda: [texts], vocab_size=8000, lowercase=True, characters=dataset.train.file.characters
    )
    found = unknown_of(dataset.train.file, made)
    assert (said.characters, said.unknown) == (found.characters, found.unknown) and found.unknown > 0


def test_unknown_text_is_told_by_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_model(settings(write_data(tmp_path / "data"), tmp_path / "run"))
    (tmp_path / "texts.txt").write_text("a dog barks\nสวัสดีครับ\nsnow covers all\n")
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "texts.txt")]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 3
    assert said.err.count("\n") == 1 and "in 1 text (line 2) it is more than half" in said.err


def test_predict_tells_at_once_and_again_at_the_end_of_what_came_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_model(settings(write_data(tmp_path / "data"), tmp_path / "run"))
    (tmp_path / "texts.txt").write_text("สวัสดีครับ\na dog barks\n" * 40)
    monkeypatch.setattr("custom_bert.data.text.BLOCK", 200)
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "texts.txt")]) == 0
    first, last = capsys.readouterr().err.splitlines()
    assert "in 40 texts (lines 1, 3, 5, 7, 9, ...) it is more than half" in last and first != last


# The order of labels


def numbered(directory: Path) -> Path:
    texts, _ = examples(120)
    return write_set(directory, texts, [str(i % 12) for i in range(120)])


def test_labels_that_are_numbers_have_ids_in_their_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = numbered(tmp_path / "data")
    train_model(settings(data, tmp_path / "run", **{"optim.epochs": 1}), reporter=Reporter(verbose=True))
    line = "labels by id, from 0: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"
    assert line in capsys.readouterr().out
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "out")]) == 0
    assert line in capsys.readouterr().out
    named = json.loads((tmp_path / "out" / "config.json").read_text())["id2label"]
    assert named == {str(i): str(i) for i in range(12)}


def test_a_run_of_before_with_another_order_of_labels_is_refused_in_one_line_and_a_finished_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = numbered(tmp_path / "data")
    whole = settings(data, tmp_path / "whole", **{"runtime.checkpoint_every": 1})
    with monkeypatch.context() as before:
        before.setattr("custom_bert.data.label_files.label_order", lambda label: label)
        train_model(whole)
        break_off({**whole, "out": str(tmp_path / "run")}, step=4)
    with pytest.raises(RunError, match=r"an older version read the labels otherwise.*; --fresh trains in a"):
        train_model({**whole, "out": str(tmp_path / "run")})
    assert json.loads((tmp_path / "whole" / "labels.json").read_text()) == sorted(str(i) for i in range(12))
    assert train_model(whole).steps == 0 and Classifier.load(tmp_path / "whole").predict(["a dog barks"])


def test_a_prediction_warns_once_a_call(tmp_path: Path) -> None:
    train_model(settings(write_data(tmp_path / "data"), tmp_path / "run", **{"optim.epochs": 1}))
    classifier = Classifier.load(tmp_path / "run")
    with pytest.warns(CustomBertWarning) as said:
        classifier.predict(["สวัสดีครับ", "ดี"] * 3)
    assert len(said) == 1


def test_a_vocabulary_of_other_rules_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(write_data(tmp_path / "data"), tmp_path / "run", **{"optim.epochs": 1})
    with monkeypatch.context() as before:
        before.setattr("custom_bert.training.vocabulary.RULES", "wordpiece/2")
        before.setattr("custom_bert.data.vocabulary.split_pattern", lambda known: r"[^\s]{1000}")
        train_model(config)
    with pytest.raises(RunError, match=r"with a vocabulary that an older version made, by other rules"):
        train_model(config)


def test_rows_that_an_older_version_divided_otherwise_are_not_guessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It took a text and the same one with its accents apart for two texts."""
    texts, labels = examples(60)
    data = write_set(tmp_path / "data", texts, labels)
    train_model(settings(data, tmp_path / "run", **{"optim.epochs": 1}))
    assert main(["evaluate", str(tmp_path / "run"), str(data)]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    record["data"]["val_examples"] += 1
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    assert main(["evaluate", str(tmp_path / "run"), str(data)]) == 66
    assert "so they cannot be identified" in capsys.readouterr().err
