"""The public surface, and what a wheel carries."""

import subprocess
import sys
import zipfile
from pathlib import Path

import custom_bert

ROOT = Path(__file__).resolve().parents[2]


def test_the_public_names_are_these_and_can_be_had() -> None:
    assert custom_bert.__all__ == [
        "Classifier",
        "Encoder",
        "Prediction",
        "TrainConfig",
        "TrainResult",
        "__version__",
        "train_model",
    ]
    for name in custom_bert.__all__:
        assert getattr(custom_bert, name) is not None
    assert dir(custom_bert) == sorted(custom_bert.__all__)


def test_a_wheel_carries_the_package_the_templates_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for name in ("config.py", "train.py"):
            packed = archive.read(f"custom_bert/templates/{name}.template")
            assert packed == (ROOT / name).read_bytes()
    top = {name.split("/")[0] for name in names}
    assert top == {"custom_bert", f"custom_bert-{custom_bert.__version__}.dist-info"}
    assert not [name for name in names if "test" in name]
    shipped = {name for name in names if name.endswith(".py")}
    written = {str(p.relative_to(ROOT)) for p in (ROOT / "custom_bert").rglob("*.py")}
    assert shipped == written
