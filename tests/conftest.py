"""One thread for every test: tiny tensors are slower on two, and results are the same on any machine."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
