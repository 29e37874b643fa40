"""The notebook runs from top to bottom, and the copy that readers see has output of no machine of ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "quickstart.ipynb"


def outputs(notebook: Any) -> list[list[Any]]:
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def shown(output: Any) -> str:
    """All text of an output, whatever it is."""
    texts = {key: value for key, value in output.get("data", {}).items() if key.startswith("text/")}
    return str(output.get("text", "")) + str(texts)


@pytest.mark.filterwarnings("ignore")  # what Jupyter's own packages deprecate of each other
def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOM_BERT_QUICK", "1")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(NOTEBOOK, 4)
    for cell in notebook.cells:
        cell.pop("outputs", None) if cell.cell_type != "code" else cell.update(outputs=[])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    found = outputs(notebook)
    assert any("image/png" in output.get("data", {}) for one in found for output in one)
    assert "the same predictions: True" in shown(found[-1][-1])
    assert list(tmp_path.iterdir()) == []


def test_the_stored_output_is_whole_and_names_no_machine() -> None:
    notebook = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(notebook)
    found = outputs(notebook)
    assert not found[0] and all(found[1:])  # the first cell only imports
    assert any("image/png" in output.get("data", {}) for one in found for output in one)
    text = "\n".join(shown(output) for one in found for output in one)
    assert "epoch 1.00  validation" in text or "epoch 0." in text
    assert "from minilm" in text and "the same predictions: True" in text
    assert not re.search(r"/(home|root|tmp|work|Users|usr|opt)/|[A-Z]:\\", text)
    assert not any(
        output.output_type == "error" or output.get("name") == "stderr" for one in found for output in one
    )
    assert NOTEBOOK.stat().st_size < 200_000
