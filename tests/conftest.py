"""What tests share: one thread, since tiny tensors are slower on two and results are the same on any machine;
the same random values in every run of the property tests; and Ctrl-C as a person's shell has it.

`make search` looks for counterexamples with new random values."""

import signal
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

# a change that passed the tests passes them again; the option --hypothesis-profile counts more than this
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("search", derandomize=False, print_blob=True)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """A shell's background jobs, and with them these tests and their children, may ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
