"""Training, evaluating and predicting with tables in place of line-aligned files."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from command_line import Command
from data_files import write_run, write_set
from training_runs import break_off, examples
from training_runs import settings as of_files

from custom_bert import Classifier, Reporter, train_model
from custom_bert.config_sources import load
from custom_bert.data.cache import Cache
from custom_bert.data.labelled_texts import LabelledTexts
from custom_bert.data.reading import data_files
from custom_bert.errors import RunError, UserError
from custom_bert.reports.info import info_lines
from custom_bert.tasks.classification import Classification

QUIET = Reporter(silent=True)
FILES = ("data.train_texts", "data.train_labels", "data.val_texts", "data.val_labels")
Columns = Mapping[str, Sequence[Any]]


def write_table(path: Path, columns: Columns) -> Path:
    """Writes columns as the ending says."""
    rows = list(zip(*columns.values(), strict=True))
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table(dict(columns)), path)
    elif path.suffix == ".jsonl":
        objects = (dict(zip(columns, row, strict=True)) for row in rows)
        path.write_text("".join(f"{json.dumps(one)}\n" for one in objects), encoding="utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([list(columns), *rows])
    return path


def settings(table: Path, out: Path | None, **changes: Any) -> dict[str, Any]:
    common = {k: v for k, v in of_files(table, out).items() if k not in FILES}
    return {**common, "data.table": str(table), "optim.epochs": 1, **changes}


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def rows() -> Columns:
    texts, labels = examples(120)
    return {"id": list(range(120)), "sentence": texts, "stars": labels}


@pytest.fixture(scope="module")
def filed(tmp_path_factory: pytest.TempPathFactory, rows: Columns) -> bytes:
    """The weights that the rows train as lines of two files."""
    folder = tmp_path_factory.mktemp("filed")
    data = write_set(folder / "data", rows["sentence"], rows["stars"])
    train_model(of_files(data, folder / "run", **{"optim.epochs": 1}), reporter=QUIET)
    return weights(folder / "run")


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_table_trains_the_weights_that_the_same_lines_in_files_train(
    tmp_path: Path, rows: Columns, filed: bytes, ending: str
) -> None:
    table = write_table(tmp_path / f"reviews{ending}", rows)
    result = train_model(settings(table, tmp_path / "run", **{"data.label_column": "stars"}), reporter=QUIET)
    assert weights(result.directory) == filed
    assert json.loads((result.directory / "run.json").read_text())["data"]["columns"] == {
        "text": "sentence",
        "label": "stars",
        "split": None,
        "group": None,
        "encoding": "" if ending == ".parquet" else "utf-8",
    }


def test_another_table_or_a_column_validates_as_files_do(tmp_path: Path, rows: Columns) -> None:
    texts, labels = examples(30, seed=1)
    data = write_set(tmp_path / "data", rows["sentence"], rows["stars"], texts, labels)
    train_model(of_files(data, tmp_path / "filed", **{"optim.epochs": 1}), reporter=QUIET)
    table = write_table(tmp_path / "train.csv", rows)
    val = write_table(tmp_path / "val.parquet", {"sentence": texts, "stars": labels})
    train_model(settings(table, tmp_path / "two", **{"data.val_table": str(val)}), reporter=QUIET)
    both = {
        "part": ["dev"] * 30 + ["Train"] * 120 + ["test"] * 30,
        "sentence": [*texts, *rows["sentence"], *texts],
        "stars": [*labels, *rows["stars"], *labels],
    }
    whole = write_table(tmp_path / "all.jsonl", both)
    one = train_model(settings(whole, tmp_path / "one", **{"data.split_column": "part"}), reporter=QUIET)
    assert weights(tmp_path / "filed") == weights(tmp_path / "two") == weights(tmp_path / "one")
    record = json.loads((one.directory / "run.json").read_text())
    assert "columns     texts 'sentence', labels 'stars', splits 'part'" in info_lines(record)
    assert len(record["data"]["files"]) == 6  # texts and labels of three splits


@pytest.mark.parametrize("by", ["table", "column"])
def test_test_rows_are_filled_in_and_do_not_train(tmp_path: Path, rows: Columns, by: str) -> None:
    table = write_table(
        tmp_path / "r.csv", {**rows, "part": ["test" if i % 10 == 0 else "train" for i in range(120)]}
    )
    changes = {"data.split_column": "part"} if by == "column" else {"data.test_table": str(table)}
    lines = data_files(load(settings(table, None, **changes)).data)
    assert lines.test is not None and lines.val is None
    texts, labels = (next(one.blocks()) for one in lines.test)
    every = slice(None, None, 10) if by == "column" else slice(None)
    assert (texts, labels) == (list(rows["sentence"][every]), list(rows["stars"][every]))


def test_the_same_table_finds_its_run_and_another_one_is_another_run(
    tmp_path: Path, rows: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = write_table(tmp_path / "r.csv", rows)
    first = train_model(settings(table, None), reporter=QUIET)
    named = {"data.text_column": "sentence", "data.label_column": "stars"}
    assert train_model(settings(table, None, **named), reporter=QUIET).steps == 0  # it is finished
    moved = table.rename(tmp_path / "moved.csv")
    assert train_model(settings(moved, None), reporter=QUIET).directory == first.directory
    other = write_table(tmp_path / "o.csv", {**rows, "id": range(1, 121)})
    assert train_model(settings(other, None), reporter=QUIET).directory != first.directory
    write_table(moved, {**rows, "sentence": [*rows["sentence"][:-1], "another text"]})
    with pytest.raises(RunError, match="train texts changed"):
        train_model(settings(moved, first.directory), reporter=QUIET)


def test_a_run_on_a_table_continues_bit_for_bit(tmp_path: Path, rows: Columns) -> None:
    table = write_table(tmp_path / "r.parquet", rows)
    steps = {"runtime.checkpoint_every": 2, "optim.epochs": 2}
    train_model(settings(table, tmp_path / "whole", **steps), reporter=QUIET)
    config = settings(table, tmp_path / "broken", **steps)
    break_off(config, 6)
    train_model(config, reporter=QUIET)
    assert weights(tmp_path / "broken") == weights(tmp_path / "whole")


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_one_group_are_set_aside_together(tmp_path: Path, seed: int) -> None:
    texts, labels = examples(3000)
    labels = ["rare" if i % 170 == 0 else label for i, label in enumerate(labels)]  # too few to be set aside
    groups = [f"writer {i // 7}" for i in range(3000)]
    table = write_table(tmp_path / "r.csv", {"text": texts, "label": labels, "who": groups})
    changes = {"data.group_column": "who", "data.val_fraction": 0.1, "floor": True, "seed": seed}
    config = load(settings(table, None, **changes))
    source = Classification.read(config, Cache.of(None, None, lambda line: None))
    assert isinstance(source, LabelledTexts) and source.dataset.choosing is not None
    data = source.dataset
    splits = [{groups[row] for row in split.rows_N} for split in (data.train, data.val, data.choosing)]
    assert not splits[0] & splits[1] and not splits[0] & splits[2] and not splits[1] & splits[2]
    assert sum(len(split) for split in (data.train, data.val, data.choosing)) == 3000
    assert 280 <= len(data.val) <= 320 and len(data.choosing) > 50


def test_evaluate_finds_the_rows_that_were_set_aside_and_measures_all_of_another_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: Columns
) -> None:
    command = Command(tmp_path, capsys)
    table = write_table(tmp_path / "r.csv", {**rows, "who": [i // 3 for i in range(120)]})
    changes = {"data.label_column": "stars", "data.group_column": "who"}
    result = train_model(settings(table, tmp_path / "run", **changes), reporter=QUIET)
    said = command("evaluate DIR/run DIR/r.csv --json")
    assert json.loads(said.out)["accuracy"] == pytest.approx(result.numbers["accuracy"]) and not said.err
    assert (
        json.loads(said.out)["examples"]
        == json.loads((tmp_path / "run/run.json").read_text())["data"]["val_examples"]
    )
    write_table(tmp_path / "o.jsonl", {"stars": rows["stars"], "sentence": rows["sentence"]})
    said = command("evaluate DIR/run DIR/o.jsonl --json")
    assert json.loads(said.out)["examples"] == 120
    assert said.err == "DIR/o.jsonl: not the table that DIR/run was trained on, so all rows are measured\n"
    assert (
        "not the table that DIR/run was trained on"
        in command("evaluate DIR/run DIR/o.jsonl --split train").err
    )
    assert command.refused("evaluate DIR/run DIR/none.csv", 65) == ["DIR/none.csv: no such file"]
    write_table(tmp_path / "o.csv", {"sentence": ["a dog barks"], "stars": ["plants"]})
    assert command.refused("evaluate DIR/run DIR/o.csv", 65) == [
        "DIR/o.csv:2: row 1, column 'stars': label 'plants' is not one of the model's"
    ]


def test_lists_of_labels_are_learned_measured_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: Columns
) -> None:
    command = Command(tmp_path, capsys)
    sets = [[label, "odd"] if i % 2 else [label] for i, label in enumerate(rows["stars"])]
    for name in ("r.jsonl", "r.parquet"):
        write_table(tmp_path / name, {"sentence": rows["sentence"], "stars": sets})
    joined = ["; ".join(one) for one in sets]
    write_set(tmp_path / "data", rows["sentence"], joined)
    changes = {"task": "multi_label", "data.label_separator": "; ", "optim.epochs": 2}
    train_model(of_files(tmp_path / "data", tmp_path / "filed", **changes), reporter=QUIET)
    train_model(settings(tmp_path / "r.jsonl", tmp_path / "run", **changes), reporter=QUIET)
    assert weights(tmp_path / "run") == weights(tmp_path / "filed")
    assert json.loads(command("evaluate DIR/run DIR/r.parquet --json").out)["examples"] == 120
    said = command("predict DIR/run DIR/r.jsonl")
    first = json.loads(said.out.splitlines()[0])
    model = Classifier.load(tmp_path / "run")
    (expected,) = model.predict(rows["sentence"][:1])
    known = expected.as_dict()["probabilities"]
    labels = expected.as_dict()["labels"]
    assert first["predicted_label"] == "; ".join(labels)
    assert first["predicted_probability"] == "; ".join(f"{known[label]:.6f}" for label in labels)


ODD: Columns = {
    "id": ["1", "2", "3", "4 \r or so"],
    "text": ['a "fine" film', "two\nlines, and\ra comma", "", "a naïve film"],
    "predicted_label": ["", "x", "y", "z"],
}


@pytest.fixture
def predicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    write_run(tmp_path / "run")
    return Command(tmp_path, capsys)


def expected_of(run: Path) -> list[tuple[str, float]]:
    return [
        (one.as_dict()["label"], one.as_dict()["probability"])
        for one in Classifier.load(run).predict(ODD["text"])
    ]


RENAMED = (
    "DIR/{name}: has 'predicted_label' already; the new columns are 'predicted_label_2' and "
    "'predicted_probability'"
)
GUESSED = "DIR/{name}: texts from column 'text', by the names of the columns; others by --text-column"


def test_csv_is_written_back_with_every_cell(predicted: Command) -> None:
    write_table(predicted.directory / "r.csv", ODD)
    said = predicted("predict DIR/run DIR/r.csv --out DIR/out.csv")
    assert said.code == 0 and not said.out
    assert said.err.splitlines()[:2] == [GUESSED.format(name="r.csv"), RENAMED.format(name="r.csv")]
    with (predicted.directory / "out.csv").open(newline="", encoding="utf-8") as stream:
        header, *rows = csv.reader(stream)
    assert header == [*ODD, "predicted_label_2", "predicted_probability"]
    assert [tuple(row[:3]) for row in rows] == list(zip(*ODD.values(), strict=True))
    wanted = [
        (label, f"{probability:.6f}") for label, probability in expected_of(predicted.directory / "run")
    ]
    assert [tuple(row[3:]) for row in rows] == wanted
    written = (predicted.directory / "out.csv").read_bytes().decode()
    assert predicted("predict DIR/run DIR/r.csv").out == written


def test_json_is_written_back_character_by_character(predicted: Command) -> None:
    lines = [
        '{"text": "a film", "n": 1.50, "big": 1e400, "deep": {"a": [1]}}',
        ' { "text" : "b" } ',
        '{"n":2}',
        "{}",
    ]
    (predicted.directory / "r.jsonl").write_text("\n".join(lines), encoding="utf-8")
    said = predicted("predict DIR/run DIR/r.jsonl")
    written = said.out.splitlines()
    for line, old in zip(written, lines, strict=True):
        kept = old.strip().removesuffix("}").rstrip()
        assert (
            line.startswith(kept) and {"predicted_label", "predicted_probability"} <= json.loads(line).keys()
        )
    assert len(written) == 4


def test_a_value_that_only_late_rows_have_is_not_overwritten(
    predicted: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_bert.data.tables.json_table.SAMPLED_ROWS", 2)
    monkeypatch.setattr("custom_bert.data.tables.json_table.ROWS", 2)
    rows = [{"text": "a"}, {"text": "b"}, {"text": "predicted_label"}, {"text": "c", "predicted_label": "x"}]
    (predicted.directory / "r.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    said = predicted("predict DIR/run DIR/r.jsonl --out DIR/out.jsonl")
    assert said.err.splitlines()[-1] == (
        'error: DIR/r.jsonl:4: row 4: has "predicted_label" or "predicted_probability" already, and the '
        "first rows do not"
    )
    assert not (predicted.directory / "out.jsonl").exists()


def test_parquet_is_written_back_with_types_and_metadata(predicted: Command) -> None:
    table = pyarrow.table({**ODD, "when": pyarrow.array([1, None, 3, 4], pyarrow.timestamp("ms"))})
    table = table.replace_schema_metadata({"note": "kept"})
    pyarrow.parquet.write_table(table, predicted.directory / "r.parquet")
    assert predicted.refused("predict DIR/run DIR/r.parquet", 74) == [
        "DIR/r.parquet: Parquet is not written to standard output; give --out FILE"
    ]
    assert predicted("predict DIR/run DIR/r.parquet --out DIR/out.parquet").code == 0
    found = pyarrow.parquet.read_table(predicted.directory / "out.parquet")
    assert found.select(table.column_names).cast(table.schema).equals(table)
    assert found.schema.metadata[b"note"] == b"kept"
    rows = found.select(["predicted_label_2", "predicted_probability"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (label, pytest.approx(probability)) for label, probability in expected_of(predicted.directory / "run")
    ]


def test_nothing_is_overwritten_and_formats_stay(predicted: Command) -> None:
    write_table(predicted.directory / "r.csv", ODD)
    (predicted.directory / "there.csv").write_bytes(b"mine")
    for out, reason in (
        ("there.csv", "exists already and is not overwritten"),
        (
            "o.jsonl",
            "the table is written as it is read, as CSV; give a name that ends with .csv, or with .gz or "
            ".zst after it",
        ),
    ):
        assert predicted.refused(f"predict DIR/run DIR/r.csv --out DIR/{out}", 74) == [f"DIR/{out}: {reason}"]
    assert (predicted.directory / "there.csv").read_bytes() == b"mine"
    (predicted.directory / "bad.csv").write_bytes(b"text,n\na,1\nb\n")
    said = predicted("predict DIR/run DIR/bad.csv --out DIR/new.csv")
    assert said.code == 65 and "DIR/bad.csv:3: row 2: 1 cell, and the header has 2 columns" in said.err
    assert sorted(path.name for path in predicted.directory.iterdir()) == [
        "bad.csv",
        "r.csv",
        "run",
        "there.csv",
    ]


def test_a_run_remembers_its_column(predicted: Command) -> None:
    record = json.loads((predicted.directory / "run/run.json").read_text())
    record["data"] = {"columns": {"text": "body of it", "label": "stars", "split": None, "group": None}}
    (predicted.directory / "run/run.json").write_text(json.dumps(record))
    write_table(predicted.directory / "r.csv", {"title": ["x"], "body of it": ["a film"], "text": ["y"]})
    said = predicted("predict DIR/run DIR/r.csv")
    assert said.err == "" and said.out.startswith("title,body of it,text,predicted_label")
    write_table(predicted.directory / "o.csv", {"title": ["x"], "text": ["y"]})
    assert predicted.refused("predict DIR/run DIR/o.csv", 65) == [
        "DIR/o.csv: which column holds the texts? The table has 'title', 'text'; give --text-column"
    ]


def test_settings_about_files_have_no_effect_beside_a_table(tmp_path: Path, rows: Columns) -> None:
    table = write_table(tmp_path / "r.csv", rows)
    said: list[str] = []

    class Listening(Reporter):
        def warn(self, line: str) -> None:
            said.append(line)

    config = settings(table, tmp_path / "run", **{"data.train_texts": "other.txt"})
    train_model(config, reporter=Listening(silent=True))
    assert "data.train_texts other.txt has no effect: data.table is set" in said
    with pytest.raises(UserError, match="contradict each other"):
        from custom_bert.commands.training import Train
        from custom_bert.options.option import Given

        Train(
            directory=str(table),
            text_column="sentence",
            given=Given(settings={"data.text_column": "id"}),
        ).run()
