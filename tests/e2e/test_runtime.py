"""custom-bert-runtime, installed alone into an empty environment: it predicts from ONNX directories."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from onnx_models import TASKS, encoder_of, texts, write_run

from custom_bert import Classifier
from custom_bert.inference.exports.onnx import export_onnx

ROOT = Path(__file__).resolve().parents[2]
UNREACHABLE = (
    "No matching distribution found for numpy",
    "Connection",
    "Temporary failure in name resolution",
)
"""What pip says where there is no package index."""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the runtime distribution and what it requires."""
    folder = tmp_path_factory.mktemp("runtime")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, check=True, capture_output=True, cwd=ROOT / "packaging" / "runtime")
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    python = folder / "env" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    install += ["-c", str(ROOT / "requirements" / "constraints.txt"), str(wheel)]
    done = subprocess.run(install, check=False, capture_output=True, text=True)
    if done.returncode and any(words in done.stderr for words in UNREACHABLE):
        pytest.skip("there is no package index to install from")
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture(scope="module")
def onnx_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    run = write_run(folder / "run", TASKS["classification"], encoder_of("bert"))
    export_onnx(run, folder / "out")
    return folder / "out"


TEXTS = [text for text in texts(12)[:-1] if text]  # the last one has unknown words, of which it warns


def run(python: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs the interpreter as a user's shell would, outside of this checkout."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(python), *words], check=False, capture_output=True, text=True, cwd="/", env=clean, timeout=120
    )


def test_it_predicts_what_the_whole_distribution_predicts(
    environment: Path, onnx_directory: Path, tmp_path: Path
) -> None:
    expected = Classifier.load(onnx_directory)
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    done = run(environment, "-m", "custom_bert", "predict", str(onnx_directory), str(texts))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [one.line() for one in expected.predict(TEXTS)]

    code = (
        "import json, sys\nfrom custom_bert import Classifier\n"
        f"model = Classifier.load({str(onnx_directory)!r})\n"
        "print(json.dumps([one.as_dict() for one in model.predict(json.loads(sys.argv[1]))]))\n"
        "print(model.explain(json.loads(sys.argv[1])[0]).line())\n"
        "print([name for name in ('torch', 'sklearn', 'scipy') if name in sys.modules])"
    )
    first, explained, *_, loaded = run(environment, "-c", code, json.dumps(TEXTS)).stdout.splitlines()
    assert json.loads(first) == [one.as_dict() for one in expected.predict(TEXTS)]
    assert explained == expected.explain(TEXTS[0]).line().splitlines()[0] and loaded == "[]"


def test_what_needs_torch_says_so(environment: Path, tmp_path: Path) -> None:
    done = run(environment, "-m", "custom_bert", "train", str(tmp_path), "--out", str(tmp_path / "run"))
    line = "error: custom-bert train needs torch, which is not installed; pip install custom-bert\n"
    assert (done.returncode, done.stderr) == (69, line)
