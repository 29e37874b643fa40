"""Where torch is not installed, as with custom-bert-runtime: what needs it says so, in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from custom_bert.errors import LibraryError

BLOCKED = ("torch", "safetensors", "sklearn", "scipy", "rich")
"""What custom-bert-runtime is installed without."""

COMMANDS = {
    "train": ["DATA", "--out", "OUT"],
    "pretrain": ["DATA", "--out", "OUT"],
    "evaluate": ["DATA", "DATA"],
    "check-data": ["DATA"],
    "export": ["DATA", "OUT"],
    "probe": ["DATA", "DATA"],
}
"""Commands that need torch, with their arguments."""


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Runs Python where the libraries cannot be imported."""
    missing = f"import sys; sys.modules.update(dict.fromkeys({BLOCKED}))\n"
    command = [sys.executable, "-c", missing + code]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    """The exit code of each command, and what it printed as an error."""
    data = tmp_path_factory.mktemp("data")
    words = {
        name: [name, *(word.replace("DATA", str(data)).replace("OUT", f"{data}/out") for word in rest)]
        for name, rest in COMMANDS.items()
    }
    words["predict"] = ["predict", str(data)]
    done = run(
        "import contextlib, io, json\nfrom custom_bert.cli import main\nfound = {}\n"
        f"for name, words in {words!r}.items():\n"
        "    with contextlib.redirect_stderr(io.StringIO()) as said:\n"
        "        found[name] = [main(words), said.getvalue()]\n"
        "print(json.dumps(found))"
    )
    found: dict[str, list[object]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_needs_torch_says_so_in_one_line(name: str, said: dict[str, list[object]]) -> None:
    line = f"error: custom-bert {name} needs torch, which is not installed; pip install custom-bert\n"
    assert said[name] == [LibraryError.exit_code, line]


def test_predicting_with_a_run_says_how_to_do_without_torch(said: dict[str, list[object]]) -> None:
    code, line = said["predict"]
    assert code == LibraryError.exit_code
    assert str(line).count("\n") == 1 and "or export the run with --format onnx where" in str(line)


def test_a_directory_that_is_not_there_is_named_first(tmp_path: Path) -> None:
    code = f"from custom_bert.cli import main; sys.exit(main(['predict', {str(tmp_path / 'none')!r}]))"
    done = run(code)
    assert (done.returncode, done.stderr) == (66, f"error: {tmp_path / 'none'}: no such run directory\n")


def test_a_module_that_is_missing_for_another_reason_is_no_users_fault() -> None:
    code = (
        "import custom_bert.commands.runs as runs\nfrom custom_bert.cli import main\n"
        "runs.Info.run = lambda self: __import__('a_module_of_nobody')\nmain(['info', 'x'])"
    )
    assert "ModuleNotFoundError: No module named 'a_module_of_nobody'" in run(code).stderr
