"""Kernel fusion changes nothing but speed, and a machine without a compiler trains on with one line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import settings, write_data

from custom_bert import train_model
from custom_bert.batch import Batch
from custom_bert.config import ModelConfig
from custom_bert.data.cache import Cache
from custom_bert.models.heads import SequenceClassifier
from custom_bert.ops.fused import library
from custom_bert.ops.fused.library import NoKernelsError, compile_into, compiler, file_name, load
from custom_bert.presets import encoder_config
from custom_bert.torch_internals import graphs_compiled
from custom_bert.training import compile as fusion
from custom_bert.training.compile import (
    FOLDER,
    GRAPHS,
    choose_compile,
    compile_layers,
    compiler_fault,
    cpu_kernels,
    fusion_fault,
    fusion_line,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("preset", ["custom", "modern"])
def test_compiled_layers_give_the_same_loss_and_gradients(preset: str) -> None:
    if fault := compiler_fault(torch.device("cpu")):
        pytest.skip(f"torch.compile does not work here: {fault}")
    config = encoder_config(
        preset,  # type: ignore[arg-type]
        ModelConfig(hidden_dropout=0.0, num_attention_heads=2),
        vocab_size=50,
        pad_token_id=0,
        max_length=32,
        default_shape=(32, 2),
    )
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = SequenceClassifier(config, 3)
        if compiled:
            compile_layers(model.encoder)
        for lengths in ((5, 9, 3), (7, 7), (12, 1, 4, 8)):  # other shapes, the same graph
            batch = Batch.build([torch.arange(5, 5 + n).numpy() for n in lengths])
            model(batch).square().sum().backward()
        found.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    for name, wanted in found[0].items():
        assert (found[1][name] - wanted).norm() <= 1e-5 * max(float(wanted.norm()), 1e-6), name


def test_without_a_compiler_training_goes_on_with_one_line(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    values = settings(data, tmp_path / "run", **{"runtime.compile": True, "optim.epochs": 1})
    code = f"from custom_bert import train_model; train_model({values!r})"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    none = "there is no C++ compiler (c++ or g++, or the one that CXX names)"
    for cxx, fault in (("/nonexistent/compiler", none), (sys.executable, f"{sys.executable}: ")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env={**environment, "CXX": cxx},
        )
        (line,) = [x for x in done.stdout.splitlines() if "fused kernels" in x and x.startswith("warning")]
        assert line.startswith(f"warning: training goes on without fused kernels: {fault}")
        assert "accuracy" in done.stdout
        shutil.rmtree(tmp_path / "run")


def test_the_choice_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    wanted, reason = choose_compile(cpu)
    assert wanted is (sys.platform == "linux" and compiler() is not None) and reason
    assert choose_compile(cpu, shard=True) == (False, "fused kernels read whole weights")
    assert choose_compile(torch.device("cuda"))[0] is False
    monkeypatch.setenv("CXX", "/nonexistent/compiler")
    assert choose_compile(cpu)[0] is False


def test_kernels_are_compiled_once_and_again_if_their_file_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiler() is None:
        pytest.skip("there is no C++ compiler")
    compiled = []

    def counted(folder: Path) -> Path:
        compiled.append(folder)
        return compile_into(folder)

    monkeypatch.setattr(fusion, "compile_into", counted)
    for number, damage in enumerate((b"", b"\x7fELF", b"no library"), start=1):
        monkeypatch.setattr(fusion, "_loaded", {})
        root = tmp_path / str(number)  # of a path that it has loaded, a process reads no file again
        (root / FOLDER).mkdir(parents=True)
        (root / FOLDER / file_name()).write_bytes(damage)
        cpu_kernels(Cache(root))
        assert len(compiled) == number
    monkeypatch.setattr(fusion, "_loaded", {})
    cpu_kernels(Cache(root))
    assert len(compiled) == number


def test_kernels_that_compute_wrong_numbers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiler() is None:
        pytest.skip("there is no C++ compiler")
    source = library.SOURCE.read_text().replace("0.5f * p * t * e", "0.4f * p * t * e")
    (tmp_path / "kernels.cpp").write_text(source)
    monkeypatch.setattr(library, "SOURCE", tmp_path / "kernels.cpp")
    monkeypatch.setattr(fusion, "_loaded", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fault = fusion_fault(torch.device("cpu"), lambda line: None)
    assert fault == "the compiled kernels compute wrong numbers"


@pytest.mark.parametrize("open_to", ["folder", "file"])
def test_code_that_others_may_have_written_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_to: str
) -> None:
    """It is compiled anew, or refused."""
    if compiler() is None:
        pytest.skip("there is no C++ compiler")
    folder = tmp_path / FOLDER
    folder.mkdir(mode=0o700)
    path = compile_into(folder)
    (folder if open_to == "folder" else path).chmod(0o777)
    loaded: list[Path] = []

    def noted(path: Path) -> Any:
        loaded.append(path)
        return load(path)

    monkeypatch.setattr(fusion, "load", noted)
    monkeypatch.setattr(fusion, "_loaded", {})
    if open_to == "folder":
        with pytest.raises(NoKernelsError, match="others may write into it"):
            cpu_kernels(Cache(tmp_path))
        assert not loaded
    else:
        cpu_kernels(Cache(tmp_path))
        assert loaded == [path] and path.stat().st_mode & 0o777 == 0o600


def test_no_room_for_compiling_is_a_fault_and_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiler() is None:
        pytest.skip("there is no C++ compiler")
    monkeypatch.setattr(library.tempfile, "tempdir", str(tmp_path / "nowhere"))
    monkeypatch.setattr(fusion, "_loaded", {})
    with pytest.raises(NoKernelsError, match="No such file"):
        cpu_kernels(Cache(tmp_path / "cache"))


def test_the_file_belongs_to_source_flags_and_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {file_name()}
    for attribute, value in (("FLAGS", ("-O0",)), ("_processor", lambda: b"another")):
        with monkeypatch.context() as patch:
            patch.setattr(library, attribute, value)
            names.add(file_name())
    assert len(names) == 3


def test_a_run_with_fused_kernels_saves_and_continues_to_the_same_bits(tmp_path: Path) -> None:
    if compiler() is None:
        pytest.skip("there is no C++ compiler")
    data = write_data(tmp_path / "data")
    bits = []
    for name in ("one", "two"):
        result = train_model(settings(data, tmp_path / name, **{"runtime.compile": True}))
        assert result.accuracy is not None and result.accuracy > 0.6
        bits.append((tmp_path / name / "model.safetensors").read_bytes())
    assert bits[0] == bits[1]
    plain = train_model(settings(data, tmp_path / "plain", **{"runtime.compile": False}))
    assert plain.accuracy is not None and result.accuracy is not None
    assert abs(result.accuracy - plain.accuracy) < 0.1
    assert (tmp_path / "plain" / "model.safetensors").read_bytes() != bits[0]


def test_shapes_of_many_kinds_stay_within_the_bound_of_graphs() -> None:
    if fault := compiler_fault(torch.device("cpu")):
        pytest.skip(f"torch.compile does not work here: {fault}")
    config = encoder_config(
        "custom", ModelConfig(), vocab_size=50, pad_token_id=0, max_length=64, default_shape=(32, 4)
    )
    model = SequenceClassifier(config, 3)
    compile_layers(model.encoder)
    torch.compiler.reset()
    before = graphs_compiled()
    for rows in range(2, 40, 3):  # every batch another number of rows, and other ones that are read
        model(Batch.build([torch.arange(5, 5 + rows).numpy()] * (1 + rows % 3))).sum().backward()
    assert 0 < graphs_compiled() - before <= GRAPHS


def test_the_line_about_fusion_counts_honestly() -> None:
    assert fusion_line(2.0, 11.0, 1.0).endswith(
        "10 s to compile; a pass takes 0.50 of its time, pays back after 10 batches"
    )
    assert fusion_line(1.0, 11.0, 1.5).endswith("a pass takes 1.50 of its time, does not pay back")
