"""Programs make waiting threads sleep, before torch is there and unless the user says otherwise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from custom_bert.bench.measure import in_child
from custom_bert.threads import POLICY

ROOT = Path(__file__).resolve().parents[2]
TRAIN = "import train"
COMMAND = "from custom_bert.cli import main; main(['--version'])"


def policy_after(code: str, given: str | None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != POLICY}
    if given:
        environment[POLICY] = given
    code = f"{code}; import os; print(os.environ.get({POLICY!r}))"
    said = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True, cwd=ROOT)
    return said.split()[-1]


@pytest.mark.parametrize(
    ("code", "given", "found"),
    [
        (COMMAND, None, "PASSIVE"),
        (COMMAND, "ACTIVE", "ACTIVE"),
        (TRAIN, None, "PASSIVE"),
        ("import custom_bert", None, "None"),
    ],
)
def test_programs_decide_and_imports_do_not(code: str, given: str | None, found: str) -> None:
    assert policy_after(code, given) == found


def test_train_py_decides_before_torch_is_imported() -> None:
    source = (ROOT / "train.py").read_text()
    assert source.index("sleep_while_waiting()") < source.index("training.loop")


def test_measuring_processes_wait_as_the_product_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(POLICY, raising=False)
    script = tmp_path / "task.py"
    script.write_text(
        "import json, os, sys\n"
        f"open(sys.argv[4], 'w').write(json.dumps({{'policy': os.environ.get({POLICY!r})}}))\n"
    )
    assert in_child([str(script)], "any", {})["policy"] == "PASSIVE"
    given = in_child([str(script)], "any", {}, environment={POLICY: "ACTIVE"})
    assert given["policy"] == "ACTIVE"
