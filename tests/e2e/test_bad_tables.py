"""Tables that cannot be used, or look wrong: one line with row and column. DIR is the directory of "
"the file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from command_line import BOM, LABELS, TEXTS, Command, Result
from data_files import write_run

GOOD = "text,label\n" + "".join(f"{text},{label}\n" for text, label in zip(TEXTS, LABELS, strict=True))
OBJECTS = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
SAID = (
    "DIR/{name}: texts from column 'text' and labels from column 'label', by the names of the "
    "columns; others "
    "by --text-column and --label-column\n"
)


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, capsys)


def changed(old: str, new: str) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new).encode()


def with_column(name: str, cells: list[str]) -> bytes:
    rows = zip(TEXTS, LABELS, cells, strict=True)
    return (f"text,label,{name}\n" + "".join(f"{','.join(row)}\n" for row in rows)).encode()


def as_json(*objects: object) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in objects).encode()


AT = "DIR/r.csv:4: row 3"
J4 = "DIR/r.jsonl:4: row 4"
NO_QUOTE = "a quote begins here and never ends; double a quote that belongs to the text"
BAD_QUOTE = (
    "a quote ends before its cell does; double a quote that belongs to the text, and write nothing between a "
    "quote and a comma"
)
OFFICE = "a zip archive or an office document; save the sheet as CSV"
SIDES = "expected train, val, valid, validation, dev or test"
OTHERWISE = "add texts, or write another table, and give it by --val-table"

UNUSABLE: dict[str, tuple[str, bytes, str, str]] = {
    # rows
    "a cell too many": (
        "r.csv",
        changed("fine music", "fine, music"),
        "",
        f"{AT}: 3 cells, and the header has 2 columns; put a cell that holds a comma in double quotes",
    ),
    "a cell too few": (
        "r.csv",
        changed("fine music,good", "fine music"),
        "",
        f"{AT}: 1 cell, and the header has 2 columns; fill it up",
    ),
    "a quote that never ends": ("r.csv", changed("fine music", '"fine music'), "", f"{AT}: {NO_QUOTE}"),
    "a quote that never ends after another cell of two lines": (
        "r.csv",
        b'text,label,note\na,x,"one\ntwo"\nb,y,"one\ntwo", \nc,z,"'.replace(
            b'", \nc,z,"', b'"\nc,"a\nb","never\n'
        ),
        "",
        f"DIR/r.csv:7: row 3: {NO_QUOTE}",
    ),
    "a quote in the middle of a cell": (
        "r.csv",
        changed("fine music", '"fine" music'),
        "",
        f"{AT}: {BAD_QUOTE}",
    ),
    "a row after cells of several lines": (
        "r.csv",
        changed("a fine film", '"a\nfine\nfilm"').replace(b"fine music,good", b"fine music,"),
        "",
        "DIR/r.csv:6: row 3, column 'label': empty label; write one, or remove the row",
    ),
    "a row after blank lines": (
        "r.csv",
        changed("fine music,good", "\n\nfine music,"),
        "",
        "DIR/r.csv:6: row 3, column 'label': empty label; write one, or remove the row",
    ),
    "lines that end with CR": (
        "r.csv",
        GOOD.replace("\n", "\r").encode(),
        "",
        "DIR/r.csv:1: row 1: lines end with CR alone, or a CR stands in a cell without quotes",
    ),
    # columns
    "a column that is not there": (
        "r.csv",
        GOOD.encode(),
        "--label-column lable",
        "DIR/r.csv: no column 'lable'; the table has 'label', 'text'; give --label-column",
    ),
    "two columns of texts": (
        "r.csv",
        GOOD.replace("\n", ",x\n").replace(",x", ",title", 1).encode(),
        "",
        "DIR/r.csv: which column holds the texts? The table has 'text', 'title', 'label'; give --text-column",
    ),
    "no column of labels": (
        "r.csv",
        with_column("grade", list("123456")).replace(b"label", b"kind"),
        "",
        "DIR/r.csv: which column holds the labels? The table has 'kind', 'grade'; give --label-column",
    ),
    "one column for both": (
        "r.csv",
        GOOD.encode(),
        "--text-column text --label-column text",
        "config: data.text_column and data.label_column are one column, 'text'; name two",
    ),
    "a name twice": (
        "r.csv",
        with_column("text", TEXTS),
        "",
        "DIR/r.csv: columns 1 and 3 are named 'text'; rename one",
    ),
    "no header, with a label that comes again": (
        "r.csv",
        GOOD.partition("\n")[2].encode(),
        "",
        "DIR/r.csv: the first row looks like data, since 'good' stands in row 2, too; write a row "
        "with the names of "
        "the columns above it, such as text and label",
    ),
    "no header, with a number": (
        "r.csv",
        b"a fine film,1\na dull film,0\n",
        "",
        "DIR/r.csv: the first row looks like data, since '1' is a number; write a row with the names of the "
        "columns above it, such as text and label",
    ),
    "another table without the column": (
        "r.csv",
        GOOD.encode(),
        "--val-table DIR/v.csv",
        "DIR/v.csv: no column 'label'; the table has 'lab', 'text'; name it as in DIR/r.csv",
    ),
    # files
    "an empty file": ("r.csv", b"", "", "DIR/r.csv: the file is empty; expected a table"),
    "a mark and nothing else": (
        "r.csv",
        BOM,
        "",
        "DIR/r.csv: the table is empty; expected a header and rows",
    ),
    "a header and nothing else": (
        "r.csv",
        b"text,label\n",
        "",
        "DIR/r.csv: the table has a header and no rows",
    ),
    "an office document": ("r.csv", b"PK\x03\x04...", "", f"DIR/r.csv: {OFFICE}"),
    "packed data without the ending": (
        "r.csv",
        gzip.compress(GOOD.encode(), mtime=0),
        "",
        "DIR/r.csv: gzip data; unpack it, or add .gz to its name",
    ),
    "packed data that is cut short": (
        "r.csv.gz",
        gzip.compress(GOOD.encode(), mtime=0)[:-12],
        "",
        "DIR/r.csv.gz: cannot read: Compressed file ended before the end-of-stream marker was reached",
    ),
    "a NUL": (
        "r.csv",
        changed("fine music", "fine\0music"),
        "",
        "DIR/r.csv:4: NUL character; the file is not plain text",
    ),
    # encodings
    "Windows-1252": (
        "r.csv",
        GOOD.replace("fine music", "fine café").encode("cp1252"),
        "",
        "DIR/r.csv:4: not valid UTF-8 at byte 9 (0xe9); it looks like Windows-1252: give --encoding "
        "cp1252, or "
        "save it as UTF-8",
    ),
    "GBK": (
        "r.csv",
        GOOD.replace("fine music", "好电影").encode("gbk"),
        "",
        "DIR/r.csv:4: not valid UTF-8 at byte 1 (0xba); save it as UTF-8, or give its --encoding",
    ),
    "another encoding than the given one": (
        "r.csv",
        GOOD.replace("fine music", "fine café").encode("cp1252"),
        "--encoding ascii",
        "DIR/r.csv:4: not valid ASCII at byte 9 (0xe9); give another --encoding",
    ),
    "an encoding that nobody knows": (
        "r.csv",
        GOOD.encode(),
        "--encoding cp9999",
        "config: data.encoding: Python knows no encoding 'cp9999', such as cp1252 or utf-16",
    ),
    "UTF-16": (
        "r.csv",
        GOOD.encode("utf-16"),
        "",
        "DIR/r.csv:1: UTF-16 text; give --encoding utf-16, or save it as UTF-8",
    ),
    "UTF-16 without a mark": (
        "r.csv",
        GOOD.encode("utf-16-le"),
        "",
        "DIR/r.csv:1: UTF-16 text without a mark; give --encoding utf-16-le or utf-16-be, or save it "
        "as UTF-8",
    ),
    "UTF-16 without a mark as UTF-16": (
        "r.csv",
        GOOD.encode("utf-16-le"),
        "--encoding utf-16",
        "DIR/r.csv:1: not valid UTF-16: UTF-16 stream does not start with BOM; give another --encoding",
    ),
    # JSON
    "a JSON list": (
        "r.jsonl",
        json.dumps(OBJECTS).encode(),
        "",
        "DIR/r.jsonl:1: a JSON list; write one object a line, as jq -c '.[]' does with a list of them",
    ),
    "a line that is not JSON": (
        "r.jsonl",
        as_json(*OBJECTS[:3]) + b"{bad}\n" + as_json(*OBJECTS[3:]),
        "",
        f"{J4}: not valid JSON at character 2: Expecting property name enclosed in double quotes",
    ),
    "a line that is no object": (
        "r.jsonl",
        as_json(*OBJECTS[:3], [1], *OBJECTS[3:]),
        "",
        f"{J4}: expected a JSON object with named values, got [1]",
    ),
    "no label": (
        "r.jsonl",
        as_json(*OBJECTS[:3], {"text": "x", "label": None}),
        "",
        f"{J4}, column 'label': empty label; write one, or remove the row",
    ),
    "a label that is an object": (
        "r.jsonl",
        as_json(*OBJECTS[:3], {"text": "x", "label": {"a": 1}}),
        "",
        f"{J4}, column 'label': expected a label, got {{'a': 1}}; write a string, or take another column",
    ),
    "a text that is a truth value": (
        "r.jsonl",
        as_json(*OBJECTS[:3], {"text": True, "label": "good"}),
        "",
        f"{J4}, column 'text': expected a text, got True; write a string, or take another column",
    ),
    "several labels for a task with one": (
        "r.jsonl",
        as_json(*({**one, "label": ["a", "b"]} for one in OBJECTS)),
        "",
        "DIR/r.jsonl:1: row 1, column 'label': label 'a\\tb' holds a tab; to learn several labels a row, "
        "separated by tabs, take --task multi_label",
    ),
    "a label with the separator in it": (
        "r.jsonl",
        as_json(*OBJECTS[:3], {"text": "x", "label": ["a", "b;c"]}),
        "--task multi_label --label-separator ;",
        f"{J4}, column 'label': a list of labels, of which 'b;c' holds the separator between labels",
    ),
    # Parquet
    "no Parquet": (
        "r.parquet",
        b"hello",
        "",
        "DIR/r.parquet: not a Parquet file that can be read: Parquet file size is 5 bytes, smaller than the "
        "minimum file footer (8 bytes)",
    ),
    "an encoding for Parquet": (
        "r.parquet",
        b"PAR1",
        "--encoding cp1252",
        "DIR/r.parquet: Parquet says itself how text is stored; leave out --encoding",
    ),
    # labels
    "one class": (
        "r.csv",
        GOOD.replace("good", "bad").encode(),
        "",
        "DIR/r.csv, column 'label': every row has the label 'bad'; two different ones are needed",
    ),
    "a label of two lines": (
        "r.csv",
        changed("fine music,good", 'fine music,"go\nod"'),
        "",
        f"{AT}, column 'label': label 'go\\nod' holds a line break; write labels of one line",
    ),
    "columns the wrong way round": (
        "r.csv",
        (
            "label,text\n" + "".join(f"a long text of many words {i},{'xy'[i % 2]}\n" for i in range(30))
        ).encode(),
        "",
        "DIR/r.csv:2: row 1, column 'label': the labels look like texts and DIR/r.csv, column 'text' "
        "like labels; "
        "are the two columns swapped?",
    ),
    # splits and groups
    "a split that nobody knows": (
        "r.csv",
        with_column("part", ["train"] * 5 + ["holdout"]),
        "--split-column part",
        f"DIR/r.csv:7: row 6, column 'part': {SIDES}, got 'holdout'",
    ),
    "no row for training": (
        "r.csv",
        with_column("part", ["Val"] * 6),
        "--split-column part",
        "DIR/r.csv, column 'part': no row is for training",
    ),
    "a validation label that training lacks": (
        "r.csv",
        with_column("part", ["TRAIN"] * 4 + ["Dev", "val"]).replace(b"a dull end,bad", b"a dull end,goood"),
        "--split-column part",
        "DIR/r.csv:7: row 6, column 'label': label 'goood' never occurs in DIR/r.csv, column "
        "'label', train rows "
        "(did you mean 'good'?)",
    ),
    "splits and a table for validation": (
        "r.csv",
        GOOD.encode(),
        "--split-column label --val-table DIR/v.csv",
        "config: data.split_column and data.val_table exclude each other",
    ),
    "one group": (
        "r.csv",
        with_column("who", ["a"] * 6),
        "--group-column who",
        "DIR/r.csv, column 'text': all rows belong together, by their groups and equal texts, so "
        "none can be set "
        f"aside for validation; {OTHERWISE}",
    ),
    "a group for each label": (
        "r.csv",
        with_column("who", ["a", "b"] * 3),
        "--group-column who",
        f"DIR/r.csv, column 'text': no label has two groups, so none can be set aside for validation; "
        f"{OTHERWISE}",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_table_is_refused_with_row_and_column(command: Command, name: str) -> None:
    file, content, options, expected = UNUSABLE[name]
    (command.directory / file).write_bytes(content)
    (command.directory / "v.csv").write_bytes(GOOD.replace("label", "lab").encode())
    assert command.refused(f"check-data DIR/{file} {options}", 64 if "config:" in expected else 65) == [
        expected
    ]


DOUBTFUL: dict[str, tuple[str, bytes, str, list[str]]] = {
    "numbers among the texts": (
        "r.jsonl",
        as_json(*OBJECTS, {"text": 4.0, "label": "good"}),
        "",
        [
            "DIR/r.jsonl, column 'text': 6 strings (rows 1, 2, 3, 4, 5, ...) and 1 number (row 7); "
            "all are read as "
            "texts"
        ],
    ),
    "labels of several kinds": (
        "r.jsonl",
        as_json(*OBJECTS, *({"text": f"more {i}", "label": 4 if i % 2 else 4.0} for i in range(4))),
        "",
        [
            "DIR/r.jsonl, column 'label': 6 strings (rows 1, 2, 3, 4, 5, ...) and 4 numbers (rows 7, "
            "8, 9, 10); all "
            "are read as labels"
        ],
    ),
    "numbers among the labels of one split": (
        "r.jsonl",
        as_json(
            *({"text": f"a {i}", "label": str(i % 2), "part": "train"} for i in range(8)),
            *({"text": f"t {i}", "label": i % 2, "part": "test"} for i in range(4)),
        ),
        "--split-column part",
        [],
    ),
    "a text without a value": (
        "r.jsonl",
        as_json(*OBJECTS, {"text": None, "label": "good"}),
        "",
        ["DIR/r.jsonl, column 'text': 1 empty text (row 7)"],
    ),
    "what pandas writes for a missing value": (
        "r.csv",
        changed("fine music", "NaN"),
        "",
        [
            f"{AT}, column 'text': 1 text is 'NaN', which often means a missing value (row 3); if it "
            "is one, remove "
            "that row"
        ],
    ),
    "a text of validation that trains": (
        "r.csv",
        with_column("part", ["train"] * 6).replace(b"\n", b"\na fine film,good,val\n", 1),
        "--split-column part",
        [
            "DIR/r.csv, column 'text', val rows: 1 text also in DIR/r.csv, column 'text', train rows "
            "(row 1); the "
            "validation scores are too high because of these texts"
        ],
    ),
    "validation rows of groups that train": (
        "r.csv",
        with_column("who,part", ["a,train", "b,train", "a,train", "c,train", "b,val", ",val"]),
        "--split-column part --group-column who",
        [
            "DIR/r.csv, column 'label', train rows: 2 labels with fewer than 3 examples: 'good', "
            "'bad' (rows 1, 2)",
            "DIR/r.csv, column 'who', val rows: 1 row of groups that also train (row 5); the "
            "validation scores may be "
            "too high because of these",
        ],
    ),
    "a text under two labels": (
        "r.csv",
        GOOD.encode() + b"a fine film,bad\n",
        "",
        ["DIR/r.csv, column 'text': 1 text under more than one label (rows 1 and 7)"],
    ),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_doubtful_table_is_told_with_its_rows(command: Command, name: str) -> None:
    file, content, options, expected = DOUBTFUL[name]
    (command.directory / file).write_bytes(content)
    said = command(f"check-data DIR/{file} {options}")
    assert said.code == 0 and not said.err
    warnings = [
        line.removeprefix("warning: ") for line in said.out.splitlines() if line.startswith("warning: ")
    ]
    assert warnings == expected


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("r.csv", GOOD.encode(), ""),
        ("r.csv", BOM + GOOD.encode(), ""),
        ("r.csv", GOOD.replace(",", ";").encode(), ""),
        ("r.csv", GOOD.replace(",", "\t").encode(), ""),
        ("r.csv", GOOD.replace(",", "|").replace("\n", "\r\n").encode(), ""),
        ("r.tsv", GOOD.replace(",", "\t").encode(), ""),
        ("r.csv", GOOD.encode("utf-16"), "--encoding utf-16"),
        ("r.csv", GOOD.encode("cp1252"), "--encoding cp1252"),
        ("r.csv.gz", gzip.compress(GOOD.encode(), mtime=0), ""),
        ("r.jsonl", as_json(*OBJECTS), ""),
        ("r.ndjson", as_json(*OBJECTS).replace(b"\n", b"\n\n"), ""),
        ("r.jsonl.gz", gzip.compress(as_json(*OBJECTS), mtime=0), ""),
    ],
)
def test_every_form_of_a_good_table_is_good(
    command: Command, name: str, content: bytes, options: str
) -> None:
    (command.directory / name).write_bytes(content)
    assert command(f"check-data DIR/{name} {options}") == Result(
        0,
        f"{SAID.format(name=name)}"
        f"DIR/{name}, column 'text': 6 rows, 62 characters, 2 labels\n"
        "no validation rows: 2 rows would be set aside from these\n"
        "training examples by label: bad 2, good 2\n"
        "no errors, 0 warnings\n",
        "",
    )


def test_numbers_and_truth_values_are_labels(command: Command) -> None:
    rows = [{"text": text, "label": i % 2 == 0} for i, text in enumerate(TEXTS)]
    (command.directory / "r.jsonl").write_bytes(as_json(*rows))
    assert "training examples by label: false 2, true 2" in command("check-data DIR/r.jsonl").out
    rows = [{"text": text, "label": 4 if i % 2 else [4.0, 5.0][i // 3]} for i, text in enumerate(TEXTS)]
    (command.directory / "r.jsonl").write_bytes(as_json(*rows))
    assert "column 'text': 6 rows, 62 characters, 2 labels" in command("check-data DIR/r.jsonl").out


def test_options_of_tables_are_refused_where_there_is_none(command: Command) -> None:
    write_run(command.directory / "run")
    (command.directory / "t.txt").write_bytes(b"a text\n")
    (command.directory / "r.csv").write_bytes(GOOD.encode())
    only = "only a table has it; give a table as DATA or by data.table, or leave it out"
    assert command.refused("check-data DIR --text-column text", 64) == [f"config: data.text_column: {only}"]
    assert command.refused("train DIR --group-column who", 64) == [f"config: data.group_column: {only}"]
    assert command.refused("predict DIR/run DIR/t.txt --text-column text", 64) == [
        "--text-column is for tables, and DIR/t.txt is read as lines; leave it out"
    ]
    assert command.refused("predict DIR/run DIR/r.csv --json", 64) == [
        "--json is for lines of text; a table is written with two more columns"
    ]


def test_json_output_counts_rows_of_the_table(command: Command) -> None:
    content = with_column("part", ["train"] * 6).replace(b"\n", b"\na fine film,good,val\n", 1)
    (command.directory / "r.csv").write_bytes(content + b"a fine film,good,train\n")
    found = json.loads(command("check-data DIR/r.csv --split-column part --json").out)
    assert found["files"]["train"]["duplicates"] == [[2, 8]]
    assert found["leaks"] == [[1, 2]]
