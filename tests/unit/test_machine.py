"""What a record says of a processor tells machines apart whose products differ."""

import platform

import pytest
import torch

from custom_bert import machine


@pytest.mark.parametrize(
    ("bf16", "amx", "said"), [(False, False, ""), (True, False, " BF16"), (True, True, " AMX")]
)
def test_the_hardware_of_bf16_products_is_named(
    bf16: bool, amx: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    found = machine.description(torch.device("cpu"))["cpu_capability"]
    assert found == torch.backends.cpu.get_cpu_capability() + said
    assert machine.has_cpu_bf16() == bf16


def test_arm_says_it_in_its_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    for flags, has in (("asimd bf16 i8mm", True), ("asimd i8mm", False)):
        monkeypatch.setattr(machine, "_read", lambda path, flags=flags: f"Features\t: fp {flags}\n")
        assert machine.has_cpu_bf16() == has
        assert machine.description(torch.device("cpu"))["cpu_capability"].endswith(" BF16") == has
