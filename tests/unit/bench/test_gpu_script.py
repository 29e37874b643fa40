"""benchmarks/gpu.py runs on a bare machine, keeps what it has, and goes on where it was."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
ABSENT = ("sklearn", "scipy", "rich", "huggingface_hub", "transformers", "hypothesis", "pytest")


def run(tmp_path: Path, *options: str) -> str:
    """Starts the script where torch, numpy, safetensors and tokenizers alone are installed."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nfor name in {ABSENT}: sys.modules[name] = None\n"
    )
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--out", str(tmp_path / "gpu.json"), *options],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def record(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "gpu.json").read_text())


def test_a_rehearsal_on_a_bare_machine_leaves_a_whole_record(tmp_path: Path) -> None:
    said = run(tmp_path, "--rehearse", "--minutes", "9", "--sections", "lengths", "peers")
    assert "minute 0.0 to " in said
    sections = record(tmp_path)["sections"]
    assert sections["peers"]["found"]["transformers"] == {"not_measured": "transformers is not here"}
    lengths = sections["lengths"]
    assert lengths["status"] == "done" and len(lengths["found"]) == 12
    for found in lengths["found"].values():
        assert found["tokens_per_second"] > 0 and found["cell"]["width"] == 32, found
    # a part of it is lost, and only that is measured again
    spoilt = record(tmp_path)
    spoilt["sections"]["lengths"]["status"] = "time is over"
    kept = spoilt["sections"]["lengths"]["found"]
    del kept["custom at 128"]
    (tmp_path / "gpu.json").write_text(json.dumps(spoilt))
    said = run(tmp_path, "--rehearse", "--minutes", "9", "--sections", "lengths", "peers")
    again = record(tmp_path)["sections"]["lengths"]
    assert again["status"] == "done" and "peers: the record has it" in said
    assert {name: again["found"][name] for name in kept} == kept and len(again["found"]) == 12


def test_a_section_whose_time_is_over_keeps_what_it_measured(tmp_path: Path) -> None:
    run(tmp_path, "--rehearse", "--minutes", "0.02", "--sections", "defaults")
    section = record(tmp_path)["sections"]["defaults"]
    assert section["status"] == "time is over" and len(section["found"]) < 18


def test_seven_minutes_are_divided_with_the_most_important_first(tmp_path: Path) -> None:
    lines = run(tmp_path, "--plan").splitlines()
    assert (
        lines[0].endswith("tests")
        and lines[1].endswith("headline")
        and lines[-1].startswith("minute 6.0 to 7.0")
    )


def test_what_travels_is_small() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout: git cannot say what travels")
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    size = sum((ROOT / name).stat().st_size for name in names.splitlines() if (ROOT / name).exists())
    assert size <= 60 * 2**20
