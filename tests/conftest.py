"""What tests share: one thread, since tiny tensors are slower on two and results are the same on any machine;
the same random values in every run of the property tests; and Ctrl-C as a person's shell has it.

`make search` looks for counterexamples with new random values."""

import os
import signal
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from custom_bert.training.compile import fusion_fault

# a change that passed the tests passes them again; the option --hypothesis-profile counts more than this
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("search", derandomize=False, print_blob=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def kept_kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache for what no test names a place for. The fused kernels lie in it already, and this process has
    loaded them: compiling them takes 3 seconds."""
    parent = tmp_path_factory.getbasetemp()
    parent = parent.parent if "PYTEST_XDIST_WORKER" in os.environ else parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(parent / "user-cache"))
        fusion_fault(torch.device("cpu"), lambda line: None)
        yield


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """A shell's background jobs, and with them these tests and their children, may ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
