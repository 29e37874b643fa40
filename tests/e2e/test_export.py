"""What is trained here opens in transformers: the same tensors, ids, labels and probabilities."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import examples, settings, write_lines

from custom_bert import Classifier, train_model
from custom_bert.cli import main
from custom_bert.config import Preset
from custom_bert.errors import RunError
from custom_bert.inference.evaluate_run import evaluate_run
from custom_bert.inference.exports import hf as export
from custom_bert.inference.exports import verify
from custom_bert.model_files.native import load_model

PRESETS: tuple[Preset, ...] = ("legacy", "custom", "modern")
FILES = {
    *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"),
    "sentence_bert_config.json",
}
CLASSES = {
    "legacy": "BertForSequenceClassification",
    "custom": "RobertaPreLayerNormForSequenceClassification",
    "modern": "ModernBertForSequenceClassification",
}


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Preset, Path]:
    """A run of each preset; the window is shorter than the longest texts."""
    folder, found = tmp_path_factory.mktemp("export"), {}
    for preset in PRESETS:
        found[preset] = folder / preset
        changes = {"preset": preset, "model.num_hidden_layers": 4, "optim.epochs": 1}
        if preset == "modern":
            changes["model.local_attention"] = 8
        train_model(settings(data, found[preset], **changes))
    return found


def exported(run: Path, out: Path) -> Path:
    export.export_hugging_face(run, out)
    return out


@pytest.mark.parametrize("preset", PRESETS)
def test_transformers_gives_the_same_labels_and_logits(
    preset: Preset, runs: dict[Preset, Path], tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    out = exported(runs[preset], tmp_path / "out")
    assert {path.name for path in out.iterdir()} == FILES
    model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
        out, output_loading_info=True
    )
    assert type(model).__name__ == CLASSES[preset] and not any(report.values())
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    texts, _ = examples(60, seed=1)
    texts += ["", "a x", "an Unknown wörd 漢字", texts[0] * 20]
    ours = Classifier.load(runs[preset])
    inputs = tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
    assert set(inputs) == {"input_ids", "attention_mask"} and inputs["input_ids"].shape[1] == 32
    with torch.no_grad():
        logits = model.eval()(**inputs).logits
    wanted = torch.from_numpy(ours.predict_proba(texts))
    assert (logits.softmax(-1) - wanted).abs().max() < 1e-4
    assert [model.config.id2label[i] for i in logits.argmax(-1).tolist()] == [
        p.label for p in ours.predict(texts)
    ]
    pipe = transformers.pipeline("text-classification", model=str(out), device="cpu")
    assert [p["label"] for p in pipe(texts, truncation=True)] == [p.label for p in ours.predict(texts)]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_bare_encoder_opens_too(preset: Preset, runs: dict[Preset, Path], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from custom_bert.batch import Batch

    out = exported(runs[preset], tmp_path / "out")
    model, report = transformers.AutoModel.from_pretrained(out, output_loading_info=True)
    head = {"legacy": ("classifier",), "custom": ("classifier",), "modern": ("classifier", "head")}[preset]
    assert report["unexpected_keys"], "the head is left over"
    assert all(key.startswith(head) for key in report["unexpected_keys"])
    # the bare class of RoBERTa-PreLayerNorm has a pooler that no classifier uses
    assert {key.split(".")[0] for key in report["missing_keys"]} <= {"pooler"}
    checkpoint = load_model(runs[preset])
    (ids,) = checkpoint.tokenizer.encode([examples(1)[0][0]], 32).sequences
    with torch.no_grad():
        theirs = model.eval()(input_ids=torch.from_numpy(ids)[None]).last_hidden_state[0]
        ours = checkpoint.model.encoder(Batch.build([ids]))
    assert (ours - theirs).abs().max() < 1e-5


def test_the_command_says_what_it_verified(
    runs: dict[Preset, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    assert main(["export", str(runs["custom"]), str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "RobertaPreLayerNormForSequenceClassification, 3 labels" in said
    assert "every tensor found its place; 32 texts have the same token ids" in said
    card = (tmp_path / "out" / "README.md").read_text()
    record = json.loads((runs["custom"] / "run.json").read_text())
    assert f"accuracy {record['validation']['accuracy']:.4f}" in card and "240 texts" in card
    assert "`animals`" in card and 'pipeline("text-classification", "out"' in card


def test_without_transformers_it_is_written_and_said_so(
    runs: dict[Preset, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify.importlib.util, "find_spec", lambda name: None)
    said = export.export_hugging_face(runs["custom"], tmp_path / "out")
    assert said[1] == "not verified: transformers is not installed"
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


def test_an_interrupted_run_is_exported_and_says_so(runs: dict[Preset, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs["custom"], run)
    record = json.loads((run / "run.json").read_text())
    del record["validation"]
    (run / "run.json").write_text(json.dumps({**record, "status": "interrupted"}))
    out = exported(run, tmp_path / "out")
    assert "was interrupted; these are the best weights until then" in (out / "README.md").read_text()


def test_others_may_read_an_export_as_the_umask_has_it(runs: dict[Preset, Path], tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    out = exported(runs["custom"], tmp_path / "out")
    assert out.stat().st_mode == plain.stat().st_mode


def test_a_transformers_that_is_older_or_broken_is_told(
    runs: dict[Preset, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")

    def fails(*_: Any, **__: Any) -> Any:
        raise KeyError("modernbert\nand a long text")

    with monkeypatch.context() as patch:
        patch.setattr(transformers.AutoModelForSequenceClassification, "from_pretrained", fails)
        with pytest.raises(RunError, match=r"cannot open the export: .*modernbert") as caught:
            export.export_hugging_face(runs["custom"], tmp_path / "a")
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(verify, "hasattr", lambda *_: False, raising=False)
    said = export.export_hugging_face(runs["custom"], tmp_path / "b")[1]
    assert said == (
        f"not verified: transformers {transformers.__version__} has no "
        f"RobertaPreLayerNormForSequenceClassification"
    )


@pytest.mark.parametrize("mistake", ["swapped tensors", "a missing tensor", "another tokenizer", "no class"])
def test_an_export_that_differs_is_refused_and_leaves_nothing(
    mistake: str, runs: dict[Preset, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    original_tensors, original_json = export.to_hugging_face, export._tokenizer_json

    def tensors(family: Any, state: Any) -> Any:
        found = original_tensors(family, state)
        one, two = (f"roberta_prelayernorm.encoder.layer.{i}.output.dense.weight" for i in (0, 1))
        if mistake == "swapped tensors":
            found[one], found[two] = found[two], found[one]
        elif mistake == "a missing tensor":
            del found[one]
        return found

    def tokenizer(found: Any) -> str:
        made = json.loads(original_json(found))
        if mistake == "another tokenizer":
            bert = made["normalizer"]["normalizers"][0]
            bert["lowercase"] = not bert["lowercase"]
            made["pre_tokenizer"] = {"type": "WhitespaceSplit"}
        return json.dumps(made)

    head = dataclasses.replace(export.HEADS["sequence_classification"], tensors=tensors)
    monkeypatch.setitem(export.HEADS, "sequence_classification", head)
    monkeypatch.setattr(export, "_tokenizer_json", tokenizer)
    if mistake == "no class":
        monkeypatch.setattr(verify, "LARGEST", -1.0)
    with pytest.raises(RunError, match="transformers"):
        export.export_hugging_face(runs["custom"], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(
    runs: dict[Preset, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("kept")
    assert main(["export", str(runs["custom"]), str(tmp_path)]) == 74
    assert capsys.readouterr().err == f"error: {tmp_path}: exists already and is not overwritten\n"
    assert (tmp_path / "mine").read_text() == "kept"
    (tmp_path / "empty").mkdir()
    assert main(["export", str(runs["custom"]), str(tmp_path / "empty")]) == 0
    assert {path.name for path in (tmp_path / "empty").iterdir()} == FILES


def test_what_the_family_cannot_express_is_refused_with_the_way_out(data: Path, tmp_path: Path) -> None:
    train_model(settings(data, tmp_path / "run", **{"model.pooling": "mean", "optim.epochs": 1}))
    with pytest.raises(RunError, match="roberta-prelayernorm cannot express this model: pooling is 'mean'"):
        export.export_hugging_face(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_on_heads_and_tails_is_not_exported_and_predicts_by_them(data: Path, tmp_path: Path) -> None:
    changes = {"data.long_texts": "head_tail", "data.max_length": 8, "optim.epochs": 1}
    train_model(settings(data, tmp_path / "run", **changes))
    with pytest.raises(RunError, match=r"data\.long_texts is head_tail, and its tokenizers keep the head"):
        export.export_hugging_face(tmp_path / "run", tmp_path / "out")
    ours = Classifier.load(tmp_path / "run")
    first, last = "cat dog bird fish cow horse", "tax bank loan rate fund bond"
    there, back, same = ours.predict_proba([f"{first} {last}", f"{last} {first}", f"{first} x y z {last}"])
    assert abs(there - back).max() > 1e-4  # both ends are read
    assert abs(there - same).max() < 1e-6  # the middle is not
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["long_texts"] == "head_tail"
    del config["long_texts"]  # as runs before had it
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    assert load_model(tmp_path / "run").described.long_texts == "head"


def test_windows_find_what_the_head_does_not_hold(data: Path, tmp_path: Path) -> None:
    """Texts whose last word decides, behind more tokens than the model reads at once."""
    late = tmp_path / "late"
    late.mkdir()
    for split in ("train", "val"):
        texts = (data / f"{split}_dataset.txt").read_text().splitlines()
        write_lines(late / f"{split}_dataset.txt", [" ".join(["again"] * 20) + f" {text}" for text in texts])
        shutil.copy(data / f"{split}_labels.txt", late)
    changes = {"data.max_length": 12, "data.cache_dir": str(tmp_path / "cache")}
    head = train_model(settings(late, tmp_path / "head", **changes))
    both = {**changes, "optim.epochs": 8, "optim.pretrain_epochs": 1, "data.long_texts": "windows"}
    result = train_model(settings(late, tmp_path / "run", **both))
    assert head.accuracy < 0.5 and result.accuracy > 0.9

    scores = evaluate_run(tmp_path / "run", late, split="val").model.numbers
    assert scores["accuracy"] == result.accuracy
    with pytest.raises(RunError, match=r"data\.long_texts is windows, and its tokenizers keep the head"):
        export.export_hugging_face(tmp_path / "run", tmp_path / "out")
    ours = Classifier.load(tmp_path / "run")
    text = (late / "val_dataset.txt").read_text().splitlines()[0]
    (batched, *_), (alone,) = ours.predict_proba([text, "cat", text + " bank"]), ours.predict_proba([text])
    assert abs(batched - alone).max() < 1e-6


def test_a_tokenizer_that_frames_no_text_is_exported_with_our_frame(
    runs: dict[Preset, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs["custom"], run)
    made = json.loads((run / "tokenizer.json").read_text())
    made["post_processor"] = None
    (run / "tokenizer.json").write_text(json.dumps(made))
    record = json.loads((run / "run.json").read_text())
    del record["identity"]["data"]["tokenizer"]  # the hash of the one that the run trained with
    (run / "run.json").write_text(json.dumps(record))
    out = exported(run, tmp_path / "out")
    assert json.loads((out / "tokenizer.json").read_text())["post_processor"]["type"] == "TemplateProcessing"
