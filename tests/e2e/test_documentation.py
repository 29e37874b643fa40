"""What the documentation shows works: README's blocks run, links lead somewhere, pages match the code."""

import re
import shlex
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
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


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


def test_every_setting_named_in_the_readme_exists() -> None:
    groups = "data|model|batch|optim|runtime"
    named = set(re.findall(rf"`(?:--)?((?:{groups})\.[a-z_]+)", README.replace("-", "_")))
    assert named and named <= set(field_types())


def test_every_command_in_the_readme_exists() -> None:
    named = set(re.findall(r"^custom-bert ([a-z-]+)", "\n".join(blocks("sh")), flags=re.MULTILINE))
    assert named >= {"train", "evaluate", "predict", "info", "check-data"} and named <= set(COMMANDS)


def test_every_file_in_the_readmes_tree_exists() -> None:
    (tree,) = re.findall(r"```text\n(config\.py.*?)```", README, flags=re.DOTALL)
    folders: list[str] = []
    for line in tree.splitlines():
        name = line.strip().split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        folders = [*folders[:depth], name]
        assert (ROOT / "/".join(folders)).exists(), line


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README assumes: the two files, data/ and a trained runs/mine."""
    folder = tmp_path_factory.mktemp("readme")
    data = write_data(folder / "data")
    values = settings(data, folder / "runs" / "mine")
    (folder / "train.py").write_bytes((ROOT / "train.py").read_bytes())
    (folder / "config.py").write_text(f"def get_config():\n    return {values | {'out': 'runs/other'}!r}\n")
    (folder / "texts.txt").write_text("a dog barks\nsnow covers all\n")
    assert main(["train", *arguments(values)]) == 0
    return folder


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.split("\n")[0][:40])
def test_python_blocks_run(place: Path, code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "line", [x for b in blocks("sh") for x in b.splitlines() if x.startswith("custom-bert ")]
)
def test_command_lines_run(place: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command = re.sub(r"\s+#.*$", "", line)
    if " train " in command:  # its defaults train for minutes: the options are parsed, the rest is shortened
        small = settings(place / "data", None, **{"optim.epochs": 1})
        own = {k: v for k, v in small.items() if k not in command and not k.startswith("data.")}
        command = command.replace("runs/mine", "runs/again") + " " + " ".join(arguments(own))
    if not re.search(
        r"[|<>&;$*`]", command
    ):  # without a shell's part in it; one process is much like another
        monkeypatch.chdir(place)
        assert main(shlex.split(command)[1:]) == 0
        return
    command = command.replace("custom-bert ", f"{sys.executable} -m custom_bert ", 1)
    done = subprocess.run(["bash", "-c", command], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
