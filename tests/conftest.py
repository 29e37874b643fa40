"""What tests share: one thread, since tiny tensors are slower on two and results are the same on any machine;
and Ctrl-C as a person's shell has it."""

import signal
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """A shell's background jobs, and with them these tests and their children, may ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
