"""What a record says of a processor tells machines apart whose products differ."""

import platform

import pytest
import torch

from custom_bert import machine, precision, torch_internals
from custom_bert.errors import ConfigError
from custom_bert.training.state_tensors import restore_random


@pytest.mark.parametrize(
    ("bf16", "amx", "said"), [(False, False, ""), (True, False, " BF16"), (True, True, " AMX")]
)
def test_the_hardware_of_bf16_products_is_named(
    bf16: bool, amx: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch_internals, "has_avx512_bf16", lambda: bf16)
    monkeypatch.setattr(torch_internals, "has_amx", lambda: amx)
    found = machine.description(torch.device("cpu"))["cpu_capability"]
    assert found == torch.backends.cpu.get_cpu_capability() + said
    assert machine.has_cpu_bf16() == bf16


def test_arm_says_it_in_its_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    for flags, has in (("asimd bf16 i8mm", True), ("asimd i8mm", False)):
        monkeypatch.setattr(machine, "_read", lambda path, flags=flags: f"Features\t: fp {flags}\n")
        assert machine.has_cpu_bf16() == has
        assert machine.description(torch.device("cpu"))["cpu_capability"].endswith(" BF16") == has


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("gpu", "expected cpu or cuda, got 'gpu'"), ("cuda", "no CUDA device"), ("cuda:1", "no CUDA device")],
)
def test_a_device_that_is_not_there_is_told(wanted: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=said):
        machine.choose_device(wanted)


def test_a_gpu_beyond_the_last_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert machine.choose_device("cuda:1")[0] == torch.device("cuda:1")
    with pytest.raises(ConfigError, match="cuda:2 is not there; the last of 2 is cuda:1"):
        machine.choose_device("cuda:2")


def test_an_unknown_precision_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"got 'fp32x' \(did you mean 'fp32'\?\)"):
        precision.choose_precision("fp32x", torch.device("cpu"))  # type: ignore[arg-type]


def test_bf16_without_hardware_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    for hardware in (True, False):
        monkeypatch.setattr(precision, "has_cpu_bf16", lambda hardware=hardware: hardware)
        assert bool(precision.doubts("bf16", torch.device("cpu"))) != hardware
        assert not precision.doubts("fp32", torch.device("cpu"))


def test_processors_of_one_brand_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\n"
    monkeypatch.setattr(machine, "_read", lambda path: said)
    found = machine.description(torch.device("cpu"))["processor"]
    assert found == "AMD EPYC, family 25, model 17"


def test_an_amd_gpu_is_refused_in_words_and_left_aside_by_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", "6.4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ConfigError, match="ROCm"):
        machine.choose_device("cuda")
    device, reason = machine.choose_device(None)
    assert device.type == "cpu" and "ROCm" in reason


def test_a_precision_is_chosen_by_the_gpu_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs of one machine may be of different kinds."""
    kinds = {0: (9, 0), 1: (7, 5)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: kinds[device.index or 0])
    assert precision.choose_precision(None, torch.device("cuda:0"))[0] == "bf16"
    assert precision.choose_precision(None, torch.device("cuda:1"))[0] == "fp16"
    assert [precision.choose_tf32(torch.device(f"cuda:{i}"))[0] for i in (0, 1)] == [True, False]


def test_a_generator_is_restored_at_the_device_that_it_belongs_to(monkeypatch: pytest.MonkeyPatch) -> None:
    restored = []
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, device="cuda": restored.append(str(device))
    )
    restore_random({"random.cuda": torch.zeros(16, dtype=torch.uint8)}, torch.device("cuda:1"))
    assert restored == ["cuda:1"]


def test_what_others_hold_of_a_gpus_memory_is_not_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3 * 10**9, 80 * 10**9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 10**9)
    assert machine.free_memory_of(torch.device("cuda")) == 4 * 10**9
    cpu = torch.device("cpu")
    assert machine.free_memory_of(cpu) == machine.memory_of(cpu)


@pytest.mark.parametrize(
    ("message", "memory"),
    [
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("CUDA error: out of memory", True),
        ("CUDA error: an illegal memory access was encountered", False),
        ("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`", False),
    ],
)
def test_a_lack_of_memory_is_recognised(message: str, memory: bool) -> None:
    assert machine.is_out_of_memory(RuntimeError(message)) == memory
