"""What the documentation shows works: blocks of the first pages run, links lead somewhere, pages match the
code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from training_runs import arguments, settings, write_data

from custom_bert.cli import COMMANDS, main
from custom_bert.config import field_types
from custom_bert.docs import PAGES as MADE

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GETTING_STARTED = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def blocks(language: str, page: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def commands(block: str) -> list[str]:
    """Its command lines, without what is said beside them."""
    return [re.sub(r"\s+#.*$", "", line) for line in block.splitlines() if line.startswith("custom-bert ")]


QUICKSTART = next(
    found for block in blocks("sh", README) if len(found := commands(block)) > 1 and "sample-data" in found[0]
)
FURTHER = [line for block in blocks("sh", GETTING_STARTED) for line in commands(block)]


@pytest.mark.parametrize("name", MADE)
def test_reference_pages_are_those_that_the_code_makes(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == MADE[name]()


def test_the_readmes_tables_are_those_of_the_records() -> None:
    assert len(re.findall(r"<!-- end -->", README)) >= 2
    command = [sys.executable, str(ROOT / "benchmarks" / "readme.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text):
        if target.startswith(("http", "mailto")):
            continue
        there = page.parent / target if target else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), flags=re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{target}#{anchor}"


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len(README.split()) <= 1100
    assert not re.search(r"\b[CGKS]\d\b", README)  # names of targets, which only docs/speed.md explains


def test_the_glossary_is_in_order_and_leads_to_its_own_words() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\*\*(.+?)\.\*\*", page, flags=re.MULTILINE)
    assert words == sorted(set(words), key=str.lower)
    of_an_entry = re.compile("|".join(re.escape(word) for word in words), flags=re.IGNORECASE)
    text = re.sub(r"\*\*.+?\*\*", "", page.split("\n\n", 2)[2])
    assert [word for word in re.findall(r"\*([^*]+)\*", text) if not of_an_entry.match(word)] == []


def test_every_setting_named_in_the_readme_exists() -> None:
    groups = "data|model|batch|optim|runtime"
    named = set(re.findall(rf"`(?:--)?((?:{groups})\.[a-z_]+)", README.replace("-", "_")))
    assert named and named <= set(field_types())


def test_every_command_in_the_first_pages_exists() -> None:
    named = {line.split()[1] for line in [*QUICKSTART, *FURTHER]}
    assert named >= {"train", "evaluate", "predict", "info", "check-data", "export"}
    assert named <= set(COMMANDS)


def test_the_output_shown_is_that_of_the_quickstarts_commands() -> None:
    (output,) = re.findall(r"<!-- quickstart output -->\n```\n(.*?)```", README, flags=re.DOTALL)
    assert re.findall(r"^\$ (custom-bert .*)$", output, flags=re.MULTILINE) == QUICKSTART


def test_every_file_in_the_tree_exists() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (tree,) = re.findall(r"```text\n(config\.py.*?)```", page, flags=re.DOTALL)
    folders: list[str] = []
    for line in tree.splitlines():
        name = line.strip().split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        folders = [*folders[:depth], name]
        assert (ROOT / "/".join(folders)).exists(), line


def run(command: str, folder: Path) -> str:
    """What a command of a page prints, which has to succeed."""
    command = command.replace("custom-bert ", f"{sys.executable} -m custom_bert ", 1)
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def shortened(command: str, data: Path) -> str:
    """A command that trains for minutes, with settings of tests for those that it does not give."""
    small = settings(data, None, **{"optim.epochs": 1})
    own = {
        name: value for name, value in small.items() if name not in command and not name.startswith("data.")
    }
    return f"{command} {' '.join(arguments(own))}"


def test_the_quickstart_runs_from_its_first_command_to_its_last(tmp_path: Path) -> None:
    """With a small encoder in the place of the published one."""
    transformers = pytest.importorskip("transformers")
    (train,) = [line for line in QUICKSTART if " train " in line]
    tiny = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    texts = "\n".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *sorted(set(re.findall(r"\w+|[^\w\s]", texts))),
    ]
    transformers.BertModel(transformers.BertConfig(vocab_size=len(vocabulary), **tiny)).save_pretrained(
        tmp_path / "small"
    )
    (tmp_path / "small" / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    (tmp_path / "texts.txt").write_text("Parse the headers of a message.\nRound a float.\n")
    printed = {}
    small = "--model.init-from small --optim.epochs 1 --data.max-length 32 --batch.token-budget 4096"
    for command in QUICKSTART:
        shown = f"{train} {small}" if command == train else command
        printed[command.split()[1]] = run(shown, tmp_path)
    assert len(printed["predict"].splitlines()) == 2
    assert "accuracy" in printed["evaluate"]
    for line in ("floor      ", "encoder    ", "together   "):  # as in the output that the page shows
        assert f"\n{line}" in printed["train"] and f"\n{line}" in printed["evaluate"]
    assert "the encoder alone, as exported" in printed["export"]
    assert (tmp_path / "my-classifier" / "model.safetensors").is_file()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the pages assume: the two files, data/ and a trained runs/mine."""
    folder = tmp_path_factory.mktemp("readme")
    data = write_data(folder / "data")
    values = settings(data, folder / "runs" / "mine")
    (folder / "train.py").write_bytes((ROOT / "train.py").read_bytes())
    (folder / "config.py").write_text(f"def get_config():\n    return {values | {'out': 'runs/other'}!r}\n")
    (folder / "texts.txt").write_text("a dog barks\nsnow covers all\n")
    assert main(["train", *arguments(values)]) == 0
    return folder


@pytest.mark.parametrize(
    "code",
    dict.fromkeys([*blocks("python", README), *blocks("python", GETTING_STARTED)]),
    ids=lambda code: code.split("\n")[0][:40],
)
def test_python_blocks_run(place: Path, code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", FURTHER)
def test_command_lines_of_getting_started_run(place: Path, line: str) -> None:
    if " train " in line:
        line = shortened(line.replace("runs/mine", "runs/again"), place / "data")
    run(line, place)
